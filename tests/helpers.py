"""Shared builders of tiny models, samples and configs."""

import contextlib
import copy
import importlib.util
import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.hub import get_config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import PixelData
from mmpretrain.structures import DataSample
from torch.utils.data import ConcatDataset, Dataset

from mmvlfusion.datasets import TaskMixtureSampler

ROOT = Path(__file__).parents[1]

TINY_ARCH = dict(
    embed_dims_outer=24,
    embed_dims_inner=6,
    num_layers=3,
    num_heads_outer=3,
    num_heads_inner=2,
    word_size=2,
)


def skip_on_torch_2_1(reason):
    """Make a mark that skips a test on PyTorch 2.1."""
    is_old = torch.__version__.startswith('2.1.')
    return pytest.mark.skipif(is_old, reason=f'PyTorch 2.1 {reason}')


needs_full_graph = skip_on_torch_2_1("breaks the graph at the decorator of mmcv's FFN")


@contextlib.contextmanager
def meta_parameters():
    """Build modules whose parameters are on the meta device."""
    register = torch.nn.Module.register_parameter

    def register_on_meta(module, name, param):
        register(module, name, param)
        if param is not None and param.device.type != 'meta':
            module._parameters[name] = torch.nn.Parameter(
                param.to('meta'), requires_grad=param.requires_grad
            )

    torch.nn.Module.register_parameter = register_on_meta
    try:
        yield
    finally:
        torch.nn.Module.register_parameter = register


def fill(model):
    """Fill a model with values that do not depend on a random generator.

    Returns:
        nn.Module: The model in double precision and evaluation mode.
    """
    model = model.double().eval()
    tensors = {
        **dict(model.named_parameters()),
        **{name: x for name, x in model.named_buffers() if x.is_floating_point()},
    }
    for index, name in enumerate(sorted(tensors)):
        tensor = tensors[name]
        values = torch.arange(tensor.numel(), dtype=torch.float64)
        values = (values * 0.37 + index).sin() * 0.2
        with torch.no_grad():
            tensor.copy_(values.reshape(tensor.shape))
            if name.endswith('running_var'):
                tensor += 1
    return model


def check_recomputation(model, x):
    """Check that gradient checkpointing changes neither output nor gradients."""
    outs = []
    for with_cp in (False, True):
        model.with_cp = with_cp
        model.zero_grad()
        out = flatten_output(model.train()(x))
        out.sin().sum().backward()
        outs.append([out, *(p.grad.clone() for p in model.parameters())])
    assert torch.equal(outs[0][0], outs[1][0])
    torch.testing.assert_close(outs[0], outs[1])


def foreground_fraction(path):
    """Return the fraction of the pixels of a picture that are not background."""
    image = cv2.imread(str(path))
    return float((image != image[0, 0]).any(-1).mean())


def png(value, side=8):
    """Encode a square picture of one colour."""
    return cv2.imencode('.png', np.full((side, side, 3), value, np.uint8))[1].tobytes()


def write_archive(path, files):
    """Write a tar archive of pairs of name and content."""
    with tarfile.open(path, 'w') as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def write_shard(path, numbers, name='{:04d}'):
    """Write an archive of captioned images whose pixel values are the numbers."""
    write_archive(
        path,
        [
            (f'{name.format(number)}.{end}', content)
            for number in numbers
            for end, content in (
                ('png', png(number)),
                ('txt', f'a picture of {number} stars'.encode()),
            )
        ],
    )


def unformatted(text, **kwargs):
    """Return a config without formatting. This replaces yapf, which is slow."""
    return text, True


