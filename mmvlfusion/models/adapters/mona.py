"""Mona: adapters with convolutions on the map of the tokens."""

from typing import Dict, Iterable, Optional, Sequence, Tuple, Union

import torch
from torch import nn
from torch.utils import checkpoint

from mmvlfusion.hosts import residual_block_kind
from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_number

from ..utils import check_matches, matches, resolve, shorten, with_mixin
from .base import Adapter, build_adapted

INITIAL_GAMMA = 1e-6


class MonaAdapter(Adapter):
    """The multi-cognitive visual adapter.

    y = gamma * norm(x) + gammax * x, projected to few channels; on the map, the mean
    of depthwise convolutions of several sizes and a 1 x 1 convolution, each with its
    input added; GELU, dropout, projection back, and x is added. Tokens in front of
    those of the map, such as a class token, skip the convolutions.

    Args:
        embed_dims (int): Channels D of the tokens.
        hidden_dims (int): Channels of the map. Defaults to 64.
        dropout (float): Dropout before the projection back. Defaults to 0.1.
        kernel_sizes (Sequence[int]): Sizes of the depthwise convolutions, odd
            numbers. Defaults to (3, 5, 7).
    """

    def __init__(
        self,
        embed_dims: int,
        hidden_dims: int = 64,
        dropout: float = 0.1,
        kernel_sizes: Sequence[int] = (3, 5, 7),
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(embed_dims)
        self.gamma = nn.Parameter(torch.full((embed_dims,), INITIAL_GAMMA))
        self.gammax = nn.Parameter(torch.ones(embed_dims))
        self.down = nn.Linear(embed_dims, hidden_dims)
        self.convs = nn.ModuleList(
            nn.Conv2d(
                hidden_dims, hidden_dims, size, padding=size // 2, groups=hidden_dims
            )
            for size in kernel_sizes
        )
        self.mix = nn.Conv2d(hidden_dims, hidden_dims, 1)
        self.act = nn.GELU()
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(hidden_dims, embed_dims)
        self.reset_adapter()

    def reset_adapter(self) -> None:
        """Initialise as published: linear layers from a truncated normal of standard
        deviation 0.02 with bias 0, convolutions as PyTorch does."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, (nn.Conv2d, nn.LayerNorm)):
                module.reset_parameters()
        nn.init.constant_(self.gamma, INITIAL_GAMMA)
        nn.init.ones_(self.gammax)

    def forward(self, x: torch.Tensor, grid: Tuple[int, int]) -> torch.Tensor:
        """Apply the adapter.

        Args:
            x (torch.Tensor): Shape (B, N, D).
            grid (tuple[int, int]): Height h and width w of the map. The last h * w
                tokens are those of the map, row by row.

        Returns:
            torch.Tensor: Shape (B, N, D).

        Raises:
            ValueError: If there are fewer tokens than h * w.
        """
        height, width = grid
        num_extra = x.shape[1] - height * width
        if num_extra < 0:
            raise ValueError(
                f'Mona has {x.shape[1]} tokens, fewer than the {height} x {width} of '
                'the map: it cannot be used with models that drop or merge tokens.'
            )
        y = self.down(self.norm(x) * self.gamma + x * self.gammax)
        tokens = y[:, num_extra:].transpose(1, 2).unflatten(2, (height, width))
        tokens = sum(conv(tokens) for conv in self.convs) / len(self.convs) + tokens
        tokens = self.mix(tokens) + tokens
        tokens = tokens.flatten(2).transpose(1, 2)
        if num_extra:
            tokens = torch.cat([y[:, :num_extra], tokens], dim=1)
        return x + self.up(self.dropout(self.act(tokens)))


class PatchGrid:
    """Forward hook of a patch embedding that keeps the size of the map.

    Attributes:
        size (tuple[int, int] | None): Height and width of the map of the last input.
    """

    size: Optional[Tuple[int, int]] = None

    def __call__(self, module: nn.Module, inputs: tuple, output: tuple) -> None:
        height, width = output[1]
        self.size = (height, width)


class MonaBlock:
    """Mixin of transformer blocks with two adapters: after the residual of the
    attention, and after that of the MLP, outside of stochastic depth."""

    mona_attn: MonaAdapter
    mona_ffn: MonaAdapter
    patch_grid: PatchGrid

    def _attend(self, x: torch.Tensor, grid: Tuple[int, int]) -> torch.Tensor:
        """The attention with its residual, as the host calls it."""
        raise NotImplementedError

    def forward(
        self, x: torch.Tensor, hw_shape: Optional[Tuple[int, int]] = None
    ) -> torch.Tensor:
        """Apply the block with its adapters.

        Args:
            x (torch.Tensor): Shape (B, N, D).
            hw_shape (tuple[int, int], optional): Height and width of the map.
                Defaults to None, those of the patch embedding.

        Returns:
            torch.Tensor: Shape (B, N, D).
        """
        grid = hw_shape or self.patch_grid.size
        assert grid is not None

        def inner(x: torch.Tensor) -> torch.Tensor:
            x = self.mona_attn(self._attend(x, grid), grid)
            x = self.ffn(self.norm2(x), identity=x)  # type: ignore[attr-defined]
            return self.mona_ffn(x, grid)

        if getattr(self, 'with_cp', False) and x.requires_grad:
            return checkpoint.checkpoint(inner, x, use_reentrant=False)
        return inner(x)


class MonaMapBlock(MonaBlock):
    """Block of Swin, whose attention takes the size of the map."""

    def _attend(self, x: torch.Tensor, grid: Tuple[int, int]) -> torch.Tensor:
        return x + self.attn(self.norm1(x), grid)  # type: ignore[attr-defined]


class MonaTokenBlock(MonaBlock):
    """Block of mmpretrain's ViT."""

    def _attend(self, x: torch.Tensor, grid: Tuple[int, int]) -> torch.Tensor:
        return x + self.attn(self.norm1(x))  # type: ignore[attr-defined]


class MonaIdentityBlock(MonaBlock):
    """Block of mmseg's ViT, whose attention adds the residual."""

    def _attend(self, x: torch.Tensor, grid: Tuple[int, int]) -> torch.Tensor:
        return self.attn(self.norm1(x), identity=x)  # type: ignore[attr-defined]


BLOCKS: Dict[str, type] = dict(
    map=MonaMapBlock, tokens=MonaTokenBlock, identity=MonaIdentityBlock
)


def select_blocks(
    module: nn.Module,
    include: Union[str, Iterable[str]],
    exclude: Union[str, Iterable[str]],
) -> Dict[str, nn.Module]:
    """Select the transformer blocks to adapt.

    Args:
        module (nn.Module): The model.
        include, exclude: See ``build_mona``.

    Returns:
        dict[str, nn.Module]: The blocks by name.

    Raises:
        ValueError: If a pattern matches no block, or no block is selected.
    """
    blocks = {
        name: child
        for name, child in module.named_modules()
        if residual_block_kind(child) is not None
    }
    if not blocks:
        raise ValueError(
            f'{type(module).__name__} has no block that Mona can adapt: give a '
            'SwinTransformer of mmpretrain, mmdet or mmseg, or a VisionTransformer '
            'of mmpretrain or mmseg, whose patches are on a grid.'
        )
    include = [include] if isinstance(include, str) else list(include)
    exclude = [exclude] if isinstance(exclude, str) else list(exclude)
    for what, patterns in (('include', include), ('exclude', exclude)):
        resolve(patterns, {}, what)
        check_matches(patterns, {}, blocks, what)
    selected = {
        name: block
        for name, block in blocks.items()
        if (not include or matches(include, name)) and not matches(exclude, name)
    }
    if not selected:
        raise ValueError(
            f'Mona adapts no block of {type(module).__name__}: include={include} and '
            f'exclude={exclude} select none of {shorten(blocks)}.'
        )
    return selected


def insert_mona_(
    module: nn.Module, blocks: Dict[str, nn.Module], hidden_dims: int, dropout: float
) -> None:
    """Add two adapters to each block, in place.

    Args:
        module (nn.Module): The model.
        blocks (dict[str, nn.Module]): The blocks by name.
        hidden_dims (int): Channels of the maps of the adapters.
        dropout (float): Dropout of the adapters.

    Raises:
        ValueError: If the size of the map of a block is not known.
    """
    grids: Dict[nn.Module, PatchGrid] = {}
    for name, block in blocks.items():
        kind = residual_block_kind(block)
        assert kind is not None
        if kind != 'map':
            embedding = _patch_embedding(module, name)
            if embedding not in grids:
                grids[embedding] = PatchGrid()
                embedding.register_forward_hook(grids[embedding])
            block.patch_grid = grids[embedding]  # type: ignore[assignment]
        for part in ('mona_attn', 'mona_ffn'):
            adapter = MonaAdapter(block.ffn.embed_dims, hidden_dims, dropout)
            setattr(block, part, adapter)
        block_type: type = type(block)
        block.__class__ = with_mixin(BLOCKS[kind], block_type)


def _patch_embedding(module: nn.Module, name: str) -> nn.Module:
    """Find the patch embedding of the model that has a block of this name."""
    parts = name.split('.')
    for number in reversed(range(len(parts))):
        parent = module.get_submodule('.'.join(parts[:number]))
        if isinstance(getattr(parent, 'patch_embed', None), nn.Module):
            return parent.patch_embed
    raise ValueError(
        f'Mona needs the grid of the patches of {name}, but {type(module).__name__} '
        'has no patch_embed: give a ViT or Swin.'
    )


@MODELS.register_module('Mona')
def build_mona(
    module: Union[str, type, dict],
    hidden_dims: int = 64,
    dropout: float = 0.1,
    include: Union[str, Iterable[str]] = (),
    exclude: Union[str, Iterable[str]] = (),
    trained: Union[str, Iterable[str]] = (),
    **kwargs,
) -> nn.Module:
    """Build a frozen Swin or ViT with two trained Mona adapters in each block.

    `5%>100%: Breaking Performance Shackles of Full Fine-Tuning on Visual Recognition
    Tasks <https://arxiv.org/abs/2408.08345>`_. The result is an instance of the
    host's class, of which Swin (mmpretrain, mmdet, mmseg) and VisionTransformer
    (mmpretrain, mmseg) are supported. The weights of the base are loaded by
    ``init_cfg`` or ``load_from``; checkpoints have the trained weights only, see
    ``AdaptedModel``. The adapters are not linear and cannot be merged.

    Args:
        module (str | type | dict): Type or config of the class, a backbone or a
            whole model.
        hidden_dims (int): Channels of the maps of the adapters. Defaults to 64.
        dropout (float): Dropout of the adapters. Defaults to 0.1.
        include (str | Iterable[str]): Regular expressions that are searched for in
            the names of the blocks. Defaults to all blocks.
        exclude (str | Iterable[str]): The same for blocks without adapters. Defaults
            to none.
        trained (str | Iterable[str]): Regular expressions of parameters that are
            trained in addition. Defaults to none.
        **kwargs: Further arguments of the module, see ``build_low_rank``.

    Returns:
        nn.Module: The module.

    Raises:
        ImportError: If the host of the module is missing or not supported.
        ValueError: If ``module`` is not a class, an argument is out of range, a
            pattern matches nothing, or the model has no block on a patch grid.

    Examples:
        >>> backbone = dict(
        ...     type='mmvlfusion.Mona', module='mmpretrain.SwinTransformer',
        ...     arch='base')
    """
    check_number('hidden_dims', hidden_dims, 1, integer=True)
    check_number('dropout', dropout, 0, 1)

    def insert(built: nn.Module) -> None:
        blocks = select_blocks(built, include, exclude)
        insert_mona_(built, blocks, hidden_dims, dropout)

    return build_adapted(module, kwargs, insert, trained)
