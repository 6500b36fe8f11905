"""Attention of TNT: all implementations agree."""

import copy

import pytest
import torch

from mmvlfusion.models.backbones.tnt.attention import TNTAttention
from mmvlfusion.models.backbones.tnt.squeeze_excitation import SqueezeExcitation
from mmvlfusion.models.layers import SelfAttention
from mmvlfusion.models.low_rank import compress_


@pytest.mark.parametrize('qkv_bias', [False, True])
@pytest.mark.parametrize('backend', [None, 'aot_eager'])
def test_short_sequences_match_self_attention(backend, qkv_bias):
    torch.manual_seed(0)
    words = TNTAttention(24, num_heads=4, qkv_bias=qkv_bias, short_sequences=True)
    plain = SelfAttention(24, num_heads=4, qkv_bias=qkv_bias)
    plain.load_state_dict(words.state_dict())
    attend = words
    if backend is not None:
        torch._dynamo.reset()
        attend = torch.compile(words, fullgraph=True, backend=backend)
    x = torch.randn(7, 16, 24)
    for out, expected in zip(
        output_and_gradients(attend, words, x), output_and_gradients(plain, plain, x)
    ):
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    # Scores beyond the range of an exponential function.
    assert attend(300 * x).isfinite().all()

    mask = torch.arange(16).expand(7, 16) < 9
    torch.testing.assert_close(attend(x, mask), plain(x, mask))
    torch.testing.assert_close(attend(x, num_queries=2), plain(x)[:, :2])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = attend(x)
    assert out.dtype == torch.bfloat16
    expected = plain(x)
    assert (out - expected).abs().max() < 0.02 * expected.abs().max()


def output_and_gradients(forward, module, x):
    """Return the output and the gradients of the parameters."""
    out = forward(x)
    out.sin().sum().backward()
    return [out, *(p.grad for _, p in sorted(module.named_parameters()))]


@pytest.mark.parametrize('linear', ['plain', 'low-rank'])
@pytest.mark.parametrize('qkv_bias', [True, False])
def test_few_queries_match_all_queries(qkv_bias, linear):
    """Dense layers are applied by their weights, and low-rank layers are called."""
    torch.manual_seed(0)
    attention = TNTAttention(12, num_heads=3, qkv_bias=qkv_bias)
    if qkv_bias:
        torch.nn.init.normal_(attention.qkv.bias)
    if linear == 'low-rank':
        compress_(attention, 2.0, exclude=['proj'])
    plain = copy.deepcopy(attention)
    x = torch.randn(2, 5, 12)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    few = output_and_gradients(
        lambda x: attention(x, mask, num_queries=2), attention, x
    )
    full = output_and_gradients(lambda x: plain(x, mask)[:, :2], plain, x)
    torch.testing.assert_close(few, full, rtol=1e-4, atol=1e-5)


def test_squeeze_excitation_gates_by_mean_token():
    torch.manual_seed(0)
    se = SqueezeExcitation(8)
    x = torch.randn(2, 5, 8)
    gate = se.gate(x.mean(1))
    torch.testing.assert_close(se(x), x * gate[:, None])
    assert se.gate[1].out_features == 2
