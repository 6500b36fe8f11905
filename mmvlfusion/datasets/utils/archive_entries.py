"""Entries of tar archives in the format of webdataset."""

import re
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import mmengine

from mmvlfusion.utils.checks import require

from .captions import check_captions

# Names that webdataset skips.
METADATA = re.compile(r'__[^/]*__($|/)')


def expand_shards(shards: Union[str, Sequence[str]], data_root: str) -> List[str]:
    """List the archives of patterns with ranges of numbers.

    Args:
        shards (str | Sequence[str]): Files or addresses, with ranges in braces
            as in ``'cc3m/{00000..00331}.tar'``.
        data_root (str): Folder of archives that are files.

    Returns:
        list[str]: The files and addresses.
    """
    expand = require('webdataset').shardlists.expand_urls
    patterns = [shards] if isinstance(shards, str) else shards
    return [
        name if is_address(name) else mmengine.join_path(data_root, name)
        for pattern in patterns
        for name in expand(pattern)
    ]


def is_address(name: str) -> bool:
    """Check whether an archive is an address or a command instead of a file.

    Args:
        name (str): Name of the archive.

    Returns:
        bool: Whether the name has a colon.
    """
    return ':' in name


@dataclass
class Entry:
    """Consecutive files of an archive with the same name, without extension.

    Attributes:
        stem (str): The name up to the first dot.
        key (str): The name of the entry.
        files (dict[str, Any]): Contents, or positions, by declared extension.
        others (list[str]): Other extensions.
        duplicate (str, optional): An extension that occurs twice.
    """

    stem: str
    key: str
    files: Dict[str, Any] = field(default_factory=dict)
    others: List[str] = field(default_factory=list)
    duplicate: Optional[str] = None


class CaptionedEntries:
    """Grouping of an archive's files to captioned images, and their decoding.

    As in webdataset, the extension of a file begins at the first dot of its
    name, and files with the same name are consecutive. Names may contain dots
    if the name up to the first dot has no image and no caption.

    Args:
        image_keys (str): Extensions of the images, separated by semicolons. The
            first one that an entry has is used.
        caption_key (str): Extension of the captions.
        prefix (str): Words that are removed from the beginning of captions.
    """

    def __init__(self, image_keys: str, caption_key: str, prefix: str) -> None:
        self.image_keys = image_keys.split(';')
        self.caption_key = caption_key
        self.prefix = prefix

    def group(self, files: Iterable[Tuple[str, Any]]) -> Iterator[Entry]:
        """Group the files of an archive.

        Args:
            files (Iterable[tuple[str, Any]]): Names and contents, or positions,
                in their order. Names without a dot are ignored.

        Yields:
            Entry: Each entry, which may be incomplete.
        """
        entry = None
        for name, content in files:
            stem, key, extension = self._split(name)
            if not extension or METADATA.match(name):
                continue
            if entry is None or stem != entry.stem:
                if entry is not None:
                    yield entry
                entry = Entry(stem, key)
            if not self._is_declared(extension):
                entry.others.append(extension)
                continue
            if key != entry.key and entry.files:
                if entry.key == stem:
                    # '1.depth.png' after '1.png' is another file of entry '1'.
                    continue
                if key != stem or self._is_complete(entry):
                    yield entry
                entry = Entry(stem, key)
            entry.key = key
            if extension in entry.files:
                entry.duplicate = extension
            entry.files[extension] = content
        if entry is not None:
            yield entry

    def _split(self, name: str) -> Tuple[str, str, str]:
        """Split a name to the part up to the first dot, key and extension."""
        folder, slash, base = name.rpartition('/')
        stem, _, extension = base.partition('.')
        if not stem:
            return name, name, ''
        stem = folder + slash + stem
        extension = extension.lower()
        if not self._is_declared(extension):
            last = self._declared_end(extension)
            if last:
                return stem, name[: -len(last) - 1], last
        return stem, stem, extension

    def _is_declared(self, extension: str) -> bool:
        """Check whether an extension is that of images or captions."""
        return extension == self.caption_key or extension in self.image_keys

    def _declared_end(self, extension: str) -> Optional[str]:
        """Find the longest declared extension at the end of another one."""
        ends = [
            key
            for key in (*self.image_keys, self.caption_key)
            if extension.endswith(f'.{key}')
        ]
        return max(ends, key=len, default=None)

    def _is_complete(self, entry: Entry) -> bool:
        """Check whether an entry has an image and a caption."""
        return self.caption_key in entry.files and len(entry.files) > 1

    def image_extension(self, entry: Entry, source: str) -> str:
        """Check that an entry is complete, and choose its image.

        Args:
            entry (Entry): The entry.
            source (str): The archive, for errors.

        Returns:
            str: Extension of the image.

        Raises:
            ValueError: If the entry has no image, no caption, or one file twice.
        """
        name = f'{source}/{entry.key}'
        found = sorted([*entry.files, *entry.others])
        if entry.duplicate is not None:
            raise ValueError(
                f'{name} has the file .{entry.duplicate} twice: write the archive '
                'again.'
            )
        keys = [key for key in self.image_keys if key in entry.files]
        if not keys:
            raise ValueError(
                f'{name} has none of the images {";".join(self.image_keys)}, only '
                f'{found}: set image_keys, or remove this entry.'
            )
        if self.caption_key not in entry.files:
            raise ValueError(
                f'{name} has none of the captions {self.caption_key}, only '
                f'{found}: set caption_key, or remove this entry.'
            )
        return keys[0]

    def decode_caption(self, content: bytes) -> str:
        """Decode the content of a caption's file.

        Args:
            content (bytes): The content.

        Returns:
            str: The caption, with its prefix.
        """
        return content.decode('utf-8-sig', 'replace')

    def sample(
        self, source: str, key: str, extension: str, image: bytes, caption: str
    ) -> Dict[str, Any]:
        """Make a sample of an entry.

        Args:
            source (str): The archive.
            key (str): Name of the entry.
            extension (str): Extension of its image.
            image (bytes): Content of the image's file.
            caption (str): The caption, with its prefix.

        Returns:
            dict: ``img_bytes``, ``img_path``, ``image_id`` and ``gt_caption``.

        Raises:
            ValueError: If the caption has no words after the prefix.
        """
        name = f'{source}/{key}'
        return dict(
            img_bytes=image,
            img_path=f'{name}.{extension}',
            image_id=name,
            gt_caption=check_captions(caption, name, self.prefix)[0],
        )
