"""Blocks of mmpretrain and timm that merge tokens between attention and MLP."""

from typing import Any, Optional

import torch
from torch import nn

from ..utils import with_mixin
from .merging import TokenMerging


def change_class_(module: nn.Module, mixin: type) -> None:
    """Make a module use the methods of a mixin, in place.

    Args:
        module (nn.Module): The module.
        mixin (type): The mixin.
    """
    kind: type = type(module)
    module.__class__ = with_mixin(mixin, kind)


def _is(module: nn.Module, package: str, name: str) -> bool:
    """Whether a module is of a class of the ViT of a package. Other models, such as
    the encoder of SAM, have classes of the same name."""
    kind = type(module)
    return (kind.__module__, kind.__name__) == (f'{package}.vision_transformer', name)


class MergingEncoderLayer:
    """Mixin of ``TransformerEncoderLayer`` of mmpretrain's ViT."""

    merging: TokenMerging
    index: int
    attn: Any
    ffn: nn.Module
    ln1: nn.Module
    ln2: nn.Module

    @staticmethod
    def accepts(module: nn.Module) -> bool:
        """Check whether a module is such a block.

        Args:
            module (nn.Module): The module.

        Returns:
            bool: Whether it is.
        """
        return _is(module, 'mmpretrain.models.backbones', 'TransformerEncoderLayer')

    def use(self, merging: TokenMerging, index: int) -> None:
        """Set the merging of the block.

        Args:
            merging (TokenMerging): The merging of the model.
            index (int): Index of the block.
        """
        self.merging, self.index = merging, index
        self.attn.scaled_dot_product_attention = _Attend(merging, index)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Update and merge the tokens.

        Args:
            x (torch.Tensor): Shape (B, N, D).

        Returns:
            torch.Tensor: Shape (B, N - r, D).
        """
        x = x + self.attn(self.ln1(x))
        x = self.merging.merge(self.index, x)
        return self.ffn(self.ln2(x), identity=x)


class _Attend:
    """Attention of one block, with the interface of PyTorch's function."""

    def __init__(self, merging: TokenMerging, index: int) -> None:
        self.merging, self.index = merging, index

    def __call__(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        dropout_p: float = 0.0,
    ) -> torch.Tensor:
        return self.merging.attend(self.index, q, k, v, dropout_p)


class MergingTimmBlock:
    """Mixin of ``Block`` of timm's ViT."""

    merging: TokenMerging
    index: int
    attn: Any
    mlp: nn.Module
    norm1: nn.Module
    norm2: nn.Module

    @staticmethod
    def accepts(module: nn.Module) -> bool:
        """Check whether a module is such a block.

        Args:
            module (nn.Module): The module.

        Returns:
            bool: Whether it is, and has no step between attention and output
            projection that ``MergingTimmAttention`` lacks.
        """
        if not _is(module, 'timm.models', 'Block'):
            return False
        attn: Any = module.attn
        return (
            hasattr(attn, 'qkv')
            and isinstance(getattr(attn, 'norm', nn.Identity()), nn.Identity)
            and getattr(attn, 'gate', None) is None
        )

    def use(self, merging: TokenMerging, index: int) -> None:
        """Set the merging of the block.

        Args:
            merging (TokenMerging): The merging of the model.
            index (int): Index of the block.
        """
        self.merging, self.index = merging, index
        change_class_(self.attn, MergingTimmAttention)
        self.attn.merging, self.attn.index = merging, index

    def forward(
        self, x: torch.Tensor, attn_mask: Optional[torch.Tensor] = None, **kwargs
    ) -> torch.Tensor:
        """Update and merge the tokens.

        Args:
            x (torch.Tensor): Shape (B, N, D).
            attn_mask (torch.Tensor, optional): Not supported.
            **kwargs: Not supported, as far as they are set.

        Returns:
            torch.Tensor: Shape (B, N - r, D).

        Raises:
            ValueError: If there is a mask.
        """
        if attn_mask is not None or any(kwargs.values()):
            raise ValueError('Token merging does not support masks of the attention.')
        x = x + self._residual('1', self.attn(self.norm1(x)))
        x = self.merging.merge(self.index, x)
        return x + self._residual('2', self.mlp(self.norm2(x)))

    def _residual(self, number: str, update: torch.Tensor) -> torch.Tensor:
        """Layer scale and stochastic depth, whose names differ among releases."""
        names = (f'ls{number}', f'drop_path{number}', 'drop_path')
        for module in (getattr(self, name, None) for name in names):
            if module is not None:
                update = module(update)
        return update


class MergingTimmAttention:
    """Mixin of the attention of timm's ViT."""

    merging: TokenMerging
    index: int
    attn_drop: nn.Dropout
    num_heads: int
    proj: nn.Module
    proj_drop: nn.Module
    qkv: nn.Module
    training: bool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend to all tokens, by their sizes.

        Args:
            x (torch.Tensor): Shape (B, N, D).

        Returns:
            torch.Tensor: Shape (B, N, D).
        """
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, -1))
        # (B, N, 3, heads, D / heads) -> three times (B, heads, N, D / heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        q, k = (
            getattr(self, name, nn.Identity())(x)
            for name, x in (('q_norm', q), ('k_norm', k))
        )
        dropout = self.attn_drop.p if self.training else 0.0
        x = self.merging.attend(self.index, q, k, v, dropout)
        return self.proj_drop(self.proj(x.transpose(1, 2).flatten(2)))


BLOCKS = (MergingEncoderLayer, MergingTimmBlock)
