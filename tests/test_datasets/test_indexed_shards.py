"""Tar archives with an index: a map-style data set, its sampler and its tool."""

import json
from itertools import chain, groupby

import pytest
from mmengine.dataset import DefaultSampler
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmvlfusion.datasets import (
    ImageTextShards,
    IndexedImageTextShards,
    ShardLocalSampler,
)
from mmvlfusion.datasets.questions import read_entries
from mmvlfusion.datasets.utils.archive_index import write_index
from mmvlfusion.engine.hooks.exact_resume_hook import _SeededBatches, _with_batches

from ..helpers import png, write_archive, write_shard

LOAD = [dict(type='mmvlfusion.LoadImage')]


@pytest.fixture
def shards(tmp_path):
    """Three archives with four, one and five images."""
    for shard, numbers in enumerate((range(4), range(4, 5), range(5, 10))):
        write_shard(tmp_path / f'{shard}.tar', numbers)
        write_index(str(tmp_path / f'{shard}.tar'))

    def make(pattern='{0..2}.tar', kind=IndexedImageTextShards, **kwargs):
        init_default_scope('mmpretrain')
        kwargs.setdefault('pipeline', LOAD)
        return kind(pattern, data_root=str(tmp_path), **kwargs)

    make.root = tmp_path
    return make


def numbers_of(samples):
    """Return the pixel values, which are the numbers of the images."""
    return [int(sample['img'].mean()) for sample in samples]


def test_index_equals_iteration(shards):
    names = dict(
        plain='{:04d}', dots='v2.{}', folders='a/{}', long='x' * 120 + '{}', é='é{}'
    )
    for name, pattern in names.items():
        write_shard(shards.root / f'{name}.tar', range(4), name=pattern)
        write_index(str(shards.root / f'{name}.tar'))
    patterns = ['{0..2}.tar', *(f'{name}.tar' for name in names)]
    ours = list(shards(patterns, prefix='a picture of'))
    streamed = shards(patterns, ImageTextShards, shuffle=0, prefix='a picture of')
    assert len(ours) == 30
    for first, second in zip(ours, streamed, strict=True):
        assert (first.pop('img') == second.pop('img')).all()
        assert first == second


def test_captions_are_read_without_images(shards):
    config = dict(
        type='mmvlfusion.IndexedImageTextShards', shards=str(shards.root / '{0..2}.tar')
    )
    captions = [entry['gt_caption'] for entry in read_entries(config)]
    assert captions == [f'a picture of {i} stars' for i in range(10)]


@pytest.mark.e2e
def test_spawned_workers_load_the_same_samples(shards):
    data = shards()
    loaders = [
        DataLoader(
            data,
            batch_size=3,
            sampler=ShardLocalSampler(data, seed=0),
            num_workers=1,
            collate_fn=numbers_of,
            multiprocessing_context=method,
        )
        for method in ('fork', 'spawn')
    ]
    forked, spawned = (
        list(_with_batches(loader, _SeededBatches(loader.batch_sampler, 3, False)))
        for loader in loaders
    )
    assert forked == spawned
    assert sorted(chain(*forked)) == list(range(10))


def test_loader_of_runner(shards):
    config = dict(
        dataset=dict(
            type='mmvlfusion.IndexedImageTextShards',
            shards='{0..2}.tar',
            data_root=str(shards.root),
            pipeline=LOAD,
        ),
        sampler=dict(type='mmvlfusion.ShardLocalSampler', num_open=2),
        batch_size=3,
        num_workers=0,
        collate_fn=dict(type='pseudo_collate'),
    )
    loader = Runner.build_dataloader(config, seed=3)
    captions = [caption for batch in loader for caption in batch['gt_caption']]
    assert sorted(captions) == [f'a picture of {i} stars' for i in range(10)]


@pytest.mark.parametrize('kind', [DefaultSampler, ShardLocalSampler])
def test_resumed_epoch_has_the_remaining_samples(shards, kind):
    """Also where an empty caption is replaced by a random sample."""
    write_archive(shards.root / '1.tar', [('4.png', png(4)), ('4.txt', b' ')])
    write_index(str(shards.root / '1.tar'))

    def load(skip, epoch):
        data = shards(on_error='skip')
        loader = DataLoader(
            data, batch_size=2, sampler=kind(data, seed=0), collate_fn=numbers_of
        )
        batches = _SeededBatches(loader.batch_sampler, seed=5, endless=False)
        batches.epoch, batches.skip = epoch, skip
        return list(_with_batches(loader, batches))

    whole = load(0, epoch=1)
    assert len(whole) == 5 and all(4 not in batch for batch in whole)
    assert load(2, epoch=1) == whole[2:]
    assert load(0, epoch=2) != whole


def test_sampler_keeps_to_a_few_archives(shards):
    data = shards()
    sampler = ShardLocalSampler(data, num_open=1, seed=1)
    orders = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        order = list(sampler)
        assert order == list(sampler)
        assert sorted(order) == list(range(10)) and len(sampler) == 10
        shard = [sum(index >= start for start in (4, 5)) for index in order]
        # An archive is read to its end before the next one begins.
        assert len(list(groupby(shard))) == 3
        orders.append(order)
    assert len({tuple(order) for order in orders}) == 4
    mixed = ShardLocalSampler(data, num_open=3, seed=1)
    assert sorted(mixed) == list(range(10)) and list(mixed) != list(sampler)


