"""Captioned images: JSON lists, tar archives and synthetic scenes."""

import copy
import json
import pickle
from itertools import islice

import pytest
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmvlfusion.datasets import ImageTextJson, ImageTextShards

from ..helpers import png, write_archive, write_shard

LOAD = [dict(type='mmvlfusion.LoadImage')]


@pytest.fixture
def lists(tmp_path):
    """Two JSON lists with three images in total."""
    (tmp_path / 'images/more').mkdir(parents=True)
    for name in ('a.png', 'b.png', 'more/c.png'):
        (tmp_path / 'images' / name).write_bytes(png(9))
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
        write_shard(tmp_path / f'{shard:03d}.tar', range(4 * shard, 4 * shard + 4))

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


@pytest.mark.parametrize('num_samples', [None, 8, 7])
@pytest.mark.parametrize('workers', [0, 2, 3])
def test_workers_split_archives_of_any_size(shards, workers, num_samples):
    write_shard(shards.root / '000.tar', range(6))
    write_shard(shards.root / '001.tar', range(6, 8))
    data = shards(shuffle=0, num_samples=num_samples)
    captions = [sample['gt_caption'] for sample in DataLoader(data, None)]
    assert captions == [f'a picture of {i} stars' for i in range(num_samples or 8)]
    loader = DataLoader(data, batch_size=None, num_workers=workers)
    assert sorted(sample['gt_caption'] for sample in loader) == captions


def test_ranks_split_archives_of_any_size(shards):
    """Each rank has its part, whatever its archives hold."""
    write_shard(shards.root / '000.tar', range(6))
    write_shard(shards.root / '001.tar', range(6, 8))
    data = shards(shuffle=0, num_samples=8)
    found = []
    for data.rank in range(4):
        data.world_size = 4
        part = [int(sample['img'].mean()) for sample in data]
        assert len(part) == len(data) == 2
        found += part
    assert sorted(found) == list(range(8))


def test_shards_are_picklable(shards):
    """Spawned workers receive the data set as a pickle."""
    data = pickle.loads(pickle.dumps(shards(shuffle=0)))
    assert len(list(data)) == 8
    assert len(list(copy.deepcopy(data))) == 8


def test_names_may_have_dots(shards):
    write_shard(shards.root / '000.tar', range(3), name='v2.{}')
    write_shard(shards.root / '001.tar', range(3, 5), name='a.b/{}.jpg')
    samples = list(shards(shuffle=0))
    assert [int(sample['img'].mean()) for sample in samples] == list(range(5))
    assert samples[1]['img_path'] == str(shards.root / '000.tar/v2.1.png')


def test_extensions_begin_at_the_first_dot(shards):
    """Other files of an entry, as webdataset defines it, are no entries."""
    write_archive(
        shards.root / '000.tar',
        [
            ('1.depth.png', png(9)),
            ('1.png', png(1)),
            ('1.TXT', b'a star'),
            ('1.mask.png', png(9)),
            ('1.json', b'{}'),
            ('2.json', b'{}'),
            ('2.png', png(2)),
            ('2.txt', b'two stars'),
        ],
    )
    samples = list(shards('000.tar', shuffle=0))
    assert [int(sample['img'].mean()) for sample in samples] == [1, 2]


BROKEN = {
    'truncated': lambda content: content[: len(content) // 2 - 300],
    'empty file': lambda content: b'',
    'page': lambda content: b'<html>not found</html>',
    'no picture': lambda content: content.replace(b'0005.png', b'0005.gif'),
    'no caption': lambda content: content.replace(b'0005.txt', b'0005.md\0'),
    'empty caption': lambda content: content.replace(
        b'a picture of 5 stars', b'.' * len('a picture of 5 stars')
    ),
}


@pytest.mark.parametrize('shuffle', [0, 4])
@pytest.mark.parametrize('case', list(BROKEN))
def test_broken_archives_and_entries_are_rejected_or_skipped(shards, case, shuffle):
    path = shards.root / '001.tar'
    content = bytearray(BROKEN[case](path.read_bytes()))
    # The header of a renamed file needs its new checksum.
    for start in range(0, len(content) - 511, 512):
        if content[start + 257 : start + 262] == b'ustar':
            content[start + 148 : start + 156] = b' ' * 8
            value = sum(content[start : start + 512])
            content[start + 148 : start + 156] = b'%06o\0 ' % value
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"001\.tar.*on_error='skip'"):
        list(islice(shards(shuffle=shuffle), 40))
    data = shards(shuffle=shuffle, on_error='skip')
    found = {int(sample['img'].mean()) for sample in islice(data, 40)}
    assert set(range(4)) <= found < set(range(8))
    assert data.skipped.total >= 1


@pytest.mark.parametrize('shuffle', [0, 4])
def test_skipping_stops_after_many_errors_in_a_row(shards, shuffle):
    write_archive(shards.root / '000.tar', [(f'{i}.png', png(1)) for i in range(30)])
    for _ in range(2):  # In the second pass all archives are empty pages.
        with pytest.raises(ValueError, match='20 archives or entries in a row'):
            stream = shards(['000.tar'] * 20, shuffle=shuffle, on_error='skip')
            next(iter(stream))
        (shards.root / '000.tar').write_text('<html>')


def test_rejects_archives_without_entries(shards):
    write_archive(shards.root / '000.tar', [])
    with pytest.raises(ValueError, match='archives have no entries, such as .*000.tar'):
        next(iter(shards('000.tar')))


def test_rejects_a_pipeline_without_results(shards):
    write_archive(shards.root / '002.tar', [('9.png', b'broken'), ('9.txt', b'star')])
    skip = [dict(type='mmvlfusion.LoadImage', on_error='skip')]
    with pytest.raises(ValueError, match='None for 1000 samples in a row'):
        next(iter(shards('002.tar', skip)))


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
    write_archive(shards.root / '002.tar', [('9.png', b'broken'), ('9.txt', b'star')])
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
