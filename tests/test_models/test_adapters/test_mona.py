"""Mona: the published module and block, on models of each host."""

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from mmpretrain.models.backbones.swin_transformer import SwinBlock, SwinTransformer
from torch import nn

from mmvlfusion.models.adapters import MonaAdapter, build_mona
from mmvlfusion.models.adapters.mona import insert_mona_

from ...helpers import HOST_MODELS, VIT, check_recomputation, fill

SMALL = dict(arch=VIT, img_size=32, patch_size=8)
# Arguments of a small Swin of each host.
SWINS = dict(
    mmpretrain=dict(
        arch=dict(embed_dims=16, depths=(1, 1), num_heads=(1, 2)),
        img_size=32,
        pad_small_map=True,
    ),
    mmdet=dict(embed_dims=16, depths=(1, 1), num_heads=(1, 2), strides=(4, 2)),
    mmseg=dict(embed_dims=16, depths=(1, 1), num_heads=(1, 2), strides=(4, 2)),
)


@pytest.fixture(autouse=True)
def scope():
    torch.manual_seed(0)
    init_default_scope('mmpretrain')


def mona_swin(host, **kwargs):
    return build_mona(
        f'{host}.SwinTransformer',
        window_size=4,
        out_indices=(0, 1),
        **{**SWINS[host], **kwargs},
    )


def num_trained(model):
    return sum(x.numel() for x in model.parameters() if x.requires_grad)


def waves(*shape):
    """Return an input that does not depend on a random generator."""
    number = torch.Size(shape).numel()
    return (torch.arange(number, dtype=torch.float64) * 0.7).sin().reshape(shape)


def test_adapter_equals_the_code_of_the_authors():
    """The values are those of their module with the same weights."""
    with torch.no_grad():
        out = fill(MonaAdapter(8))(waves(2, 6, 8), (2, 3))
    expected = [-0.4696962929620635, 0.4823433446926516, 1.7340413826290417]
    torch.testing.assert_close(out[0, 0, :3], torch.tensor(expected).double())
    assert out.sum().item() == pytest.approx(6.770170567218832)
    assert out.abs().sum().item() == pytest.approx(69.6134735725253)


@pytest.mark.parametrize(
    'shift, total, magnitude, first',
    [
        (False, 111.51206884627912, 463.05394688498496, -0.7107171609634753),
        (True, 111.51543497266009, 463.11119362570594, -0.7145722665065056),
    ],
)
def test_block_equals_the_code_of_the_authors(shift, total, magnitude, first):
    """Both adapters come after a residual."""
    block = SwinBlock(8, 2, window_size=4, shift=shift)
    insert_mona_(nn.Sequential(block), {'0': block}, 64, 0.1)
    with torch.no_grad():
        out = fill(block)(waves(1, 64, 8), (8, 8))
    assert out[0, 0, 0].item() == pytest.approx(first)
    assert out.sum().item() == pytest.approx(total)
    assert out.abs().sum().item() == pytest.approx(magnitude)


def test_sizes_are_those_published():
    for channels in (32, 128):
        size = sum(x.numel() for x in MonaAdapter(channels).parameters())
        assert size == 133 * channels + 9728
    for arch, millions in (('base', 3.67), ('large', 5.27)):
        settings = SwinTransformer.arch_zoo[arch]
        total = sum(
            2 * depth * (133 * settings['embed_dims'] * 2**stage + 9728)
            for stage, depth in enumerate(settings['depths'])
        )
        assert total / 1e6 == pytest.approx(millions, abs=0.005)
    assert num_trained(mona_swin('mmpretrain')) == 2 * (133 * (16 + 32) + 2 * 9728)


def test_initialisation_is_that_published():
    """The first forward pass already differs from that of the base."""
    adapter = MonaAdapter(64)
    assert 0.015 < adapter.down.weight.std() < 0.025
    assert 0.015 < adapter.up.weight.std() < 0.025
    assert not adapter.down.bias.any() and not adapter.up.bias.any()
    assert (adapter.gamma == 1e-6).all() and (adapter.gammax == 1).all()
    assert adapter.dropout.p == 0.1
    x = torch.rand(1, 4, 64)
    assert (adapter.eval()(x, (2, 2)) - x).abs().max() > 1e-4
    model = mona_swin('mmdet', hidden_dims=8)
    model.init_weights()
    adapter = model.stages[0].blocks[0].mona_ffn
    # mmdet initialises all norms and linear layers of a Swin.
    assert (adapter.gamma == 1e-6).all() and adapter.convs[2].bias.any()


