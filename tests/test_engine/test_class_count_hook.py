"""A wrong number of classes stops training before it starts."""

import types

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmpretrain.datasets import CustomDataset

from mmvlfusion.engine import ClassCountHook


def make_runner(head_classes, train, val=None):
    model = torch.nn.Module()
    model.head = torch.nn.Module()
    model.head.num_classes = head_classes
    train, val = (types.SimpleNamespace(dataset=data) for data in (train, val or train))
    return types.SimpleNamespace(
        model=model,
        train_dataloader=train,
        val_dataloader=val,
        test_dataloader=val,
        val_loop=object(),
    )


def named(*names):
    return types.SimpleNamespace(metainfo=dict(classes=names))


def runner(head_classes, data_classes):
    return make_runner(head_classes, named(*['x'] * data_classes))


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


@pytest.fixture
def log(tmp_path):
    """Return the text of the log."""
    MMLogger.get_instance('class_count', log_file=str(tmp_path / 'hook.log'))
    return lambda: (tmp_path / 'hook.log').read_text()


def checkpoint(*names, key='classes'):
    return dict(state_dict={}, meta=dict(dataset_meta={key: names}))


SHAPES = ('arrow', 'circle', 'star')


@pytest.mark.parametrize('other', [('circle', 'arrow', 'star'), ('.git', *SHAPES[:2])])
def test_rejects_names_with_other_labels(other):
    """The labels of classification, detection and segmentation have names."""
    with pytest.raises(
        ValueError,
        match=r'is class \d in the data set of val_dataloader .* '
        r'but class \d in train_dataloader',
    ):
        ClassCountHook().before_train(make_runner(3, named(*SHAPES), named(*other)))
    for key in ('classes', 'CLASSES'):
        hook = ClassCountHook()
        test = make_runner(3, named(*other))
        hook.after_load_checkpoint(test, checkpoint(*SHAPES, key=key))
        with pytest.raises(ValueError, match=r'but class \d in the checkpoint'):
            hook.before_test(test)


@pytest.mark.parametrize(
    'names, others',
    [
        (SHAPES, SHAPES),
        (SHAPES, list(SHAPES)),
        (('n01', 'n02'), ('tench', 'goldfish')),
        (('crane', 'maillot', 'crane'), ('crane bird', 'maillot', 'crane')),
        (('crane bird', 'maillot', 'crane'), ('crane', 'maillot', 'crane')),
    ],
    ids=['equal', 'list', 'synonyms', 'repeated', 'repeated in the checkpoint'],
)
def test_accepts_names_with_the_same_labels(names, others, log):
    both = make_runner(len(names), named(*names), named(*others))
    ClassCountHook().before_train(both)
    hook = ClassCountHook()
    hook.after_load_checkpoint(both, checkpoint(*names))
    hook.before_test(both)
    assert ('have different names' in log()) == (tuple(names) != tuple(others))


def test_accepts_checkpoints_without_names():
    for content in ({}, dict(meta=None), dict(meta=dict(dataset_meta=None))):
        hook = ClassCountHook()
        hook.after_load_checkpoint(runner(3, 3), dict(state_dict={}, **content))
        hook.before_test(runner(3, 3))


def test_fine_tuning_may_have_other_names():
    hook = ClassCountHook()
    train = make_runner(3, named(*SHAPES))
    hook.after_load_checkpoint(train, checkpoint(*SHAPES[::-1]))
    hook.before_train(train)
    hook.before_test(train)


def test_rejects_names_that_are_a_string():
    data = types.SimpleNamespace(metainfo=dict(classes='cat'))
    with pytest.raises(ValueError, match=r"write \('cat', \) for one class"):
        ClassCountHook().before_train(make_runner(3, data))


def test_validation_with_fewer_classes_is_not_a_fault_of_the_head():
    with pytest.raises(
        ValueError, match='set metainfo.classes and data_root of val_dataloader'
    ):
        ClassCountHook().before_train(
            make_runner(3, named(*SHAPES), named(*SHAPES[:2]))
        )


def folders(root, *names, empty=(), **kwargs):
    """Make a data set of class folders with one image each."""
    for name in (*names, *empty):
        (root / name).mkdir(parents=True)
        if name not in empty:
            cv2.imwrite(str(root / name / '0.png'), np.zeros((4, 4), np.uint8))
    return CustomDataset(data_root=str(root), pipeline=[], **kwargs)


@pytest.mark.parametrize(
    'train, val, message',
    [
        (SHAPES, ('.ipynb_checkpoints', *SHAPES), r'adds .ipynb_checkpoints'),
        (SHAPES, SHAPES[:2], 'lacks star, .*A class without images needs an empty'),
        (SHAPES, (*SHAPES[:2], 'zebra'), 'lacks star and adds zebra'),
        (('.git', *SHAPES), SHAPES, r'lacks .git, .*\.git \(begin with a dot\)'),
    ],
)
def test_rejects_class_folders_that_differ(train, val, message, tmp_path):
    data = folders(tmp_path / 'train', *train), folders(tmp_path / 'val', *val)
    with pytest.raises(ValueError, match=message):
        ClassCountHook().before_train(make_runner(len(train), *data))


@pytest.mark.parametrize(
    'train, val', [(SHAPES, SHAPES), (('n01', 'n02', 'n03'), SHAPES)]
)
def test_accepts_class_folders(train, val, tmp_path):
    data = (
        folders(tmp_path / 'train', *train),
        folders(tmp_path / 'val', *val[:2], empty=val[2:]),
    )
    ClassCountHook().before_train(make_runner(3, *data))


def test_error_names_folders_that_are_not_classes(tmp_path):
    data = folders(tmp_path, '.ipynb_checkpoints', *SHAPES, empty=['tmp'])
    with pytest.raises(
        ValueError,
        match=r'.ipynb_checkpoints \(begin with a dot\) and tmp \(have no images\)'
        ': remove those',
    ):
        ClassCountHook().before_train(make_runner(3, data))


def test_rejects_names_in_another_order_than_the_folders(tmp_path):
    data = folders(tmp_path, *SHAPES, metainfo=dict(classes=SHAPES[::-1]))
    with pytest.raises(
        ValueError, match="images of 'arrow' would be labelled 'star', since labels"
    ):
        ClassCountHook().before_train(make_runner(3, data))
    data._metainfo['classes'] = ('a', 'b', 'c')
    ClassCountHook().before_train(make_runner(3, data))