def load_tool(path: str):
    """Import a script of ``tools/`` as a module. Its folder is in the path, as in a
    process that runs it."""
    path = ROOT / 'tools' / path
    spec = importlib.util.spec_from_file_location(path.stem + '_tool', path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(path.parent)
        spec.loader.exec_module(module)
    return module


def detection_samples(side, **kwargs):
    """Make two images with three boxes each."""
    from mmdet.testing import demo_mm_inputs

    return demo_mm_inputs(2, (3, side, side), [3, 3], **kwargs)


def make_samples(scope, side, number):
    """Make two images with labels in the format of the host."""
    if scope == 'mmdet':
        return detection_samples(side, num_classes=number, with_mask=True)
    images = [
        torch.randint(0, 256, (3, side, side), dtype=torch.uint8) for _ in range(2)
    ]
    if scope == 'mmpretrain':
        return dict(
            inputs=images, data_samples=[DataSample().set_gt_label(i) for i in range(2)]
        )
    from mmseg.structures import SegDataSample

    samples = [
        SegDataSample(metainfo=dict(img_shape=(side, side), ori_shape=(side, side)))
        for _ in images
    ]
    for sample in samples:
        sample.gt_sem_seg = PixelData(data=torch.randint(0, number, (1, side, side)))
    return dict(inputs=images, data_samples=samples)


VIT = dict(embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=48)


VSSD = dict(embed_dims=24, depths=(1, 1, 1, 1), num_heads=(2, 2, 2, 4), state_dims=12)


VISION_SSD = dict(embed_dims=24, num_layers=2, head_dims=8, state_dims=12)


SWIN = dict(embed_dims=24, depths=(1, 1, 1, 1), num_heads=(2, 2, 2, 4))


def classifier(channels, **backbone):
    """Make the config of a classifier of mmpretrain."""
    return dict(
        type='ImageClassifier',
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling') if 'Swin' in backbone['type'] else None,
        head=dict(type='LinearClsHead', num_classes=12, in_channels=channels),
    )


def detector(path):
    """Make a config of mmdet smaller."""
    cfg = get_config(f'mmdet::{path}').model
    cfg.backbone.update(depth=18, init_cfg=None)
    if 'neck' in cfg:
        cfg.neck.in_channels = [c // 4 for c in cfg.neck.in_channels]
    for part in ('encoder', 'decoder'):
        if part in cfg:
            cfg[part].num_layers = 2
    if 'bbox_head' in cfg and 'num_queries' in cfg:
        cfg.num_queries = 10  # A small image gives no more candidates.
        cfg.test_cfg.max_per_img = 10
    return cfg


def upernet():
    """Make the config of a small UPerNet of mmseg."""
    norm = dict(type='BN')
    return dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', size=(64, 64)),
        backbone=dict(
            type='VisionTransformer',
            img_size=64,
            patch_size=16,
            embed_dims=24,
            num_layers=4,
            num_heads=3,
            out_indices=(0, 1, 2, 3),
        ),
        decode_head=dict(
            type='UPerHead',
            in_channels=[24] * 4,
            in_index=[0, 1, 2, 3],
            channels=16,
            num_classes=12,
            norm_cfg=norm,
        ),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )


# Host, builder of the config, and whether the model has nn.MultiheadAttention.
HOST_MODELS = {
    'DeiT': (
        'mmpretrain',
        lambda: classifier(
            24, type='VisionTransformer', arch=VIT, img_size=64, patch_size=16
        ),
        False,
    ),
    'Swin': (
        'mmpretrain',
        lambda: classifier(
            192,
            type='SwinTransformer',
            arch=SWIN,
            img_size=64,
            window_size=4,
            pad_small_map=True,
        ),
        False,
    ),
    'BEiT': (
        'mmpretrain',
        lambda: classifier(
            24,
            type='BEiTViT',
            arch=VIT,
            img_size=64,
            patch_size=16,
            out_type='avg_featmap',
        ),
        False,
    ),
    'TNT': (
        'mmpretrain',
        lambda: classifier(24, type='mmvlfusion.TNT', arch=TINY_ARCH, img_size=64),
        False,
    ),
    'VSSD': (
        'mmpretrain',
        lambda: classifier(192, type='mmvlfusion.VSSD', arch=VSSD),
        False,
    ),
    'VisionSSD': (
        'mmpretrain',
        lambda: classifier(
            24, type='mmvlfusion.VisionSSD', arch=VISION_SSD, img_size=64
        ),
        False,
    ),
    'DETR': ('mmdet', lambda: detector('detr/detr_r50_8xb2-150e_coco.py'), True),
    'Deformable DETR': (
        'mmdet',
        lambda: detector('deformable_detr/deformable-detr_r50_16xb2-50e_coco.py'),
        True,
    ),
    'DINO': ('mmdet', lambda: detector('dino/dino-4scale_r50_8xb2-12e_coco.py'), True),
    'Faster R-CNN': (
        'mmdet',
        lambda: detector('faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'),
        False,
    ),
    'UPerNet': ('mmseg', upernet, True),
}


def host_samples(host):
    """Make a batch for a model of a host."""
    if host == 'mmdet':
        return detection_samples(96, num_classes=80)
    return make_samples(host, 64, 12)


def flatten_output(output):
    """Concatenate all tensors of a nested output."""
    if isinstance(output, torch.Tensor):
        return output.flatten().float()
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (tuple, list)):
        parts = [flatten_output(x) for x in output]
        return torch.cat([x for x in parts if len(x)])
    return torch.zeros(0)


