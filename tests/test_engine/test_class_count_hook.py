"""A wrong number of classes stops training before it starts."""

import types

import pytest
import torch

from mmvlfusion.engine import ClassCountHook


def runner(head_classes, data_classes):
    dataset = types.SimpleNamespace(metainfo=dict(classes=['x'] * data_classes))
    loader = types.SimpleNamespace(dataset=dataset)
    model = torch.nn.Module()
    model.head = torch.nn.Module()
    model.head.num_classes = head_classes
    return types.SimpleNamespace(
        model=model,
        train_dataloader=loader,
        val_dataloader=loader,
        test_dataloader=loader,
        val_loop=object(),
    )


@pytest.mark.parametrize('stage', ['before_train', 'before_test'])
def test_rejects_head_with_other_class_count(stage):
    hook = ClassCountHook()
    getattr(hook, stage)(runner(10, 10))
    with pytest.raises(
        ValueError, match='head has 10 .* has 8: set model.head.num_classes=8'
    ):
        getattr(hook, stage)(runner(10, 8))


def test_rejects_one_hot_labels_with_other_class_count():
    mixed = runner(10, 10)
    mixed.model.data_preprocessor = types.SimpleNamespace(
        to_onehot=True, num_classes=1000
    )
    with pytest.raises(
        ValueError,
        match='preprocessor has 1000 .* has 10: set data_preprocessor.num_classes=10',
    ):
        ClassCountHook().before_train(mixed)
    mixed.model.data_preprocessor.to_onehot = False
    ClassCountHook().before_train(mixed)


def test_checks_student_of_distiller():
    class Distiller(torch.nn.Module):
        @property
        def deploy_model(self):
            return self.student

    distiller = runner(10, 8)
    student = distiller.model
    distiller.model = Distiller()
    distiller.model.student = student
    with pytest.raises(ValueError, match='model.student.head.num_classes=8'):
        ClassCountHook().before_train(distiller)


def test_accepts_unknown_class_counts():
    unknown = runner(10, 8)
    del unknown.model.head.num_classes
    ClassCountHook().before_train(unknown)


def test_checks_detector_heads_except_rpn():
    """Heads of detectors and cascades are checked, but not that of the RPN."""
    detector = runner(10, 8)
    del detector.model.head
    roi_head = torch.nn.Module()
    roi_head.bbox_head = torch.nn.ModuleList([torch.nn.Module()])
    roi_head.bbox_head[0].num_classes = 8
    detector.model.roi_head = roi_head
    detector.model.rpn_head = torch.nn.Module()
    detector.model.rpn_head.num_classes = 1
    ClassCountHook().before_train(detector)
    roi_head.bbox_head[0].num_classes = 80
    with pytest.raises(
        ValueError,
        match='head has 80 .* has 8: set model.roi_head.bbox_head.0.num_classes=8',
    ):
        ClassCountHook().before_train(detector)


def test_rejects_checkpoint_with_other_class_count():
    fine_tuned = runner(8, 8)
    fine_tuned.model.head.fc = torch.nn.Linear(4, 8)
    for weights in (
        dict(state_dict={'head.fc.weight': torch.zeros(5, 4)}),
        {'head.fc.weight': torch.zeros(5, 4)},
    ):
        with pytest.raises(
            ValueError,
            match=r'head.fc.weight has the shape '
            r'\(5, 4\), expected \(8, 4\).*'
            'has 8 classes.*new_head=True',
        ):
            ClassCountHook().after_load_checkpoint(fine_tuned, weights)
        ClassCountHook(new_head=True).after_load_checkpoint(fine_tuned, weights)
    ClassCountHook().after_load_checkpoint(
        fine_tuned, {'head.fc.weight': torch.zeros(8, 4)}
    )
