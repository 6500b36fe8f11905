"""Reducers of image tokens, and their place in a model."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

from mmvlfusion.models.multimodal.reducers import (
    AveragePoolReducer,
    PixelShuffleReducer,
    RandomTokenReducer,
    RegionQueryReducer,
    ResamplerReducer,
)

from ...helpers import D, pretraining_config, vqa_batch

Q_FORMER = dict(
    type='mmvlfusion.QFormerReducer',
    num_tokens=4,
    config=dict(
        hidden_size=D,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=20,
    ),
)
REDUCERS = {
    'pool': dict(type='mmvlfusion.AveragePoolReducer', num_tokens=4),
    'shuffle': dict(type='mmvlfusion.PixelShuffleReducer', cell_size=2),
    'region': dict(type='mmvlfusion.RegionQueryReducer', num_tokens=4, num_heads=2),
    'region, two maps': dict(
        type='mmvlfusion.RegionQueryReducer', num_tokens=4, num_heads=2, num_maps=2
    ),
    'resampler': dict(type='mmvlfusion.ResamplerReducer', num_tokens=4, num_heads=2),
    'random': dict(type='mmvlfusion.RandomTokenReducer', num_tokens=4),
    'q-former': Q_FORMER,
}


@pytest.fixture
def build_reduced(build_vqa):
    """A function that builds a model for questions with a reducer.

    The backbone's map has 4 x 4 cells of D channels.
    """

    def build(name, **kwargs):
        reducer = dict(REDUCERS[name], in_channels=D, **kwargs)
        cfg = build_vqa.config(
            reducer=reducer,
            fusion=dict(
                type='mmvlfusion.ConcatFusion',
                embed_dims=D,
                image_channels=kwargs.get('out_channels', D),
                num_heads=2,
                num_layers=1,
            ),
        )
        if 'two maps' in name:
            cfg['backbone']['out_indices'] = (0, 1)
        torch.manual_seed(0)
        model = MODELS.build(cfg)
        model.init_weights()
        return model.eval()

    return build


@pytest.mark.parametrize('name', REDUCERS)
def test_fusion_reads_reduced_tokens(build_reduced, name):
    model = build_reduced(name)
    data = model.data_preprocessor(vqa_batch())
    fused = model(**data)
    assert fused.image.shape == (3, 4, D)  # Two images, three questions.
    model.train()
    model(**model.data_preprocessor(vqa_batch(), training=True), mode='loss')[
        'loss_answer'
    ].backward()
    assert [
        key for key, p in model.named_parameters() if p.requires_grad and p.grad is None
    ] == []


@pytest.mark.parametrize('name', REDUCERS)
def test_predictions_do_not_depend_on_the_batch(build_reduced, name):
    """Images of several sizes are reduced separately, to equal numbers of tokens."""
    model = build_reduced(name)
    sizes = ((32, 32) if name == 'shuffle' else (32, 64), (32, 32))
    batch = vqa_batch(sizes)
    together = model(**model.data_preprocessor(batch))
    single = model(
        **model.data_preprocessor({key: value[1:] for key, value in batch.items()})
    )
    assert together.image.shape[1] == 4
    torch.testing.assert_close(together.image[2], single.image[0], rtol=1e-4, atol=1e-5)


def test_average_pool_and_shuffle_match_their_definitions():
    x = torch.randn(2, 3, 4, 4)
    cells = x.unflatten(2, (2, 2)).unflatten(4, (2, 2))  # (B, C, n, s, n, s)
    pooled = AveragePoolReducer(3, 4)([x])
    torch.testing.assert_close(pooled, cells.mean((3, 5)).flatten(2).mT)
    shuffle = PixelShuffleReducer(3, 2, out_channels=5)
    # The channels of a cell: C first, then its rows and columns.
    flat = cells.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    torch.testing.assert_close(shuffle([x]), flat @ shuffle.proj.weight.T)
    assert shuffle.grid((8, 6)) == (4, 3)


def test_region_query_only_reads_its_cell():
    torch.manual_seed(0)
    reducer = RegionQueryReducer(8, 4, num_heads=2).eval()
    x = torch.randn(1, 8, 4, 4)
    before = reducer([x])
    x[:, :, :2, :2] += 1
    changed = (reducer([x]) - before).abs().amax(dim=(0, 2)) > 1e-6
    # The first cell; bilinear resizing by two reads no other cell.
    assert changed.tolist() == [True, False, False, False]


def test_region_query_equals_attention_over_the_cell():
    torch.manual_seed(0)
    reducer = RegionQueryReducer(8, 4, num_maps=2, num_heads=2).eval()
    maps = torch.randn(2, 1, 8, 4, 4)
    last_cell = maps[:, 0, :, 2:, 2:].flatten(2)  # (maps, C, 4)
    memory = last_cell.flatten(0, 1).T[None]
    query = reducer.query(F.interpolate(maps[1], (2, 2), mode='bilinear')[0, :, 1, 1])
    expected = reducer.attn(
        query[None, None], reducer.key(memory), reducer.value(memory)
    )[0]
    torch.testing.assert_close(reducer(list(maps))[:, 3:], reducer.proj(expected))


def test_region_queries_have_the_published_size():
    reducer = RegionQueryReducer(1024, 144, num_maps=4, out_channels=4096)
    size = sum(p.numel() for p in reducer.parameters())
    assert size == pytest.approx(36.7e6, rel=2e-3)


def test_random_tokens_are_redrawn_in_training_only():
    x = torch.arange(16.0).reshape(1, 1, 4, 4).expand(3, -1, -1, -1)
    reducer = RandomTokenReducer(1, 5)
    torch.manual_seed(0)
    drawn = reducer([x])[..., 0]
    assert all(len(row.unique()) == 5 for row in drawn)
    assert not torch.equal(drawn[0], drawn[1])
    reducer.eval()
    fixed = reducer([x])
    assert torch.equal(fixed, reducer([x])) and torch.equal(fixed[0], fixed[1])
    assert not torch.equal(fixed, RandomTokenReducer(1, 5, seed=1).eval()([x]))


def test_q_former_reads_the_question(build_reduced):
    model = build_reduced('q-former')
    image = torch.randn(1, 16, D)
    outs = [model.reducer(image, torch.tensor([[2, word, 3]])) for word in (5, 6)]
    assert (outs[0] - outs[1]).abs().max() > 1e-4
    padded = model.reducer(
        F.pad(image, (0, 0, 0, 4), value=9.0),
        torch.tensor([[2, 5, 3, 0]]),
        torch.arange(20)[None] < 16,
        torch.tensor([[True, True, True, False]]),
    )
    torch.testing.assert_close(padded, outs[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: AveragePoolReducer(4, 5), 'num_tokens=5 is not a square.*4 or 9'),
        (lambda: RegionQueryReducer(4, 4, num_heads=3), 'num_heads=3 does not divide'),
        (lambda: ResamplerReducer(4, 0), 'num_tokens'),
        (lambda: PixelShuffleReducer(4, 0), 'cell_size'),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ('reducer', 'message'),
    [
        (AveragePoolReducer(4, 36), '4 x 4 has fewer positions than the 6 x 6'),
        (RegionQueryReducer(4, 9, num_heads=1), '4 x 4 cannot be split into 3 x 3'),
        (PixelShuffleReducer(4, 3), 'cell_size=3 does not divide the map of 4 x 4'),
        (RandomTokenReducer(4, 17), '16 positions, fewer than num_tokens=17'),
    ],
)
def test_small_maps_are_refused(reducer, message):
    with pytest.raises(ValueError, match=message):
        reducer([torch.zeros(1, 4, 4, 4)])


def test_models_refuse_reducers_that_do_not_fit(
    build_reduced, build_vqa, tokenizer_dir
):
    with pytest.raises(ValueError, match='returns 8 channels.*image_channels=8'):
        MODELS.build(
            build_vqa.config(
                reducer=dict(REDUCERS['resampler'], in_channels=D, out_channels=8)
            )
        )
    with pytest.raises(ValueError, match='needs a backbone'):
        MODELS.build(
            build_vqa.config(
                'none',
                reducer=dict(REDUCERS['pool'], in_channels=D),
                fusion=dict(type='mmvlfusion.TextOnlyFusion', embed_dims=D),
            )
        )
    with pytest.raises(ValueError, match='reads the text, but'):
        MODELS.build(
            pretraining_config(tokenizer_dir, reducer=dict(Q_FORMER, in_channels=D))
        )
    model = build_reduced('region', num_maps=2)
    with pytest.raises(ValueError, match='needs 2 maps.*returns 1'):
        model(**model.data_preprocessor(vqa_batch()))
    cfg = build_vqa.config(reducer=dict(REDUCERS['pool'], in_channels=12))
    cfg['fusion']['image_channels'] = 12
    model = MODELS.build(cfg)
    with pytest.raises(ValueError, match='24 channels, but reducer.in_channels is 12'):
        model(**model.data_preprocessor(vqa_batch()))
