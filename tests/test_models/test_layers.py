"""The layers that the methods share."""
import pytest
import torch

from mmvlfusion.models.layers import (SelfAttention, SqueezeExcitation,
                                      TransformerBlock, resize_grid_tokens)


def test_attention_by_hand():
    torch.manual_seed(0)
    attention = SelfAttention(12, num_heads=3, qkv_bias=True)
    x = torch.randn(2, 5, 12)
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    heads = []
    for part in zip(q.split(4, -1), k.split(4, -1), v.split(4, -1)):
        weights = (part[0] @ part[1].transpose(1, 2) / 2).softmax(-1)
        heads.append(weights @ part[2])
    torch.testing.assert_close(
        attention(x), attention.proj(torch.cat(heads, -1)))


def test_attention_map():
    """The map mixes the values as the fused forward pass does."""
    torch.manual_seed(0)
    attention = SelfAttention(12, num_heads=3)
    x = torch.randn(2, 5, 12)
    v = attention.qkv(x)[..., 24:].unflatten(2, (3, 4)).transpose(1, 2)
    mixed = (attention.attention_map(x) @ v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention(x), attention.proj(mixed))


def test_attention_refuses_odd_heads():
    with pytest.raises(ValueError, match='embed_dims=10.*num_heads=4'):
        SelfAttention(10, 4)


def test_block_is_a_residual():
    block = TransformerBlock(8, 2)
    for layer in (block.attn.proj, block.ffn.layers[1]):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    x = torch.randn(2, 3, 8)
    torch.testing.assert_close(block(x), x)


def test_squeeze_excitation_uses_the_mean():
    torch.manual_seed(0)
    se = SqueezeExcitation(8)
    x = torch.randn(2, 5, 8)
    gate = se.gate(x.mean(1))
    torch.testing.assert_close(se(x), x * gate[:, None])
    assert se.gate[1].out_features == 2


def test_resize_grid_tokens():
    tokens = torch.randn(1, 1 + 6, 4)
    assert resize_grid_tokens(tokens, (2, 3), (2, 3), 1) is tokens
    out = resize_grid_tokens(tokens, (2, 3), (4, 6), 1)
    assert out.shape == (1, 25, 4)
    assert torch.equal(out[:, 0], tokens[:, 0])
    constant = resize_grid_tokens(torch.ones(1, 6, 4), (2, 3), (5, 7))
    torch.testing.assert_close(constant, torch.ones(1, 35, 4))
