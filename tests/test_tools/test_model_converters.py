"""Conversion of TNT checkpoints in both directions."""

import pytest
import timm
import torch

from mmvlfusion.models import TNT

from ..helpers import TINY_ARCH, load_tool

converter = load_tool('model_converters/tnt.py')


def ours(**kwargs):
    torch.manual_seed(0)
    model = TNT(TINY_ARCH, img_size=32, patch_size=8, **kwargs)
    weights = {
        f'backbone.{name}': torch.randn_like(value)
        for name, value in model.state_dict().items()
    }
    return dict(weights, **{'head.fc.weight': torch.randn(5, 24)})


@pytest.mark.parametrize('to', ['huawei', 'timm', 'mmpretrain'])
@pytest.mark.parametrize('variant', ['official', 'legacy'])
def test_round_trip_restores_weights(to, variant):
    weights = ours(variant=variant)
    if (to, variant) == ('mmpretrain', 'official'):
        with pytest.raises(ValueError, match='legacy variant'):
            converter.convert(weights, to)
        return
    converted, dropped = converter.convert(weights, to)
    assert converter.detect_family(converted) == to and dropped == []
    back, dropped = converter.convert(converted, 'mmvlfusion')
    assert dropped == [] and back.keys() == weights.keys()
    assert all(torch.equal(back[name], weights[name]) for name in weights)


def test_converted_names_match_timm():
    peer = timm.create_model('tnt_s_patch16_224').state_dict()
    weights, _ = converter.convert(peer, 'mmvlfusion')
    back, _ = converter.convert(weights, 'timm')
    assert back.keys() == peer.keys()
    assert all(torch.equal(back[name], peer[name]) for name in peer)


def test_reports_dropped_se_and_unknown_weights():
    weights = ours(with_se=True)
    converted, dropped = converter.convert(weights, 'huawei')
    assert 'blocks.0.se_layer.fc.1.weight' in converted and dropped == []
    _, dropped = converter.convert(weights, 'timm')
    assert len(dropped) == 18 and all('.se.' in name for name in dropped)
    converted['outer_tokens'] = torch.zeros(1)
    converted['stranger'] = torch.zeros(1)
    _, dropped = converter.convert(converted, 'mmvlfusion')
    assert dropped == ['outer_tokens', 'stranger']


def test_command_converts_timm_checkpoint(run_tool, tmp_path):
    source, target = tmp_path / 'timm.pth', tmp_path / 'ours.pth'
    weights, _ = converter.convert(ours(), 'timm')
    torch.save(dict(weights, extra=torch.zeros(1)), source)
    output = run_tool('tools/model_converters/tnt.py', source, target)
    assert 'from timm' in output and 'dropped: 1 x extra' in output
    model = TNT(TINY_ARCH, img_size=32, patch_size=8)
    model.init_cfg = dict(type='Pretrained', checkpoint=str(target), prefix='backbone.')
    model.init_weights()
    assert torch.equal(model.cls_token, weights['cls_token'])


def test_convert_rejects_other_models():
    with pytest.raises(ValueError, match='expected a TNT checkpoint of'):
        converter.convert({'conv1.weight': torch.zeros(1)}, 'mmvlfusion')