@pytest.mark.parametrize('host', SWINS)
def test_swin_of_each_host_trains_adapters_only(host):
    model = mona_swin(host, hidden_dims=8)
    model.init_weights()
    sum(x.sum() for x in model.train()(torch.rand(1, 3, 32, 32))).backward()
    names = {name for name, x in model.named_parameters() if x.grad is not None}
    assert names == {name for name, x in model.named_parameters() if x.requires_grad}
    assert len(names) == 2 * 2 * 16 and all('mona_' in name for name in names)
    # An adapter without effect leaves the base.
    base = MODELS.build(
        dict(
            type=f'{host}.SwinTransformer',
            window_size=4,
            out_indices=(0, 1),
            **SWINS[host],
        )
    )
    base.load_state_dict(
        {k: v for k, v in model.base_weights().items() if 'mona' not in k}
    )
    for name, value in model.named_parameters():
        if '.up.' in name:
            nn.init.zeros_(value)
    x = torch.rand(1, 3, 40, 32)
    for part in (model, base):
        part.eval()
    for a, b in zip(model(x), base(x)):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize('host', ['mmpretrain', 'mmseg'])
def test_vit_has_the_map_of_its_patches(host):
    """Images of any shape; the class token skips the convolutions."""
    kwargs = dict(img_size=32, patch_size=8)
    if host == 'mmpretrain':
        kwargs.update(arch=VIT, out_type='featmap')
    else:
        kwargs.update(embed_dims=24, num_layers=2, num_heads=3)
    model = build_mona(f'{host}.VisionTransformer', hidden_dims=8, **kwargs).eval()
    assert model(torch.rand(1, 3, 32, 48))[0].shape == (1, 24, 4, 6)
    assert model.layers[0].patch_grid.size == (4, 6)
    adapter = model.layers[0].mona_attn
    x = torch.rand(1, 25, 24)
    with torch.no_grad():
        before = adapter(x, (4, 6))
        for conv in (*adapter.convs, adapter.mix):
            nn.init.zeros_(conv.weight)
            nn.init.zeros_(conv.bias)
        after = adapter(x, (4, 6))
    torch.testing.assert_close(before[:, 0], after[:, 0])
    assert (before[:, 1:] - after[:, 1:]).abs().max() > 1e-6


@pytest.mark.parametrize('host', SWINS)
def test_checkpointing_of_activations_changes_nothing(host):
    model = mona_swin(host, hidden_dims=4, dropout=0.0, trained=[''])
    for name in ('stages.0.blocks.0', 'stages.1.blocks.0'):
        block = model.get_submodule(name)
        block.with_cp = False
    x = torch.rand(1, 3, 32, 32)

    class Switched(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x):
            for module in self.model.modules():
                if hasattr(module, 'mona_ffn'):
                    module.with_cp = self.with_cp
            return self.model(x)

    check_recomputation(Switched(), x)


def test_selection_of_blocks():
    def names(**kwargs):
        model = mona_swin('mmpretrain', hidden_dims=4, **kwargs)
        return [n for n, m in model.named_modules() if hasattr(m, 'mona_ffn')]

    assert names() == ['stages.0.blocks.0', 'stages.1.blocks.0']
    assert names(include=[r'stages\.1']) == names(exclude=[r'stages\.0'])
    assert names(exclude=[r'stages\.0']) == ['stages.1.blocks.0']


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(hidden_dims=0), 'hidden_dims'),
        (dict(dropout=2), 'dropout'),
        (dict(include=['nothing']), "include has 'nothing', which matches no"),
        (dict(exclude=['stages']), 'Mona adapts no block of SwinTransformer'),
        (dict(include=['(']), 'is not a regular expression'),
    ],
)
def test_bad_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        mona_swin('mmpretrain', **kwargs)


def test_models_without_a_grid_are_refused():
    for module in (
        dict(type='mmpretrain.ResNet', depth=18),
        HOST_MODELS['TNT'][1]()['backbone'],
    ):
        with pytest.raises(ValueError, match='has no block that Mona can adapt'):
            build_mona(module)
    with pytest.raises(ValueError, match='has 5 tokens, fewer than the 2 x 3'):
        MonaAdapter(8)(torch.rand(1, 5, 8), (2, 3))
    vit = MODELS.build(dict(type='mmpretrain.VisionTransformer', **SMALL))
    with pytest.raises(ValueError, match='has no patch_embed'):
        insert_mona_(vit.layers, {'0': vit.layers[0]}, 8, 0.1)
