"""Reading of annotation files, and checks of the files that they list."""

import json
import os
import os.path as osp
import reprlib
from typing import Any, Dict, List, Sequence, Set, Tuple, Union

import mmengine
import mmengine.fileio as fileio

# How many missing files an error lists.
NAMED = 5
# Types of an id. A bool is not one of them.
ID = (int, str)

Types = Union[type, Tuple[type, ...]]
# Entries are shortened in errors.
_REPR = reprlib.Repr()
_REPR.maxdict = 8
_REPR.maxstring = _REPR.maxother = 80


def read_text(path: str) -> str:
    """Read an annotation file as text, with or without a byte order mark.

    Args:
        path (str): The file.

    Returns:
        str: The text.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not a text in UTF-8.
    """
    try:
        return fileio.get_text(path, encoding='utf-8-sig')
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise FileNotFoundError(
            f'The annotation file {path} does not exist: correct data_root and '
            'the name of the file.'
        ) from error
    except UnicodeError as error:
        raise ValueError(
            f'{path} is not a text in UTF-8 ({error}): convert it to UTF-8, or '
            'download it again.'
        ) from error


def load_json(path: str, expected: Types) -> Any:
    """Read a json file.

    Args:
        path (str): The file.
        expected (type | tuple[type]): Type of the content.

    Returns:
        Any: The content.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not json, or has another type.
    """
    content = _parse(read_text(path), path)
    check_type(content, 'the content', path, expected)
    return content


def load_jsonl(path: str, **fields: Types) -> List[Dict[str, Any]]:
    """Read a file with one json object per line.

    Args:
        path (str): The file. Empty lines are skipped.
        **fields (type | tuple[type]): Fields that each object must have, with
            their types.

    Returns:
        list[dict]: The objects.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If a line is not a json object, or an object lacks a field
            or has a field of another type.
    """
    entries = [
        _parse(line, f'Line {number} of {path}')
        for number, line in enumerate(read_text(path).split('\n'), 1)
        if line.strip()
    ]
    for entry in entries:
        require_fields(entry, path, **fields)
    return entries


def _parse(text: str, source: str) -> Any:
    """Parse json."""
    try:
        return json.loads(text)
    # A very deep nesting exceeds the recursion limit.
    except (ValueError, RecursionError) as error:
        start = text[:40].strip()
        raise ValueError(
            f'{source} is not valid json ({error}); it begins with {start!r}: '
            'download or write it again.'
        ) from error


def check_type(value: Any, name: str, source: str, expected: Types) -> None:
    """Check the type of a value from an annotation file.

    Args:
        value (Any): The value.
        name (str): What it is, for the error.
        source (str): The file, for the error.
        expected (type | tuple[type]): Types that it may have.

    Raises:
        ValueError: If the type is another one.
    """
    is_bool = isinstance(value, bool) and expected is not bool
    if is_bool or not isinstance(value, expected):
        types = expected if isinstance(expected, tuple) else (expected,)
        raise ValueError(
            f'{source}: {name} is {_REPR.repr(value)} of type {type(value).__name__}, '
            f'expected {" or ".join(kind.__name__ for kind in types)}: fix or '
            'remove this entry.'
        )


def require_fields(entry: Any, source: str, **fields: Types) -> None:
    """Check that an entry has all required fields, and check their types.

    Args:
        entry (Any): The entry, which must be a dict.
        source (str): The file of the entry, for errors.
        **fields (type | tuple[type]): Names and types of the required fields.

    Raises:
        ValueError: If fields are missing or have another type, with the entry
            and their names.
    """
    check_type(entry, 'an entry', source, dict)
    missing = [name for name in fields if name not in entry]
    if missing:
        raise ValueError(
            f'{source} has the entry {_REPR.repr(entry)} without '
            f'{", ".join(missing)}: fix or remove this entry.'
        )
    for name, expected in fields.items():
        if not isinstance(entry[name], expected) or isinstance(entry[name], bool):
            where = f'the field {name!r} of the entry {_REPR.repr(entry)}'
            check_type(entry[name], where, source, expected)


def require_entries(entries: Sequence[Any], source: str) -> None:
    """Check that an annotation file has entries.

    Args:
        entries (Sequence[Any]): The entries.
        source (str): The file, for the error.

    Raises:
        ValueError: If there are none.
    """
    if not entries:
        raise ValueError(f'{source} has no entries: set the name of another file.')


def join_name(folder: str, name: str) -> str:
    """Join a folder and a file name that an annotation file lists.

    Args:
        folder (str): The folder.
        name (str): The name, which may be an absolute path.

    Returns:
        str: The path without parts such as ``./`` and ``sub/../``, so that each
        file has one path. Addresses are not changed.
    """
    path = mmengine.join_path(folder, name)
    return path if '://' in path else osp.normpath(path)


def check_files(paths: Sequence[str], source: str, hint: str = '') -> None:
    """Check that files exist, by one listing of each folder.

    Args:
        paths (Sequence[str]): The files.
        source (str): What lists the files, for errors.
        hint (str): A sentence at the end of the error. Defaults to ``''``.

    Raises:
        FileNotFoundError: If files are missing, with their number and the
            first of their paths.
    """
    paths = list(dict.fromkeys(paths))
    folders = {osp.dirname(path) or '.' for path in paths}
    listings = {folder: _files_in(folder) for folder in folders}
    missing = [
        path
        for path in paths
        if osp.basename(path) not in listings[osp.dirname(path) or '.']
    ]
    raise_if_missing(missing, len(paths), source, hint)


def _files_in(folder: str) -> Set[str]:
    """List the names of the files in a folder, which may not exist."""
    if not osp.isdir(folder):
        return set()
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if not entry.is_dir()}


def raise_if_missing(
    missing: Sequence[str], total: int, source: str, hint: str = ''
) -> None:
    """Raise an error if files are missing.

    Args:
        missing (Sequence[str]): The missing files.
        total (int): Number of files that were looked for.
        source (str): What lists the files, for the error.
        hint (str): A sentence at the end of the error. Defaults to ``''``.

    Raises:
        FileNotFoundError: If ``missing`` is not empty, with the number of
            files and the first of their paths.
    """
    if missing:
        more = '' if len(missing) <= NAMED else ', ...'
        raise FileNotFoundError(
            f'{len(missing)} of {total} files of {source} are missing: '
            f'{", ".join(missing[:NAMED])}{more}. Download them, remove their '
            f'entries, or correct data_root and the prefix of this data set in its '
            f'data loader.{hint and " "}{hint}'
        )
