"""State-space duality: matmuls equal a loop over the tokens and Mamba-2."""

import copy

import pytest
import torch

from mmvlfusion.analysis.complexity import measure
from mmvlfusion.models.backbones.state_space.mixer import (
    StateSpaceMixer,
    causal_ssd,
    non_causal_ssd,
)

GRID = (3, 4)
MODES = StateSpaceMixer.MODES


def make_inputs(num_tokens=13, dtype=torch.float64):
    """Make values, step sizes, decay rates and both maps of three heads."""
    torch.manual_seed(0)
    values = torch.randn(2, num_tokens, 3, 5, dtype=dtype)
    step = torch.rand(2, num_tokens, 3, dtype=dtype)
    rate = 4 * torch.rand(3, dtype=dtype)
    b, c = torch.randn(2, 2, num_tokens, 6, dtype=dtype)
    return values, step, rate, b, c


def build(mode, **kwargs):
    torch.manual_seed(0)
    mixer = StateSpaceMixer(12, 3, state_dims=6, mode=mode, **kwargs)
    for parameter in mixer.parameters():
        torch.nn.init.normal_(parameter, mean=0.05, std=0.3)
    return mixer


def test_non_causal_mixing_matches_a_loop():
    values, step, rate, b, c = make_inputs()
    out = non_causal_ssd(values, step * rate, b, c)
    for image in range(2):
        for head in range(3):
            state = torch.zeros(6, 5, dtype=torch.float64)
            for n in range(13):
                weight = step[image, n, head] * rate[head]
                state += weight * torch.outer(b[image, n], values[image, n, head])
            for n in range(13):
                torch.testing.assert_close(out[image, n, head], c[image, n] @ state)


@pytest.mark.parametrize('chunk_size', [1, 4, 5, 12, 13, 256])
def test_causal_mixing_matches_a_loop(chunk_size):
    values, step, rate, b, c = make_inputs()
    out = causal_ssd(values, step, rate, b, c, chunk_size)
    assert out.shape == values.shape
    for image in range(2):
        for head in range(3):
            state = torch.zeros(6, 5, dtype=torch.float64)
            for n in range(13):
                size = step[image, n, head]
                state = (-rate[head] * size).exp() * state
                state += size * torch.outer(b[image, n], values[image, n, head])
                torch.testing.assert_close(out[image, n, head], c[image, n] @ state)


@pytest.mark.parametrize('chunk_size', [4, 256])
def test_causal_mixer_matches_mamba2(chunk_size):
    """Outputs and gradients equal those of transformers with the same weights."""
    from transformers import Mamba2Config
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

    config = Mamba2Config(
        hidden_size=12,
        num_heads=3,
        head_dim=8,
        state_size=6,
        n_groups=1,
        chunk_size=4,
        vocab_size=5,
        num_hidden_layers=1,
    )
    mixer = build('causal', chunk_size=chunk_size)
    peer = Mamba2Mixer(config, layer_idx=0)
    names = dict(A_log='log_rate', D='skip', dt_bias='step_bias', conv1d='conv')
    own = mixer.state_dict()
    weights = {}
    for name in peer.state_dict():
        first, _, rest = name.partition('.')
        key = names.get(first, first)
        weights[name] = own[f'{key}.{rest}' if rest else key]
    assert len(weights) == len(own)
    peer.load_state_dict(weights)

    x = torch.randn(2, 13, 12)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outs = [mixer(inputs[0]), peer.torch_forward(inputs[1])]
    torch.testing.assert_close(outs[0], outs[1], rtol=1e-4, atol=1e-5)
    for out in outs:
        out.sin().sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-4, atol=1e-5)


def test_non_causal_mixer_has_no_order():
    """The map can be reflected, and extra tokens exchanged."""
    mixer = build('non_causal').eval()
    kernels = mixer.conv.weight.data
    kernels.copy_((kernels + kernels.flip(3)) / 2)
    x = torch.randn(2, 14, 12)
    out = mixer(x, GRID)
    order = torch.arange(12).view(GRID).flip(1).flatten()
    order = torch.cat([order, torch.tensor([13, 12])])
    torch.testing.assert_close(mixer(x[:, order], GRID), out[:, order])


def test_causal_mixer_reads_earlier_tokens_only():
    mixer = build('causal', chunk_size=4).eval()
    x = torch.randn(1, 12, 12)
    changed = x.clone()
    changed[:, 7:] += 1
    out, other = mixer(x), mixer(changed)
    torch.testing.assert_close(out[:, :7], other[:, :7])
    assert ((out - other)[:, 7:].abs().amax(dim=2) > 1e-3).all()


