"""Supported releases of the libraries of OpenMMLab."""

import importlib
from functools import lru_cache
from importlib import metadata
from typing import Dict, NamedTuple, Tuple


class Library(NamedTuple):
    """A library that mmvlfusion uses.

    Attributes:
        distributions (tuple[str, ...]): Packages that install it. The first is
            the maintained one.
        lowest (str): Lowest supported release.
        limit (str): First unsupported release.
        part (str): The part of mmvlfusion that needs it.
    """

    distributions: Tuple[str, ...]
    lowest: str
    limit: str
    part: str


LIBRARIES: Dict[str, Library] = dict(
    mmengine=Library(
        ('onedl-mmengine', 'mmengine', 'mmengine-lite'),
        '0.10.5',
        '1.0.0',
        'all of mmvlfusion',
    ),
    mmcv=Library(
        ('onedl-mmcv', 'mmcv', 'mmcv-lite'), '2.1.0', '3.0.0', 'all of mmvlfusion'
    ),
    mmpretrain=Library(
        ('onedl-mmpretrain', 'mmpretrain'),
        '1.0.0',
        '2.0.0',
        'classification, and all models of images and texts',
    ),
    mmdet=Library(('onedl-mmdetection', 'mmdet'), '3.0.0', '4.0.0', 'detection'),
    mmseg=Library(
        ('onedl-mmsegmentation', 'mmsegmentation'), '1.0.0', '2.0.0', 'segmentation'
    ),
)
# Releases within the range that cannot be used, and the reason.
BROKEN = {('onedl-mmengine', '0.10.11'): 'it lacks the module mmengine.dist'}


@lru_cache(maxsize=None)
def check_release(name: str) -> None:
    """Check that the installed release of a library is supported.

    Args:
        name (str): Name of the module, a key of ``LIBRARIES``.

    Raises:
        ImportError: If it is not supported, with the release, the range and the
            command that installs a supported one.
    """
    library = LIBRARIES[name]
    package, release = _distribution(library)
    reason = BROKEN.get((package, release), '')
    if not reason:
        # A broken release of mmengine cannot be imported.
        from mmengine.utils import digit_version

        release = getattr(importlib.import_module(name), '__version__', release)
        lowest, limit = digit_version(library.lowest), digit_version(library.limit)
        if lowest <= digit_version(release) < limit:
            return
    supported = f'>={library.lowest},<{library.limit}'
    supported += ''.join(f',!={bad}' for broken, bad in BROKEN if broken == package)
    reason = f' ({reason})' if reason else ''
    raise ImportError(
        f'{library.part} works with {name} {supported}, but {package} {release} is '
        f"installed{reason}: pip install '{package}{supported}'."
    )


def _distribution(library: Library) -> Tuple[str, str]:
    """Find the package that installed a library, and its release.

    A library on the path that no package installed has the name of the first
    package and an empty release.
    """
    for package in library.distributions:
        try:
            return package, metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return library.distributions[0], ''
