"""Grouping of questions and padding of images by the data preprocessor."""

import pytest
import torch

from ...helpers import VQA_BACKBONES, D, vqa_batch


def test_grouping_questions_does_not_change_tokens(build_vqa):
    """Encode an image once for all questions, or once for each question."""
    model = build_vqa()
    data = vqa_batch()
    batched = model.forward(**model.data_preprocessor(data))
    flat = dict(
        inputs=[data['inputs'][i] for i in (0, 0, 1)],
        data_samples=[s for group in data['data_samples'] for s in group.questions],
    )
    single = model.data_preprocessor(flat)
    assert single['image_index'] is None and single['image_mask'] is None
    torch.testing.assert_close(model.forward(**single).tokens, batched.tokens)
    stacked = dict(flat, inputs=torch.stack(flat['inputs']))
    torch.testing.assert_close(
        model.forward(**model.data_preprocessor(stacked)).tokens, batched.tokens
    )


@pytest.mark.parametrize('backbone', ['tnt', 'resnet'])
@pytest.mark.parametrize(
    'fusion', ['JointAdaptiveFusion', 'ConcatFusion', 'CrossAttentionFusion']
)
def test_padding_does_not_change_tokens(build_vqa, backbone, fusion):
    """Batch images of several sizes and questions of several lengths."""
    kwargs = (
        {}
        if fusion.startswith('Joint')
        else dict(
            fusion=dict(
                type=f'mmvlfusion.{fusion}',
                embed_dims=D,
                num_heads=2,
                image_channels=VQA_BACKBONES[backbone][1],
                num_layers=1,
            )
        )
    )
    model = build_vqa(backbone, **kwargs)
    data = vqa_batch([(32, 64), (64, 32)])
    prepared = model.data_preprocessor(data)
    assert prepared['images'].shape == (2, 3, 64, 64)
    assert prepared['image_mask'].sum(dim=(1, 2)).tolist() == [2048, 2048]
    batched = model(**prepared)
    for number, (image, own) in enumerate([(0, 0), (0, 1), (1, 0)]):
        one = dict(
            inputs=[data['inputs'][image]],
            data_samples=[data['data_samples'][image].questions[own]],
        )
        single = model(**model.data_preprocessor(one))
        real = batched.tokens[number][batched.mask[number]]
        torch.testing.assert_close(real, single.tokens[0], rtol=1e-4, atol=1e-5)
