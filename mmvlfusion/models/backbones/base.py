"""Behaviour that all backbones share."""

from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.utils.checkpoint as cp
from mmengine.model import BaseModule
from torch import nn

from mmvlfusion.utils.checks import check_choice, check_number

from ..utils import is_sharded


class Backbone(BaseModule):
    """Base of the backbones: architectures by name, frozen stages, gradient
    checkpointing, depths of parameters and a check of checkpoints.

    Subclasses define the class attributes and ``_frozen_parts``, and call
    ``_freeze`` at the end of their constructor.

    Attributes:
        ARCHS (dict): The published architectures by name. All have the same
            keys.
        SHORT_NAMES (dict): Names of architectures by abbreviation.
        STEM (str): A weight that every checkpoint of the class has.
        CONVERTER (str): How to get a checkpoint of the class from others.
        SETTINGS (str): The arguments that determine the shapes of weights.
        OUT_TYPES (tuple[str, ...]): The choices of ``out_type``.

    Args:
        frozen_stages (int): Stages to be frozen, -1 for none.
        num_stages (int): Number of stages.
        stages (str): What a stage is, for the error.
        with_cp (bool): Whether to use gradient checkpointing in the blocks.
        init_cfg (dict | list[dict] | None): Initialisation config.

    Raises:
        ValueError: If ``frozen_stages`` is out of range.
    """

    ARCHS: dict
    SHORT_NAMES: Dict[str, str]
    STEM: str
    CONVERTER: str
    SETTINGS: str
    OUT_TYPES: Tuple[str, ...]

    def __init__(
        self,
        frozen_stages: int,
        num_stages: int,
        stages: str,
        with_cp: bool,
        init_cfg: Union[dict, List[dict], None],
    ) -> None:
        super().__init__(init_cfg)
        check_number('frozen_stages', frozen_stages, -1, integer=True)
        if not -1 <= frozen_stages <= num_stages:
            raise ValueError(
                f'frozen_stages={frozen_stages} must be within '
                f'-1 ... {num_stages}, the number of {stages}.'
            )
        self.frozen_stages = frozen_stages
        self.with_cp = with_cp

    @classmethod
    def _parse_arch(cls, arch: Union[str, dict]) -> dict:
        if isinstance(arch, str):
            name = cls.SHORT_NAMES.get(arch, arch)
            check_choice('arch', name, tuple(cls.ARCHS))
            return cls.ARCHS[name]
        if not isinstance(arch, dict):
            raise ValueError(
                f'arch={arch!r} must be one of {list(cls.ARCHS)} or a dict of its '
                'settings.'
            )
        expected, found = set(cls.ARCHS['small']), set(arch)
        if expected != found:
            raise ValueError(
                f'arch must have exactly the keys {sorted(expected)}: missing '
                f'{sorted(expected - found)}, unknown '
                f'{sorted(found - expected)}.'
            )
        for key, value in arch.items():
            for number in value if isinstance(value, (list, tuple)) else [value]:
                check_number(f'arch.{key}', number, 1, integer=True)
        return dict(arch)

    def _check_arguments(
        self,
        in_channels: int,
        ffn_ratio: float,
        drop_rate: float,
        drop_path_rate: float,
        out_type: str,
    ) -> None:
        """Check the arguments that all backbones have."""
        check_number('in_channels', in_channels, 1, integer=True)
        check_number('ffn_ratio', ffn_ratio, 0, above=True)
        check_number('drop_rate', drop_rate, 0, 1)
        check_number('drop_path_rate', drop_path_rate, 0, 1)
        check_choice('out_type', out_type, self.OUT_TYPES)

    def _run(self, block: nn.Module, *args) -> Union[torch.Tensor, tuple]:
        """Run a block, with gradient checkpointing if it is switched on."""
        if self.with_cp and self.training and torch.is_grad_enabled():
            return cp.checkpoint(block, *args, use_reentrant=False)
        return block(*args)

    def _frozen_parts(self) -> List[Union[nn.Module, nn.Parameter]]:
        """The modules and parameters of the frozen stages."""
        raise NotImplementedError

    def _freeze(self) -> None:
        for part in self._frozen_parts():
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> 'Backbone':
        """Set the mode; frozen stages stay in evaluation mode.

        Args:
            mode (bool): True for training. Defaults to True.

        Returns:
            Backbone: This module.
        """
        super().train(mode)
        for part in self._frozen_parts():
            if isinstance(part, nn.Module):
                part.eval()
        return self

    @property
    def num_blocks(self) -> int:
        """int: Number of blocks that are built."""
        return len(self.layers)

    def _block_of(self, name: str) -> Optional[int]:
        """Index of the block of a parameter, None for the embeddings."""
        return int(name.split('.')[1]) if name.startswith('layers.') else None

    def get_layer_depth(self, param_name: str, prefix: str = '') -> Tuple[int, int]:
        """Get the depth of a parameter, for layer-wise learning-rate decay.

        Args:
            param_name (str): Name of the parameter.
            prefix (str): Prefix of the backbone's parameters.
                Defaults to ''.

        Returns:
            tuple[int, int]: The depth, 0 for the embeddings and k + 1 for
            block k, and the number of depths.
        """
        num_depths = self.num_blocks + 2
        name = param_name.removeprefix(prefix)
        if not param_name.startswith(prefix) or name.startswith('norm'):
            return num_depths - 1, num_depths
        block = self._block_of(name)
        return 0 if block is None else block + 1, num_depths

    def _check_checkpoint(
        self,
        state_dict: dict,
        prefix: str,
        first: Sequence[str] = (),
        is_resized: Callable[[str], bool] = lambda name: False,
    ) -> None:
        """Raise an error with the reason for weights of another architecture.

        The stem and the weights ``first`` are compared first: their shapes
        explain most. Weights with ``is_resized`` may have another shape. A
        sharded model is not compared.
        """
        if is_sharded(self):
            return
        own = self.state_dict()
        if prefix + self.STEM not in state_dict:
            raise ValueError(
                f'The checkpoint has no key {prefix + self.STEM!r}, so it is not an '
                f'mmvlfusion.{type(self).__name__}. {self.CONVERTER}; if the keys '
                "have a prefix, set init_cfg=dict(type='Pretrained', prefix=...)."
            )
        for name in (self.STEM, *first, *sorted(own)):
            key = prefix + name
            if (
                name in own
                and key in state_dict
                and not is_resized(name)
                and state_dict[key].shape != own[name].shape
            ):
                raise ValueError(
                    f'The checkpoint is of another architecture: {key} has '
                    f'the shape {tuple(state_dict[key].shape)}, expected '
                    f'{tuple(own[name].shape)}. Check {self.SETTINGS}.'
                )


