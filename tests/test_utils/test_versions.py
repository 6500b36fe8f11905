"""Refusal of unsupported releases of the libraries."""

import mmdet
import mmengine
import pytest

from mmvlfusion.utils.checks import require
from mmvlfusion.utils.versions import check_release


@pytest.fixture(autouse=True)
def forget_checked_releases():
    check_release.cache_clear()
    yield
    check_release.cache_clear()


def test_installed_releases_are_supported():
    for name in ('mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg'):
        check_release(name)


@pytest.mark.parametrize('release', ['0.10.4', '1.0.0'])
def test_rejects_release_out_of_range(release, monkeypatch):
    monkeypatch.setattr(mmengine, '__version__', release)
    with pytest.raises(
        ImportError,
        match=rf'works with mmengine >=0\.10\.5,<1\.0\.0.*{release} is installed: '
        "pip install '",
    ):
        check_release('mmengine')


def test_rejects_broken_release_by_the_metadata_of_the_package(tmp_path, monkeypatch):
    folder = tmp_path / 'onedl_mmengine-0.10.11.dist-info'
    folder.mkdir()
    (folder / 'METADATA').write_text('Name: onedl-mmengine\nVersion: 0.10.11\n')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ImportError, match=r'0\.10\.11 is installed \(it lacks.*!=0\.10\.11'
    ):
        check_release('mmengine')


def test_old_host_names_the_part_that_is_disabled(monkeypatch):
    monkeypatch.setattr(mmdet, '__version__', '2.28.2')
    with pytest.raises(
        ImportError, match=r'detection works with mmdet >=3\.0\.0.*2\.28\.2'
    ):
        require('mmdet.structures')
