"""Checks of arguments and of optional libraries."""

import importlib
import math
from numbers import Integral, Real
from types import ModuleType
from typing import Any, Sequence

from .versions import LIBRARIES, check_release

# How to install a library that is optional.
_EXPORT = "the extra export: pip install 'mmvlfusion[export]'"
_SOURCES = dict(
    gradio="the extra app: pip install 'mmvlfusion[app]'",
    huggingface_hub="the extra multimodal: pip install 'mmvlfusion[multimodal]'",
    **dict.fromkeys(('nncf', 'onnx', 'onnxruntime', 'onnxscript', 'openvino'), _EXPORT),
    mmdet='the host mmdet (or onedl-mmdetection)',
    mmpretrain='the host mmpretrain (or onedl-mmpretrain)',
    mmseg='the host mmsegmentation (or onedl-mmsegmentation)',
    regex="the extra multimodal: pip install 'mmvlfusion[multimodal]'",
    safetensors="the extra multimodal: pip install 'mmvlfusion[multimodal]'",
    timm='it: pip install timm',
    tokenizers="the extra multimodal: pip install 'mmvlfusion[multimodal]'",
    torchvision='the release of torchvision for your torch',
    transformers="the extra multimodal: pip install 'mmvlfusion[multimodal]'",
    triton="triton, which PyTorch installs for GPUs, or set inner_backend='pytorch'",
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


def check_number(
    name: str,
    value: Any,
    lowest: float,
    highest: float = math.inf,
    integer: bool = False,
    above: bool = False,
) -> None:
    """Check that an argument is a number within a range.

    Args:
        name (str): Name of the argument.
        value (Any): Its value.
        lowest (float): Lowest valid number.
        highest (float): Highest valid number. Defaults to no limit.
        integer (bool): Whether it must be an integer. Defaults to False.
        above (bool): Whether ``lowest`` itself is not valid. Defaults to False.

    Raises:
        ValueError: If it is not.
    """
    kind = Integral if integer else Real
    if (
        isinstance(value, kind)
        and not isinstance(value, bool)
        and lowest <= float(value) <= highest
        and not (above and value == lowest)
    ):
        return
    expected = 'an integer' if integer else 'a number'
    if above:
        expected += f' above {lowest}'
        if highest < math.inf:
            expected += f' and at most {highest}'
    elif highest < math.inf:
        expected += f' within {lowest} ... {highest}'
    else:
        expected += f' of at least {lowest}'
    raise ValueError(f'{name}={value!r} must be {expected}.')


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
