"""Checks of arguments and of optional libraries."""

import importlib
from types import ModuleType
from typing import Sequence

from .versions import LIBRARIES, check_release

# How to install a library that is optional.
_SOURCES = dict(
    mmdet='the host mmdet (or onedl-mmdetection)',
    mmpretrain='the host mmpretrain (or onedl-mmpretrain)',
    mmseg='the host mmsegmentation (or onedl-mmsegmentation)',
    tokenizers="the extra multimodal: pip install 'mmvlfusion[multimodal]'",
    torchvision='the release of torchvision for your torch',
    transformers="the extra multimodal: pip install 'mmvlfusion[multimodal]'",
    webdataset="the extra multimodal: pip install 'mmvlfusion[multimodal]'",
    pycocoevalcap="the extra multimodal: pip install 'mmvlfusion[multimodal]'",
)


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Check that an argument is one of its choices.

    Args:
        name (str): Name of the argument.
        value (str): Its value.
        choices (Sequence[str]): The choices.

    Raises:
        ValueError: If it is not.
    """
    if value not in choices:
        raise ValueError(f'{name}={value!r} is not one of {list(choices)}.')


def require(library: str) -> ModuleType:
    """Import a library that only a part of mmvlfusion needs.

    Args:
        library (str): Name of the module, such as ``'mmpretrain.models'``.

    Returns:
        ModuleType: The module.

    Raises:
        ImportError: If it is missing or its release is not supported, with the
            way to install it.
    """
    package = library.split('.')[0]
    try:
        if package in LIBRARIES:
            check_release(package)
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ImportError(
            f'{package} is needed here and is not installed. Install '
            f'{_SOURCES[package]}.'
        ) from error
