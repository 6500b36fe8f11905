"""Metrics of captions."""

import logging
import shutil
import unicodedata
from collections import defaultdict
from typing import Any, Dict, List, Optional, Sequence

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmvlfusion.registry import METRICS
from mmvlfusion.utils.checks import check_choice, require

TOKENIZERS = ('ptb', 'words')
# A character, with its marks, of a script without spaces between words; or a word
# of letters, marks and numbers, which may have an apostrophe inside.
_SCRIPTS = ('Han', 'Hiragana', 'Katakana', 'Thai', 'Lao', 'Khmer', 'Myanmar')
_CHARACTER = ''.join(rf'\p{{{name}}}' for name in _SCRIPTS)
_LETTERS = rf'(?:(?![{_CHARACTER}])[\w\p{{M}}\u200c\u200d])+'
_WORD = rf"[{_CHARACTER}]\p{{M}}*|{_LETTERS}(?:'{_LETTERS})?"
Captions = Dict[Any, List[str]]


@METRICS.register_module()
class CaptionMetric(BaseMetric):
    """BLEU-1 to BLEU-4, ROUGE-L and CIDEr, computed by pycocoevalcap, in percent.

    A caption is compared with all reference captions of its image. Nothing is
    downloaded. METEOR and SPICE are omitted: both need Java, and SPICE needs a
    download.

    Args:
        tokenizer (str, optional): ``'ptb'`` is the official Penn Treebank
            tokenizer for English, which needs Java. ``'words'`` needs no Java;
            it keeps lower-case words and numbers and removes punctuation. In
            scripts without spaces between words, such as Chinese, Japanese and
            Thai, each character is a word. Its scores differ slightly from the
            official ones and have another name, such as ``CIDEr_words``.
            Defaults to None, which means ``'ptb'`` if Java is installed and
            ``'words'`` otherwise.
        collect_device (str): See ``mmengine.evaluator.BaseMetric``.
        prefix (str, optional): Prefix of the names of the scores. Defaults to
            ``'caption'``.

    Raises:
        ValueError: If the tokenizer is unknown, or needs Java and Java is not
            installed.
    """

    default_prefix = 'caption'

    def __init__(
        self,
        tokenizer: Optional[str] = None,
        collect_device: str = 'cpu',
        prefix: Optional[str] = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        has_java = shutil.which('java') is not None
        if tokenizer is None:
            tokenizer = 'ptb' if has_java else 'words'
        check_choice('tokenizer', tokenizer, TOKENIZERS)
        if tokenizer == 'ptb' and not has_java:
            raise ValueError(
                "tokenizer='ptb' needs Java, which is not on the "
                "PATH: install it, or set tokenizer='words'."
            )
        self.tokenizer = tokenizer
        require('pycocoevalcap')

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store the captions of a batch.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): The samples with ``pred_caption``,
                ``gt_caption`` and ``img_path``, which identifies the image; it
                may be replaced by ``image_id``.

        Raises:
            ValueError: If an image has no path and no id, or no reference
                caption.
        """
        for sample in data_samples:
            # Ids of some data sets are only parts of file names.
            image = sample.get('img_path')
            image = sample.get('image_id') if image is None else image
            if image is None:
                raise ValueError(
                    f'The image of the caption {sample["pred_caption"]!r} has no '
                    "img_path and no image_id: add 'img_path' to the meta_keys of "
                    "the pipeline's last step."
                )
            references = sample.get('gt_caption')
            if not references:
                raise ValueError(
                    f'The image {image} has no caption to compare with: let '
                    "the pipeline's last step pack gt_caption."
                )
            if isinstance(references, str):
                references = [references]
            self.results.append((image, sample['pred_caption'], list(references)))

    def compute_metrics(self, results: List[tuple]) -> Dict[str, float]:
        """Compute the scores of all images.

        If an image has several predictions, only the first one is used.

        Args:
            results (list[tuple]): Image, predicted caption and reference
                captions of each sample, from all ranks.

        Returns:
            dict[str, float]: The scores by name, in percent.
        """
        predictions: Captions = {}
        references: Captions = defaultdict(list)
        for image, caption, captions in results:
            predictions.setdefault(image, [caption])
            references[image] += [
                text for text in captions if text not in references[image]
            ]
        if len(predictions) == 1:
            print_log(
                'CIDEr is 0 for a single image, because its weight of a word '
                'depends on how many images have the word: evaluate more images.',
                logger='current',
                level=logging.WARNING,
            )
        if self.tokenizer == 'ptb':
            tokenize, suffix = _ptb, ''
        else:
            tokenize, suffix = _words, f'_{self.tokenizer}'
        predictions = tokenize(predictions)
        references = tokenize(references)
        bleu = require('pycocoevalcap.bleu.bleu').Bleu()
        rouge = require('pycocoevalcap.rouge.rouge').Rouge()
        cider = require('pycocoevalcap.cider.cider').Cider()
        bleu_scores, _ = bleu.compute_score(references, predictions, verbose=0)
        rouge_score, _ = rouge.compute_score(references, predictions)
        cider_score, _ = cider.compute_score(references, predictions)
        scores = {f'Bleu_{n}': score for n, score in enumerate(bleu_scores, start=1)}
        scores['ROUGE_L'] = rouge_score
        scores['CIDEr'] = cider_score
        return {f'{name}{suffix}': 100 * float(score) for name, score in scores.items()}


def _ptb(captions: Captions) -> Captions:
    """Tokenise captions with the Penn Treebank tokenizer."""
    tokenizer = require('pycocoevalcap.tokenizer.ptbtokenizer').PTBTokenizer()
    return tokenizer.tokenize(
        {
            image: [dict(caption=text) for text in texts]
            for image, texts in captions.items()
        }
    )


def _words(captions: Captions) -> Captions:
    """Keep the words and numbers of captions, in lower case."""
    pattern = require('regex').compile(_WORD)
    return {
        image: [' '.join(pattern.findall(_plain(text))) for text in texts]
        for image, texts in captions.items()
    }


def _plain(text: str) -> str:
    """Convert to lower case, composed letters and plain apostrophes."""
    return unicodedata.normalize('NFC', text.lower()).replace('\u2019', "'")
