"""Converted weights of mPLUG give the outputs of the original parts."""

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from transformers import BertConfig, BertLMHeadModel, BertModel

from ..helpers import load_tool

D, C = 24, 16
BERT = dict(
    hidden_size=D,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=20,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    layer_norm_eps=1e-12,
)
STRIDE = 2


class Clip(nn.Module):
    """The image encoder of CLIP with its parameter names."""

    def __init__(self):
        super().__init__()
        self.class_embedding = nn.Parameter(torch.randn(C))
        self.positional_embedding = nn.Parameter(torch.randn(17, C))
        self.conv1 = nn.Conv2d(3, C, 8, 8, bias=False)
        self.ln_pre, self.ln_post = nn.LayerNorm(C), nn.LayerNorm(C)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(Block() for _ in range(2))
        self.proj = nn.Parameter(torch.randn(C, 4))

    def forward(self, x):
        x = self.conv1(x).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(x), 1, C)
        x = torch.cat([first, x], 1) + self.positional_embedding
        x = self.ln_pre(x)
        for block in self.transformer.resblocks:
            x = block(x)
        return self.ln_post(x)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = nn.MultiheadAttention(C, 2, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(C), nn.LayerNorm(C)
        self.mlp = nn.ModuleDict(
            dict(c_fc=nn.Linear(C, 4 * C), c_proj=nn.Linear(4 * C, C))
        )

    def forward(self, x):
        y = self.ln_1(x)
        x = x + self.attn(y, y, y)[0]
        y = self.mlp['c_fc'](self.ln_2(x))
        return x + self.mlp['c_proj'](y * (1.702 * y).sigmoid())


def make_released_weights(words, prefix):
    """Make weights with the names of a released checkpoint, and the modules."""
    torch.manual_seed(0)
    visual = nn.Module()
    visual.visual = Clip()
    visual.logit_scale = nn.Parameter(torch.zeros(()))
    text = BertModel(BertConfig(words, **BERT), add_pooling_layer=False)
    cross = BertConfig(
        words,
        **{**BERT, 'num_hidden_layers': 12},
        is_decoder=True,
        add_cross_attention=True,
    )
    fusion = BertLMHeadModel(cross)
    decoder = BertLMHeadModel(
        BertConfig(words, is_decoder=True, add_cross_attention=True, **BERT)
    )
    parts = dict(
        visual_encoder=visual,
        text_encoder=text,
        visn_fc=nn.Linear(C, D),
        visn_layer_norm=nn.LayerNorm(D),
        vision_proj=nn.Linear(D, 8),
        text_proj=nn.Linear(D, 8),
        itm_head=nn.Linear(D, 2),
    )
    weights = {
        f'{name}.{key}': value
        for name, part in parts.items()
        for key, value in part.state_dict().items()
    }
    weights.update(
        {
            f'{name}_m.{key}': value + 1
            for name, part in parts.items()
            if name != 'itm_head'
            for key, value in part.state_dict().items()
        }
    )
    for key, value in fusion.state_dict().items():
        key = key if key.startswith('cls') else key.replace('bert.', prefix)
        for end, offset in (('', 0), ('_m', 1)):
            weights[f'fusion_encoder{end}.{key}'] = value + offset
    for key, value in decoder.state_dict().items():
        weights[f'text_decoder.{key}'] = value
        weights[f'text_decoder_m.{key}'] = value + 1
    weights.update(
        temp=torch.tensor(0.05),
        image_queue=torch.randn(8, 6),
        text_queue=torch.randn(8, 6),
        queue_ptr=torch.tensor([4]),
    )
    return weights, visual.visual, text, fusion, decoder


@pytest.fixture
def ours(tokenizer_dir):

    def make(**kwargs):
        init_default_scope('mmpretrain')
        gelu = dict(act_cfg=dict(type='mmpretrain.QuickGELU'))
        return MODELS.build(
            dict(
                type='mmvlfusion.VisionLanguagePretraining',
                tokenizer=str(tokenizer_dir),
                backbone=dict(
                    type='VisionTransformer',
                    img_size=32,
                    patch_size=8,
                    arch=dict(
                        embed_dims=C,
                        num_layers=2,
                        num_heads=2,
                        feedforward_channels=4 * C,
                    ),
                    out_type='raw',
                    pre_norm=True,
                    norm_cfg=dict(type='LN', eps=1e-5),
                    layer_cfgs=gelu,
                ),
                image_norm=False,
                text_encoder=dict(
                    type='mmvlfusion.TextEncoder', config=dict(BERT, model_type='bert')
                ),
                fusion=dict(
                    type='mmvlfusion.SkipConnectedFusion',
                    embed_dims=D,
                    image_channels=C,
                    num_heads=2,
                    num_layers=6,
                    ffn_ratio=4 / 3,
                    schedule='released',
                    stride=STRIDE,
                )
                | kwargs,
                head=dict(
                    type='mmvlfusion.TextGenerationHead',
                    field='caption',
                    decoder=dict(BERT, model_type='bert'),
                ),
                objectives=dict(
                    contrastive=dict(
                        type='mmvlfusion.ContrastiveObjective',
                        feature_dims=8,
                        pool='first',
                    ),
                    matching=dict(type='mmvlfusion.MatchingObjective'),
                    masked_language=dict(type='mmvlfusion.MaskedLanguageObjective'),
                ),
                max_text_length=20,
                queue_size=6,
            )
        ).eval()

    return make


@pytest.mark.parametrize('prefix', ['fusion.', 'bert.', ''])
def test_converted_model_matches_original_parts(prefix, ours, tmp_path, run_tool):
    model = ours()
    words = len(model.tokenizer)
    weights, clip, text, fusion, decoder = make_released_weights(words, prefix)
    source, target = tmp_path / 'theirs.pth', tmp_path / 'ours.pth'
    # DeepSpeed stores the weights as "module".
    torch.save(dict(module=weights), source)
    report = run_tool(
        'tools/model_converters/mplug.py', source, target, '--stride', STRIDE
    )
    for name in (
        'text_decoder_m.bert.encoder.layer.*',
        'fusion_encoder.encoder.layer.*',
        'visual_encoder.visual.proj',
    ):
        assert f'x {name}' in report
    converted = torch.load(target)['state_dict']
    missing, unexpected = model.load_state_dict(converted, strict=False)
    assert not unexpected
    assert {key.removeprefix('ema_model.module.') for key in missing} <= {
        'tokenizer_fingerprint',
        'queue.ids',
    }
    images, ids = torch.randn(2, 3, 32, 32), torch.randint(5, words, (2, 7))
    layers = fusion.eval().bert.encoder.layer[6:]
    for module in (clip, text):
        module.eval()
    with torch.no_grad():
        image, _ = model.encode_images(images)
        torch.testing.assert_close(image, clip(images), rtol=1e-4, atol=1e-5)
        words = model.text_encoder(ids)
        torch.testing.assert_close(words, text(ids)[0])
        image, _ = model.fusion.prepare_image(image)
        reference = nn.functional.layer_norm(
            clip(images) @ weights['visn_fc.weight'].T + weights['visn_fc.bias'],
            (D,),
            weights['visn_layer_norm.weight'],
            weights['visn_layer_norm.bias'],
            1e-12,
        )
        torch.testing.assert_close(image, reference, rtol=1e-4, atol=1e-5)
        fused = model.fusion.fuse(words, image, None, None)
        seen = torch.zeros(1, 1, 1, 1)  # Otherwise the layer is causal.
        for number, layer in enumerate(layers):
            if number in (2, 4):
                both = torch.cat([image, words], 1)
                layer.add_cross_attention = layer.is_decoder = False
                both = layer(both, seen)[0]
                image, words = image + both[:, :17], both[:, 17:]
            else:
                words = layer(words, seen, encoder_hidden_states=image)[0]
        torch.testing.assert_close(fused.text, words, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(fused.image, image, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            model.objectives['masked_language'].head(words), fusion.cls(words)
        )
        torch.testing.assert_close(
            model.head.decoder(ids, encoder_hidden_states=image).logits,
            decoder.eval()(ids, encoder_hidden_states=image).logits,
        )
    momentum_model = model.ema_model.module
    torch.testing.assert_close(
        momentum_model.backbone.cls_token, model.backbone.cls_token + 1
    )
    torch.testing.assert_close(
        momentum_model.fusion.layers[0].attn.qkv.weight,
        model.fusion.layers[0].attn.qkv.weight,
    )
    torch.testing.assert_close(model.queue.image, weights['image_queue'].T)
    assert model.queue.position == 4
    # The first step continues from the stored average.
    model.ema_model.update_parameters(model)
    assert (momentum_model.backbone.cls_token - model.backbone.cls_token).mean() > 0.9


def test_rejects_another_stride(ours):
    weights, *_ = make_released_weights(len(ours().tokenizer), '')
    convert = load_tool('model_converters/mplug.py').convert
    converted, _ = convert(weights, 3)
    with pytest.raises(ValueError, match=r'layers \[3\].* here \[2, 4\]'):
        ours().load_state_dict(converted, strict=False)


def test_rejects_another_vocabulary(ours):
    weights, *_ = make_released_weights(50, '')
    convert = load_tool('model_converters/mplug.py').convert
    converted, _ = convert(weights, STRIDE)
    with pytest.raises(ValueError, match='50 words'):
        ours().load_state_dict(converted, strict=False)


@pytest.mark.parametrize(
    'name, words',
    [
        (None, 'no fusion_encoder'),
        ('backbone.weight', 'in a checkpoint of mPLUG'),
        ('fusion_encoder.encoder.layer.11.odd', 'in a checkpoint of mPLUG'),
        (
            'fusion_encoder.encoder.layer.11.output.dense.0.weight',
            'in a checkpoint of mPLUG',
        ),
        (
            'text_encoder.encoder.layer.0.attention.self.query.1.weight',
            'in a checkpoint of mPLUG',
        ),
        ('text_decoder.bert.encoder.layer.0.odd.weight', 'in a checkpoint of mPLUG'),
        (
            'visual_encoder.visual.transformer.resblocks.0.mlp.c_fc.0.weight',
            'in a checkpoint of mPLUG',
        ),
    ],
)
def test_convert_rejects_other_checkpoints(name, words):
    """A name that no model would load is not converted."""
    convert = load_tool('model_converters/mplug.py').convert
    weights = {}
    if name is not None:
        weights['fusion_encoder.encoder.layer.11.output.dense.bias'] = torch.zeros(1)
        weights[name] = torch.zeros(1)
    with pytest.raises(ValueError, match=words):
        convert(weights, 3)


def test_converts_finetuned_grounding():
    """Grounding models store constants of the released code."""
    convert = load_tool('model_converters/mplug.py').convert
    constants = ['prefix_ids', 'target_ids', 'bbox_prob_mask']
    weights = dict.fromkeys(constants, torch.zeros(1))
    weights['fusion_encoder.encoder.layer.11.output.dense.bias'] = torch.ones(1)
    converted, dropped = convert(weights, 6)
    assert dropped == constants
    assert set(converted) == {'fusion.connected', 'fusion.layers.5.ffn.layers.1.bias'}