def test_ranks_share_the_order(shards):
    data = shards()
    whole = list(ShardLocalSampler(data, seed=1))
    parts = []
    for rank in range(4):
        sampler = ShardLocalSampler(data, seed=1)
        sampler.rank, sampler.world_size = rank, 4
        sampler.num_samples, sampler.total_size = 3, 12
        parts.append(list(sampler))
    assert [parts[i % 4][i // 4] for i in range(12)] == whole + whole[:2]


def test_sampler_reads_a_lazy_data_set(shards):
    assert sorted(ShardLocalSampler(shards(lazy_init=True))) == list(range(10))


def test_sampler_rejects_other_data(shards):
    with pytest.raises(TypeError, match='not range: use DefaultSampler'):
        ShardLocalSampler(range(3))
    with pytest.raises(ValueError, match='num_open=0'):
        ShardLocalSampler(shards(), num_open=0)
    with pytest.raises(ValueError, match='has 3 samples and its archives have 10'):
        ShardLocalSampler(shards(indices=3))


@pytest.mark.parametrize(
    'change, number',
    [
        (lambda content: content[:6444], 8),
        (lambda content: content[:2048] + b'?' * 512 + content[2560:], 6),
        (lambda content: b'', 5),
        (lambda content: b'<html>', 5),
    ],
    ids=['truncated', 'damaged', 'empty', 'page'],
)
def test_broken_archive_is_rejected_or_skipped(shards, change, number):
    path = shards.root / '2.tar'
    path.write_bytes(change(path.read_bytes()))
    assert write_index(str(path))['error']
    with pytest.raises(ValueError, match=r"2\.tar is not a complete.*on_error='skip'"):
        shards()
    data = shards(on_error='skip')
    assert numbers_of(data) == list(range(number))
    assert data.skipped.total >= 1


def test_rejects_an_index_of_another_archive(shards):
    write_shard(shards.root / '0.tar', range(30))
    with pytest.raises(ValueError, match=r'0\.tar has .* index.*index_shards\.py'):
        shards()


def test_incomplete_entries_are_rejected_or_skipped(shards):
    entries = [('a.png', png(0)), ('b.txt', b'a star'), ('c.png', png(7))]
    write_archive(shards.root / '0.tar', [*entries, ('c.txt', b'a star')])
    write_index(str(shards.root / '0.tar'))
    with pytest.raises(
        ValueError, match=r'0\.tar/a has none of the captions txt.*skip'
    ):
        shards()
    data = shards(on_error='skip')
    assert numbers_of(data) == [7, *range(4, 10)]
    assert data.skipped.total == 2
    write_archive(
        shards.root / '0.tar', [(f'{number}.png', png(0)) for number in range(30)]
    )
    write_index(str(shards.root / '0.tar'))
    with pytest.raises(ValueError, match='20 archives or entries in a row'):
        shards(on_error='skip')


def test_empty_captions_are_rejected_or_replaced(shards):
    write_archive(shards.root / '0.tar', [('a.png', png(99)), ('a.txt', b'')])
    write_index(str(shards.root / '0.tar'))
    with pytest.raises(ValueError, match=r'0\.tar/a has the captions'):
        shards()[0]
    data = shards(on_error='skip')
    assert 99 not in numbers_of(data[0] for _ in range(5))
    assert data.skipped.total >= 5
    with pytest.raises(ValueError, match='20 archives or entries in a row'):
        shards('0.tar', on_error='skip')[0]


@pytest.mark.parametrize(
    'content',
    [
        '',
        '[]',
        '{"size": 1}',
        '{"size": SIZE, "error": null, "files": [1]}',
        '{"size": SIZE, "error": null, "files": [["a.png", -1, 2]]}',
        '{"size": SIZE, "error": null, "files": [["a.png", 0, 99999999]]}',
        '{"size": SIZE, "error": null, "files": [["a.png", 0.5, 1]]}',
        '{"size": SIZE, "error": null, "files": []}',
    ],
)
def test_rejects_bad_indices(shards, content):
    archive = shards.root / '0.tar'
    content = content.replace('SIZE', str(archive.stat().st_size))
    (shards.root / '0.tar.index.json').write_text(content)
    with pytest.raises(ValueError, match=r'0\.tar'):
        shards('0.tar')


def test_rejects_missing_files(shards):
    (shards.root / '1.tar.index.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 of 3 .*1\.tar.*index_shards\.py'):
        shards()
    with pytest.raises(FileNotFoundError, match='1 of 4 files of the shards'):
        shards('{0..3}.tar')
    with pytest.raises(ValueError, match='http://x/0.tar is an address'):
        shards('http://x/0.tar')


def test_tool_indexes_archives(shards, run_tool):
    for path in shards.root.glob('*.json'):
        path.unlink()
    broken = shards.root / '2.tar'
    broken.write_bytes(broken.read_bytes()[:6444])
    output = run_tool(
        'tools/dataset_converters/index_shards.py', shards.root / '{0..2}.tar'
    )
    assert f'{broken} is not a complete tar archive' in output
    assert 'Indexed 16 files of 3 archives, 1 broken.' in output
    index = json.loads((shards.root / '1.tar.index.json').read_text())
    assert index == dict(
        size=(shards.root / '1.tar').stat().st_size,
        error=None,
        files=[['0004.png', 512, len(png(4))], ['0004.txt', 1536, 20]],
    )
    run_tool(
        'tools/dataset_converters/index_shards.py', shards.root / '9.tar', status=1
    )
