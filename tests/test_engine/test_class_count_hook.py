"""A wrong number of classes stops training before it starts."""
import types

import pytest
import torch

from mmvlfusion.engine import ClassCountHook


def runner(head_classes, data_classes):
    dataset = types.SimpleNamespace(
        metainfo=dict(classes=['x'] * data_classes))
    loader = types.SimpleNamespace(dataset=dataset)
    model = torch.nn.Module()
    model.head = torch.nn.Module()
    model.head.num_classes = head_classes
    return types.SimpleNamespace(
        model=model, train_dataloader=loader, val_dataloader=loader,
        test_dataloader=loader, val_loop=object())


@pytest.mark.parametrize('stage', ['before_train', 'before_test'])
def test_class_count(stage):
    hook = ClassCountHook()
    getattr(hook, stage)(runner(10, 10))
    with pytest.raises(ValueError, match='head has 10 .* has 8: set '
                       'model.head.num_classes=8'):
        getattr(hook, stage)(runner(10, 8))


def test_unknown_counts_pass():
    unknown = runner(10, 8)
    del unknown.model.head.num_classes
    ClassCountHook().before_train(unknown)
