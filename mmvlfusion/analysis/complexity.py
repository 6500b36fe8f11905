"""Counts of the parameters and multiply-accumulates of a model."""

import contextlib
from collections import defaultdict
from functools import partial
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import torch
from mmengine.config import Config
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmvlfusion.hosts import host_of, image_channels, input_shape
from mmvlfusion.utils.checks import check_choice
from mmvlfusion.utils.torch_versions import attention_as_matmuls

CONVENTIONS = ('macs', 'macs-no-attention', 'flops', 'flops-no-attention')
# Height and width of the image where a config does not fix them.
DEFAULT_SHAPE = (224, 224)
_FLOPS_PER_MAC = 2


class Complexity(NamedTuple):
    """Size and cost of one forward pass.

    Attributes:
        params (int): Parameters.
        weight_macs (int): Multiply-accumulates with weights.
        attention_macs (int): Multiply-accumulates of two activations, as in
            attention.
    """

    params: int
    weight_macs: int
    attention_macs: int

    def operations(self, convention: str) -> int:
        """Get the number of operations in a convention.

        Args:
            convention (str): One of ``CONVENTIONS``: multiply-accumulates
                (MACs) or FLOPs, which are two per MAC, with or without those of
                attention.

        Returns:
            int: The number of operations.
        """
        check_choice('convention', convention, CONVENTIONS)
        macs = self.weight_macs
        if not convention.endswith('no-attention'):
            macs += self.attention_macs
        if convention.startswith('flops'):
            return _FLOPS_PER_MAC * macs
        return macs


def resolve_shape(shape: Optional[Sequence[int]], cfg: Config) -> Sequence[int]:
    """Choose the size of the image for which a model is counted.

    Args:
        shape (Sequence[int], optional): Height and width in pixels, or one
            number for both.
        cfg (Config): The config, whose own size is taken if there is no
            ``shape``.

    Returns:
        Sequence[int]: Height and width in pixels.
    """
    if shape is None:
        return input_shape(cfg) or DEFAULT_SHAPE
    return (shape[0], shape[-1])


def example_call(
    model: nn.Module, cfg: Config, shape: Sequence[int]
) -> Callable[[], Any]:
    """Make a function that runs a forward pass on a blank image.

    Args:
        model (nn.Module): The model of ``cfg``.
        cfg (Config): Its config.
        shape (Sequence[int]): Height and width of the image in pixels.

    Returns:
        Callable: The function, without arguments.
    """
    image = torch.zeros(1, image_channels(cfg.model), *shape)
    kwargs: Dict[str, Any] = dict(mode='tensor')
    samples = host_of(cfg).example_samples(shape, cfg.model)
    if samples is not None:
        kwargs['data_samples'] = samples
    return lambda: model(image, **kwargs)


@contextlib.contextmanager
def _counting(model: nn.Module) -> Iterator[FlopCounterMode]:
    """Count the FLOPs of calls in evaluation mode.

    Args:
        model (nn.Module): The model that is called.

    Yields:
        FlopCounterMode: The counter.
    """
    model.eval()
    # The counter's hooks fail for modules whose inputs are parameters.
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        with (
            torch.no_grad(),
            attention_as_matmuls(),
            FlopCounterMode(display=False) as counter,
        ):
            yield counter
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _macs(counter: FlopCounterMode) -> Tuple[int, int]:
    """Get the multiply-accumulates so far.

    A matmul of two activations is a ``bmm`` or a ``baddbmm``. The two small ``bmm``
    with weights in ``TNTAttention`` for few queries are also counted as such; their
    cost is negligible.

    Args:
        counter (FlopCounterMode): The counter.

    Returns:
        tuple[int, int]: Those with weights, and those of two activations.
    """
    with_weights = of_activations = 0
    for operator, flops in counter.get_flop_counts().get('Global', {}).items():
        if 'bmm' in str(operator):
            of_activations += flops // _FLOPS_PER_MAC
        else:
            with_weights += flops // _FLOPS_PER_MAC
    return with_weights, of_activations


def measure(model: nn.Module, forward: Callable[[], Any]) -> Complexity:
    """Count the parameters of a model and the operations of a forward pass.

    The counter is PyTorch's. mmengine's counter skips
    ``scaled_dot_product_attention``.

    Args:
        model (nn.Module): The model; it is set to evaluation mode.
        forward (Callable): Runs one forward pass of it.

    Returns:
        Complexity: The counts.
    """
    with _counting(model) as counter:
        forward()
    return Complexity(sum(p.numel() for p in model.parameters()), *_macs(counter))


def weight_macs(model: nn.Module, forward: Callable[[], Any]) -> Dict[str, int]:
    """Count the multiply-accumulates with weights of every executed module.

    Args:
        model (nn.Module): The model; it is set to evaluation mode.
        forward (Callable): Runs one forward pass of it.

    Returns:
        dict[str, int]: Counts by name of the module. ``'Global'`` is the count
        of the model.
    """
    counts: Dict[str, int] = defaultdict(int)
    before: List[int] = []
    with _counting(model) as counter, contextlib.ExitStack() as hooks:

        def start(*_: Any) -> None:
            before.append(_macs(counter)[0])

        def stop(name: str, *_: Any) -> None:
            counts[name] += _macs(counter)[0] - before.pop()

        # The counter's own counts by module differ between releases of PyTorch.
        for name, module in model.named_modules():
            for handle in (
                module.register_forward_pre_hook(start),
                module.register_forward_hook(partial(stop, name)),
            ):
                hooks.callback(handle.remove)
        forward()
        counts['Global'] = _macs(counter)[0]
    return dict(counts)
