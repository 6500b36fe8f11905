"""Scores of captions."""

import re
import shutil
from collections import defaultdict
from typing import Any, Dict, List, Optional, Sequence

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmvlfusion.registry import METRICS
from mmvlfusion.utils.checks import check_choice, require

TOKENIZERS = ('ptb', 'words')
Captions = Dict[Any, List[str]]


@METRICS.register_module()
class CaptionMetric(BaseMetric):
    """Bleu 1 to 4, ROUGE-L and CIDEr of captions against all of an image's, by
    the scorers of pycocoevalcap, in percent.

    Nothing is downloaded. METEOR and SPICE are left out, since they need Java
    and SPICE a download.

    Args:
        tokenizer (str, optional): ``'ptb'``, the official Penn Treebank
            tokenizer, which needs Java; or ``'words'``, which needs none, takes
            lower-case words and numbers, and leaves punctuation out. Its scores
            are not quite the official ones, and are named so: ``CIDEr_words``.
            Defaults to None: ``'ptb'`` where Java is installed.
        collect_device (str): See ``mmengine.evaluator.BaseMetric``.
        prefix (str, optional): Prefix of the scores' names. Defaults to
            ``'caption'``.

    Raises:
        ValueError: If the tokenizer needs Java, which is not there.
    """

    default_prefix = 'caption'

    def __init__(
        self,
        tokenizer: Optional[str] = None,
        collect_device: str = 'cpu',
        prefix: Optional[str] = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        java = shutil.which('java') is not None
        if tokenizer is None:
            tokenizer = 'ptb' if java else 'words'
        check_choice('tokenizer', tokenizer, TOKENIZERS)
        if tokenizer == 'ptb' and not java:
            raise ValueError(
                "tokenizer='ptb' needs Java, which is not on the "
                "PATH: install it, or set tokenizer='words'."
            )
        self.tokenizer = tokenizer
        require('pycocoevalcap')

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store the captions of a batch.

        Raises:
            ValueError: If an image has no caption to compare with.
        """
        for sample in data_samples:
            image = sample.get('image_id', sample.get('img_path'))
            right = sample.get('gt_caption')
            if not right:
                raise ValueError(
                    f'The image {image} has no caption to compare with: let '
                    "the pipeline's last step pack gt_caption."
                )
            self.results.append(
                (
                    image,
                    sample['pred_caption'],
                    [right] if isinstance(right, str) else list(right),
                )
            )

    def compute_metrics(self, results: List[tuple]) -> Dict[str, float]:
        """The scores of all images; the first caption of each counts."""
        predicted: Captions = {}
        right: Captions = defaultdict(list)
        for image, caption, captions in results:
            predicted.setdefault(image, [caption])
            right[image] += [c for c in captions if c not in right[image]]
        if len(predicted) == 1:
            print_log(
                'CIDEr weighs words by how few images have them, and is '
                '0 for one image.',
                logger='current',
                level=30,
            )
        tokenize = dict(ptb=_ptb, words=_words)[self.tokenizer]
        predicted, right = tokenize(predicted), tokenize(right)
        suffix = '' if self.tokenizer == 'ptb' else f'_{self.tokenizer}'
        scores = {}
        for module, names in dict(
            bleu=[f'Bleu_{n}' for n in range(1, 5)], rouge=['ROUGE_L'], cider=['CIDEr']
        ).items():
            scorer = getattr(
                require(f'pycocoevalcap.{module}.{module}'), module.capitalize()
            )()
            options = dict(verbose=0) if module == 'bleu' else {}
            score, _ = scorer.compute_score(right, predicted, **options)
            score = score if isinstance(score, list) else [score]
            scores.update(
                {
                    f'{name}{suffix}': 100 * float(value)
                    for name, value in zip(names, score)
                }
            )
        return scores


def _ptb(captions: Captions) -> Captions:
    tokenizer = require('pycocoevalcap.tokenizer.ptbtokenizer').PTBTokenizer()
    return tokenizer.tokenize(
        {
            image: [dict(caption=text) for text in texts]
            for image, texts in captions.items()
        }
    )


def _words(captions: Captions) -> Captions:
    return {
        image: [' '.join(re.findall(r"\w+(?:'\w+)?", text.lower())) for text in texts]
        for image, texts in captions.items()
    }
