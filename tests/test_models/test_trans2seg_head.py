"""The Trans2Seg decode head: sizes, classes, gradients and errors."""

import pytest
import torch
from torch import nn

from mmvlfusion.models import Trans2SegHead
from mmvlfusion.models.decode_heads.trans2seg_head import (
    ClassAttention,
    ClassDecoderBlock,
)

from ..helpers import needs_full_graph


def build(**kwargs):
    torch.manual_seed(0)
    head = Trans2SegHead(
        **{
            **dict(
                img_size=64,
                in_channels=12,
                num_classes=5,
                embed_dims=16,
                num_layers=2,
                num_heads=4,
                channels=8,
                dropout_ratio=0.0,
                norm_cfg=dict(type='BN'),
            ),
            **kwargs,
        }
    )
    # Random weights, so that scores differ for each class and cell.
    for name, parameter in head.named_parameters():
        is_scale = parameter.ndim == 1 and name.endswith('weight')
        nn.init.normal_(parameter, mean=float(is_scale), std=0.3)
    return head.eval()


@pytest.mark.parametrize('size', [(4, 4), (7, 10), (1, 3), (21, 32)])
def test_output_has_size_of_input_map(size):
    head = build()
    assert head.grid == (2, 2)
    out = head([torch.randn(2, 12, *size)])
    assert out.shape == (2, 5, *size) and torch.isfinite(out).all()


def test_grid_follows_image_size_and_stride():
    assert build(img_size=(128, 200), stride=8).grid == (8, 13)


def test_permuted_class_embeddings_permute_output():
    """Classes differ only by their embeddings."""
    head = build()
    x = [torch.randn(1, 12, 6, 5)]
    out = head(x)
    order = torch.tensor([3, 1, 4, 0, 2])
    head.class_embed.data = head.class_embed[:, order]
    torch.testing.assert_close(head(x), out[:, order])


def test_images_are_independent():
    head = build()
    x = torch.randn(3, 12, 5, 6)
    torch.testing.assert_close(head([x])[1:2], head([x[1:2]]))


def test_class_attention_matches_pytorch():
    torch.manual_seed(0)
    ours = ClassAttention(16, 4)
    peer = nn.MultiheadAttention(16, 4, bias=True, batch_first=True)
    with torch.no_grad():
        peer.in_proj_weight.copy_(torch.cat([ours.q.weight, ours.kv.weight]))
        peer.in_proj_bias.zero_()
    peer.out_proj = ours.proj
    queries, feats = torch.randn(2, 5, 16), torch.randn(2, 9, 16)
    update, logits = ours(queries, feats)
    expected, weights = peer(queries, feats, feats, average_attn_weights=False)
    torch.testing.assert_close(update, expected)
    torch.testing.assert_close(logits.softmax(-1).transpose(1, 2), weights)


def test_maps_are_resampled_to_trained_grid():
    """At the trained size nothing is resampled.

    At other sizes constant maps stay constant, because the network always receives
    the trained number of cells.
    """
    torch.manual_seed(0)
    block = ClassDecoderBlock(8, 2, 3.0, (2, 3)).eval()
    maps = torch.full((1, 4, 2, 6), 0.7)
    last = block.attn_ffn[-1].layers[1]
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, 0.25)
    for layer in (block.attn.q, block.attn.kv):
        nn.init.zeros_(layer.weight)  # The attention adds no logits.
    for grid in ((2, 3), (5, 4)):
        cells = grid[0] * grid[1]
        out = block(
            torch.randn(1, 4, 8),
            torch.randn(1, cells, 8),
            maps[..., :1].expand(-1, -1, -1, cells),
            grid,
        )[2]
        torch.testing.assert_close(out, torch.full((1, 4, 2, cells), 0.95))


def test_output_values_are_unchanged():
    """Compare with the output of fixed weights."""
    head = build()
    x = (torch.arange(12 * 12.0) * 0.1).cos().view(1, 12, 4, 3)
    torch.testing.assert_close(
        head([x])[0, :, 1, 2], torch.tensor(EXPECTED), rtol=0, atol=2e-4
    )


EXPECTED = [-0.47906, -0.46974, -0.47184, -0.49041, -0.49070]


def test_all_parameters_receive_gradients():
    head = build().train()
    head([torch.randn(2, 12, 4, 4)]).square().mean().backward()
    assert [n for n, p in head.named_parameters() if p.grad is None] == []


def test_bfloat16_is_close_to_full_precision():
    head = build()
    x = torch.randn(1, 12, 6, 6)
    with torch.no_grad():
        out = head([x])
        with torch.autocast('cpu', torch.bfloat16):
            low = head([x])
    assert (low.float() - out).abs().max() < 0.05 * out.abs().max()


@needs_full_graph
def test_compiled_outputs_match_eager():
    head = build()
    x = torch.randn(1, 12, 6, 6)
    with torch.no_grad():
        compiled = torch.compile(head, fullgraph=True, backend='aot_eager')
        torch.testing.assert_close(compiled([x]), head([x]))


def test_rejects_bad_arguments():
    with pytest.raises(ValueError, match='embed_dims=16.*num_heads=3'):
        build(num_heads=3)
    for kwargs in (
        dict(in_channels=[12, 12]),
        dict(input_transform='resize_concat', in_index=[0, 1]),
    ):
        with pytest.raises(ValueError, match='in_channels=.*reads one map'):
            build(**kwargs)


def test_init_weights_keeps_pretrained_weights(tmp_path):
    weights = build().state_dict()
    torch.save(
        {f'decode_head.{k}': v for k, v in weights.items()}, tmp_path / 'head.pth'
    )
    head = build(
        init_cfg=dict(
            type='Pretrained',
            checkpoint=str(tmp_path / 'head.pth'),
            prefix='decode_head.',
        )
    )
    head.class_embed.data.zero_()
    head.init_weights()
    for key, value in head.state_dict().items():
        assert torch.equal(value, weights[key]), key
