"""File backend that writes checkpoints atomically."""

from io import BytesIO
from pathlib import Path
from typing import Union

from mmengine.fileio import LocalBackend, register_backend

from mmvlfusion.utils.atomic import atomic_write


class AtomicLocalBackend(LocalBackend):
    """mmengine's local backend with atomic writing.

    mmengine writes in place, so that a process that is killed leaves a
    truncated checkpoint, which ``last_checkpoint`` may name. Use it by
    ``default_hooks.checkpoint.backend_args=dict(backend='mmvlfusion.atomic')``.
    """

    def put(self, obj: Union[bytes, BytesIO], filepath: Union[str, Path]) -> None:
        """Write bytes to a file.

        Args:
            obj (bytes | BytesIO): The content.
            filepath (str | Path): The file.
        """
        with atomic_write(str(filepath)) as temporary:
            super().put(obj, temporary)

    def put_text(
        self, obj: str, filepath: Union[str, Path], encoding: str = 'utf-8'
    ) -> None:
        """Write text to a file.

        Args:
            obj (str): The content.
            filepath (str | Path): The file.
            encoding (str): Encoding of the text. Defaults to ``'utf-8'``.
        """
        with atomic_write(str(filepath)) as temporary:
            super().put_text(obj, temporary, encoding)


register_backend('mmvlfusion.atomic', AtomicLocalBackend)
