"""Calibration block by block, with the inputs of the compressed model."""

import copy
import math
import re
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional

import torch
import torch.nn as nn
from torch.utils._pytree import tree_map

from ..utils import linear_layers, packed_attention, tensors_of
from .calibration import (
    InputStatistics,
    Padding,
    Stop,
    bias_of,
    evaluation,
    features_of,
    run,
    watched_inputs,
)
from .fitting import fit, replace_fitted_

# Whole names of blocks in the hosts, timm and transformers.
BLOCKS = (
    r'((\w+\.)*?stages\.\d+\.(blocks\.)?\d+)\.',
    r'((\w+\.)*?(layer\d*|layers|blocks|block|h)\.\d+)\.',
)
LEARNING_RATE = 1e-3
# Wider inputs are those of the dense model only, since their covariance, which is
# inverted, is too large.
MAX_PAIRED_WIDTH = 4096
MIN_VARIANCE = 1e-12


def block_of(name: str) -> str:
    """Find the block of a layer.

    Args:
        name (str): Name of the layer.

    Returns:
        str: Name of the block; the layer itself if it is in none.
    """
    for pattern in BLOCKS:
        found = re.match(pattern, name)
        if found:
            return found[1]
    return name


class _BlockRecord:
    """What a block of the dense and of the compressed model computes.

    Args:
        calls (list[tuple]): Arguments of the compressed block, with the masks of
            padded tokens.
        targets (list): Outputs of the dense block.
    """

    def __init__(self) -> None:
        self.calls: List[tuple] = []
        self.targets: List[List[torch.Tensor]] = []


def calibrate_blocks_(
    module: nn.Module,
    layers: Dict[str, nn.Module],
    calls: Dict[str, int],
    ranks: Dict[str, int],
    batches: List[Any],
    tuning: int,
    progress: Callable[[list], Iterable],
) -> None:
    """Compress a model block by block, in place.

    The factors of a block minimise the error of the outputs of its layers against
    those of the dense model, given the inputs that the blocks compressed before it
    produce (AA-SVD, arXiv 2604.02119). Then they may be tuned to give the outputs
    of the dense block. Only the statistics of one block are in memory.

    Args:
        module (nn.Module): The model.
        layers (dict[str, nn.Module]): The layers by name.
        calls (dict[str, int]): How often each runs in a forward pass, in the order
            in which they run.
        ranks (dict[str, int]): The rank by name.
        batches (list): Inputs of the model.
        tuning (int): Passes over the outputs of a block in which its factors are
            tuned.
        progress (Callable): Wraps the list of blocks.
    """
    dense = copy.deepcopy(module)
    blocks: Dict[str, List[str]] = {}
    for name in (*calls, *(name for name in ranks if name not in calls)):
        if name in ranks:
            blocks.setdefault(block_of(name), []).append(name)
    with evaluation(module, dense):
        for block in progress(list(blocks)):
            names = blocks[block]
            num_calls = max(calls.get(name, 0) for name in names)
            statistics: Dict[str, InputStatistics] = {}
            record = _BlockRecord() if tuning else None
            if num_calls:
                statistics = _paired_statistics(
                    module, dense, names, block, num_calls, batches, record
                )
            fits = {name: fit(layers[name], statistics.get(name)) for name in names}
            replace_fitted_(module, fits, {name: ranks[name] for name in names})
            if record is not None and len(record.calls) == len(record.targets) > 0:
                _tune(module, block, names, record, tuning)


def _paired_statistics(
    module: nn.Module,
    dense: nn.Module,
    names: List[str],
    block: str,
    num_calls: int,
    batches: List[Any],
    record: Optional[_BlockRecord],
) -> Dict[str, InputStatistics]:
    """Statistics of the inputs of a block's layers in both models."""
    statistics: Dict[str, InputStatistics] = {}
    inputs: List[Dict[str, list]] = []
    parts = []
    for model in (dense, module):
        found = linear_layers(model, convolutions=True)
        parts.append({name: found[name] for name in names})

    def receive(name: str, tensors: List[torch.Tensor]) -> None:
        inputs[-1].setdefault(name, []).append(tensors)

    for batch in batches:
        inputs = []
        for model, part in zip((dense, module), parts):
            inputs.append({})
            with watched_inputs(model, part, receive) as padding:
                watch = _watched_block(
                    model, block, num_calls, padding, record, model is dense
                )
                with watch:
                    run(model, batch)
        for name, targets in inputs[0].items():
            layer = parts[1][name]
            is_paired = features_of(layer)[1] <= MAX_PAIRED_WIDTH
            if name not in statistics:
                statistics[name] = InputStatistics(
                    layer, bias_of(module, name, layer) is not None, is_paired
                )
            if not is_paired:
                for target in targets:
                    statistics[name].add(target)
                continue
            calls = inputs[1].get(name, [])
            same = len(calls) == len(targets) and all(
                x.shape == target.shape
                for call, dense_call in zip(calls, targets)
                for x, target in zip(call, dense_call)
            )
            # Other tokens than in the dense model, such as other proposals: the
            # statistics are those of the dense model.
            for x, target in zip(calls if same else targets, targets):
                statistics[name].add(x, target)
    return statistics


