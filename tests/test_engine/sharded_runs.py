"""Pre-train on two processes: data parallel, sharded, and sharded with a resumption.

Run with two processes: torchrun --nproc_per_node=2 THIS CAPTIONS TOKENIZER OUT
"""

import sys
from pathlib import Path

from mmengine.config import Config

from mmvlfusion.apis.cli import build_runner, process_group

CONFIG = 'configs/mplug/mplug-mini_tnt-micro-p8_1xb64-4e_shapes-64px.py'
SHARDED = dict(
    runner_type='FlexibleRunner', strategy=dict(type='mmvlfusion.ShardedStrategy')
)


def train(captions, tokenizer, out, **overrides):
    """Train for epochs of three steps."""
    cfg = Config.fromfile(Path(__file__).parents[2] / CONFIG)
    cfg.merge_from_dict(
        {
            'launcher': 'pytorch',
            'work_dir': str(out),
            'model.tokenizer': tokenizer,
            'model.backbone.init_cfg': None,
            'model.queue_size': 48,
            'train_dataloader.batch_size': 8,
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'train_dataloader.dataset.data_root': captions,
            'train_dataloader.dataset.indices': 48,
            'train_cfg.max_epochs': 2,
            'default_hooks.logger.interval': 1,
            'default_hooks.checkpoint.interval': 1,
            **overrides,
        }
    )
    cfg.param_scheduler = [dict(type='ConstantLR', factor=1.0, by_epoch=False)]
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    build_runner(cfg).train()


if __name__ == '__main__':
    captions, tokenizer, out = sys.argv[1:]
    with process_group():
        train(captions, tokenizer, f'{out}/parallel')
        train(captions, tokenizer, f'{out}/sharded', **SHARDED)
        train(
            captions,
            tokenizer,
            f'{out}/resumed',
            load_from=f'{out}/sharded/epoch_1.pth',
            resume=True,
            **SHARDED,
        )
