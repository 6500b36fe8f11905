"""Whole models of the hosts: compress, train a step, save, load, infer."""

import copy

import pytest
import torch
from mmdet.testing import demo_mm_inputs
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import load_checkpoint, save_checkpoint

from mmvlfusion.models.low_rank import LowRankLinear, merge_
from mmvlfusion.models.low_rank.attention import LowRankMultiheadAttention

from ...conftest import TINY_ARCH
from ...test_configs import make_samples

VIT = dict(embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=48)
SWIN = dict(embed_dims=24, depths=(1, 1, 1, 1), num_heads=(2, 2, 2, 4))


def classifier(channels, **backbone):
    return dict(
        type='ImageClassifier',
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling') if 'Swin' in backbone['type'] else None,
        head=dict(type='LinearClsHead', num_classes=12, in_channels=channels),
    )


def detector(path):
    cfg = get_config(f'mmdet::{path}').model
    cfg.backbone.update(depth=18, init_cfg=None)
    if 'neck' in cfg:
        cfg.neck.in_channels = [c // 4 for c in cfg.neck.in_channels]
    for part in ('encoder', 'decoder'):
        if part in cfg:
            cfg[part].num_layers = 2
    if 'bbox_head' in cfg and 'num_queries' in cfg:
        cfg.num_queries = 10  # A small image has no more.
        cfg.test_cfg.max_per_img = 10
    return cfg


def upernet():
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


# Host, config, and whether torch's attention is within.
MODELS_OF_HOSTS = {
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


def build(name, low_rank):
    host, make, _ = MODELS_OF_HOSTS[name]
    init_default_scope(host)
    cfg = ConfigDict(make())
    if low_rank:
        cfg.update(
            type='mmvlfusion.LowRank',
            module=cfg['type'],
            ratio=1.5,
            exclude=['fc_cls'] if name == 'Faster R-CNN' else (),
        )
    return MODELS.build(cfg)


def samples(host):
    if host == 'mmdet':
        return demo_mm_inputs(2, (3, 96, 96), [3, 3], num_classes=80)
    return make_samples(host, 64, 12)


def parameters_of(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize('name', MODELS_OF_HOSTS)
def test_train_save_load_infer(name, tmp_path):
    torch.manual_seed(0)
    host, _, attention = MODELS_OF_HOSTS[name]
    dense = build(name, False)
    dense.init_weights()
    low = build(name, True)
    assert isinstance(low, type(dense))
    assert parameters_of(low) < parameters_of(dense)
    found = [m for m in low.modules() if isinstance(m, LowRankMultiheadAttention)]
    assert bool(found) == attention

    low.init_weights()  # By the host's own initialisation ...
    low.load_state_dict(dense.state_dict())  # ... and from a checkpoint.
    layer = next(m for m in low.modules() if isinstance(m, LowRankLinear))
    before = copy.deepcopy(layer.up.data)
    optimizer = torch.optim.AdamW(low.parameters(), lr=1e-4)
    low.train()
    data = low.data_preprocessor(samples(host), training=True)
    losses, _ = low.parse_losses(low(**data, mode='loss'))
    losses.backward()
    assert all(
        m.up.grad is not None and m.down.grad is not None
        for m in low.modules()
        if isinstance(m, LowRankLinear)
    )
    optimizer.step()
    assert not torch.equal(before, layer.up)

    path = str(tmp_path / 'weights.pth')
    save_checkpoint(dict(state_dict=low.state_dict()), path)
    again = build(name, True)
    load_checkpoint(again, path, strict=True)
    merged = copy.deepcopy(low)
    merge_(merged)
    assert parameters_of(merged) == parameters_of(dense)
    outputs = []
    for model in (low, again, merged):
        model.eval()
        with torch.no_grad():
            data = model.data_preprocessor(samples(host), training=False)
            data['inputs'] = torch.ones_like(data['inputs'])
            outputs.append(flat(model(**data, mode='tensor')))
            model(**data, mode='predict')
    torch.testing.assert_close(outputs[1], outputs[0])
    torch.testing.assert_close(outputs[2], outputs[0], rtol=1e-3, atol=1e-3)


def flat(output):
    """All numbers of a nested output."""
    if isinstance(output, torch.Tensor):
        return output.flatten().float()
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (tuple, list)):
        parts = [flat(x) for x in output]
        return torch.cat([x for x in parts if len(x)])
    return torch.zeros(0)


def test_bert(tmp_path):
    """A model of transformers, with its own ways to save and load."""
    from transformers import BertConfig, BertForMaskedLM

    from mmvlfusion.models.low_rank import compress_

    torch.manual_seed(0)
    cfg = BertConfig(
        vocab_size=99,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
    )
    model = BertForMaskedLM(cfg)
    names = [r.name for r in compress_(model, 1.5, 'bert')]
    assert len(names) == 12 and all('encoder.layer' in n for n in names)
    tokens = torch.randint(0, 99, (2, 7))
    model.train()(input_ids=tokens, labels=tokens).loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    # The head's weight is that of the embedding, before and after.
    assert (
        model.cls.predictions.decoder.weight
        is model.bert.embeddings.word_embeddings.weight
    )
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    again = BertForMaskedLM(cfg)
    compress_(again, 1.5, 'bert')
    again.load_state_dict(torch.load(tmp_path / 'weights.pth'))
    with torch.no_grad():
        assert torch.equal(again.eval()(tokens).logits, model.eval()(tokens).logits)
