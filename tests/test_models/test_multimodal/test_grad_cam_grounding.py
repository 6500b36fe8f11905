"""Weakly supervised grounding: boxes by Grad-CAM, and errors."""

import pytest
import torch
from mmpretrain.structures import DataSample

from mmvlfusion.models.multimodal.grad_cam_grounding import best_box

from ...helpers import CAPTIONS, FUSION, D, caption_batch, make_pretraining


def make(tokenizer, **kwargs):
    options = dict(
        type='mmvlfusion.GradCAMGrounding',
        head=None,
        attention='fusion.layers.0.cross_attn',
        fusion={
            **{k: v for k, v in FUSION.items() if k in ('embed_dims', 'num_heads')},
            'type': 'mmvlfusion.AlbefFusion',
            'image_channels': D,
            'num_layers': 2,
        },
    )
    names = ('contrastive', 'matching')
    return make_pretraining(tokenizer, names, **options | kwargs).eval()


def expressions():
    """Make a batch of images with expressions and boxes."""
    data = caption_batch(CAPTIONS[:2])
    for sample, text in zip(data['data_samples'], CAPTIONS):
        sample.set_field(text, 'text')
        sample.set_field([[0, 0, 20, 40], [20, 40, 40, 80]], 'det_bboxes')
        sample.set_field((80, 40), 'ori_shape', field_type='metainfo')
        sample.set_field((0.8, 0.4), 'scale_factor', field_type='metainfo')
        sample.set_field(torch.tensor([[8.0, 8.0, 16.0, 24.0]]), 'gt_bboxes')
    return data


def test_predicts_a_box_of_the_detector_and_rescales_the_true_one(tokenizer_dir):
    model = make(tokenizer_dir)
    with torch.no_grad():
        samples = model(**expressions(), mode='predict')
    for sample in samples:
        assert sample.pred_bboxes.tolist()[0] in ([0, 0, 20, 40], [20, 40, 40, 80])
        torch.testing.assert_close(
            sample.gt_bboxes, torch.tensor([[10.0, 20.0, 20.0, 60.0]])
        )
    assert all(p.grad is None for p in model.parameters())


def test_map_is_the_weight_times_its_positive_gradient(tokenizer_dir):
    """Compare with the layers computed step by step."""
    model = make(tokenizer_dir).double()
    images, texts = expressions()['images'].double(), ['a red star', 'a star']
    maps = model.maps(images, texts)
    ids, mask = model.tokenize(texts, images.device)
    image, _ = model.fusion.prepare_image(*model.encode_images(images))
    first, second = model.fusion.layers
    x = model.text_encoder(ids, mask)
    x = first.norm1(x + first.attn(x, mask))
    q, k, v = first.cross_attn._project(x, image)
    weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)
    y = first.cross_attn.proj((weights @ v).transpose(1, 2).flatten(2))
    x = first.norm_cross(x + y)
    x = second(first.norm2(x + first.ffn(x)), image, mask)
    score = model.objectives['matching'].logits(x)[:, 1].sum()
    (gradient,) = torch.autograd.grad(score, weights)
    products = weights * gradient.clamp(min=0) * mask[:, None, :, None]
    expected = products.mean(dim=(1, 2)).view(2, 4, 4)
    assert expected.max() > 0
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(
    'boxes, expected',
    [
        ([[0, 0, 10, 10], [0, 0, 40, 40]], [0, 0, 10, 10]),
        ([[30, 30, 40, 40]], [0, 0, 0, 0]),
        ([[0, 0, 0, 10]], [0, 0, 0, 0]),
    ],
)
def test_best_box_weights_the_sum_by_the_root_of_the_area(boxes, expected):
    values = torch.zeros(4, 4)
    values[0, 0] = 1
    values[3, 3] = -1
    assert best_box(values, boxes, (40, 40)).tolist() == expected


def test_bad_settings_are_refused(tokenizer_dir):
    with pytest.raises(ValueError, match="score='sum' is not one of"):
        make(tokenizer_dir, score='sum')
    with pytest.raises(ValueError, match="pool='mean': set pool='first'"):
        make(tokenizer_dir, score='contrastive')
    with pytest.raises(ValueError, match=r"choose one of \['fusion.layers.0.cross_a"):
        make(tokenizer_dir, attention='fusion.layers.8.cross_attn')
    config = dict(type='mmvlfusion.GradCAMGrounding')
    with pytest.raises(ValueError, match='needs a ContrastiveObjective and a Matching'):
        make_pretraining(tokenizer_dir, ['mlm'], head=None, **config)
    model = make(tokenizer_dir)
    data = expressions()
    data['data_samples'] = [DataSample(metainfo=dict(text='it is red'))] * 2
    with pytest.raises(ValueError, match='has no det_bboxes: set det_file'):
        model(**data, mode='predict')
