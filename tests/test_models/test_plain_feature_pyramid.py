"""The feature pyramid for plain backbones."""

import pytest
import torch

from mmvlfusion.models import PlainFeaturePyramid


def test_output_sizes_and_parameters():
    neck = PlainFeaturePyramid(12)
    maps = [torch.randn(2, 12, 6, 10) for _ in range(4)]
    outs = neck(maps)
    assert [tuple(x.shape[1:]) for x in outs] == [
        (12, 24, 40),
        (12, 12, 20),
        (12, 6, 10),
        (12, 3, 5),
    ]
    assert outs[2] is maps[2]
    # Three layers of 4 x 4 kernels (arXiv 2103.00112, appendix A.3).
    assert sum(p.numel() for p in neck.parameters()) == 3 * (12 * 12 * 16 + 12)


def test_average_pooling_of_even_and_odd_maps():
    neck = PlainFeaturePyramid([4], scales=[0.5], downsample='avg_pool')
    assert not list(neck.parameters())
    x = torch.randn(1, 4, 6, 8)
    torch.testing.assert_close(neck([x])[0][0, :, 1, 2], x[0, :, 2:4, 4:6].mean((1, 2)))
    # Odd maps: the last cell is the mean of the remaining pixels.
    x = torch.ones(1, 4, 5, 7)
    torch.testing.assert_close(neck([x])[0], torch.ones(1, 4, 3, 4))


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(in_channels=[4, 4]), r'in_channels=\[4, 4\] and scales=\[4, 2, 1'),
        (dict(in_channels=4, scales=[3]), r'scales has 3, expected one of \[4, 2, 1'),
        (dict(in_channels=4, downsample='max'), "downsample='max' is not one of"),
    ],
)
def test_rejects_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        PlainFeaturePyramid(**kwargs)


@pytest.mark.parametrize('channels', [[4], [4, 8]])
def test_rejects_wrong_maps(channels):
    neck = PlainFeaturePyramid(4, scales=[2, 1])
    with pytest.raises(
        ValueError,
        match=r'receives .* channels, expected 2 of \[4, 4\]: '
        r'set backbone.out_indices',
    ):
        neck([torch.zeros(1, c, 4, 4) for c in channels])