D = 24


BERT = dict(
    model_type='bert',
    hidden_size=D,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=20,
    initializer_range=0.2,
)


TNT = dict(
    type='mmvlfusion.TNT', arch=TINY_ARCH, img_size=32, patch_size=8, out_type='featmap'
)


CAPTIONS = [
    'a red circle left of a blue square',
    'two green squares',
    'a star',
    'a red star above a green circle',
]


FUSION = dict(
    type='mmvlfusion.SkipConnectedFusion',
    embed_dims=D,
    image_channels=D,
    num_heads=2,
    num_layers=2,
    stride=1,
)


# Names and arguments of all fusions.
FUSIONS = dict(
    ConcatFusion={},
    CrossAttentionFusion={},
    PerceiverFusion=dict(num_latents=3, num_iterations=2),
    CoTokenizationFusion=dict(num_latents=3, num_iterations=2),
    JointAdaptiveFusion=dict(num_latents=3, num_iterations=2),
    SkipConnectedFusion=dict(stride=1),
    ImageOnlyFusion={},
    TextOnlyFusion={},
)


OBJECTIVES = dict(
    mlm=dict(type='mmvlfusion.MaskedLanguageObjective', ratio=0.5),
    matching=dict(type='mmvlfusion.MatchingObjective'),
    contrastive=dict(type='mmvlfusion.ContrastiveObjective', feature_dims=8),
    prefix=dict(type='mmvlfusion.PrefixLanguageObjective', weight=2.0),
    mim=dict(type='mmvlfusion.MaskedImageObjective', patch_size=8),
)


def pretraining_config(tokenizer, names=tuple(OBJECTIVES), **kwargs):
    """Make the config of a tiny pre-training model."""
    return copy.deepcopy(
        dict(
            type='mmvlfusion.VisionLanguagePretraining',
            tokenizer=str(tokenizer),
            backbone=TNT,
            text_encoder=dict(
                type='mmvlfusion.TextEncoder',
                config={
                    **BERT,
                    'hidden_dropout_prob': 0.0,
                    'attention_probs_dropout_prob': 0.0,
                },
            ),
            fusion=FUSION,
            head=dict(
                type='mmvlfusion.TextGenerationHead',
                field='caption',
                max_length=20,
                decoder={
                    **BERT,
                    'hidden_dropout_prob': 0.0,
                    'attention_probs_dropout_prob': 0.0,
                },
            ),
            objectives={name: OBJECTIVES[name] for name in names},
            max_text_length=20,
            momentum=0.9,
            queue_size=8,
        )
        | kwargs
    )


def make_pretraining(*args, **kwargs):
    """Build a tiny pre-training model in training mode."""
    torch.manual_seed(0)
    init_default_scope('mmpretrain')
    model = MODELS.build(pretraining_config(*args, **kwargs))
    model.init_weights()
    return model.train()


