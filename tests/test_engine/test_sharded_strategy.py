"""Sharded training equals data parallel training."""

import json

import pytest
import torch
from torch import nn

from mmvlfusion.engine import ShardedStrategy

LOSSES = ('loss', 'grad_norm', 'loss_contrastive', 'loss_matching')


def logged(folder):
    path = next(folder.glob('*/vis_data/scalars.json'))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return torch.tensor([[line[name] for name in LOSSES] for line in lines])


def weights(folder):
    return torch.load(folder / 'epoch_2.pth', weights_only=False)['state_dict']


def test_sharded_pretraining_equals_data_parallel_one_and_resumes(
    shapes_root, tokenizer_dir, run_tool, tmp_path
):
    run_tool(
        '-m',
        'torch.distributed.run',
        '--standalone',
        '--nproc_per_node=2',
        'tests/test_engine/sharded_runs.py',
        shapes_root / 'caption',
        tokenizer_dir,
        tmp_path,
        env=dict(PYTHONPATH='.'),
    )
    parallel, sharded, resumed = (
        tmp_path / name for name in ('parallel', 'sharded', 'resumed')
    )
    losses = logged(parallel)
    assert len(losses) == 6
    torch.testing.assert_close(logged(sharded), losses, rtol=1e-5, atol=1e-5)
    # The form of checkpoints does not depend on the strategy.
    expected = {name: value.shape for name, value in weights(parallel).items()}
    found = weights(sharded)
    assert {name: value.shape for name, value in found.items()} == expected
    for name, value in weights(resumed).items():
        torch.testing.assert_close(value, found[name], rtol=0, atol=0, msg=name)


def test_rejects_model_without_blocks(tmp_path):
    strategy = ShardedStrategy(blocks=('Block',), work_dir=str(tmp_path))
    with pytest.raises(ValueError, match=r"classes \['Block'\].*set strategy.blocks"):
        strategy._wrap_model(nn.Linear(2, 2))
