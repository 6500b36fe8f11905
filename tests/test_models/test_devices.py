"""Models create tensors only on the device of their parameters.

Fake tensors of PyTorch have a device and a shape but no values. With them, models
run on ``cuda`` without a GPU. Pre-training is not tested, because PyTorch 2.11
crashes on copies of fake modules, such as the momentum model.
"""

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from mmpretrain.structures import DataSample
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)

from ..helpers import (
    BERT,
    CAPTIONS,
    FUSION,
    FUSIONS,
    TINY_ARCH,
    TNT,
    VISION_SSD,
    VSSD,
    D,
    skip_on_torch_2_1,
)

pytestmark = skip_on_torch_2_1('needs a GPU to make fake tensors on it')
BATCH = 4
IMAGE = (BATCH, 3, 32, 32)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def run_on_fake_gpu(cfg, call):
    """Build a model on a fake GPU and call a function with it.

    The run ends early at a step that depends on values, because fake tensors have
    no values.

    Returns:
        bool: Whether the run was complete.
    """
    with FakeTensorMode():
        with torch.device('cuda'):
            model = MODELS.build(cfg)
        tensors = [*model.parameters(), *model.buffers()]
        assert {tensor.device.type for tensor in tensors} == {'cuda'}
        try:
            outputs = call(model)
        except (DataDependentOutputException, DynamicOutputShapeException):
            return False
        for output in outputs:
            assert output.device.type == 'cuda'
        return True


def on_gpu(*shape, dtype=torch.float32):
    """Make a tensor on the fake GPU."""
    return torch.empty(*shape, device='cuda', dtype=dtype)


@pytest.mark.parametrize('out_type', ['cls_token', 'featmap', 'avg_featmap', 'raw'])
@pytest.mark.parametrize('options', [{}, dict(with_se=True), dict(variant='legacy')])
def test_tnt_stays_on_device(out_type, options):
    cfg = dict(
        type='mmvlfusion.TNT',
        arch=TINY_ARCH,
        img_size=32,
        patch_size=8,
        out_type=out_type,
        **options,
    )
    assert run_on_fake_gpu(cfg, lambda model: model(on_gpu(2, 3, 40, 24)))


@pytest.mark.parametrize(
    'backbone',
    [
        dict(type='mmvlfusion.VSSD', arch=VSSD, out_indices=(0, 1, 2, 3)),
        dict(type='mmvlfusion.VisionSSD', arch=VISION_SSD),
        dict(type='mmvlfusion.VisionSSD', arch=VISION_SSD, mode='causal'),
    ],
    ids=['vssd', 'vision ssd', 'causal vision ssd'],
)
def test_state_space_model_stays_on_device(backbone):
    assert run_on_fake_gpu(backbone, lambda model: model(on_gpu(2, 3, 40, 24)))


@pytest.mark.parametrize(
    'module',
    [
        dict(type='mmvlfusion.TNT', arch=TINY_ARCH, img_size=32),
        dict(
            type='mmpretrain.VisionTransformer',
            arch=dict(
                embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=48
            ),
            img_size=32,
            patch_size=8,
        ),
    ],
    ids=['tnt', 'vit'],
)
def test_low_rank_model_stays_on_device(module):
    cfg = dict(type='mmvlfusion.LowRank', module=module)
    assert run_on_fake_gpu(cfg, lambda model: model(on_gpu(2, 3, 32, 32)))


@pytest.mark.parametrize('scales', [(2, 1, 0.5), (4, 2, 1)])
def test_feature_pyramid_stays_on_device(scales):
    cfg = dict(type='mmvlfusion.PlainFeaturePyramid', in_channels=8, scales=scales)
    assert run_on_fake_gpu(cfg, lambda neck: neck([on_gpu(2, 8, 4, 4)] * 3))


@pytest.mark.parametrize('name', list(FUSIONS))
def test_fusion_stays_on_device(name):
    cfg = dict(
        type=f'mmvlfusion.{name}',
        embed_dims=D,
        image_channels=D,
        num_heads=2,
        num_layers=2,
        **FUSIONS[name],
    )

    def call(fusion):
        text = None if name == 'ImageOnlyFusion' else on_gpu(BATCH, 5, D)
        image = None if name == 'TextOnlyFusion' else on_gpu(BATCH, 7, D)
        masks = [
            None if x is None else on_gpu(*x.shape[:2], dtype=torch.bool)
            for x in (text, image)
        ]
        return [x for x in fusion(text, image, *masks) if x is not None]

    assert run_on_fake_gpu(cfg, call)


def task_config(tokenizer, **kwargs):
    return dict(
        tokenizer=str(tokenizer),
        backbone=dict(TNT),
        text_encoder=dict(type='mmvlfusion.TextEncoder', config=dict(BERT)),
        fusion=dict(FUSION),
        max_text_length=20,
        **kwargs,
    )


def make_samples():
    samples = []
    for number, caption in enumerate(CAPTIONS):
        samples.append(DataSample())
        fields = dict(
            question=caption,
            text=caption,
            gt_answer=['yes'],
            gt_answer_weight=[1.0],
            gt_caption=caption,
            image_id=number,
            gt_bboxes=[[0.0, 0.0, 8.0, 8.0]],
        )
        for name, value in fields.items():
            samples[-1].set_field(value, name)
    return samples


GENERATION = dict(type='mmvlfusion.TextGenerationHead', decoder=dict(BERT))
TASKS = {
    'vqa, generation': dict(type='mmvlfusion.VisualQuestionAnswering', head=GENERATION),
    'vqa, classification': dict(
        type='mmvlfusion.VisualQuestionAnswering',
        head=dict(
            type='mmvlfusion.AnswerClassificationHead',
            answers=['yes', 'no'],
            in_channels=D,
        ),
    ),
    'grounding': dict(
        type='mmvlfusion.VisualGrounding',
        head=dict(
            type='mmvlfusion.BoxGenerationHead',
            decoder=dict(BERT),
            num_bins=4,
            first_token=0,
        ),
    ),
    'captioning': dict(
        type='mmvlfusion.ImageCaptioning',
        head=GENERATION,
        text_encoder=None,
        fusion=dict(type='mmvlfusion.ImageOnlyFusion', embed_dims=D, image_channels=D),
    ),
}


@pytest.mark.parametrize('mode', ['tensor', 'loss'])
@pytest.mark.parametrize('task', list(TASKS))
def test_multimodal_task_stays_on_device(task, mode, tokenizer_dir):
    cfg = {**task_config(tokenizer_dir), **TASKS[task]}

    def call(model):
        outputs = model(on_gpu(*IMAGE), make_samples(), mode=mode)
        outputs = outputs.values() if mode == 'loss' else outputs
        return [x for x in outputs if x is not None]

    run_on_fake_gpu(cfg, call)