def caption_batch(captions=CAPTIONS, first_image=0):
    """Make a batch with one random image per caption."""
    samples, images = [], []
    for number, caption in enumerate(captions, first_image):
        generator = torch.Generator().manual_seed(number)
        images.append(torch.rand(3, 32, 32, generator=generator))
        sample = DataSample()
        sample.set_field(caption, 'gt_caption')
        sample.set_field(f'{number}', 'image_id')
        samples.append(sample)
    return dict(images=torch.stack(images), data_samples=samples)


VQA_BACKBONES = {
    'tnt': (TNT, 24),
    'low-rank': (
        dict(
            type='mmvlfusion.LowRank',
            module='mmvlfusion.TNT',
            exclude='tnt',
            **{k: v for k, v in TNT.items() if k != 'type'},
        ),
        24,
    ),
    'resnet': (
        dict(
            type='ResNet', depth=18, base_channels=8, stem_channels=8, out_indices=(3,)
        ),
        64,
    ),
    'vit': (
        dict(
            type='VisionTransformer',
            img_size=32,
            patch_size=8,
            out_type='featmap',
            arch=dict(
                embed_dims=12, num_layers=1, num_heads=2, feedforward_channels=16
            ),
        ),
        12,
    ),
    'swin': (
        dict(
            type='SwinTransformer',
            img_size=32,
            window_size=2,
            pad_small_map=True,
            arch=dict(embed_dims=4, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2)),
        ),
        32,
    ),
}


VQA_ANSWERS = ['yes', 'no', 'red star', '2']


VQA_QUESTIONS = [
    'is there a red star?',
    'how many squares are there?',
    'what color is the circle?',
]


VQA_HEADS = {
    'greedy': dict(type='mmvlfusion.TextGenerationHead', decoder=BERT),
    'beam': dict(type='mmvlfusion.TextGenerationHead', decoder=BERT, num_beams=3),
    'rank': dict(
        type='mmvlfusion.TextGenerationHead',
        decoder=BERT,
        answers=VQA_ANSWERS,
        num_candidates=3,
    ),
    'classify': dict(
        type='mmvlfusion.AnswerClassificationHead', answers=VQA_ANSWERS, in_channels=D
    ),
}


def question_sample(question, *answers, **fields):
    """Make a sample of a question, with equal weights of the answers."""
    made = DataSample()
    fields.update(question=question)
    if answers:
        fields.update(
            gt_answer=list(answers), gt_answer_weight=[1 / len(answers)] * len(answers)
        )
    for key, value in fields.items():
        made.set_field(value, key)
    return made


def group_questions(samples):
    """Make the sample of an image with several questions."""
    made = DataSample()
    made.set_field(list(samples), 'questions')
    return made


def vqa_batch(sizes=((32, 32), (32, 32))):
    """Make two images, the first with two questions."""
    torch.manual_seed(1)
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes]
    return dict(
        inputs=images,
        data_samples=[
            group_questions(
                [
                    question_sample(VQA_QUESTIONS[0], 'yes', question_id=0),
                    question_sample(VQA_QUESTIONS[1], '2', 'no', question_id=1),
                ]
            ),
            group_questions(
                [question_sample(VQA_QUESTIONS[2], 'red star', question_id=2)]
            ),
        ],
    )


class TaskDataset(Dataset):
    """A data set of pairs (name of the task, index)."""

    def __init__(self, name, size):
        self.name, self.size = name, size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return self.name, index


def make_task_mixture(sizes=(40, 80, 120), batch_size=4, seed=0, **kwargs):
    """Build a sampler of mixed batches of the tasks a, b and c."""
    parts = [TaskDataset(name, size) for name, size in zip('abc', sizes)]
    sampler = DefaultSampler(ConcatDataset(parts), seed=seed)
    return TaskMixtureSampler(sampler, batch_size, **kwargs)
