"""Cleaning of captions and other texts."""

from typing import Sequence, Union

from mmcv.transforms import BaseTransform

from mmvlfusion.registry import TRANSFORMS

# The replacement of each character; None removes it.
CLEANED = str.maketrans(dict.fromkeys(',.\'!?"()*#:;~') | {'-': ' ', '/': ' '})


@TRANSFORMS.register_module()
class CleanText(BaseTransform):
    """Clean texts as the released code of ALBEF and mPLUG does.

    Texts become lower case. Punctuation is removed, but hyphens and slashes
    become spaces. Conceptual Captions writes ``<person>`` instead of names,
    which becomes ``person``. Repeated spaces are removed.

    Args:
        keys (str | Sequence[str]): Fields of the sample, each with a text or a
            list of texts.
        max_words (int): Maximum number of words. The rest is removed. Defaults
            to 30.
    """

    def __init__(self, keys: Union[str, Sequence[str]], max_words: int = 30) -> None:
        self.keys = [keys] if isinstance(keys, str) else list(keys)
        self.max_words = max_words

    def clean(self, text: str) -> str:
        """Clean a text.

        Args:
            text (str): The text.

        Returns:
            str: The cleaned text.
        """
        cleaned = text.lower().translate(CLEANED).replace('<person>', 'person')
        return ' '.join(cleaned.split()[: self.max_words])

    def transform(self, results: dict) -> dict:
        """Clean the texts of a sample.

        Args:
            results (dict): The sample.

        Returns:
            dict: The sample with clean texts.
        """
        for key in self.keys:
            texts = results[key]
            if isinstance(texts, str):
                results[key] = self.clean(texts)
            else:
                results[key] = [self.clean(text) for text in texts]
        return results
