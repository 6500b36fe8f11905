"""Embeddings of TNT: pixels to words, and words to sentences.

Notation of shapes:

    ====  =============================================
    B     batch size
    N     patches of an image
    m     words of a patch
    c     channels of a word
    d     channels of a sentence
    C     channels of an image
    H W   height and width of an image in pixels
    ====  =============================================
"""

import math

import torch
import torch.nn as nn
from mmcv.cnn import build_norm_layer


class WordEmbed(nn.Module):
    """Split an image into patches ("sentences") and embed their words.

    Args:
        in_channels (int): Channels C of the image.
        embed_dims (int): Channels c of a word.
        patch_size (int): Side of a patch in pixels.
        word_size (int): Side of a word in pixels.
        per_patch (bool): Whether the 7 x 7 convolution runs on each patch
            separately (the official variant) or on the entire image (the legacy
            variant).
    """

    def __init__(
        self,
        in_channels: int,
        embed_dims: int,
        patch_size: int,
        word_size: int,
        per_patch: bool,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.words_per_side = math.ceil(patch_size / word_size)
        self.per_patch = per_patch
        self.projection = nn.Conv2d(
            in_channels, embed_dims, kernel_size=7, stride=word_size, padding=3
        )

    @staticmethod
    def _split(x: torch.Tensor, size: int) -> torch.Tensor:
        """Split (B, C, h * size, w * size) into (B * h * w, size, size, C)."""
        # (B, C, h * size, w * size) -> (B, C, h, size, w, size)
        x = x.unflatten(3, (-1, size)).unflatten(2, (-1, size))
        return x.permute(0, 2, 4, 3, 5, 1).flatten(0, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed the words of images.

        Args:
            x (torch.Tensor): Images, (B, C, H, W). H and W must be multiples of
                ``patch_size``.

        Returns:
            torch.Tensor: Words, (B * N, m, c).
        """
        if self.per_patch:
            # The patches are channels-last in memory, so the convolution
            # returns channels-last words and the second permutation is free.
            x = self._split(x, self.patch_size).permute(0, 3, 1, 2)
            x = self.projection(x).permute(0, 2, 3, 1)
        else:
            x = self._split(self.projection(x), self.words_per_side)
        return x.flatten(1, 2)


class WordsToSentence(nn.Module):
    """Project the words of each patch to a sentence (TNT, Eq. 5 and 8).

    Args:
        num_words (int): Words m of a patch.
        word_dims (int): Channels c of a word.
        embed_dims (int): Channels d of a sentence.
        joint_norm (bool): Whether to normalise the m * c channels of a patch
            jointly. If False, each word is normalised separately.
        bias (bool): Whether the projection has a bias.
        out_norm (bool): Whether to normalise the sentence.
        norm_cfg (dict): Config of the norm layers.
    """

    def __init__(
        self,
        num_words: int,
        word_dims: int,
        embed_dims: int,
        joint_norm: bool,
        bias: bool,
        out_norm: bool,
        norm_cfg: dict,
    ) -> None:
        super().__init__()
        dims = num_words * word_dims
        self.joint_norm = joint_norm
        self.norm1 = build_norm_layer(norm_cfg, dims if joint_norm else word_dims)[1]
        self.proj = nn.Linear(dims, embed_dims, bias=bias)
        self.norm2 = build_norm_layer(norm_cfg, embed_dims)[1] if out_norm else None

    def forward(self, words: torch.Tensor, batch: int) -> torch.Tensor:
        """Project words to sentences.

        Args:
            words (torch.Tensor): Shape (B * N, m, c).
            batch (int): Batch size B.

        Returns:
            torch.Tensor: Shape (B, N, d).
        """
        if self.joint_norm:
            x = self.norm1(words.flatten(1))
        else:
            x = self.norm1(words).flatten(1)
        x = self.proj(x).unflatten(0, (batch, -1))
        return x if self.norm2 is None else self.norm2(x)
