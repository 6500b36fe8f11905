"""Indices of tar archives: names and positions of their files."""

import json
import os
import os.path as osp
import tarfile
from typing import Any, Dict, List, Optional, Tuple

from mmvlfusion.utils.atomic import atomic_write

from .files import load_json, require_fields

REMEDY = 'run tools/dataset_converters/index_shards.py on it again.'


def index_path(archive: str) -> str:
    """Get the file of the index of an archive.

    Args:
        archive (str): The archive.

    Returns:
        str: The json file next to it.
    """
    return f'{archive}.index.json'


def write_index(archive: str) -> Dict[str, Any]:
    """Write the index of an archive.

    The index has ``size``, the size of the archive in bytes; ``files``, a list
    of name, offset and size of each file; and ``error``, which is None if the
    archive is complete. For a truncated archive, it has the files before the
    end.

    Args:
        archive (str): The archive, which is not compressed.

    Returns:
        dict: The index.
    """
    files: List[Tuple[str, int, int]] = []
    size = osp.getsize(archive)
    error = None
    try:
        with tarfile.open(archive, 'r:') as content:
            for member in content:
                end = member.offset_data + member.size
                # Sparse files are not stored in one piece.
                if member.isreg() and not member.issparse() and end <= size:
                    files.append((member.name, member.offset_data, member.size))
            error = _damage(content)
    except tarfile.TarError as reason:
        error = str(reason)
    index = dict(size=size, error=error, files=files)
    with atomic_write(index_path(archive)) as path, open(path, 'w') as file:
        json.dump(index, file, ensure_ascii=False, separators=(',', ':'))
    return index


def _damage(content: tarfile.TarFile) -> Optional[str]:
    """Check what follows the last file, which tarfile takes for the end."""
    content.fileobj.seek(content.offset)  # type: ignore[union-attr]
    block = content.fileobj.read(tarfile.BLOCKSIZE)  # type: ignore[union-attr]
    if any(block):
        return f'invalid header at byte {content.offset}'
    return None


def read_index(archive: str) -> Dict[str, Any]:
    """Read the index of an archive and check that it fits.

    Args:
        archive (str): The archive.

    Returns:
        dict: See ``write_index``.

    Raises:
        FileNotFoundError: If there is no index.
        ValueError: If the index is of another archive, or damaged.
    """
    path = index_path(archive)
    index = load_json(path, dict)
    require_fields(index, path, size=int, error=(str, type(None)), files=list)
    size = os.stat(archive).st_size
    if size != index['size']:
        raise ValueError(
            f'{archive} has {size} bytes, but its index was written for '
            f'{index["size"]}: {REMEDY}'
        )
    for item in index['files']:
        try:
            name, offset, length = item
            is_inside = isinstance(name, str) and 0 <= offset <= offset + length <= size
        except (TypeError, ValueError):
            is_inside = False
        if not is_inside:
            raise ValueError(f'{path} has the wrong entry {item!r}: {REMEDY}')
    return index
