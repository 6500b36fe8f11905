"""Training stops if a neck or head does not fit the backbone."""

import types

import pytest
import torch
from mmseg.models.decode_heads import FCNHead
from torch import nn

from mmvlfusion.engine import FeatureMapsHook
from mmvlfusion.models import TNT, PlainFeaturePyramid, Trans2SegHead

from ..helpers import TINY_ARCH


class Segmentor(nn.Module):
    def __init__(self, out_indices, scales=None, in_index=-1):
        super().__init__()
        self.backbone = TNT(
            TINY_ARCH,
            img_size=32,
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


def check(*args, **kwargs):
    model = Segmentor(*args, **kwargs)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    FeatureMapsHook(64).before_train(types.SimpleNamespace(model=model))
    assert model.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_accepts_matching_models():
    check((0, 2), scales=[2, 1])
    check(-1)
    FeatureMapsHook().before_train(types.SimpleNamespace(model=nn.Linear(2, 2)))


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
        FeatureMapsHook(64).before_train(types.SimpleNamespace(model=model))


def test_rejects_head_with_missing_map():
    with pytest.raises(
        ValueError, match='model.decode_head does not accept the output of model.neck'
    ):
        check((0, 2), scales=[2, 1], in_index=3)
