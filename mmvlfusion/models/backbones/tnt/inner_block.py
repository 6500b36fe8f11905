"""The inner block of TNT as one kernel, and where this kernel runs."""

from types import ModuleType
from typing import Optional

import torch
import torch.nn as nn

from mmvlfusion.utils.checks import require

from ...layers import TransformerBlock

BACKENDS = ('pytorch', 'triton')
KERNEL_TYPES = (torch.float32, torch.bfloat16, torch.float16)
KERNEL_WORDS = 16
MAX_CHANNELS = 64
ADVICE = "set inner_backend='pytorch'"


def load_kernel() -> ModuleType:
    """Import the kernel, which registers its operator.

    Returns:
        ModuleType: The module ``inner_kernel``.

    Raises:
        ImportError: If PyTorch is too old or Triton is missing.
    """
    if not hasattr(torch.library, 'custom_op'):
        raise ImportError(
            f"inner_backend='triton' needs PyTorch 2.4 or later, found "
            f'{torch.__version__}: {ADVICE}.'
        )
    require('triton')
    from . import inner_kernel

    return inner_kernel


class FusedInnerBlock(TransformerBlock):
    """A transformer block that runs as one Triton kernel.

    Parameters and outputs equal a ``TransformerBlock``'s; matmuls follow
    autocast, and everything else is computed in float32. The input has the words of
    each patch, (B * N, 16, c).

    It runs on GPUs, and on a CPU in processes that start with
    ``TRITON_INTERPRET=1`` in their environment, which is slow and for tests only.

    Args:
        embed_dims (int): Channels c of a word.
        num_heads (int): Number of attention heads.
        num_words (int): Words m of a patch.
        **kwargs: See ``TransformerBlock``. Dropout is not supported.

    Raises:
        ImportError: See ``load_kernel``.
        ValueError: If the kernel does not support the layout of the block.
    """

    def __init__(
        self, embed_dims: int, num_heads: int, num_words: int, **kwargs
    ) -> None:
        super().__init__(embed_dims, num_heads, **kwargs)
        found = [
            (num_words == KERNEL_WORDS, f'{num_words} words of a patch'),
            (embed_dims <= MAX_CHANNELS, f'{embed_dims} channels of a word'),
            (not kwargs.get('drop_rate'), f'drop_rate={kwargs.get("drop_rate")}'),
            (type(self.norm1) is nn.LayerNorm, f'norm {type(self.norm1).__name__}'),
        ]
        for is_supported, name in found:
            if not is_supported:
                raise ValueError(
                    f"inner_backend='triton' does not support {name}, expected "
                    f'{KERNEL_WORDS} words of a patch, at most {MAX_CHANNELS} '
                    f'channels of a word, layer norms and no dropout: {ADVICE}.'
                )
        self.is_interpreted = load_kernel().IS_INTERPRETED

    def forward(
        self, x: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Update the words.

        Args:
            x (torch.Tensor): Shape (B * N, m, c).
            mask (torch.Tensor, optional): Not supported. Defaults to None.

        Returns:
            torch.Tensor: Shape (B * N, m, c).

        Raises:
            ValueError: If the kernel does not support the input or the layers.
        """
        self._check(x, mask)
        first, last = self.ffn.layers[0][0], self.ffn.layers[1]
        parameters = (
            self.norm1.weight,
            self.norm1.bias,
            self.attn.qkv.weight,
            self.attn.proj.weight,
            self.attn.proj.bias,
            self.norm2.weight,
            self.norm2.bias,
            first.weight,
            first.bias,
            last.weight,
            last.bias,
        )
        device = x.device.type
        is_mixed = torch.is_autocast_enabled(device)
        return torch.ops.mmvlfusion.tnt_inner_block(
            x,
            torch.cat([parameter.flatten() for parameter in parameters]),
            self._branch_scales(x),
            self.attn.num_heads,
            first.out_features,
            self.norm1.eps,
            torch.get_autocast_dtype(device) if is_mixed else x.dtype,
        )

    def _check(self, x: torch.Tensor, mask: Optional[torch.Tensor]) -> None:
        layers = (
            self.attn.qkv,
            self.attn.proj,
            self.ffn.layers[0][0],
            self.ffn.layers[1],
        )
        other = [
            type(layer).__name__ for layer in layers if not isinstance(layer, nn.Linear)
        ]
        problem = None
        if x.device.type != 'cuda' and not (
            x.device.type == 'cpu' and self.is_interpreted
        ):
            problem = (
                f'tensors on {x.device.type!r}, expected a GPU, or a CPU with '
                'TRITON_INTERPRET=1 in the environment'
            )
        elif x.dtype not in KERNEL_TYPES:
            problem = f'{x.dtype}, expected one of {KERNEL_TYPES}'
        elif mask is not None:
            problem = 'a mask of words'
        elif other or self.attn.qkv.bias is not None:
            problem = (
                f'the layers {other or "with a bias of query, key and value"}, '
                'expected linear layers, without that bias'
            )
        if problem:
            raise ValueError(
                f"inner_backend='triton' does not support {problem}: {ADVICE}."
            )

    def _branch_scales(self, x: torch.Tensor) -> Optional[torch.Tensor]:
        """Factors (2, B * N) of both residual branches under stochastic depth."""
        if not (self.training and self.drop_path.drop_prob):
            return None
        ones = x.new_ones(len(x), 1, 1)
        scales = [self.drop_path(ones), self.drop_path(ones)]
        return torch.stack(scales).flatten(1).float()
