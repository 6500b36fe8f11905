"""Files of annotations, and files that they name."""

import json
import os
import os.path as osp
from typing import Any, Dict, List, Sequence

import mmengine

NAMED = 5


def load_jsonl(path: str, *names: str) -> List[Dict[str, Any]]:
    """Read a file with a json object in each line, which has the fields
    ``names``.

    Raises:
        ValueError: If one lacks a field.
    """
    lines = mmengine.list_from_file(path)
    entries = [json.loads(line) for line in lines if line.strip()]
    for entry in entries:
        require_fields(entry, path, *names)
    return entries


def require_fields(entry: Dict[str, Any], source: str, *names: str) -> None:
    """Refuse an entry that lacks a field.

    Raises:
        ValueError: With the entry and the fields.
    """
    missing = [name for name in names if name not in entry]
    if missing:
        raise ValueError(
            f'{source} has the entry {entry} without '
            f'{", ".join(missing)}: mend it, or leave it out.'
        )


def check_files(paths: Sequence[str], source: str) -> None:
    """Look for files, by one listing of each folder.

    Args:
        paths (Sequence[str]): The files.
        source (str): What names them, for errors.

    Raises:
        FileNotFoundError: If some are missing; all of them are counted, and the
            first are named.
    """
    paths = list(dict.fromkeys(paths))
    folders = {
        folder: set(os.listdir(folder)) if osp.isdir(folder) else set()
        for folder in {osp.dirname(path) or '.' for path in paths}
    }
    missing = [
        path
        for path in paths
        if osp.basename(path) not in folders[osp.dirname(path) or '.']
    ]
    raise_if_missing(missing, len(paths), source)


def raise_if_missing(missing: Sequence[str], total: int, source: str) -> None:
    """Name the first of the files that are missing of ``total``, if any.

    Raises:
        FileNotFoundError: If there are any.
    """
    if missing:
        more = '' if len(missing) <= NAMED else ', ...'
        raise FileNotFoundError(
            f'{len(missing)} of {total} files of {source} are missing: '
            f'{", ".join(missing[:NAMED])}{more}. Fetch them, remove their '
            'entries, or correct the data_root and the prefix.'
        )
