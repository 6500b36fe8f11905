"""Layers that are shared by the methods."""

import pytest
import torch
from timm.layers import resample_abs_pos_embed

from mmvlfusion.models.layers import (
    SelfAttention,
    TransformerBlock,
    grid_positions,
    resize_grid_tokens,
)


def test_attention_matches_manual_computation():
    torch.manual_seed(0)
    attention = SelfAttention(12, num_heads=3, qkv_bias=True)
    x = torch.randn(2, 5, 12)
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    heads = []
    for part in zip(q.split(4, -1), k.split(4, -1), v.split(4, -1)):
        weights = (part[0] @ part[1].transpose(1, 2) / 2).softmax(-1)
        heads.append(weights @ part[2])
    torch.testing.assert_close(attention(x), attention.proj(torch.cat(heads, -1)))


def test_attention_map_matches_fused_attention():
    """Weighting the values by the map gives the output of the forward pass."""
    torch.manual_seed(0)
    attention = SelfAttention(12, num_heads=3)
    x = torch.randn(2, 5, 12)
    v = attention.qkv(x)[..., 24:].unflatten(2, (3, 4)).transpose(1, 2)
    mixed = (attention.attention_map(x) @ v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention(x), attention.proj(mixed))


def test_attention_rejects_indivisible_heads():
    with pytest.raises(ValueError, match='embed_dims=10.*num_heads=4'):
        SelfAttention(10, 4)


def test_block_with_zero_weights_is_identity():
    block = TransformerBlock(8, 2)
    for layer in (block.attn.proj, block.ffn.layers[1]):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    x = torch.randn(2, 3, 8)
    torch.testing.assert_close(block(x), x)


def test_resize_grid_tokens_keeps_class_token():
    tokens = torch.randn(1, 1 + 6, 4)
    assert resize_grid_tokens(tokens, (2, 3), (2, 3), 1) is tokens
    out = resize_grid_tokens(tokens, (2, 3), (4, 6), 1)
    assert out.shape == (1, 25, 4)
    assert torch.equal(out[:, 0], tokens[:, 0])
    constant = resize_grid_tokens(torch.ones(1, 6, 4), (2, 3), (5, 7))
    torch.testing.assert_close(constant, torch.ones(1, 35, 4))


@pytest.mark.parametrize(
    'src, dst', [((4, 4), (7, 7)), ((4, 4), (3, 5)), ((3, 6), (6, 4))]
)
def test_resized_positions_match_timm(src, dst):
    torch.manual_seed(0)
    tokens = torch.randn(1, 1 + src[0] * src[1], 8)
    expected = resample_abs_pos_embed(
        tokens, dst, src, num_prefix_tokens=1, antialias=False
    )
    torch.testing.assert_close(resize_grid_tokens(tokens, src, dst, 1), expected)


def test_grid_positions_encode_rows_and_columns():
    positions = grid_positions((2, 4), 10)
    assert positions.shape == (8, 10)
    assert not positions[:, 8:].any()  # 10 channels are not divisible by 4.
    cells = positions[:, :8].unflatten(0, (2, 4))
    # The first half depends on the row, the second on the column.
    assert torch.equal(cells[:, :1, :4].expand(-1, 4, -1), cells[..., :4])
    assert torch.equal(cells[:1, :, 4:].expand(2, -1, -1), cells[..., 4:])
    # Row 0 of 2 is centred at 1/4 of the height: half a turn at wavelength 4
    # sides, and four turns at a quarter of a side.
    angles = torch.tensor([0.25 * 0.5, 0.25 * 8]) * torch.pi
    expected = torch.cat([angles.sin(), angles.cos()])
    torch.testing.assert_close(cells[0, 0, :4], expected)
    # Cells at the same relative place agree on grids of all sizes.
    torch.testing.assert_close(
        grid_positions((1, 1), 8), grid_positions((3, 3), 8)[4:5]
    )
