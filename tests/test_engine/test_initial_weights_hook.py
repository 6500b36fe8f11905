"""A run stops if initial weights are missing, with advice for the file."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop

from mmvlfusion.engine import InitialWeightsHook

HOOK = InitialWeightsHook('See the README.')
PRETRAINED = dict(type='Pretrained', checkpoint='missing.pth')


def runner(training=True, **cfg):
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop) if training else {}
    return SimpleNamespace(cfg=Config(cfg), _train_loop=loop)


@pytest.mark.parametrize(
    'cfg, advice',
    [
        (dict(load_from='missing.pth'), 'load_from=None'),
        (
            dict(model=dict(backbone=dict(init_cfg=PRETRAINED))),
            'model.backbone.init_cfg=None',
        ),
        (
            dict(model=dict(neck=dict(init_cfg=[dict(type='Constant'), PRETRAINED]))),
            'model.neck.init_cfg=None',
        ),
        (dict(model=dict(teacher_ckpt='missing.pth')), 'model.teacher_ckpt=FILE'),
    ],
)
def test_error_names_option_of_missing_file(cfg, advice):
    with pytest.raises(FileNotFoundError, match='missing.pth are missing') as error:
        HOOK.before_run(runner(**cfg))
    message = str(error.value)
    assert 'See the README.' in message
    assert message.count('--cfg-options') == 1
    assert message.endswith(f'--cfg-options {advice}.')


def test_accepts_existing_remote_and_resumed_weights(tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save(dict(a=torch.zeros(1)), path)
    HOOK.before_run(runner(load_from=str(path)))
    HOOK.before_run(runner(load_from='https://example.org/weights.pth'))
    HOOK.before_run(runner(load_from='missing.pth', resume=True))
    # The weights of the model are not initialised in testing.
    HOOK.before_run(runner(False, model=dict(init_cfg=PRETRAINED)))
    with pytest.raises(FileNotFoundError, match='load_from=None'):
        HOOK.before_run(runner(False, load_from='missing.pth'))
