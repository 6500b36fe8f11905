"""Published folders: they load elsewhere and give the same predictions."""

import json
import shutil
import sys

import numpy as np
import pytest
import timm
import torch
import yaml
from mmengine.config import Config

import mmvlfusion
from mmvlfusion.apis.build import build_model
from mmvlfusion.models.low_rank.builder import to_low_rank_config
from mmvlfusion.models.multimodal.tokenizers import train_tokenizer

from ..helpers import ROOT, TINY_ARCH, load_tool, unformatted

publish = load_tool('publish.py')
IMAGE = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
CLASSES = dict(classes=('a', 'b', 'c'), palette=[[1, 2, 3], [4, 5, 6], [7, 8, 9]])


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Publish a config with random weights. Return the folder and the model."""
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', unformatted)

    def publish_model(cfg, *options, change=None, name='folder'):
        config, checkpoint = tmp_path / 'model.py', tmp_path / 'model.pth'
        cfg.dump(config)
        torch.manual_seed(0)
        model = build_model(Config.fromfile(config)).eval()
        content = dict(state_dict=model.state_dict(), meta=dict(dataset_meta=CLASSES))
        if change:
            change(content)
        torch.save(content, checkpoint)
        out = tmp_path / name
        args = ['publish.py', config, checkpoint, '--out', out, *options]
        monkeypatch.setattr(sys, 'argv', [str(arg) for arg in args])
        publish.main()
        return out, model

    return publish_model


def classifier(**backbone):
    """Make the config of a tiny classifier."""
    cfg = Config.fromfile(ROOT / 'configs/demo/classification.py')
    cfg.model.backbone.update(arch=TINY_ARCH, **backbone)
    cfg.model.head.update(in_channels=24, num_classes=3)
    return cfg


def low_rank_classifier():
    cfg = classifier()
    cfg.model = to_low_rank_config(cfg.model, ratio=2, exclude=(), min_features=10)
    return cfg


def logits(predictor):
    return predictor.predict_sample(IMAGE).pred_score


def test_classifier_is_loaded_by_us_and_by_its_host(run, tmp_path):
    metrics = tmp_path / 'metrics.json'
    metrics.write_text(json.dumps({'accuracy/top1': 88.12349, 'time': 1.0, 'n': None}))
    out, model = run(
        classifier(), '--metrics', metrics, '--license', 'mit', '--name', 'my-tnt'
    )
    assert sorted(path.name for path in out.iterdir()) == [
        'README.md',
        'config.py',
        'model.safetensors',
    ]
    predictor = mmvlfusion.from_pretrained(str(out), 'classification', device='cpu')
    for name, value in model.state_dict().items():
        assert torch.equal(predictor.model.state_dict()[name], value)
    assert predictor(IMAGE).findings[0].text in 'abc'
    from mmpretrain import ImageClassificationInferencer

    host = ImageClassificationInferencer(str(out / 'config.py'), device='cpu')
    (found,) = host(IMAGE)
    assert found['pred_scores'] == pytest.approx(logits(predictor).numpy(), abs=1e-6)
    assert found['pred_class'] in 'abc'
    _, header, text = (out / 'README.md').read_text().split('---\n', 2)
    metadata = yaml.safe_load(header)
    assert metadata['library_name'] == 'mmvlfusion' and metadata['license'] == 'mit'
    assert 'arxiv:2103.00112' in metadata['tags']
    (result,) = metadata['model-index'][0]['results']
    assert result['metrics'] == [dict(type='accuracy/top1', value=88.1235)]
    assert metadata['model-index'][0]['name'] == 'my-tnt'
    assert '| accuracy/top1 | 88.1235 |' in text and 'a, b, c' in text


def test_card_is_read_by_the_library_of_the_hub(run, tmp_path):
    hub = pytest.importorskip('huggingface_hub')
    metrics = tmp_path / 'metrics.json'
    metrics.write_text('{"accuracy/top1": 88}')
    out, _ = run(low_rank_classifier(), '--metrics', metrics)
    card = hub.ModelCard.load(out / 'README.md')
    assert card.data.library_name == 'mmvlfusion'
    assert card.data.pipeline_tag == 'image-classification'
    assert card.data.eval_results[0].metric_value == 88
    assert {'arxiv:2103.00112', 'arxiv:2310.10700'} <= set(card.data.tags)


@pytest.mark.parametrize(
    'kind, expected', [(None, 2.0), ('ema', 2.0), ('trained', 5.0)]
)
def test_ema_or_trained_weights(kind, expected, run):
    """mmengine stores the EMA weights as state_dict, the others as ema_state_dict."""

    def add_ema(content):
        weights = content['state_dict']
        content['ema_state_dict'] = {
            f'module.{name}': torch.full_like(value, 5)
            for name, value in weights.items()
        }
        content['state_dict'] = {
            name: torch.full_like(value, 2) for name, value in weights.items()
        }

    options = ['--weights', kind] if kind else []
    out, _ = run(classifier(), *options, change=add_ema)
    weights = publish.load_state_dict(str(out / 'model.safetensors'))
    assert all((value == expected).all() for value in weights.values())


def test_missing_ema_is_refused(run):
    with pytest.raises(ValueError, match='has no ema_state_dict'):
        run(classifier(), '--weights', 'ema')


@pytest.mark.parametrize('variant', ['official', 'legacy'])
@pytest.mark.parametrize('out_type', ['cls_token', 'avg_featmap'])
def test_timm_gives_the_same_logits(variant, out_type, run):
    out, model = run(classifier(variant=variant, out_type=out_type), '--to', 'timm')
    other = timm.create_model(f'local-dir:{out}', pretrained=True).eval()
    image = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(other(image), model(image), atol=1e-5, rtol=0)
    assert other.pretrained_cfg['mean'] == [0.5, 0.5, 0.5]


def test_low_rank_is_merged(run):
    cfg = low_rank_classifier()
    out, model = run(cfg, '--dense')
    dense = mmvlfusion.from_pretrained(str(out), device='cpu')
    assert not any('.down' in name for name in dense.model.state_dict())
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(dense.model(image), model(image), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match='add --dense'):
        run(cfg, '--to', 'timm', name='timm')
    out, _ = run(cfg, '--to', 'timm', '--dense', name='dense')
    other = timm.create_model(f'local-dir:{out}', pretrained=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(other(image), model(image), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(inner_blocks=(0, 2)), "timm's TNT cannot have these weights"),
        (dict(with_se=True), 'timm has no counterpart'),
        (dict(norm_cfg=dict(type='LN', eps=0.5)), 'The logits of timm differ'),
    ],
)
def test_models_that_timm_lacks_are_refused(change, message, run):
    with pytest.raises(ValueError, match=message):
        run(classifier(**change), '--to', 'timm')


def test_other_settings_are_refused(run, tmp_path):
    with pytest.raises(ValueError, match='has no low-rank layer'):
        run(classifier(), '--dense')
    with pytest.raises(ValueError, match='does not fit'):
        run(classifier(), change=lambda x: x['state_dict'].popitem())
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'folder/x').touch()
    with pytest.raises(SystemExit):
        run(classifier())


def test_texts_travel_with_the_model(run, tmp_path):
    """Tokenizer, answers and tied embeddings do not need files of this machine."""
    words = tmp_path / 'words'
    train_tokenizer(['is there a star?'], 200, 1).save_pretrained(words)
    answers = tmp_path / 'answers.json'
    answers.write_text('["yes", "no"]')
    cfg = Config.fromfile(ROOT / 'configs/demo/vqa.py')
    cfg.model.tokenizer = str(words)
    cfg.model.share_embeddings = True
    cfg.model.head.answers = str(answers)
    out, _ = run(cfg)
    moved = out.rename(tmp_path / 'elsewhere')
    shutil.rmtree(words)
    answers.unlink()
    predictor = mmvlfusion.from_pretrained(str(moved), task='vqa', device='cpu')
    assert predictor(IMAGE, 'is there a star?').findings[0].text in ('yes', 'no')
    inner = predictor.model
    shared = inner.head.decoder.get_input_embeddings().weight
    assert shared is inner.text_encoder.encoder.get_input_embeddings().weight
    from mmpretrain import VisualQuestionAnsweringInferencer

    host = VisualQuestionAnsweringInferencer(str(moved / 'config.py'), device='cpu')
    assert host(IMAGE, 'is there a star?')[0]['pred_answer'] in ('yes', 'no')
    with pytest.raises(ValueError, match="is a model for 'vqa'"):
        mmvlfusion.from_pretrained(str(moved), task='caption', device='cpu')


def test_detector_and_segmentor_are_loaded_by_their_hosts(run):
    from mmdet.apis import init_detector
    from mmseg.apis import inference_model, init_model

    for task, init in (('detection', init_detector), ('segmentation', init_model)):
        out, _ = run(Config.fromfile(ROOT / f'configs/demo/{task}.py'), name=task)
        config, weights = str(out / 'config.py'), str(out / 'model.safetensors')
        model = init(config, weights, device='cpu')
        assert tuple(model.dataset_meta['classes']) == ('a', 'b', 'c')
        predictor = mmvlfusion.from_pretrained(str(out), task, device='cpu')
        assert predictor(IMAGE).pictures
    sample = inference_model(model, IMAGE)
    assert torch.equal(
        sample.pred_sem_seg.data, predictor.predict_sample(IMAGE).pred_sem_seg.data
    )
