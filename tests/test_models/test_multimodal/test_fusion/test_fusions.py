"""Common behaviour of all fusions, and the equations of JAR and mPLUG."""

import pytest
import torch
import transformers
from mmengine.registry import MODELS

from mmvlfusion.models.multimodal.fusion import FusionOutput

from ....helpers import needs_full_graph

B, L, M, D, C = 2, 5, 9, 24, 16
SMALL = dict(embed_dims=D, image_channels=C, num_heads=3, num_layers=4)
LATENTS = dict(num_latents=6, num_iterations=2)
CASES = {
    'albef': dict(type='AlbefFusion', project_image=True, ffn_ratio=3.0),
    'joint': dict(type='JointAdaptiveFusion', **LATENTS),
    'joint, spatial': dict(type='JointAdaptiveFusion', resampler='spatial', **LATENTS),
    'joint, residual': dict(
        type='JointAdaptiveFusion', combination='residual', **LATENTS
    ),
    'joint, none': dict(type='JointAdaptiveFusion', combination='none', **LATENTS),
    'joint, no gates': dict(type='JointAdaptiveFusion', gated=False, **LATENTS),
    'skip-connected': dict(type='SkipConnectedFusion', stride=1),
    'skip-connected, released': dict(
        type='SkipConnectedFusion', stride=2, schedule='released'
    ),
    'concatenation': dict(type='ConcatFusion'),
    'cross-attention': dict(type='CrossAttentionFusion'),
    'perceiver': dict(type='PerceiverFusion', **LATENTS),
    'co-tokenization': dict(type='CoTokenizationFusion', **LATENTS),
}
TEXT_ONLY = dict(type='TextOnlyFusion')


def build(name, **kwargs):
    torch.manual_seed(0)
    cfg = {**CASES.get(name, TEXT_ONLY), **SMALL, **kwargs}
    cfg['type'] = f'mmvlfusion.{cfg["type"]}'
    fusion = MODELS.build(cfg)
    fusion.init_weights()
    for p in fusion.parameters():  # Initial gates are 0 and initial weights small.
        torch.nn.init.normal_(p, std=0.2)
    return fusion


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    return torch.randn(B, L, D), torch.randn(B, M, C)


