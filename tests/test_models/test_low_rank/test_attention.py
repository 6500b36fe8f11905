"""Low-rank attention equals dense attention with the merged weights."""

import copy

import pytest
import torch
import torch.nn as nn

from mmvlfusion.models.low_rank import LowRankLinear, compress_, merge_
from mmvlfusion.models.low_rank.attention import LowRankMultiheadAttention

L, S, B, D, HEADS = 5, 7, 3, 24, 4


@pytest.fixture
def low_rank_and_dense():
    """Build a low-rank attention and its merged dense attention."""

    def make(**kwargs):
        torch.manual_seed(0)
        model = nn.ModuleList([nn.MultiheadAttention(D, HEADS, **kwargs)])
        nn.init.normal_(model[0].out_proj.weight, std=0.3)
        if model[0].in_proj_bias is not None:
            nn.init.normal_(model[0].in_proj_bias)
        compress_(model, 2.0)
        low = model[0]
        merged = copy.deepcopy(model)
        merge_(merged)
        assert type(low) is LowRankMultiheadAttention
        assert type(merged[0]) is nn.MultiheadAttention
        return low.eval(), merged[0].eval()

    return make


def assert_equal_outputs(low, dense, *args, **kwargs):
    ours, theirs = low(*args, **kwargs), dense(*args, **kwargs)
    torch.testing.assert_close(ours[0], theirs[0])
    if theirs[1] is None:
        assert ours[1] is None
    else:
        torch.testing.assert_close(ours[1], theirs[1])


@pytest.mark.parametrize('need_weights', [True, False])
@pytest.mark.parametrize('batch_first', [True, False])
@pytest.mark.parametrize('bias', [True, False])
def test_self_and_cross_attention_match_dense(
    low_rank_and_dense, batch_first, need_weights, bias
):
    low, dense = low_rank_and_dense(batch_first=batch_first, bias=bias)
    shape = (B, L, D) if batch_first else (L, B, D)
    x = torch.randn(shape)
    memory = torch.randn(B, S, D) if batch_first else torch.randn(S, B, D)
    assert_equal_outputs(low, dense, x, x, x, need_weights=need_weights)
    assert_equal_outputs(low, dense, x, x + 1, x, need_weights=need_weights)
    assert_equal_outputs(low, dense, x, memory, memory, need_weights=need_weights)
    assert_equal_outputs(
        low,
        dense,
        x,
        memory,
        memory + 1,
        need_weights=need_weights,
        average_attn_weights=False,
    )


@pytest.mark.parametrize('need_weights', [True, False])
def test_masked_attention_matches_dense(low_rank_and_dense, need_weights):
    low, dense = low_rank_and_dense(batch_first=True)
    x, memory = torch.randn(B, L, D), torch.randn(B, S, D)
    padding = torch.arange(S) >= torch.tensor([[7], [4], [2]])
    causal = torch.ones(L, S, dtype=torch.bool).triu(1)
    per_head = torch.rand(B * HEADS, L, S) < 0.3
    per_head[..., 0] = False
    for masks in (
        dict(key_padding_mask=padding),
        dict(attn_mask=causal),
        dict(attn_mask=per_head),
        dict(key_padding_mask=padding, attn_mask=causal),
        dict(attn_mask=torch.randn(L, S)),
        dict(
            key_padding_mask=torch.randn(B, S), attn_mask=torch.randn(B * HEADS, L, S)
        ),
    ):
        assert_equal_outputs(
            low, dense, x, memory, memory, need_weights=need_weights, **masks
        )


def test_unbatched_attention_matches_dense(low_rank_and_dense):
    low, dense = low_rank_and_dense()
    x, memory = torch.randn(L, D), torch.randn(S, D)
    padding = torch.arange(S) >= 5
    assert_equal_outputs(low, dense, x, memory, memory, key_padding_mask=padding)
    with pytest.raises(ValueError, match='is_causal needs attn_mask'):
        low(x, x, x, is_causal=True)


def test_gradients_follow_chain_rule(low_rank_and_dense):
    low, dense = low_rank_and_dense()
    x = torch.randn(L, B, D)
    low.train()(x, x, x)[0].square().sum().backward()
    assert all(p.grad is not None for p in low.parameters())
    dense.train()(x, x, x)[0].square().sum().backward()
    # The chain rule for weight = up @ down.
    torch.testing.assert_close(
        low.in_proj.up.grad,
        dense.in_proj_weight.grad @ low.in_proj.down.T,
        rtol=1e-4,
        atol=1e-4,
    )


def test_dropout_is_active_only_in_training(low_rank_and_dense):
    low, _ = low_rank_and_dense(dropout=0.9)
    x = torch.randn(L, B, D)
    assert torch.equal(low(x, x, x)[0], low(x, x, x)[0])
    low.train()
    assert not torch.equal(low(x, x, x)[0], low(x, x, x)[0])


def test_fast_path_of_encoder_layer_matches_slow_path(low_rank_and_dense):
    """The fast path of torch in evaluation mode reads the weights by name."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(D, HEADS, 32, batch_first=True)
    compress_(layer, 2.0)
    x = torch.randn(B, L, D)
    with torch.no_grad():
        fast = layer.eval()(x)
    torch.testing.assert_close(fast, layer(x), rtol=1e-4, atol=1e-5)


def test_dense_weights_are_factorized_on_load(low_rank_and_dense):
    low, dense = low_rank_and_dense()
    low.load_state_dict(dense.state_dict())
    torch.testing.assert_close(
        low.in_proj_weight, dense.in_proj_weight, rtol=1e-4, atol=1e-5
    )
    assert isinstance(low.out_proj, LowRankLinear)
    assert set(low.state_dict()) == {
        'in_proj.down',
        'in_proj.up',
        'in_proj_bias',
        'out_proj.down',
        'out_proj.up',
        'out_proj.bias',
    }


@pytest.mark.parametrize(
    'kwargs',
    [dict(kdim=8), dict(vdim=8), dict(add_bias_kv=True), dict(add_zero_attn=True)],
)
def test_unsupported_attention_keeps_dense_input_projection(kwargs):
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(D, HEADS, **kwargs)
    compress_(nn.ModuleList([attention]), 1.2)
    assert type(attention) is nn.MultiheadAttention
    assert isinstance(attention.out_proj, LowRankLinear)
    x = torch.randn(L, B, D)
    key = torch.randn(S, B, attention.kdim)
    value = torch.randn(S, B, attention.vdim)
    assert attention(x, key, value)[0].shape == (L, B, D)
