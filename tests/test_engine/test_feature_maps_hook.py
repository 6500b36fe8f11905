"""Training stops if a neck or head does not fit the backbone."""

import types

import pytest
import torch
from mmdet.models import CSPNeXtPAFPN
from mmengine.config import Config
from mmpretrain.models import TNT as HostTNT
from mmpretrain.models import SwinTransformer
from mmseg.models.decode_heads import FCNHead
from torch import nn

from mmvlfusion.engine import FeatureMapsHook
from mmvlfusion.models import TNT, PlainFeaturePyramid, Trans2SegHead

from ..helpers import TINY_ARCH


class Segmentor(nn.Module):
    def __init__(self, out_indices, scales=None, in_index=-1, in_channels=3):
        super().__init__()
        self.backbone = TNT(
            TINY_ARCH,
            img_size=32,
            in_channels=in_channels,
            patch_size=8,
            out_indices=out_indices,
            out_type='featmap',
        )
        if scales:
            self.neck = PlainFeaturePyramid(24, scales)
        self.decode_head = Trans2SegHead(
            24,
            img_size=32,
            in_index=in_index,
            num_classes=3,
            embed_dims=8,
            num_layers=1,
            num_heads=2,
            channels=4,
            norm_cfg=dict(type='BN'),
        )


def run_hook(module, img_size=64, **cfg):
    runner = types.SimpleNamespace(model=module, cfg=Config(cfg))
    FeatureMapsHook(img_size).before_train(runner)


def check(*args, **kwargs):
    model = Segmentor(*args, **kwargs)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    run_hook(model)
    assert model.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_accepts_matching_models():
    check((0, 2), scales=[2, 1])
    check(-1)
    run_hook(nn.Linear(2, 2))


def test_rejects_wrong_number_of_maps():
    with pytest.raises(
        ValueError,
        match=r'model.neck does not accept the output of '
        r'model.backbone .* 1 maps of the shapes '
        r'\[\(24, 8, 8\)\]: make out_indices',
    ):
        check(-1, scales=[2, 1])


def test_rejects_auxiliary_head_with_wrong_channels():
    model = Segmentor((0, 2))
    model.auxiliary_head = nn.ModuleList(
        [
            FCNHead(in_channels=24, channels=4, num_classes=3, in_index=0),
            FCNHead(in_channels=48, channels=4, num_classes=3, in_index=1),
        ]
    )
    with pytest.raises(
        ValueError,
        match='model.auxiliary_head does not accept.*'
        'in_channels=48, but the maps at in_index=1 have 24',
    ):
        run_hook(model)


def test_rejects_head_with_missing_map():
    with pytest.raises(
        ValueError, match='model.decode_head does not accept the output of model.neck'
    ):
        check((0, 2), scales=[2, 1], in_index=3)


@pytest.mark.parametrize('channels', [1, 4])
def test_accepts_images_of_other_channels(channels):
    model = Segmentor(-1, in_channels=channels)
    run_hook(model, model=dict(backbone=dict(in_channels=channels)))


def test_finds_fault_of_grey_images():
    model = Segmentor(-1, scales=[2, 1], in_channels=1)
    with pytest.raises(ValueError, match='model.neck does not accept'):
        run_hook(model, model=dict(backbone=dict(in_channels=1)))


class Detector(nn.Module):
    def __init__(self, backbone, neck):
        super().__init__()
        self.backbone, self.neck = backbone, neck


def pipeline(size):
    steps = [dict(type='Resize', scale=(size, size))]
    return dict(test_dataloader=dict(dataset=dict(pipeline=steps)))


def swin(out_indices=(0, 1, 2, 3)):
    """Make a Swin whose last map is smaller than a window at 128 pixels."""
    arch = dict(embed_dims=4, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
    return SwinTransformer(arch, out_indices=out_indices)


def test_checks_backbone_that_needs_large_images():
    good = PlainFeaturePyramid(32, [1])
    run_hook(Detector(swin([3]), good), 128, **pipeline(224))
    with pytest.raises(ValueError, match='of 224 x 224 pixels, 4 maps'):
        run_hook(Detector(swin(), good), 128, **pipeline(224))


def test_skips_backbone_that_accepts_no_blank_image():
    model = Detector(swin(), PlainFeaturePyramid(32, [1]))
    run_hook(model, 128)
    assert model.training
    arch = {key: TINY_ARCH[key] for key in TINY_ARCH if key != 'word_size'}
    fixed = HostTNT(arch, img_size=96)
    run_hook(Detector(fixed, PlainFeaturePyramid(32, [1])), 128, **pipeline(64))


def test_reason_of_error_without_message():
    """Assertions of the hosts have no text."""
    neck = CSPNeXtPAFPN([32, 64, 128], 32, num_csp_blocks=1)
    with pytest.raises(ValueError, match=r'AssertionError: assert len\(inputs\) =='):
        run_hook(Detector(swin(), neck), 224)
