"""Reading of annotation files, and checks of the files that they list."""

import json
import os
import os.path as osp
from typing import Any, Dict, List, Sequence

import mmengine

# How many missing files an error lists.
NAMED = 5


def load_jsonl(path: str, *names: str) -> List[Dict[str, Any]]:
    """Read a file with one json object per line.

    Args:
        path (str): The file. Empty lines are skipped.
        *names (str): Fields that each object must have.

    Returns:
        list[dict]: The objects.

    Raises:
        ValueError: If an object lacks a field.
    """
    lines = mmengine.list_from_file(path)
    entries = [json.loads(line) for line in lines if line.strip()]
    for entry in entries:
        require_fields(entry, path, *names)
    return entries


def require_fields(entry: Dict[str, Any], source: str, *names: str) -> None:
    """Check that an entry has all required fields.

    Args:
        entry (dict): The entry.
        source (str): The file of the entry, for errors.
        *names (str): The required fields.

    Raises:
        ValueError: If fields are missing, with the entry and their names.
    """
    missing = [name for name in names if name not in entry]
    if missing:
        raise ValueError(
            f'{source} has the entry {entry} without '
            f'{", ".join(missing)}: fix or remove this entry.'
        )


def check_files(paths: Sequence[str], source: str) -> None:
    """Check that files exist, by one listing of each folder.

    Args:
        paths (Sequence[str]): The files.
        source (str): What lists the files, for errors.

    Raises:
        FileNotFoundError: If files are missing, with their number and the
            first of their paths.
    """
    paths = list(dict.fromkeys(paths))
    listings = {}
    for folder in {osp.dirname(path) or '.' for path in paths}:
        listings[folder] = set(os.listdir(folder)) if osp.isdir(folder) else set()
    missing = [
        path
        for path in paths
        if osp.basename(path) not in listings[osp.dirname(path) or '.']
    ]
    raise_if_missing(missing, len(paths), source)


def raise_if_missing(missing: Sequence[str], total: int, source: str) -> None:
    """Raise an error if files are missing.

    Args:
        missing (Sequence[str]): The missing files.
        total (int): Number of files that were looked for.
        source (str): What lists the files, for the error.

    Raises:
        FileNotFoundError: If ``missing`` is not empty, with the number of
            files and the first of their paths.
    """
    if missing:
        more = '' if len(missing) <= NAMED else ', ...'
        raise FileNotFoundError(
            f'{len(missing)} of {total} files of {source} are missing: '
            f'{", ".join(missing[:NAMED])}{more}. Download them, remove their '
            'entries, or correct data_root and the prefix of this '
            'data set in its data loader.'
        )
