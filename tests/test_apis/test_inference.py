"""Prediction of every task for an image, without a page."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmvlfusion.apis.build import build_model
from mmvlfusion.apis.inference import TASKS, Predictor

from ..helpers import ROOT

IMAGE = np.random.default_rng(0).integers(0, 255, (48, 80, 3), np.uint8)
TEXTS = dict(vqa='is there a star?', grounding='a star', retrieval='a star')
FUSIONS = [
    'ConcatFusion',
    'CrossAttentionFusion',
    'PerceiverFusion',
    'CoTokenizationFusion',
]


@pytest.fixture(scope='module')
def words(tmp_path_factory):
    """A tokenizer with the position tokens of boxes."""
    from mmvlfusion.models.multimodal.tokenizers import train_tokenizer

    folder = tmp_path_factory.mktemp('words')
    texts = ['is there a red star?', 'a blue circle', 'yes no 1 2']
    train_tokenizer(texts, 200, 1, unused=66).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope='module')
def predictor_of(words):
    """Make the predictor of a demo with random weights."""
    made = {}

    def make(task, fusion=None):
        if (task, fusion) not in made:
            torch.manual_seed(0)
            cfg = Config.fromfile(ROOT / f'configs/demo/{task}.py')
            if 'tokenizer' in cfg.model:
                cfg.model.tokenizer = words
            if fusion:
                for name in ('num_latents', 'num_iterations'):
                    if fusion in ('ConcatFusion', 'CrossAttentionFusion'):
                        cfg.model.fusion.pop(name)
                cfg.model.fusion.type = f'mmvlfusion.{fusion}'
            if task == 'detection':
                cfg.model.test_cfg.rcnn.score_thr = 0.0
            made[task, fusion] = Predictor(cfg, build_model(cfg), device='cpu')
        return made[task, fusion]

    return make


@pytest.mark.parametrize('task', TASKS)
def test_every_task_predicts_and_draws(task, predictor_of):
    predictor = predictor_of(task)
    assert predictor.task == task
    if task == 'retrieval':
        names = [f'{number}.png' for number in range(40)]
        images = [np.roll(IMAGE, number, axis=1) for number in range(40)]
        found = predictor.search(TEXTS[task], images, names, number=3)
        assert len(found.findings) == len(found.pictures) == 3
        scores = [finding.score for finding in found.findings]
        assert scores == sorted(scores, reverse=True)
        again = predictor.search('a circle', images, names)
        assert len(again.findings) == 6
        with pytest.raises(ValueError, match='no images to retrieve from'):
            predictor.search('a star', [], [])
        return
    found = predictor(IMAGE, TEXTS.get(task, ''), score_thr=0.0)
    assert found.seconds > 0 and found.findings
    (picture,) = found.pictures
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    first = found.findings[0]
    assert isinstance(first.text, str)
    if task == 'segmentation':
        assert sum(f.share for f in found.findings) == pytest.approx(1)
    else:
        assert 0 <= first.score <= 1
    if task in ('detection', 'grounding'):
        x1, y1, x2, y2 = first.box
        assert 0 <= x1 <= x2 <= 80.01 and 0 <= y1 <= y2 <= 48.01


@pytest.mark.parametrize('task', ['vqa', 'grounding', 'caption', 'retrieval'])
def test_attention_is_drawn_for_fusions(task, predictor_of):
    pictures = predictor_of(task).attention(IMAGE, 'is there a star?')
    # JAR has a map for each latent, captions one for each word.
    assert len(pictures) > 1 if task in ('vqa', 'caption') else len(pictures) == 1
    assert pictures[0][1].shape == (48 * 4, 80 * 4, 3)


@pytest.mark.parametrize('fusion', FUSIONS)
def test_attention_of_other_fusions(fusion, predictor_of):
    pictures = predictor_of('vqa', fusion).attention(IMAGE, 'is there a star?')
    # The image tokens of this fusion are weighted means without attention.
    assert len(pictures) == (0 if fusion == 'CoTokenizationFusion' else 1)


def test_models_without_fusion_have_no_attention(predictor_of):
    assert predictor_of('classification').attention(IMAGE) == []


def test_reduced_tokens_have_no_map(predictor_of, monkeypatch):
    model = predictor_of('vqa').model
    monkeypatch.setattr(model, 'reducer', torch.nn.Identity())
    assert predictor_of('vqa').attention(IMAGE, 'is there a star?') == []


@pytest.mark.parametrize(
    'task, text, message',
    [
        ('vqa', ' ', 'The question is empty'),
        ('grounding', '', 'The text is empty'),
        ('retrieval', 'x', 'call search'),
    ],
)
def test_bad_input_is_named(task, text, message, predictor_of):
    with pytest.raises(ValueError, match=message):
        predictor_of(task)(IMAGE, text)


def test_task_is_checked(predictor_of):
    predictor = predictor_of('vqa')
    with pytest.raises(ValueError, match="is a model for 'vqa'"):
        Predictor(predictor.cfg, predictor.model, task='caption', device='cpu')
    with pytest.raises(ValueError, match="task='x' is not one of"):
        Predictor(predictor.cfg, predictor.model, task='x', device='cpu')


def test_classes_come_from_checkpoint_config_or_number(predictor_of):
    predictor = predictor_of('classification')
    classes = [f'c{i}' for i in range(10)]
    for dataset_meta, expected in (({}, 'class 3'), (dict(classes=classes), 'c3')):
        predictor.model.dataset_meta = dataset_meta
        made = Predictor(predictor.cfg, predictor.model, device='cpu')
        assert made.class_name(3) == expected


def test_predictors_of_several_hosts_share_a_process(predictor_of):
    """Each uses its own host, whichever default scope is set."""
    init_default_scope('mmseg')
    for task in ('detection', 'classification', 'segmentation'):
        assert predictor_of(task)(IMAGE).pictures
