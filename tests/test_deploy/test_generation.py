"""Exported models for questions and captions answer as PyTorch does."""

import copy

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from mmvlfusion.deploy import (
    export_model,
    generate_greedily,
    load_export,
    pad_texts,
)
from mmvlfusion.hosts import HOSTS
from mmvlfusion.models.multimodal.tokenizers import decode

from ..helpers import (
    BERT,
    FUSION,
    TNT,
    VQA_HEADS,
    VQA_QUESTIONS,
    D,
    question_sample,
    skip_on_torch_2_1,
)

pytestmark = skip_on_torch_2_1('has no torch.export with dynamic axes')
SHAPE = (32, 32)


def build(tokenizer, head, **kwargs):
    torch.manual_seed(0)
    init_default_scope('mmpretrain')
    cfg = dict(
        type='mmvlfusion.VisualQuestionAnswering',
        tokenizer=str(tokenizer),
        backbone=TNT,
        text_encoder=dict(type='mmvlfusion.TextEncoder', config=BERT),
        fusion=FUSION,
        head=VQA_HEADS[head],
        max_text_length=12,
    )
    return MODELS.build(copy.deepcopy(cfg | kwargs)).eval()


@pytest.mark.e2e
@pytest.mark.parametrize('format', ['onnx', 'torch'])
def test_generated_answers_match_eager(format, tokenizer_dir, tmp_path):
    pytest.importorskip('onnxscript')
    pytest.importorskip('onnxruntime')
    model = build(tokenizer_dir, 'greedy')
    reports = export_model(
        model, HOSTS['mmpretrain'], str(tmp_path), SHAPE, format, 'size'
    )
    assert [report.path.split('/')[-1].split('.')[0] for report in reports] == [
        'image_encoder',
        'fusion',
        'decoder',
    ]
    images = torch.randn(3, 3, 24, 40)
    samples = [question_sample(question) for question in VQA_QUESTIONS]
    answers = [x.pred_answer for x in model(images, samples, mode='predict')]
    ids, mask = pad_texts(model, VQA_QUESTIONS)
    tokens = generate_greedily(
        load_export(str(tmp_path)),
        images,
        model.head.end,
        model.head.max_length,
        ids,
        mask,
    )
    assert decode(model.tokenizer, tokens) == answers


def test_logits_of_answers_match_eager(tokenizer_dir, tmp_path):
    model = build(tokenizer_dir, 'classify')
    export_model(model, HOSTS['mmpretrain'], str(tmp_path), SHAPE, 'torch', 'batch')
    graphs = load_export(str(tmp_path))
    images = torch.randn(3, 3, *SHAPE)
    ids, mask = pad_texts(model, VQA_QUESTIONS)
    (logits,) = graphs['fusion'](*graphs['image_encoder'](images), ids, mask)
    with torch.no_grad():
        expected = model.head(model.fuse_inputs(images, VQA_QUESTIONS))
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.e2e
def test_captions_match_eager(tokenizer_dir, tmp_path):
    pytest.importorskip('onnxscript')
    pytest.importorskip('onnxruntime')
    model = build(
        tokenizer_dir,
        'greedy',
        type='mmvlfusion.ImageCaptioning',
        text_encoder=None,
        fusion=dict(type='mmvlfusion.ImageOnlyFusion', embed_dims=D, image_channels=D),
    )
    export_model(model, HOSTS['mmpretrain'], str(tmp_path), SHAPE, 'onnx', 'batch')
    images = torch.randn(2, 3, *SHAPE)
    samples = [question_sample('') for _ in images]
    captions = [x.pred_caption for x in model(images, samples, mode='predict')]
    tokens = generate_greedily(
        load_export(str(tmp_path)), images, model.head.end, model.head.max_length
    )
    assert decode(model.tokenizer, tokens) == captions


@pytest.mark.e2e
def test_int8_graphs_of_questions_nearly_match_eager(tokenizer_dir, tmp_path):
    pytest.importorskip('onnxruntime')
    model = build(tokenizer_dir, 'classify')
    images = [torch.randint(0, 256, (3, *SHAPE), dtype=torch.uint8) for _ in range(3)]
    samples = [question_sample(question) for question in VQA_QUESTIONS]
    reports = export_model(
        model,
        HOSTS['mmpretrain'],
        str(tmp_path),
        SHAPE,
        calibration=[dict(inputs=images, data_samples=samples)],
        int8=True,
    )
    assert all('_int8' in report.path for report in reports)
