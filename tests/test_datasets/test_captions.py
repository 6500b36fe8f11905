"""Captioned images: JSON lists, tar archives and synthetic scenes."""

import io
import json
import tarfile

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmvlfusion.datasets import ImageTextJson, ImageTextShards

LOAD = [dict(type='mmvlfusion.LoadImage')]


def image(value, side=8):
    return cv2.imencode('.png', np.full((side, side, 3), value, np.uint8))[1].tobytes()


@pytest.fixture
def lists(tmp_path):
    """Two JSON lists with three images in total."""
    (tmp_path / 'images/more').mkdir(parents=True)
    for name in ('a.png', 'b.png', 'more/c.png'):
        (tmp_path / 'images' / name).write_bytes(image(9))
    first = [
        dict(image='a.png', caption='a picture of a star', image_id=7),
        dict(image='b.png', caption=['two stars', 'three stars']),
    ]
    second = [dict(image='more/c.png', caption='a picture of a heart')]
    (tmp_path / 'first.json').write_text(json.dumps(first))
    (tmp_path / 'second.json').write_text(json.dumps(second))

    def make(names=('first.json', 'second.json'), **kwargs):
        return ImageTextJson(
            names, data_root=str(tmp_path), data_prefix='images', **kwargs
        )

    make.root = tmp_path
    return make


def test_json_lists_give_captions_and_ids(lists):
    data = lists(prefix='a picture of')
    assert len(data) == 3
    assert data[0]['gt_caption'] == 'a star'
    assert data[0]['image_id'] == 'first.json:7'
    assert data[1]['image_id'] == data[1]['img_path']
    assert data[2]['img_path'] == str(lists.root / 'images/more/c.png')
    assert {data[1]['gt_caption'] for _ in range(30)} == {'two stars', 'three stars'}


def test_missing_images_are_reported_together(lists):
    entries = [dict(image=f'{i}.png', caption='a star') for i in range(8)]
    (lists.root / 'third.json').write_text(json.dumps(entries))
    with pytest.raises(
        FileNotFoundError, match=r'8 of 11 files of .*0\.png.*4\.png, \.\.\.'
    ):
        lists(('first.json', 'second.json', 'third.json'))
    assert len(lists('third.json', check_files=False)) == 8


def test_spellings_of_a_path_are_one_image(lists):
    names = ['a.png', './a.png', 'more/../a.png', str(lists.root / 'images/a.png')]
    (lists.root / 'third.json').write_text(
        json.dumps([dict(image=name, caption='a star') for name in names])
    )
    found = {sample['image_id'] for sample in lists('third.json')}
    assert found == {str(lists.root / 'images/a.png')}


def test_prefix_must_end_at_a_word_boundary(lists):
    captions = ['a picture of', 'a picture offers hope', 'a picture of a star']
    (lists.root / 'third.json').write_text(
        json.dumps([dict(image='a.png', caption=c) for c in captions[1:]])
    )
    data = lists('third.json', prefix=captions[0])
    assert [data[i]['gt_caption'] for i in range(2)] == [
        'a picture offers hope',
        'a star',
    ]


@pytest.mark.parametrize(
    'caption', ['', ' ', [], None, ['a star', ''], '...', 'a picture of']
)
def test_rejects_captions_without_words(lists, caption):
    (lists.root / 'third.json').write_text(
        json.dumps([dict(image='a.png', caption=caption)])
    )
    with pytest.raises(ValueError, match=r'Entry 0 of .*third.json \(a.png\)'):
        lists('third.json', prefix='a picture of ')


@pytest.fixture
def shards(tmp_path):
    """Two archives with four images each. The pixel values are the numbers."""
    for shard in range(2):
        with tarfile.open(tmp_path / f'{shard:03d}.tar', 'w') as archive:
            for number in range(4 * shard, 4 * shard + 4):
                caption = f'a picture of {number} stars'.encode()
                for end, content in (('png', image(number)), ('txt', caption)):
                    member = tarfile.TarInfo(f'{number:04d}.{end}')
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))

    def make(pattern='{000..001}.tar', pipeline=LOAD, **kwargs):
        init_default_scope('mmpretrain')
        return ImageTextShards(pattern, pipeline, data_root=str(tmp_path), **kwargs)

    make.root = tmp_path
    return make


def test_unshuffled_shards_keep_their_order(shards):
    samples = list(shards(shuffle=0, prefix='a picture of'))
    assert [s['gt_caption'] for s in samples] == [f'{i} stars' for i in range(8)]
    assert [int(s['img'].mean()) for s in samples] == list(range(8))
    assert samples[5]['img_path'] == str(shards.root / '001.tar/0005.png')
    assert len({s['image_id'] for s in samples}) == 8


