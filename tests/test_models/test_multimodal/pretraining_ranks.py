"""Run two steps of pre-training on this rank's part of eight pairs.

Run with two processes: torchrun --nproc_per_node=2 THIS TOKENIZER OUT
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.dist import all_reduce_dict, get_rank, get_world_size
from mmengine.model import MMDistributedDataParallel

if __name__ == '__main__':
    sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.helpers import CAPTIONS, caption_batch, make_pretraining

NAMES = ('contrastive', 'matching', 'mlm', 'prefix')


def use_fixed_choices(model):
    """Replace random choices by choices that depend only on the pair."""

    def shift_negatives(pairs):
        index = torch.arange(len(pairs.captions))
        return index ^ 1, index ^ 2

    def mask_first_half(pairs):
        targets = torch.full_like(pairs.ids, -100)
        for row, caption in enumerate(pairs.captions):
            end = 1 + len(caption.split()) // 2
            targets[row, 1:end] = pairs.ids[row, 1:end]
        hidden = pairs.ids.masked_fill(targets != -100, model.tokenizer.mask_token_id)
        return hidden, targets

    model.objectives['matching'].sample_negatives = shift_negatives
    model.objectives['mlm'].sample_mask = mask_first_half
    model.objectives['prefix'].sample_prefix_lengths = lambda pairs: [
        len(caption.split()) // 2 for caption in pairs.captions
    ]


def train(tokenizer):
    """Return the losses of each step and the final gradients and queue."""
    model = make_pretraining(tokenizer, NAMES, queue_size=16)
    use_fixed_choices(model)
    run = model
    if get_world_size() > 1:
        torch.manual_seed(get_rank())
        run = MMDistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    results = {}
    per_rank = 8 // get_world_size()
    for step in range(2):
        data = caption_batch(CAPTIONS * 2, first_image=8 * step)
        begin = per_rank * get_rank()
        losses = run(
            **{key: value[begin : begin + per_rank] for key, value in data.items()},
            mode='loss',
        )
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        losses = {name: loss.detach() for name, loss in losses.items()}
        all_reduce_dict(losses, op='mean')
        results.update({f'{step} {name}': v for name, v in losses.items()})
    results.update(
        {
            f'gradient of {name}': p.grad
            for name, p in model.named_parameters()
            if p.grad is not None
        }
    )
    results.update(
        {f'queue.{name}': value for name, value in model.queue.state_dict().items()}
    )
    return results


if __name__ == '__main__':
    torch.set_num_threads(1)
    dist.init_process_group('gloo')
    result = train(sys.argv[1])
    gathered = [None, None]
    dist.all_gather_object(
        gathered, {name: value for name, value in result.items() if 'queue' in name}
    )
    assert all(
        torch.equal(gathered[0][name], gathered[1][name]) for name in gathered[0]
    )
    if get_rank() == 0:
        torch.save(result, sys.argv[2])
    dist.destroy_process_group()
