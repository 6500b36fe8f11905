"""The format of SNLI-VE."""

from typing import Any, Dict, List

from mmengine.logging import print_log

from mmvlfusion.datasets.utils.files import load_jsonl, require_fields
from mmvlfusion.registry import DATASETS

from .base import QuestionDataset


@DATASETS.register_module()
class SNLIVE(QuestionDataset):
    """Visual entailment, SNLI-VE (arXiv 1901.06706), on images of Flickr30k.

    The hypothesis (``sentence2``) is the question, and ``entailment``,
    ``neutral`` or ``contradiction`` its answer. Pairs on whose label the
    annotators did not agree ('-') are dropped, as is the rule.

    Args:
        ann_file (str): The jsonl file of a split.
        **kwargs: See ``QuestionDataset``; ``data_prefix`` is the folder of
            Flickr30k's images.

    Raises:
        FileNotFoundError: If images have no file; all of them are counted, and
            the first are named.
        ValueError: If an entry lacks a field, or a label is none of the three.
    """

    LABELS = ('entailment', 'neutral', 'contradiction')

    def load_questions(self, files: List[str]) -> List[Dict[str, Any]]:
        """See ``QuestionDataset``."""
        entries = load_jsonl(self.ann_file, 'sentence2', 'gold_label', 'pairID')
        for entry in entries:  # Releases spell it in two ways.
            if 'Flikr30kID' not in entry:
                require_fields(entry, self.ann_file, 'Flickr30K_ID')
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
                    f'{entry["gold_label"]!r}, none of {self.LABELS}.'
                )
        return [
            dict(
                question=entry['sentence2'],
                question_id=entry['pairID'],
                image=_image(entry),
                gt_answer=entry['gold_label'],
            )
            for entry in agreed
        ]


def _image(entry: Dict[str, Any]) -> str:
    number = str(entry.get('Flickr30K_ID') or entry['Flikr30kID'])
    return number.removesuffix('.jpg') + '.jpg'
