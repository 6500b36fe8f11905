"""Files that are complete or not there."""

import os
import os.path as osp
from contextlib import contextmanager
from typing import Iterator


@contextmanager
def atomic_write(path: str) -> Iterator[str]:
    """Write a file so that an interruption leaves the old file or the new one.

    Args:
        path (str): The file. Its folder is created.

    Yields:
        str: A temporary file in the same folder, which replaces ``path`` at the
        end. Devices such as ``/dev/null`` are written directly.
    """
    path = osp.realpath(path)
    if osp.exists(path) and not osp.isfile(path):
        yield path
        return
    os.makedirs(osp.dirname(path), exist_ok=True)
    temporary = f'{path}.{os.getpid()}.tmp'
    try:
        yield temporary
        with open(temporary, 'rb+') as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        if osp.exists(temporary):
            os.remove(temporary)
