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


def class_token(**kwargs):
    return dict(
        type='mmvlfusion.ClassTokenHead',
        answers=['no', 'yes', 'red star', '2'],
        in_channels=D,
        **kwargs,
    )


@pytest.mark.parametrize(
    'head', [dict(VQA_HEADS['greedy'], alpha=0.4), class_token(alpha=0.4)]
)
def test_ema_model_softens_the_targets(build_vqa, head):
    """The loss is the mixture of those of the answers and of the soft targets."""
    model = build_vqa(head=head, momentum=0.5)
    data = model.data_preprocessor(vqa_batch())
    for sample in data['data_samples']:
        sample.gt_answer, sample.gt_answer_weight = sample.gt_answer[:1], [1.0]
    model.ema_model.steps.fill_(1)
    with torch.no_grad():
        for parameter in model.ema_model.module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    losses = []
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    for alpha in (0.0, 1.0, 0.4):
        model.load_state_dict(weights)
        model.head.alpha = alpha
        losses.append(model(**data, mode='loss')['loss_answer'])
    torch.testing.assert_close(losses[2], 0.6 * losses[0] + 0.4 * losses[1])
    assert abs(losses[0] - losses[1]) > 1e-4
    model.ema_model = None
    torch.testing.assert_close(model(**data, mode='loss')['loss_answer'], losses[0])


def test_ema_model_follows_the_model_and_stays_in_evaluation_mode(build_vqa):
    head = dict(VQA_HEADS['greedy'], alpha=0.4)
    model = build_vqa(head=head, share_embeddings=True).train()
    data = model.data_preprocessor(vqa_batch(), training=True)
    loss = model(**data, mode='loss')['loss_answer']
    loss.backward()
    assert not model.ema_model.training
    ema = model.ema_model.module
    assert ema.head.decoder.get_input_embeddings() is (
        ema.text_encoder.encoder.get_input_embeddings()
    )
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith('ema_model'), name


def test_tasks_without_ema_model_refuse_soft_targets(build_vqa):
    head = dict(VQA_HEADS['greedy'], alpha=0.4)
    with pytest.raises(ValueError, match='ImageCaptioning does not have: set alpha=0'):
        build_vqa(head=head, type='mmvlfusion.ImageCaptioning')


def test_class_token_head_rejects_other_answers(build_vqa):
    model = build_vqa(head=class_token())
    assert model.ema_model is None
    data = model.data_preprocessor(vqa_batch())
    data['data_samples'][1].gt_answer = ['blue']
    with pytest.raises(ValueError, match="has the answer 'blue', expected one of"):
        model(**data, mode='loss')
    with pytest.raises(ValueError, match='has no decoder: set decoder_from_fusion=F'):
        build_vqa(head=class_token(), decoder_from_fusion=True)
    other = build_vqa(head=dict(class_token(), answers=['yes', 'no', 'red star', '2']))
    with pytest.raises(ValueError, match='another list of answers .* in its order'):
        other.load_state_dict(model.state_dict())
