"""Search for the file of an image by its id."""

import os.path as osp
import re
from collections import defaultdict
from functools import cached_property
from typing import Dict, List, Sequence, Tuple, Union

from PIL import Image

# The number of an image in COCO's file names.
NUMBER = re.compile(r'(?<!\d)\d{12}(?!\d)')


class ImageNames:
    """Finds the files of images by numbers or names.

    Among several files, images are preferred to other types, such as a text
    with the name of its image. A complete name is preferred to a part, and a
    name that ends with the number to one that contains it, such as the name of
    a thumbnail.

    Args:
        files (Sequence[str]): Names of the files, relative to their folder.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self.files = files
        Image.init()
        self.extensions = {
            extension
            for extension, kind in Image.registered_extensions().items()
            if kind in Image.OPEN
        }

    @cached_property
    def _by_number(self) -> Dict[int, List[str]]:
        """dict[int, list[str]]: Files by the last number in their names."""
        table = defaultdict(list)
        for name in self.files:
            numbers = NUMBER.findall(osp.splitext(name)[0])
            if numbers:
                table[int(numbers[-1])].append(name)
        return table

    @cached_property
    def _by_name(self) -> Dict[str, List[str]]:
        """dict[str, list[str]]: Files by their complete and partial names."""
        table = defaultdict(list)
        for name in self.files:
            for form in dict.fromkeys(_forms(name)):
                table[form].append(name)
        return table

    def find(self, image_id: Union[int, str], source: str) -> str:
        """Find the file of an image.

        Args:
            image_id (int | str): The number of the image, or its name with or
                without folders and extension.
            source (str): The annotation file, for the error.

        Returns:
            str: The file. If none is found, the name that it should have.

        Raises:
            ValueError: If several files fit equally well.
        """
        text = str(image_id)
        if isinstance(image_id, int):
            found = self._by_number.get(image_id) or self._by_name.get(text, [])
            default = f'{image_id:012d}.jpg'
        else:
            found = self._by_name.get(text, [])
            if not found and text.isdecimal():
                found = self._by_number.get(int(text), [])
            default = text
        if not found:
            return default
        ranks = [self._rank(name, text) for name in found]
        best = [name for name, rank in zip(found, ranks) if rank == min(ranks)]
        if len(best) > 1:
            raise ValueError(
                f'{source} has the image {image_id!r}, which may be any of '
                f'{sorted(best)}: move the other files out of data_prefix.'
            )
        return best[0]

    def _rank(self, name: str, text: str) -> Tuple[bool, int, bool]:
        """Rank a file that fits; lower is better."""
        stem, extension = osp.splitext(name)
        forms = _forms(name)
        return (
            extension.lower() not in self.extensions,
            forms.index(text) if text in forms else len(forms),
            NUMBER.fullmatch(stem[-12:]) is None,
        )


def _forms(name: str) -> List[str]:
    """List the ways to write a file name, the most specific first."""
    base = osp.basename(name)
    return [name, osp.splitext(name)[0], base, osp.splitext(base)[0]]
