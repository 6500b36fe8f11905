"""Training steps of every method on a CPU and a GPU: mixed precision, compilation,
channels-last images and memory."""

import copy

import pytest
import torch
from mmcv.cnn.bricks import DropPath
from mmengine.registry import MODELS, init_default_scope

from mmvlfusion.analysis.profiling import peak_memory
from mmvlfusion.models import TNT as TNTBackbone

from ..helpers import (
    BERT,
    FUSIONS,
    HOST_MODELS,
    OBJECTIVES,
    TINY_ARCH,
    TNT,
    VISION_SSD,
    VIT,
    VQA_ANSWERS,
    VSSD,
    D,
    caption_batch,
    host_samples,
    make_pretraining,
    needs_full_graph,
    vqa_batch,
)

BACKBONES = {
    'TNT': dict(type='mmvlfusion.TNT', arch=TINY_ARCH, img_size=32, patch_size=8),
    'VSSD': dict(type='mmvlfusion.VSSD', arch=VSSD),
    'VisionSSD': dict(type='mmvlfusion.VisionSSD', arch=VISION_SSD, img_size=32),
    'DeiT': dict(
        type='mmpretrain.VisionTransformer', arch=VIT, img_size=32, patch_size=8
    ),
}
TYPES = [
    ('cpu', torch.bfloat16),
    pytest.param('cuda', torch.bfloat16, marks=pytest.mark.gpu),
    pytest.param('cuda', torch.float16, marks=pytest.mark.gpu),
]
METHODS = ['TNT', 'VSSD', 'VisionSSD', 'PELA', 'JAR', 'mPLUG', 'detection']
LOSS_SCALE = 1024.0


def vqa_config(tokenizer):
    return dict(
        type='mmvlfusion.VisualQuestionAnswering',
        tokenizer=str(tokenizer),
        backbone=copy.deepcopy(TNT),
        text_encoder=dict(type='mmvlfusion.TextEncoder', config=dict(BERT)),
        fusion=dict(
            type='mmvlfusion.JointAdaptiveFusion',
            embed_dims=D,
            image_channels=D,
            num_heads=2,
            num_layers=2,
            num_latents=3,
            num_iterations=2,
        ),
        max_text_length=20,
        head=dict(
            type='mmvlfusion.AnswerClassificationHead',
            answers=VQA_ANSWERS,
            in_channels=D,
        ),
    )


def make_model(method, tokenizer):
    """Build a model of a method. Return it with a batch of data."""
    torch.manual_seed(0)
    if method == 'mPLUG':
        # Matching samples its negatives by similarities, which round differently.
        names = [name for name in OBJECTIVES if name != 'matching']
        return make_pretraining(tokenizer, names), caption_batch()
    host = 'mmpretrain'
    if method == 'JAR':
        cfg, data = vqa_config(tokenizer), vqa_batch()
    elif method == 'detection':
        pytest.importorskip('mmdet')
        host, make, _ = HOST_MODELS['DETR']
        cfg, data = make(), host_samples(host)
    else:
        _, make, _ = HOST_MODELS['DeiT' if method == 'PELA' else method]
        cfg, data = make(), host_samples(host)
    if method == 'PELA':
        backbone = cfg['backbone']
        backbone.update(type='mmvlfusion.LowRank', module=backbone['type'], ratio=1.5)
    init_default_scope(host)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train(), data


def loss_and_gradients(model, data, device, dtype):
    """Return the loss of a training step and the concatenated gradients."""
    model = copy.deepcopy(model).to(device)
    torch.manual_seed(0)
    if 'images' in data:
        data = dict(data, images=data['images'].to(device))
    else:
        data = model.data_preprocessor(copy.deepcopy(data), training=True)
    with torch.autocast(device, dtype, enabled=dtype != torch.float32):
        loss, _ = model.parse_losses(model(**data, mode='loss'))
    (loss * LOSS_SCALE).backward()
    grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return loss.item(), torch.cat(grads).float() / LOSS_SCALE


@pytest.mark.parametrize('device, dtype', TYPES)
@pytest.mark.parametrize('method', METHODS)
def test_mixed_precision_is_close_to_float32(method, device, dtype, tokenizer_dir):
    model, data = make_model(method, tokenizer_dir)
    expected, expected_grads = loss_and_gradients(model, data, device, torch.float32)
    loss, grads = loss_and_gradients(model, data, device, dtype)
    assert grads.isfinite().all()
    assert loss == pytest.approx(expected, rel=0.05)
    similarity = torch.cosine_similarity(grads, expected_grads, dim=0)
    assert similarity > 0.9


def compiled(model, device):
    torch._dynamo.reset()
    backend = 'inductor' if device == 'cuda' else 'aot_eager'
    return torch.compile(model, fullgraph=True, backend=backend)


@needs_full_graph
@pytest.mark.e2e
@pytest.mark.parametrize('name', ['TNT', 'DeiT'])
def test_backbone_compiles_as_one_graph(name, device):
    torch.manual_seed(0)
    model = MODELS.build(BACKBONES[name]).to(device)
    for module in model.modules():
        if isinstance(module, DropPath):
            # mmpretrain sets a number of numpy, which breaks the graph.
            module.drop_prob = float(module.drop_prob)
    x = torch.randn(2, 3, 32, 32, device=device)
    out = compiled(model, device)(x)[0]
    torch.testing.assert_close(out, model(x)[0], rtol=1e-3, atol=1e-3)
    out.square().mean().backward()


@needs_full_graph
@pytest.mark.e2e
@pytest.mark.parametrize('name', [name for name in FUSIONS if 'Only' not in name])
def test_fusion_compiles_as_one_graph(name, device):
    torch.manual_seed(0)
    sizes = dict(embed_dims=D, image_channels=D, num_heads=2, num_layers=2)
    fusion = MODELS.build(dict(type=f'mmvlfusion.{name}', **sizes, **FUSIONS[name]))
    fusion = fusion.to(device).train()
    inputs = [torch.randn(2, length, D, device=device) for length in (5, 7)]
    out = compiled(fusion, device)(*inputs).tokens
    torch.testing.assert_close(out, fusion(*inputs).tokens, rtol=1e-3, atol=1e-3)
    out.square().mean().backward()


@pytest.mark.parametrize('name', BACKBONES)
def test_channels_last_images_give_the_same_output(name, device):
    torch.manual_seed(0)
    model = MODELS.build(BACKBONES[name]).to(device)
    model.eval()  # For models of mmpretrain, it returns None.
    x = torch.randn(2, 3, 32, 32, device=device)
    expected = model(x)[0]
    model = model.to(memory_format=torch.channels_last)
    out = model(x.to(memory_format=torch.channels_last))[0]
    torch.testing.assert_close(out, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_recomputation_needs_less_memory(device, dtype):
    peaks = []
    for with_cp in (False, True):
        arch = dict(TINY_ARCH, num_layers=6)
        model = TNTBackbone(arch, img_size=32, patch_size=8, with_cp=with_cp)
        model = model.to(device, dtype).train()
        x = torch.randn(8, 3, 32, 32, device=device, dtype=dtype)
        step = lambda: model(x)[0].float().sum().backward()  # noqa: B023, E731
        step()  # Allocates the gradients.
        peaks.append(peak_memory(step, device))
    assert peaks[1] < 0.6 * peaks[0]
