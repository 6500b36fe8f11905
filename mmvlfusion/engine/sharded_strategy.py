"""Training of models whose parameters are sharded over the processes (FSDP)."""

import os
from functools import partial
from typing import Any, Optional, Sequence

import torch
from mmengine._strategy.fsdp import FSDPStrategy
from mmengine.device import get_device
from mmengine.model import ExponentialMovingAverage, is_model_wrapper
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP

from mmvlfusion.registry import STRATEGIES

# Classes of the blocks of our models, BERT, mmpretrain's ViT and its ResNet.
BLOCKS = ('TransformerBlock', 'BertLayer', 'TransformerEncoderLayer', 'Bottleneck')


def is_block(
    module: nn.Module, recurse: bool, nonwrapped_numel: int, blocks: Sequence[str]
) -> bool:
    """Decide whether a module is sharded as a unit; a wrapping policy of FSDP.

    Args:
        module (nn.Module): The module.
        recurse (bool): Whether the question is to visit its children, which is
            always the case.
        nonwrapped_numel (int): Not used.
        blocks (Sequence[str]): Names of the classes of units.

    Returns:
        bool: Whether to visit its children, or whether it is a unit.
    """
    return recurse or type(module).__name__ in blocks


@STRATEGIES.register_module()
class ShardedStrategy(FSDPStrategy):
    """PyTorch's fully sharded data parallel training, on GPUs or CPUs.

    Each process keeps a part of the parameters, gradients and states of the
    optimizer. The blocks of the model are gathered one after the other when they
    run. Losses and weights equal those of distributed data parallel training, also
    with clipped gradients. Checkpoints have the form of unsharded ones. Averaged
    models (EMA) are not sharded.

    Use it with mmengine's flexible runner::

        runner_type = 'FlexibleRunner'
        strategy = dict(type='mmvlfusion.ShardedStrategy')

    Args:
        blocks (Sequence[str]): Names of the classes that are gathered as units.
            Only their ``forward`` may use their parameters. Defaults to
            ``BLOCKS``.
        model_wrapper (dict, optional): Arguments of
            ``mmengine.model.MMFullyShardedDataParallel``, such as
            ``mixed_precision``. Defaults to None.
        state_dict_cfg (str | dict): See ``FSDPStrategy``. Defaults to ``'full'``.
        **kwargs: See ``FSDPStrategy``.
    """

    def __init__(
        self,
        *,
        blocks: Sequence[str] = BLOCKS,
        model_wrapper: Optional[dict] = None,
        state_dict_cfg: Any = 'full',
        **kwargs,
    ) -> None:
        super().__init__(
            model_wrapper={
                'type': 'MMFullyShardedDataParallel',
                'auto_wrap_policy': partial(is_block, blocks=tuple(blocks)),
                **(model_wrapper or {}),
            },
            state_dict_cfg=state_dict_cfg,
            **kwargs,
        )
        self.blocks = tuple(blocks)
        if state_dict_cfg == 'full' and get_device() == 'cpu':
            # PyTorch frees gathered parameters that are on the CPU already.
            self.state_dict_config.offload_to_cpu = False
            self.optim_state_dict_config.offload_to_cpu = False

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        """Shard the model.

        Args:
            model (nn.Module): The model.

        Returns:
            nn.Module: The sharded model.

        Raises:
            ValueError: If no module is of one of the classes ``blocks``.
        """
        if is_model_wrapper(model):
            return model
        if not any(type(module).__name__ in self.blocks for module in model.modules()):
            raise ValueError(
                f'The model has no module of the classes {list(self.blocks)}, so '
                'nothing would be sharded: set strategy.blocks to the names of its '
                'block classes.'
            )
        averaged = [
            name
            for name, module in model.named_modules()
            if isinstance(module, ExponentialMovingAverage)
        ]
        for name in averaged:
            model.get_submodule(name).to(get_device())
        self.model_wrapper.setdefault('ignored_modules', averaged)
        if get_device() == 'cpu':
            self.model_wrapper.setdefault('device_id', torch.device('cpu'))
        else:
            self.model_wrapper.setdefault('device_id', int(os.environ['LOCAL_RANK']))
        return super()._wrap_model(model)

    def build_optim_wrapper(self, *args, **kwargs) -> Any:
        """See ``FSDPStrategy``. Gradients are clipped by their norm over all ranks."""
        optim_wrapper = super().build_optim_wrapper(*args, **kwargs)
        if getattr(optim_wrapper, 'clip_func', None) is nn.utils.clip_grad_norm_:
            optim_wrapper.clip_func = self._clip_grad_norm
        return optim_wrapper

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load the states of the optimizer.

        ``FSDPStrategy`` passes the arguments in the order of PyTorch 2.0.

        Args:
            state_dict (dict): The states, as ``optim_state_dict`` returns them.
        """
        self.optim_wrapper.load_state_dict(
            FSDP.optim_state_dict_to_load(
                model=self.model,
                optim=self.optim_wrapper.optimizer,
                optim_state_dict=state_dict,
            )
        )

    def _clip_grad_norm(self, params: Any, **kwargs) -> torch.Tensor:
        return self.model.clip_grad_norm_(**kwargs)