def block_indices(
    name: str,
    indices: Union[int, str, Sequence[int]],
    depth: int,
    parts: str = 'blocks',
) -> Tuple[int, ...]:
    """Sort the indices of blocks or stages and make them non-negative.

    Args:
        name (str): Name of the argument, for the error.
        indices (int | Sequence[int]): The indices, negative from the end.
        depth (int): Number of blocks or stages.
        parts (str): What is counted, for the error. Defaults to ``'blocks'``.

    Returns:
        tuple[int, ...]: The indices.

    Raises:
        ValueError: If an index is out of range, ``indices`` is a string, or
            ``out_indices`` is empty.
    """
    if isinstance(indices, str):
        raise ValueError(
            f'{name}={indices!r} is not a sequence of indices of {parts}, such as '
            '(0, 2).'
        )
    indices = (indices,) if isinstance(indices, int) else tuple(indices)
    if name == 'out_indices' and not indices:
        raise ValueError('out_indices is empty: give at least one index.')
    for index in indices:
        if not -depth <= index < depth:
            raise ValueError(
                f'{name} has {index}, but the {parts} are 0 ... {depth - 1} '
                f'(or {-depth} ... -1 from the end).'
            )
    return tuple(sorted({index % depth for index in indices}))


def pair_of_pixels(img_size: Union[int, Tuple[int, int]]) -> Tuple[int, int]:
    """Get height and width in pixels from one number or two.

    Args:
        img_size (int | tuple[int, int]): One number for both, or two.

    Returns:
        tuple[int, int]: Height and width.

    Raises:
        ValueError: If they are not positive integers.
    """
    size = (img_size, img_size) if isinstance(img_size, int) else img_size
    if not isinstance(size, (list, tuple)) or len(size) != 2:
        raise ValueError(
            f'img_size={img_size!r} must be one number of pixels, or height and width.'
        )
    for side in size:
        check_number('img_size', side, 1, integer=True)
    return size[0], size[1]
