"""The layers that the methods share."""
import copy

import pytest
import torch

from mmvlfusion.models.layers import (SelfAttention, SqueezeExcitation,
                                      TransformerBlock, WordAttention,
                                      resize_grid_tokens)


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


@pytest.mark.parametrize('qkv_bias', [False, True])
@pytest.mark.parametrize('backend', [None, 'aot_eager'])
def test_word_attention_is_self_attention(backend, qkv_bias):
    torch.manual_seed(0)
    words = WordAttention(24, num_heads=4, qkv_bias=qkv_bias)
    plain = SelfAttention(24, num_heads=4, qkv_bias=qkv_bias)
    plain.load_state_dict(words.state_dict())
    attend = words
    if backend is not None:
        torch._dynamo.reset()
        attend = torch.compile(words, fullgraph=True, backend=backend)
    x = torch.randn(7, 16, 24)
    for out, expected in zip(
            gradients_of(attend, words, x), gradients_of(plain, plain, x)):
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    # Scores beyond the range of an exponential function.
    assert attend(300 * x).isfinite().all()

    mask = torch.arange(16).expand(7, 16) < 9
    torch.testing.assert_close(attend(x, mask), plain(x, mask))
    torch.testing.assert_close(
        attend(x, num_queries=2), plain(x, num_queries=2))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = attend(x)
    assert out.dtype == torch.bfloat16
    expected = plain(x)
    assert (out - expected).abs().max() < .02 * expected.abs().max()


def gradients_of(forward, module, x):
    """The output and the gradients of the parameters."""
    out = forward(x)
    out.sin().sum().backward()
    return [out, *(p.grad for _, p in sorted(module.named_parameters()))]


@pytest.mark.parametrize('norm_first', [True, False])
@pytest.mark.parametrize('qkv_bias', [True, False])
def test_chosen_queries(norm_first, qkv_bias):
    """The first tokens are updated as they are among all."""
    torch.manual_seed(0)
    block = TransformerBlock(
        12, num_heads=3, norm_first=norm_first, qkv_bias=qkv_bias)
    if qkv_bias:
        torch.nn.init.normal_(block.attn.qkv.bias)
    plain = copy.deepcopy(block)
    x = torch.randn(2, 5, 12)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    few = gradients_of(lambda x: block(x, mask, num_queries=2), block, x)
    full = gradients_of(lambda x: plain(x, mask)[:, :2], plain, x)
    torch.testing.assert_close(few, full, rtol=1e-4, atol=1e-5)


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