@contextmanager
def _watched_block(
    model: nn.Module,
    block: str,
    num_calls: int,
    padding: Padding,
    record: Optional[_BlockRecord],
    is_dense: bool,
) -> Iterator[None]:
    """Record what a block computes, and stop the forward pass after its last
    call."""
    count = 0

    def enter(_: nn.Module, args: tuple, kwargs: dict) -> None:
        if record is not None and not is_dense:
            masks = [mask.clone() for mask in padding.masks]
            record.calls.append((*tree_map(_clone, (args, kwargs)), masks))

    def leave(_: nn.Module, args: tuple, output: Any) -> None:
        nonlocal count
        count += 1
        if record is not None and is_dense:
            record.targets.append([_clone(x) for x in tensors_of(output)])
        if count >= num_calls:
            raise Stop

    owner = packed_attention(model, block)
    owner = model.get_submodule(block) if owner is None else owner
    handles = [
        owner.register_forward_pre_hook(enter, with_kwargs=True),
        owner.register_forward_hook(leave),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _clone(x: Any) -> Any:
    return x.detach().clone() if isinstance(x, torch.Tensor) else x


def _tune(
    module: nn.Module,
    block: str,
    names: List[str],
    record: _BlockRecord,
    passes: int,
) -> None:
    """Tune the factors and biases of a block to give the outputs of the dense
    block."""
    owner = packed_attention(module, block)
    runner = module.get_submodule(block) if owner is None else owner
    tuned: List[nn.Parameter] = []
    for name in names:
        layer = module.get_submodule(name)
        bias = bias_of(module, name, layer)
        tuned += [x for x in (layer.down, layer.up, bias) if x is not None]
    required = [(p, p.requires_grad) for p in module.parameters()]
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    for parameter in tuned:
        parameter.requires_grad_(True)
    steps = passes * len(record.calls)
    optimizer = torch.optim.Adam(tuned, LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: (1 + math.cos(math.pi * step / steps)) / 2
    )
    best, kept = _block_error(runner, record), [p.detach().clone() for p in tuned]
    generator = torch.Generator().manual_seed(0)
    with torch.enable_grad():
        for _ in range(passes):
            for index in torch.randperm(len(record.calls), generator=generator):
                optimizer.zero_grad()
                _call_error(runner, record, int(index)).backward()
                optimizer.step()
                schedule.step()
    if not _block_error(runner, record) <= best:
        with torch.no_grad():
            for parameter, value in zip(tuned, kept):
                parameter.copy_(value)
    for parameter in tuned:
        parameter.grad = None
    for parameter, flag in required:
        parameter.requires_grad_(flag)


@torch.no_grad()
def _block_error(runner: nn.Module, record: _BlockRecord) -> float:
    return sum(_call_error(runner, record, i).item() for i in range(len(record.calls)))


def _call_error(runner: nn.Module, record: _BlockRecord, index: int) -> torch.Tensor:
    """Relative squared error of a call against the dense block."""
    args, kwargs, masks = tree_map(_clone, record.calls[index])
    error: Any = 0.0
    for x, target in zip(tensors_of(runner(*args, **kwargs)), record.targets[index]):
        if not x.is_floating_point() or x.shape != target.shape:
            continue
        for mask in masks:
            if mask.shape == x.shape[:-1]:
                x, target = x[mask.to(x.device)], target[mask.to(x.device)]
                break
        difference = (x.float() - target.float()).square().mean()
        error = error + difference / target.float().var().clamp_min(MIN_VARIANCE)
    return error
