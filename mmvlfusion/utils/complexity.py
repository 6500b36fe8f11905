"""Parameters and multiply-accumulates of a model."""
from typing import Any, Callable, Dict, NamedTuple, Sequence

import torch
from mmengine.config import Config
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmvlfusion.utils.choices import check_choice
from mmvlfusion.utils.features import all_tokens_updated

CONVENTIONS = ('macs', 'macs-no-attention', 'flops', 'flops-no-attention')


class Complexity(NamedTuple):
    """Size and cost of one forward pass.

    ``params`` counts parameters. ``weight_macs`` and ``attention_macs`` count
    multiply-accumulates with weights and among activations.
    """
    params: int
    weight_macs: int
    attention_macs: int

    def operations(self, convention: str) -> int:
        """The operations under one of ``CONVENTIONS``: multiply-accumulates
        or FLOPs, which are twice as many, with or without attention's."""
        check_choice('convention', convention, CONVENTIONS)
        macs = self.weight_macs
        if not convention.endswith('no-attention'):
            macs += self.attention_macs
        return macs * (2 if convention.startswith('flops') else 1)


def example_call(model: nn.Module, cfg: Config,
                 shape: Sequence[int]) -> Callable[[], Any]:
    """A forward pass of a host's model, to be counted.

    Args:
        model (nn.Module): The model of ``cfg``.
        cfg (Config): Its config, whose scope tells the host.
        shape (Sequence[int]): Height and width of the image in pixels.
    """
    image = torch.zeros(1, 3, *shape)
    kwargs = dict(mode='tensor')
    if cfg.get('default_scope') == 'mmdet':
        from mmdet.structures import DetDataSample
        meta = dict.fromkeys(
            ['img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'],
            tuple(shape))
        kwargs['data_samples'] = [
            DetDataSample(metainfo=dict(meta, scale_factor=(1., 1.)))
        ]
    if 'text_encoder' in cfg.model:
        from mmpretrain.structures import DataSample
        kwargs['data_samples'] = [
            DataSample(metainfo=dict(question='what is left of the chair?'))
        ]
    return lambda: model(image, **kwargs)


def _count(model: nn.Module, forward: Callable[[], Any]) -> Dict[str, dict]:
    """FLOPs by module and operator of one call, in evaluation mode."""
    model.eval()
    # The counter's hooks stumble over parameters that are inputs of a module.
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), \
            FlopCounterMode(display=False) as counter:
        forward()
    for parameter in trained:
        parameter.requires_grad_(True)
    return counter.get_flop_counts()


def _is_product_of_activations(operator: Any) -> bool:
    """Batched products (bmm, baddbmm) are, but for the two of a few queries
    with W_k and W_v (``SelfAttention``), too small to count; others have a
    weight."""
    return 'bmm' in str(operator)


def measure(model: nn.Module, forward: Callable[[], Any]) -> Complexity:
    """Count the parameters of a model and the operations of a call.

    mmengine's counter leaves out ``scaled_dot_product_attention``; this one
    stands on PyTorch's own, with attention broken up into products.

    Args:
        model (nn.Module): The model; evaluation mode is set.
        forward (Callable): Runs one forward pass of it.

    Returns:
        Complexity: The counts.
    """
    macs = [0, 0]
    for operator, flops in _count(model, forward).get('Global', {}).items():
        macs[_is_product_of_activations(operator)] += flops // 2
    return Complexity(sum(p.numel() for p in model.parameters()), *macs)


def weight_macs(model: nn.Module, forward: Callable[[], Any]) -> Dict[str, int]:
    """Multiply-accumulates with weights of every module that runs, by name;
    blocks update all their tokens."""
    prefix = f'{type(model).__name__}.'
    with all_tokens_updated(model):
        modules = _count(model, forward)
    return {
        name.removeprefix(prefix): sum(
            flops // 2 for operator, flops in counts.items()
            if not _is_product_of_activations(operator))
        for name, counts in modules.items()
    }
