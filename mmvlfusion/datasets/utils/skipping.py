"""Errors in samples, which stop the program or are skipped and counted."""

import logging
from typing import Optional

import torch
from mmengine.logging import print_log
from torch.utils.data import get_worker_info

from mmvlfusion.utils.checks import check_choice


class SkipCounter:
    """Raises errors, or logs and counts what is skipped over all workers.

    Args:
        what (str): What is skipped, in the plural, such as ``'images'``.
        on_error (str): ``'raise'`` or ``'skip'``.
        limit (int, optional): Number of items skipped in a row, in one process,
            at which an error is raised. Defaults to None, which means no limit.

    Raises:
        ValueError: If ``on_error`` is neither of the two.
    """

    MAX_WORKERS = 256

    def __init__(self, what: str, on_error: str, limit: Optional[int] = None) -> None:
        check_choice('on_error', on_error, ('raise', 'skip'))
        self.what = what
        self.on_error = on_error
        self.limit = limit
        self.in_a_row = 0
        # One counter per worker in shared memory: the main process can read all
        # of them, and no lock is needed.
        self._counts = torch.zeros(self.MAX_WORKERS, dtype=torch.int64).share_memory_()

    @property
    def total(self) -> int:
        """int: Number of items that all workers have skipped."""
        return int(self._counts.sum())

    def reject(self, message: str) -> None:
        """Raise an error, or count and log a skipped item.

        Args:
            message (str): Sentences that name the item and the error.

        Raises:
            ValueError: If ``on_error`` is ``'raise'``, or if ``limit`` items
                were skipped in a row.
        """
        if self.on_error == 'raise':
            raise ValueError(f"{message} Set on_error='skip' to train without it.")
        worker = get_worker_info()
        worker_id = 0 if worker is None else worker.id
        self._counts[worker_id % self.MAX_WORKERS] += 1
        self.in_a_row += 1
        if self.in_a_row == self.limit:
            raise ValueError(
                f'{self.limit} {self.what} in a row cannot be used; the last '
                f"error is: {message} Correct the settings, or set on_error='raise' "
                'to stop at the first error.'
            )
        print_log(
            f'{message} Skipped; {self.total} {self.what} skipped so far.',
            logger='current',
            level=logging.WARNING,
        )

    def reset(self) -> None:
        """Begin a new row after an item that can be used."""
        self.in_a_row = 0