def test_workers_split_the_archives(shards):
    loader = DataLoader(shards(shuffle=0), batch_size=None, num_workers=2)
    captions = [sample['gt_caption'] for sample in loader]
    assert sorted(captions) == [f'a picture of {i} stars' for i in range(8)]


def test_shuffled_shards_repeat_and_follow_seed(shards):
    """Samples repeat without end. A seed fixes the order, and workers differ."""

    def draw(number, **kwargs):
        stream = iter(shards(shuffle=4, **kwargs))
        return [next(stream)['gt_caption'] for _ in range(number)]

    assert set(draw(100)) == {f'a picture of {i} stars' for i in range(8)}
    assert draw(30, seed=1) == draw(30, seed=1) != draw(30, seed=2)
    loader = DataLoader(shards(shuffle=4, seed=1), None, num_workers=2)
    stream = iter(loader)
    captions = [next(stream)['gt_caption'] for _ in range(60)]
    assert captions[::2] != captions[1::2]


@pytest.mark.parametrize('workers', [0, 2])
def test_num_samples_sets_length_of_epoch(shards, workers):
    """Each worker gives its part. Archives are repeated if necessary."""
    data = shards(shuffle=4, num_samples=21)
    loader = DataLoader(data, batch_size=None, num_workers=workers)
    assert len(data) == len(loader) == 21
    assert [len(list(loader)) for _ in range(2)] == [21, 21]
    with pytest.raises(TypeError, match='set num_samples'):
        len(shards())


def test_shards_work_with_loader_of_runner(shards):
    """Use the loader of mmengine and the packing of mmpretrain."""
    init_default_scope('mmpretrain')
    pack = dict(
        type='PackInputs', algorithm_keys=['gt_caption'], meta_keys=['image_id']
    )
    loader = Runner.build_dataloader(
        dict(
            dataset=dict(
                type='mmvlfusion.ImageTextShards',
                shards=str(shards.root / '{000..001}.tar'),
                pipeline=[*LOAD, pack],
            ),
            sampler=None,
            batch_size=3,
            num_workers=0,
            collate_fn=dict(type='pseudo_collate'),
        )
    )
    batch = next(iter(loader))
    assert len(batch['inputs']) == 3
    assert 'stars' in batch['data_samples'][0].gt_caption


def test_broken_image_in_shard_is_rejected_or_skipped(shards):
    with tarfile.open(shards.root / '002.tar', 'w') as archive:
        for end, content in (('png', b'broken'), ('txt', b'a star')):
            member = tarfile.TarInfo(f'9.{end}')
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(ValueError, match=r'002\.tar/9\.png'):
        list(shards('002.tar', shuffle=0))
    skip = [dict(type='mmvlfusion.LoadImage', on_error='skip')]
    assert len(list(shards('{001..002}.tar', skip, shuffle=0))) == 4


def test_rejects_bad_shards(shards):
    with pytest.raises(FileNotFoundError, match='6 of 8 files of the shards'):
        shards('{000..007}.tar')
    with pytest.raises(ValueError, match='webp.*png.*image_keys'):
        list(shards(image_keys='webp', shuffle=0))
    with pytest.raises(ValueError, match='captions'):
        list(shards(caption_key='caption', shuffle=0))


def test_host_datasets_read_synthetic_captions(shapes_root):
    """Data sets of mmpretrain read them for captioning and retrieval."""
    init_default_scope('mmpretrain')
    root = str(shapes_root / 'caption')
    common = dict(data_root=root, data_prefix=dict(img_path='images'))
    train, val = (
        DATASETS.build(
            dict(
                type='COCOCaption',
                ann_file=f'annotations/karpathy_{split}.json',
                pipeline=LOAD,
                **common,
            )
        )
        for split in ('train', 'val')
    )
    assert len(train) == 3 * 48 and len(val) == 16
    assert train[0]['img'].shape == (128, 128, 3)
    assert all(len(set(sample['gt_caption'])) == 3 for sample in val)
    both = DATASETS.build(
        dict(
            type='COCORetrieval',
            ann_file='annotations/captions_val.json',
            test_mode=True,
            pipeline=LOAD,
            **common,
        )
    )
    assert (both.img_size, both.text_size) == (16, 48)
    assert both[3]['img'].shape == (128, 128, 3)
    assert both[3]['text'] == val[3]['gt_caption']
    entries = json.loads(
        (shapes_root / 'caption/annotations/karpathy_train.json').read_text()
    )
    ours = ImageTextJson('annotations/karpathy_train.json', 'images', data_root=root)
    assert [ours[i]['gt_caption'] for i in range(9)] == [
        entry['caption'] for entry in entries[:9]
    ]
