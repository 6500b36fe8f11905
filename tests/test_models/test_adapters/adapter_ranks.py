"""Train models with adapters on this rank's images, without unused parameters.

Run with two processes: torchrun --nproc_per_node=2 THIS OUT
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.dist import get_rank
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODELS, init_default_scope

if __name__ == '__main__':
    sys.path.insert(0, str(Path(__file__).parents[3]))

import mmvlfusion.models  # noqa: F401  # Registers the builders.
from tests.helpers import SWIN, make_samples

KINDS = dict(
    lora=dict(type='mmvlfusion.LoRA', rank=2),
    mona=dict(type='mmvlfusion.Mona', hidden_dims=4, dropout=0.0),
)


def train(kind):
    """Return the trained and the frozen weights after two steps."""
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    backbone = dict(
        KINDS[kind], module='SwinTransformer', arch=SWIN, img_size=64, window_size=4
    )
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
            backbone=dict(backbone, pad_small_map=True, drop_path_rate=0.0),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=12, in_channels=192),
        )
    )
    model.init_weights()
    before = {name: value.clone() for name, value in model.named_parameters()}
    run = MMDistributedDataParallel(model, find_unused_parameters=False)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.5)
    torch.manual_seed(1 + get_rank())
    for _ in range(2):
        data = model.data_preprocessor(make_samples('mmpretrain', 64, 12), True)
        run(**data, mode='loss')['loss'].backward()
        optimizer.step()
        optimizer.zero_grad()
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    trained = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    return trained, changed


if __name__ == '__main__':
    dist.init_process_group('gloo')
    results = {kind: train(kind) for kind in KINDS}
    torch.save(results, f'{sys.argv[1]}/rank{get_rank()}.pth')
    dist.barrier()
    dist.destroy_process_group()
