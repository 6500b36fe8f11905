"""The annotation format of SNLI-VE."""

from typing import Any, Dict, List

from mmengine.logging import print_log

from mmvlfusion.datasets.utils.files import ID, load_jsonl, require_fields
from mmvlfusion.registry import DATASETS

from .base import QuestionDataset


@DATASETS.register_module()
class SNLIVE(QuestionDataset):
    """Visual entailment, SNLI-VE (arXiv 1901.06706), on images of Flickr30k.

    The hypothesis (``sentence2``) is the question. Its answer is
    ``entailment``, ``neutral`` or ``contradiction``. As usual, pairs with the
    label '-', on which the annotators did not agree, are dropped.

    Args:
        ann_file (str): The jsonl file of a split.
        **kwargs: See ``QuestionDataset``. ``data_prefix`` is the folder of
            Flickr30k's images.

    Raises:
        FileNotFoundError: If images are missing, with their number and the
            first of their paths.
        ValueError: If an entry lacks a field, has a field of another type, or
            has an unknown label.
    """

    LABELS = ('entailment', 'neutral', 'contradiction')

    def load_questions(self, files: List[str]) -> List[Dict[str, Any]]:
        """See ``QuestionDataset.load_questions``."""
        entries = load_jsonl(self.ann_file, sentence2=str, gold_label=str, pairID=ID)
        for entry in entries:
            # Releases spell the field in two ways.
            field = 'Flikr30kID' if 'Flikr30kID' in entry else 'Flickr30K_ID'
            require_fields(entry, self.ann_file, **{field: ID})
        agreed = [entry for entry in entries if entry['gold_label'] != '-']
        if len(agreed) < len(entries):
            print_log(
                f'{len(entries) - len(agreed)} of {len(entries)} pairs in '
                f"{self.ann_file} have the label '-' and are dropped.",
                logger='current',
            )
        for entry in agreed:
            if entry['gold_label'] not in self.LABELS:
                raise ValueError(
                    f'Pair {entry["pairID"]} in {self.ann_file} has the label '
                    f'{entry["gold_label"]!r}, expected one of {self.LABELS}.'
                )
        return [
            dict(
                question=entry['sentence2'],
                question_id=entry['pairID'],
                image=_image_file(entry),
                gt_answer=entry['gold_label'],
            )
            for entry in agreed
        ]


def _image_file(entry: Dict[str, Any]) -> str:
    """Get the file name of an entry's image."""
    image_id = str(entry.get('Flikr30kID', entry.get('Flickr30K_ID')))
    return image_id.removesuffix('.jpg') + '.jpg'
