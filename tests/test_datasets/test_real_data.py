"""Configs with real images, if they are available."""

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope
from torch.utils.data import default_collate

from ..helpers import ROOT


def test_cifar10_config_loads_data_and_trains(real_data, monkeypatch):
    monkeypatch.setenv('MMVLFUSION_DATA', str(real_data))
    cfg = Config.fromfile(ROOT / 'configs/tnt/tnt-mini-p8_1xb32-50e_cifar10-32px.py')
    init_default_scope(cfg.default_scope)
    train = DATASETS.build(cfg.train_dataloader.dataset)
    test = DATASETS.build(cfg.test_dataloader.dataset)
    assert len(train.metainfo['classes']) == 10 == cfg.model.head.num_classes
    assert (len(train), len(test)) == (5000, 1000)
    cfg.model.data_preprocessor = cfg.data_preprocessor
    model = MODELS.build(cfg.model)
    data = model.data_preprocessor(collate(train, range(4)))
    assert data['inputs'].shape == (4, 3, 32, 32)
    assert -1 <= data['inputs'].min() < data['inputs'].max() <= 1
    assert torch.isfinite(model(**data, mode='loss')['loss'])


def test_imagenet_config_loads_data_and_predicts(real_data):
    cfg = Config.fromfile(ROOT / 'configs/tnt/tnt-tiny-p16_8xb128-300e_in1k.py')
    init_default_scope(cfg.default_scope)
    dataset = DATASETS.build(
        dict(
            type='CustomDataset',
            data_root=str(real_data / 'imagenet'),
            data_prefix='val',
            pipeline=cfg.test_dataloader.dataset.pipeline,
        )
    )
    assert len(dataset) == 100
    model = MODELS.build(
        dict(cfg.model, data_preprocessor=cfg.data_preprocessor)
    ).eval()
    data = model.data_preprocessor(collate(dataset, [0, 50]))
    with torch.no_grad():
        out = model(**data, mode='tensor')
    assert data['inputs'].shape == (2, 3, 224, 224)
    assert out.shape == (2, 1000) and torch.isfinite(out).all()


def collate(dataset, indices):
    samples = [dataset[index] for index in indices]
    return dict(
        inputs=default_collate([sample['inputs'] for sample in samples]),
        data_samples=[sample['data_samples'] for sample in samples],
    )
