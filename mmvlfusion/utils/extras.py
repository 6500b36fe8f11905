"""Libraries that only a part of the package needs."""
import importlib
from types import ModuleType


def require(library: str) -> ModuleType:
    """Import a library of the extra ``multimodal``.

    Raises:
        ImportError: With the command that installs it, if it is missing.
    """
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name != library.split('.')[0]:
            raise
        raise ImportError(
            f'The multimodal models need {error.name}, which is not '
            "installed: pip install 'mmvlfusion[hosts,multimodal]'."
        ) from error