def test_strong_decay_has_finite_gradients():
    """Decays that vanish in float32 leave no infinite or undefined gradients."""
    values, step, rate, b, c = make_inputs(dtype=torch.float32)
    inputs = [values, 1e4 * step, rate, b, c]
    for tensor in inputs:
        tensor.requires_grad_()
    inputs[1].retain_grad()
    causal_ssd(*inputs, 4).sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in inputs)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_mixed_precision_is_close_to_full_precision(mode, dtype):
    mixer = build(mode).eval()
    x = torch.randn(2, 13, 12)
    with torch.no_grad():
        out = mixer(x, GRID)
        with torch.autocast('cpu', dtype=dtype):
            mixed = mixer(x, GRID)
    assert mixed.dtype == dtype
    assert (mixed.float() - out).abs().max() < 0.03 * out.abs().max()


def test_sum_over_tokens_does_not_overflow_in_float16():
    values, b, c = torch.full((3, 1, 4096, 1), 8.0, dtype=torch.float16)
    out = non_causal_ssd(values.unsqueeze(3), torch.ones(1, 4096, 1), b, c)
    torch.testing.assert_close(out, torch.full_like(out, 8.0**3 * 4096))


def test_model_in_bfloat16_runs():
    for mode in MODES:
        mixer = build(mode).bfloat16()
        assert mixer(torch.randn(2, 12, 12).bfloat16(), GRID).dtype == torch.bfloat16


@pytest.mark.parametrize('mode', MODES)
def test_compiled_and_exported_mixers_match_eager(mode):
    mixer = build(mode, chunk_size=4).eval()
    x = torch.randn(3, 13, 12)
    out = mixer(x, GRID)
    torch._dynamo.reset()
    compiled = torch.compile(copy.deepcopy(mixer), fullgraph=True, backend='eager')
    torch.testing.assert_close(compiled(x, GRID), out)
    exported = torch.export.export(
        mixer,
        (x[:2], GRID),
        dynamic_shapes=({0: torch.export.Dim('batch')}, (None, None)),
    ).module()
    torch.testing.assert_close(exported(x, GRID), out)


@pytest.mark.parametrize('expand, macs', [(1, 548_000), (2, 1_045_000)])
def test_cost_of_a_token(expand, macs):
    """3 e d^2 + d (2 S + h) + 9 (e d + 2 S) + 2 S e d, for d = 384 and S = 64."""
    dims = 384
    mixer = StateSpaceMixer(dims, expand * dims // 64, expand=expand)
    counts = measure(mixer, lambda: mixer(torch.zeros(1, 196, dims), (14, 14)))
    inner, heads = expand * dims, expand * dims // 64
    weights = 3 * expand * dims**2 + dims * (128 + heads) + 9 * (inner + 128)
    assert counts.weight_macs == 196 * weights
    assert counts.attention_macs == 196 * 2 * 64 * inner
    per_token = counts.operations('macs') / 196
    assert per_token == pytest.approx(macs, rel=1e-3)


@pytest.mark.parametrize('mode', MODES)
def test_mixer_runs_on_the_meta_device(mode):
    with torch.device('meta'):
        mixer = StateSpaceMixer(12, 3, mode=mode, chunk_size=4)
        assert mixer(torch.zeros(2, 13, 12), GRID).shape == (2, 13, 12)


def test_initial_steps_and_rates_are_in_range():
    torch.manual_seed(0)
    mixer = StateSpaceMixer(64, 128)
    step = torch.nn.functional.softplus(mixer.step_bias)
    rate = mixer.log_rate.exp()
    assert step.min() >= 1e-3 * 0.999 and step.max() <= 0.1 * 1.001
    assert step.log().mean().item() == pytest.approx(-4.6, abs=0.3)
    assert rate.min() >= 1 and rate.max() <= 16 and rate.mean() > 6
    assert (mixer.skip == 1).all()


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(num_heads=5), '24 inner channels .* not divisible by num_heads=5'),
        (dict(num_heads=0), 'num_heads=0 must be an integer of at least 1'),
        (dict(state_dims=0), 'state_dims=0 must be an integer of at least 1'),
        (dict(chunk_size=0), 'chunk_size=0 must be an integer of at least 1'),
        (dict(expand=1.3), 'expand=1.3 .* not an integer'),
        (dict(expand=0), 'expand=0 must be a number above 0'),
        (dict(mode='scan'), "mode='scan' is not one of"),
    ],
)
def test_rejects_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        StateSpaceMixer(**{'embed_dims': 12, 'num_heads': 3, **kwargs})


@pytest.mark.parametrize('grid', [None, (4, 4)])
def test_rejects_tokens_without_a_map(grid):
    with pytest.raises(ValueError, match='does not fit 12 tokens'):
        build('non_causal')(torch.zeros(1, 12, 12), grid)
