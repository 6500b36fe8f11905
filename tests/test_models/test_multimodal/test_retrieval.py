"""Retrieval: candidates by feature similarity, ranked by the matching head."""

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmpretrain.evaluation import RetrievalRecall

from ...helpers import CAPTIONS, caption_batch, make_pretraining


def make(tokenizer, names=('contrastive', 'matching'), **kwargs):
    options = dict(type='mmvlfusion.ImageTextRetrieval', head=None, num_candidates=2)
    return make_pretraining(tokenizer, names, **options | kwargs).eval()


def images_with_texts():
    """Make three images, the first with two texts."""
    data = caption_batch(CAPTIONS[:3])
    texts = [CAPTIONS[:2], CAPTIONS[2:3], CAPTIONS[3:]]
    number = 0
    for image, (sample, own) in enumerate(zip(data['data_samples'], texts)):
        sample.set_field(own, 'text')
        sample.set_field([number + i for i in range(len(own))], 'gt_text_id')
        sample.set_field([image] * len(own), 'gt_image_id')
        number += len(own)
    return data


def test_all_parameters_receive_gradients(tokenizer_dir):
    model = make(tokenizer_dir).train()
    losses = model(**caption_batch(), mode='loss')
    assert set(losses) == {'loss_contrastive', 'loss_matching'}
    sum(losses.values()).backward()
    assert [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and p.grad is None
    ] == []


def test_momentum_model_continues_from_pretraining(tokenizer_dir):
    """A retrieval model has fewer objectives than the pre-trained one."""
    first = make_pretraining(tokenizer_dir)
    first.ema_model.steps.fill_(1000)
    weights = first.state_dict()
    # Converted checkpoints have no fingerprint of the tokenizer.
    weights = {k: v for k, v in weights.items() if 'fingerprint' not in k}
    name = 'ema_model.module.backbone.cls_token'
    weights[name] = stored = weights[name] + 1
    model = make(tokenizer_dir)
    model.load_state_dict(weights, strict=False)
    assert model.ema_model.steps == 1000
    model.ema_model.update_parameters(model)
    torch.testing.assert_close(
        model.ema_model.module.backbone.cls_token,
        0.9 * stored + 0.1 * model.backbone.cls_token,
    )
    # Without some of its parameters the average restarts from the model.
    del weights[name]
    model.load_state_dict(weights, strict=False)
    assert model.ema_model.steps == 0


@pytest.mark.parametrize('added', [False, True])
def test_scores_rank_candidates_by_matching(tokenizer_dir, added):
    """Candidates are ranked by matching logits, the others by similarity."""
    model = make(tokenizer_dir, add_similarity=added)
    data = images_with_texts()
    i2t, t2i = model(**data, mode='predict')
    image = model.fusion.prepare_image(*model.encode_images(data['images']))[0]
    ids, mask = model.tokenize(CAPTIONS, torch.device('cpu'))
    text = model.text_encoder(ids, mask)
    contrastive, matching = model.objectives.values()
    similarity = contrastive.image_feature(image) @ contrastive.text_feature(text).T
    fused = model.fusion.fuse(
        text.repeat(3, 1, 1), image.repeat_interleave(4, 0), mask.repeat(3, 1), None
    )
    logits = matching.logits(fused.text)
    match = logits[:, 1].view(3, 4) + added * similarity
    for samples, similarities, matches in (
        (i2t, similarity, match),
        (t2i, similarity.T, match.T),
    ):
        assert len(samples) == len(similarities)
        for sample, similarity_row, match_row in zip(samples, similarities, matches):
            best = similarity_row.topk(2).indices
            torch.testing.assert_close(
                sample.pred_score[best], match_row[best], rtol=1e-4, atol=1e-5
            )
            rest = [i for i in range(len(similarity_row)) if i not in best]
            assert sample.pred_score[rest].max() < match_row.min()
            order = sample.pred_score[rest].argsort()
            assert torch.equal(order, similarity_row[rest].argsort())
    assert [sample.gt_label.tolist() for sample in i2t] == [[0, 1], [2], [3]]
    assert [sample.gt_label.tolist() for sample in t2i] == [[0], [0], [1], [2]]


def test_host_recall_metric_accepts_predictions(tokenizer_dir):
    """The metric of mmpretrain accepts the predictions."""
    model = make(tokenizer_dir)
    metric = Evaluator(RetrievalRecall(topk=1))
    for samples in model(**images_with_texts(), mode='predict'):
        metric.process(samples)
        first = [int(s.pred_score.argmax()) in s.gt_label for s in samples]
        assert metric.evaluate(len(samples)) == {
            'retrieval/Recall@1': pytest.approx(100 * np.mean(first))
        }


def test_predictions_do_not_depend_on_batches(tokenizer_dir):
    """Features of batches with short and long texts are padded to one tensor."""
    model = make(tokenizer_dir)
    data = images_with_texts()
    whole = model.predict_all(model(**data), data['data_samples'])
    parts = [
        model(data['images'][i : i + 1], data['data_samples'][i : i + 1])
        for i in range(3)
    ]
    joined = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    again = model.predict_all(
        joined, images_with_texts()['data_samples'], num_images=3, num_texts=4
    )
    for first, second in zip(whole, again):
        for a, b in zip(first, second):
            torch.testing.assert_close(a.pred_score, b.pred_score)


def test_video_features_average_frames(tokenizer_dir):
    """Features are averaged over frames, and matching uses all frames."""
    model = make(tokenizer_dir)
    data = images_with_texts()
    frames = torch.stack([data['images'], data['images'].flip(0)], 1)
    video = model(frames, data['data_samples'])
    first = model(**data)
    second = model(data['images'].flip(0), data['data_samples'])
    torch.testing.assert_close(
        video['image'], torch.cat([first['image'], second['image']], 1)
    )
    project = model.objectives['contrastive'].image_proj
    both = project(first['image'].mean(1)) + project(second['image'].mean(1))
    torch.testing.assert_close(
        video['image_feature'], both / both.norm(dim=1, keepdim=True)
    )
    i2t, _ = model.predict_all(video, data['data_samples'])
    scores = i2t[0].pred_score
    assert scores.shape == (4,) and scores.untyped_storage().nbytes() == 16


def test_rejects_bad_input(tokenizer_dir):
    with pytest.raises(ValueError, match='MatchingObjective.*contrastive'):
        make(tokenizer_dir, ['contrastive'])
    with pytest.raises(ValueError, match='ContrastiveObjective.*matching'):
        make(tokenizer_dir, ['matching'])
    data = images_with_texts()
    mask = torch.ones(3, 32, 32, dtype=torch.bool)
    with pytest.raises(ValueError, match='one size'):
        make(tokenizer_dir)(**data, image_mask=mask)
