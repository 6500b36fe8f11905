"""Visual question answering: training, predictions and errors."""

import pytest
import torch
from mmengine.registry import MODELS

from ...helpers import (
    BERT,
    VQA_ANSWERS,
    VQA_BACKBONES,
    VQA_HEADS,
    D,
    group_questions,
    question_sample,
    vqa_batch,
)


@pytest.mark.parametrize('backbone', VQA_BACKBONES)
@pytest.mark.parametrize('head', ['greedy', 'classify'])
def test_all_parameters_receive_gradients(build_vqa, backbone, head):
    """All parameters receive gradients for every backbone."""
    model = build_vqa(backbone, head).train()
    data = model.data_preprocessor(vqa_batch(), training=True)
    loss, logged = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    assert logged['loss_answer'] > 0
    assert [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and p.grad is None
    ] == []


@pytest.mark.parametrize('head', VQA_HEADS)
def test_predictions_match_head_outputs(build_vqa, head):
    model = build_vqa(head=head)
    out = model.val_step(vqa_batch())
    assert [s.question_id for s in out] == [0, 1, 2]
    fused = model(**model.data_preprocessor(vqa_batch()))
    if head == 'classify':
        scores, classes = model.head(fused).sigmoid().max(1)
        answers = [VQA_ANSWERS[i] for i in classes]
    else:
        search = model.head._rank if head == 'rank' else model.head._generate
        answers, log_probs = search(fused)
        scores = log_probs.exp()
    assert [s.pred_answer for s in out] == answers
    torch.testing.assert_close(torch.tensor([s.pred_score for s in out]), scores)


@pytest.mark.parametrize('head', ['greedy', 'classify'])
def test_bf16_is_close_to_full_precision(build_vqa, head):
    model = build_vqa(head=head)
    data = model.data_preprocessor(vqa_batch())
    plain = model(**data, mode='loss')['loss_answer']
    with torch.autocast('cpu', torch.bfloat16):
        half = model(**data, mode='loss')['loss_answer']
        answers = model(**data, mode='predict')
    torch.testing.assert_close(half, plain, rtol=0.05, atol=0.05)
    assert len(answers) == 3


def test_question_only_model_ignores_images(build_vqa, tokenizer_dir):
    """The baseline without a backbone does not depend on the images."""
    model = build_vqa(
        backbone=None,
        fusion=dict(
            type='mmvlfusion.TextOnlyFusion', embed_dims=D, num_heads=2, num_layers=1
        ),
    ).train()
    data = model.data_preprocessor(vqa_batch(), training=True)
    model(**data, mode='loss')['loss_answer'].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    tokens = model.eval()(**data).tokens
    data['images'] = data['images'] + 1
    torch.testing.assert_close(model(**data).tokens, tokens)


@pytest.mark.parametrize(
    'kwargs, match',
    [
        (dict(max_text_length=21), '21 is above the 20 positions'),
        (dict(text=dict(BERT, hidden_size=12)), '12 channels, but .*embed_dims=24'),
        (dict(text=dict(BERT, vocab_size=9)), 'vocab_size=9 of the bert is below'),
        (dict(head='classify', share_embeddings=True), 'set share_embeddings=Fal'),
        (
            dict(head=dict(VQA_HEADS['classify'], in_channels=12)),
            'AnswerClassificationHead takes 12 channels, .* embed_dims=24',
        ),
        (
            dict(head=dict(VQA_HEADS['greedy'], decoder=dict(BERT, hidden_size=12))),
            'TextGenerationHead takes 12 channels',
        ),
        (dict(tokenizer='nowhere/words'), 'Cannot load the tokenizer'),
        (dict(tokenizer='checkpoints/words'), 'checkpoints/words is missing'),
        (dict(tokenizer='/nowhere'), '/nowhere is missing'),
        (
            dict(
                fusion=dict(type='mmvlfusion.TextOnlyFusion', embed_dims=D, num_heads=2)
            ),
            'reads no image: set backbone=None',
        ),
    ],
)
def test_rejects_incompatible_parts(build_vqa, kwargs, match):
    with pytest.raises((ValueError, FileNotFoundError), match=match):
        build_vqa(**kwargs)


def test_rejects_bad_batches(build_vqa):
    model = build_vqa()
    image = torch.zeros(3, 32, 32)

    def run(model, *samples, mode='tensor'):
        model(
            **model.data_preprocessor(
                dict(inputs=[image], data_samples=[group_questions(samples)])
            ),
            mode=mode,
        )

    with pytest.raises(ValueError, match='Question 5 on the image a.jpg is em'):
        run(model, question_sample(' ', question_id=5, img_path='a.jpg'))
    with pytest.raises(ValueError, match='has no answer to train on'):
        run(model, question_sample('why?'), mode='loss')
    with pytest.raises(ValueError, match="mode='train' is not one of"):
        run(model, question_sample('why?'), mode='train')
    model.backbone.out_type = 'cls_token'
    with pytest.raises(ValueError, match='TNT returns .* set its out_type'):
        run(model, question_sample('why?'))
    model = build_vqa(
        'vit',
        fusion=dict(
            type='mmvlfusion.ConcatFusion',
            embed_dims=D,
            num_heads=2,
            image_channels=16,
            num_layers=1,
        ),
    )
    with pytest.raises(ValueError, match='set fusion.image_channels=12'):
        run(model, question_sample('why?'))


def test_distillation_of_low_rank_model(build_vqa, tokenizer_dir, tmp_path):
    """Distil the whole model with the batches of question answering."""
    teacher = build_vqa('vit')
    path = tmp_path / 'teacher.pth'
    torch.save(teacher.state_dict(), path)
    cfg = dict(build_vqa.config('vit'))
    student = dict(
        cfg,
        type='mmvlfusion.LowRank',
        module='mmvlfusion.VisualQuestionAnswering',
        ratio=2.0,
        exclude=['^head'],
    )
    distiller = MODELS.build(
        dict(
            type='mmvlfusion.PELADistiller',
            student=student,
            teacher_ckpt=str(path),
            features=['fusion.stages.*.*'],
            form='code',
        )
    )
    distiller.init_weights()
    data = distiller.data_preprocessor(vqa_batch(), training=True)
    losses = distiller.train()(**data, mode='loss')
    assert {'loss_answer', 'loss_fd', 'loss_rwp'} <= set(losses)
    sum(losses.values()).backward()
    assert len(distiller.eval().val_step(vqa_batch())) == 3


def test_video_of_one_frame_matches_image(build_vqa):
    """A video of one frame has the answers of the image.

    More frames give more tokens.
    """
    model = build_vqa()
    data = vqa_batch()
    images = torch.stack(data['inputs'])
    videos = dict(data, inputs=list(images[:, None]))
    for image, video in zip(model.val_step(data), model.val_step(videos)):
        assert image.pred_answer == video.pred_answer
        assert image.pred_score == pytest.approx(video.pred_score, abs=1e-5)
    frames = images.float()[:, None].repeat(1, 3, 1, 1, 1)
    tokens, mask = model.encode_images(frames)
    assert tokens.shape[1] == 3 * model.encode_images(images.float())[0].shape[1]
    assert mask is None
