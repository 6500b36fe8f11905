"""Loading of unreadable and missing images."""

import numpy as np
import pytest
from mmpretrain.datasets import CustomDataset
from torch.utils.data import DataLoader

from mmvlfusion.datasets import LoadImage


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / 'train' / 'a' / 'broken.jpg'
    path.parent.mkdir(parents=True)
    path.write_bytes(b'no image')
    return path


def test_error_names_unreadable_file(broken):
    with pytest.raises(ValueError, match=f'{broken}.*on_error'):
        LoadImage()(dict(img_path=str(broken)))


@pytest.mark.parametrize('on_error', ['raise', 'skip'])
def test_rejects_missing_file(on_error):
    """A missing file is never skipped, because the folder may be wrong."""
    with pytest.raises(FileNotFoundError, match='/nowhere.jpg is missing'):
        LoadImage(on_error)(dict(img_path='/nowhere.jpg'))


def test_loaded_image_is_not_changed():
    results = dict(img='an array')
    assert LoadImage()(results) is results


@pytest.mark.parametrize('shape', [(4, 6), (4, 6, 1), (4, 6, 3)])
def test_accepts_arrays_of_coloured_and_grey_images(shape):
    image = np.zeros(shape, np.uint8)
    assert LoadImage()(dict(img=image))['img'] is image


def test_rejects_arrays_with_alpha_channel():
    image = np.zeros((4, 6, 4), np.uint8)
    with pytest.raises(ValueError, match=r'shape \(4, 6, 4\), expected .*BGRA2BGR'):
        LoadImage()(dict(img=image))
    # A model with four channels loads all of them from files too.
    assert LoadImage(color_type='unchanged')(dict(img=image))['img'] is image


def test_rejects_unknown_on_error():
    with pytest.raises(ValueError, match="on_error='ignore'"):
        LoadImage(on_error='ignore')


@pytest.mark.parametrize('num_workers', [0, 2])
def test_unreadable_images_are_skipped_and_counted(broken, shapes_root, num_workers):
    good = next((shapes_root / 'classification/train/circle').iterdir())
    for index in range(3):
        (broken.parent / f'good{index}.png').write_bytes(good.read_bytes())
    dataset = CustomDataset(
        data_root=str(broken.parents[2]),
        data_prefix='train',
        pipeline=[dict(type='mmvlfusion.LoadImage', on_error='skip')],
    )
    loader = DataLoader(
        dataset, num_workers=num_workers, collate_fn=lambda batch: batch
    )
    paths = [sample['img_path'] for batch in loader for sample in batch]
    assert len(paths) == 4 and str(broken) not in paths
    assert dataset.pipeline.transforms[0].num_skipped >= 1
