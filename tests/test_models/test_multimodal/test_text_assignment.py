"""Assignment of a caption to one of two images."""

import pytest
import torch

from ...helpers import FUSION, D, caption_batch, make_pretraining

PAIRS = {
    'type': 'mmvlfusion.AlbefFusion',
    'embed_dims': D,
    'image_channels': D,
    'num_heads': 2,
    'num_layers': 1,
    'num_images': 2,
}


def make(tokenizer, fusion=PAIRS):
    objective = dict(type='mmvlfusion.TextAssignmentObjective', feature_dims=8)
    return make_pretraining(
        tokenizer, [], head=None, fusion=fusion, objectives=dict(contrastive=objective)
    )


def test_all_but_the_projection_receive_gradients(tokenizer_dir):
    model = make(tokenizer_dir)
    model(**caption_batch(), mode='loss')['loss_contrastive'].backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None]
    assert all('ema_model' in n or 'image_proj' in n for n in missing)
    assert 'objectives.contrastive.image_proj.weight' in missing


def test_classes_describe_the_sampled_images(tokenizer_dir):
    model = make(tokenizer_dir)
    data = caption_batch()
    seen = []
    objective = model.objectives['contrastive']
    sample = objective.sample_images
    objective.sample_images = lambda pairs: seen.append(sample(pairs)) or seen[-1]
    for _ in range(40):
        with torch.no_grad():
            model(**data, mode='loss')
    first, second, classes = (torch.stack(x) for x in zip(*seen))
    own = torch.arange(4).expand_as(first)
    assert (first != second).all()
    assert torch.equal(classes == 0, first == own)
    assert torch.equal(classes == 1, second == own)
    shares = torch.bincount(classes.flatten(), minlength=3) / classes.numel()
    assert (shares - 1 / 3).abs().max() < 0.15


def test_bad_settings_are_refused(tokenizer_dir):
    with pytest.raises(ValueError, match='set fusion.num_images=2'):
        make(tokenizer_dir, FUSION)
    model = make(tokenizer_dir)
    with pytest.raises(ValueError, match='fewer than three images: increase the bat'):
        model(**caption_batch(['a star', 'a circle']), mode='loss')