@pytest.mark.parametrize('name', CASES)
def test_contract_of_outputs_and_gradients(name, inputs):
    fusion = build(name).train()
    out = fusion(*inputs)
    assert isinstance(out, FusionOutput)
    assert out.tokens.shape[::2] == (B, D)
    assert out.mask.shape == out.tokens.shape[:2]
    assert out.mask.dtype == torch.bool and out.mask.all()
    length = {
        'albef': L,
        'concatenation': L + M,
        'cross-attention': L,
        'skip-connected': L + M,
        'skip-connected, released': L + M,
        'co-tokenization': L + 6,
    }.get(name, 6)
    assert out.tokens.shape[1] == length
    has_only_latents = name.startswith('joint') or name == 'perceiver'
    assert (out.text is None) == has_only_latents
    if out.text is not None:
        assert out.text.shape == (B, L, D)
    if out.image is not None:
        assert out.image.shape == (B, M, D)
    out.tokens.square().sum().backward()
    assert [n for n, p in fusion.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize('name', CASES)
def test_padding_does_not_change_output(name, inputs):
    """Padding to longer texts and larger images does not change a sample."""
    fusion = build(name).eval()
    text, image = inputs
    text_mask = torch.ones(B, L + 3, dtype=torch.bool)
    image_mask = torch.ones(B, M + 4, dtype=torch.bool)
    text_mask[:, L:] = image_mask[:, M:] = False
    padded = fusion(
        torch.cat([text, 9 * torch.randn(B, 3, D)], dim=1),
        torch.cat([image, 9 * torch.randn(B, 4, C)], dim=1),
        text_mask,
        image_mask,
    )
    plain = fusion(text, image)
    torch.testing.assert_close(
        padded.tokens[padded.mask], plain.tokens[plain.mask], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize('name', CASES)
def test_output_depends_on_both_modalities(name, inputs):
    fusion = build(name).eval()
    with torch.no_grad():
        for p in fusion.parameters():  # Let each latent attend to other tokens.
            p.mul_(3)
    text, image = inputs
    before = fusion(text, image).tokens
    for changed in ((text.flip(2), image), (text, image.flip(2))):
        assert (fusion(*changed).tokens - before).abs().max() > 1e-3


@pytest.mark.parametrize('name', CASES)
def test_checkpointing_and_bf16_are_close_to_eager(name, inputs):
    fusion = build(name).train()
    plain = fusion(*inputs).tokens
    weights = list(fusion.parameters())
    grads = torch.autograd.grad(plain.square().sum(), weights, allow_unused=True)
    fusion.with_cp = True
    again = fusion(*inputs).tokens
    torch.testing.assert_close(again, plain)
    torch.testing.assert_close(
        torch.autograd.grad(again.square().sum(), weights, allow_unused=True), grads
    )
    fusion.eval()
    with torch.autocast('cpu', torch.bfloat16):
        half = fusion(*inputs).tokens
    torch.testing.assert_close(half.float(), plain, rtol=0.1, atol=0.2)


@needs_full_graph
@pytest.mark.parametrize('name', CASES)
def test_compiled_tokens_match_eager(name, inputs):
    fusion = build(name).eval()
    torch._dynamo.reset()  # All fusions share the cache of forward().
    compiled = torch.compile(fusion, fullgraph=True, backend='aot_eager')
    torch.testing.assert_close(
        compiled(*inputs).tokens, fusion(*inputs).tokens, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize('name', CASES)
def test_shared_image_matches_repeated_image(name, inputs):
    fusion = build(name).eval()
    text, image = inputs
    mask = torch.rand(B, M) > 0.3
    mask[:, 0] = True
    index = torch.tensor([1, 0, 1])
    shared = fusion(text[index], image, None, mask, index).tokens
    repeated = fusion(text[index], image[index], None, mask[index]).tokens
    torch.testing.assert_close(shared, repeated)


def test_text_only_fusion_ignores_padding(inputs):
    fusion = build('text only').train()
    text, _ = inputs
    out = fusion(text, text_mask=torch.ones(B, L, dtype=torch.bool))
    assert out.tokens.shape == text.shape
    out.tokens.square().sum().backward()
    assert [n for n, p in fusion.named_parameters() if p.grad is None] == []
    padded = torch.cat([text, torch.randn(B, 2, D)], dim=1)
    mask = torch.arange(L + 2).expand(B, -1) < L
    torch.testing.assert_close(
        fusion(padded, text_mask=mask).tokens[:, :L], fusion(text).tokens
    )


def test_jar_matches_equations(inputs):
    """Compute Eq. 1 to 4 step by step for two iterations."""
    fusion = build('joint', num_layers=2).eval()
    text, image = inputs
    image = fusion.image_norm(fusion.image_proj(image))
    t, f = (
        resampler.proj(resampler.attn(resampler.latents.expand(B, -1, -1), x))
        for resampler, x in (
            (fusion.text_resampler, text),
            (fusion.image_resampler, image),
        )
    )
    query = t
    for join, (layer,) in zip(fusion.joins, fusion.stages):
        normed = join.norm_text(query)
        p = normed + join.attn_gate.tanh() * join.attn(normed, join.norm_image(f))
        joined = p + join.ffn_gate.tanh() * join.ffn(p)
        tokens = layer(joined)
        query = tokens + t
    torch.testing.assert_close(
        fusion(*inputs).tokens, fusion.norm(tokens), rtol=1e-4, atol=1e-5
    )


def test_skip_connection_matches_equations(inputs):
    """Asymmetric layers do not change the image. Connected layers add to it."""
    fusion = build('skip-connected', num_layers=4).eval()
    text, image = inputs
    image = fusion.image_norm(fusion.image_proj(image))
    for number, layer in enumerate(fusion.layers):
        if number % 2 == 0:
            text = layer.norm1(text + layer.attn(text))
            text = layer.norm_cross(text + layer.cross_attn(text, image))
            text = layer.norm2(text + layer.ffn(text))
        else:
            both = torch.cat([image, text], dim=1)
            both = layer.norm1(both + layer.attn(both))
            both = layer.norm2(both + layer.ffn(both))
            image, text = image + both[:, :M], both[:, M:]
    out = fusion(*inputs)
    torch.testing.assert_close(out.text, text, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out.image, image, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        out.tokens, torch.cat([text, image], dim=1), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize('name', ['skip-connected', 'concatenation'])
def test_text_precedes_image_in_tokens(name, inputs):
    fusion = build(name).eval()
    text_mask = torch.arange(L).expand(B, -1) < L - 1
    image_mask = torch.arange(M).expand(B, -1) < M - 2
    out = fusion(*inputs, text_mask, image_mask)
    assert torch.equal(out.mask, torch.cat([text_mask, image_mask], dim=1))
    torch.testing.assert_close(out.tokens, torch.cat([out.text, out.image], dim=1))


def waves(step, *shape):
    """Make fixed values without a random generator."""
    places = torch.arange(1, 1 + torch.Size(shape).numel()).double()
    return torch.sin(step * places).view(shape)


@pytest.mark.parametrize(
    'schedule, stride, text, image',
    [
        (
            'paper',
            1,
            [-0.207569, 0.141233, -0.225792, -0.348496],
            [0.274528, 0.205136, -0.648841, -0.620721],
        ),
        (
            'released',
            2,
            [-0.054784, 0.408104, -0.768762, 0.187018],
            [1.495033, -0.124272, -0.228189, -0.560148],
        ),
    ],
)
def test_skip_connection_values_are_unchanged(schedule, stride, text, image):
    """Compare with values that agreed with the authors' layers to 1e-5."""
    fusion = build('skip-connected', stride=stride, schedule=schedule).double().eval()
    with torch.no_grad():
        for number, parameter in enumerate(fusion.parameters()):
            parameter.copy_(0.3 * waves(1 + number / 7, *parameter.shape))
        out = fusion(waves(0.7, B, L, D), waves(0.9, B, M, C))
    for values, expected in ((out.text[1, 2, :4], text), (out.image[0, 3, :4], image)):
        torch.testing.assert_close(
            values, values.new_tensor(expected), rtol=0, atol=1e-5
        )


@pytest.mark.parametrize(
    'schedule, layers, stride, connected',
    [
        ('paper', 8, 3, [3, 7]),
        ('paper', 6, 1, [1, 3, 5]),
        ('released', 6, 3, [3]),
        ('released', 6, 6, []),
        ('released', 6, 2, [2, 4]),
    ],
)
def test_skip_connection_schedule_selects_layers(schedule, layers, stride, connected):
    fusion = build(
        'skip-connected', num_layers=layers, stride=stride, schedule=schedule
    )
    found = [
        i for i, layer in enumerate(fusion.layers) if not hasattr(layer, 'cross_attn')
    ]
    assert found == connected


def test_skip_connection_rejects_bad_arguments():
    with pytest.raises(ValueError, match=r'valid strides: \[1, 2, 5\]'):
        build('skip-connected', num_layers=6, stride=3)
    with pytest.raises(ValueError, match='stride=0 must be an integer of at least 1'):
        build('skip-connected', stride=0)
    with pytest.raises(ValueError, match='image_channels=16 must be embed_d'):
        build('skip-connected', project_image=False)
    with pytest.raises(ValueError, match="schedule='mine' is not one of"):
        build('skip-connected', schedule='mine')


def test_layers_are_split_over_iterations():
    fusion = build('joint', num_layers=7, num_iterations=3)
    assert [len(stage) for stage in fusion.stages] == [3, 2, 2]
    first = MODELS.build(
        dict(type='mmvlfusion.JointAdaptiveFusion', **SMALL, **LATENTS, gate_init=0.5)
    )
    assert all(
        join.attn_gate.item() == join.ffn_gate.item() == 0.5 for join in first.joins
    )


def test_two_images_are_read_by_layers_in_turn():
    """Layers of a pair share keys and values, and start from one layer."""
    torch.manual_seed(0)
    small = dict(SMALL, image_channels=D, num_layers=2, type='mmvlfusion.AlbefFusion')
    one = MODELS.build(small).eval()
    two = MODELS.build(dict(small, num_images=2)).eval()
    two.load_state_dict(one.state_dict())
    text = torch.randn(B, L, D)
    first, second = torch.randn(2, B, M, D).unbind(0)
    out = two(text, torch.cat([first, second], dim=1)).text
    expected = text
    for layer in one.layers:
        expected = layer(layer(expected, first), second)
    torch.testing.assert_close(out, expected)
    layers = two.layers
    assert layers[2].cross_attn.kv is layers[3].cross_attn.kv
    assert layers[1].cross_attn.kv is not layers[2].cross_attn.kv
    # A checkpoint of two images is loaded unchanged.
    torch.nn.init.ones_(two.layers[3].norm1.bias)
    again = MODELS.build(dict(small, num_images=2)).eval()
    again.load_state_dict(two.state_dict())
    torch.testing.assert_close(again.layers[3].norm1.bias, torch.ones(D))


def test_albef_starts_from_the_last_layers_of_bert(tmp_path):
    config = transformers.BertConfig(
        vocab_size=9,
        hidden_size=D,
        num_hidden_layers=4,
        num_attention_heads=3,
        intermediate_size=4 * D,
    )
    bert = transformers.BertModel(config)
    bert.save_pretrained(tmp_path)
    small = dict(SMALL, type='mmvlfusion.AlbefFusion', image_channels=D)
    fusion = MODELS.build(dict(small, num_layers=2, pretrained=str(tmp_path)))
    fusion.init_weights()
    for block, layer in zip(fusion.layers, bert.encoder.layer[2:]):
        attention = layer.attention
        torch.testing.assert_close(
            block.attn.qkv.weight,
            torch.cat(
                [getattr(attention.self, x).weight for x in ('query', 'key', 'value')]
            ),
        )
        torch.testing.assert_close(
            block.ffn.layers[1].weight, layer.output.dense.weight
        )
    with pytest.raises(ValueError, match='has 4 layers, but .* num_layers=5: reduce'):
        MODELS.build(dict(small, num_layers=5, pretrained=str(tmp_path))).init_weights()


def test_rejects_bad_arguments():
    cases = [
        ('albef', dict(num_images=3), 'num_images=3 must be'),
        ('joint', dict(resampler='conv'), "resampler='conv' is not one of"),
        ('joint', dict(combination='sum'), "combination='sum' is not one of"),
        ('joint', dict(num_iterations=5), 'num_iterations=5 must be within'),
        ('perceiver', dict(num_iterations=0), 'num_iterations=0 must be'),
        ('concatenation', dict(num_layers=0), 'num_layers=0 must be'),
        ('concatenation', dict(num_heads=5), 'num_heads=5: choose'),
    ]
    for name, kwargs, message in cases:
        with pytest.raises(ValueError, match=message):
            build(name, **kwargs)


@pytest.mark.parametrize(
    'name',
    [
        *('albef', 'joint', 'joint, spatial', 'skip-connected', 'concatenation'),
        *('cross-attention', 'perceiver', 'co-tokenization'),
    ],
)
def test_exports_with_dynamic_batch_match_eager(name, inputs):
    short = dict(num_iterations=1) if 'num_iterations' in CASES[name] else {}
    fusion = build(name, num_layers=2, **short).eval()
    batch = {0: torch.export.Dim('batch', min=1)}
    exported = torch.export.export(fusion, inputs, dynamic_shapes=(batch, batch))
    larger = torch.randn(B + 3, L, D), torch.randn(B + 3, M, C)
    ours, eager = exported.module()(*larger), fusion(*larger)
    torch.testing.assert_close(ours.tokens, eager.tokens)
