"""The inner block as one kernel equals the block of PyTorch.

On a CPU, Triton's interpreter runs the kernel.
"""

import copy
import sys

import pytest
import torch

from mmvlfusion.models import TNT
from mmvlfusion.models.backbones.tnt.inner_block import FusedInnerBlock
from mmvlfusion.models.layers import TransformerBlock
from mmvlfusion.models.low_rank import compress_

from ...helpers import TINY_ARCH

pytest.importorskip('triton')
if not hasattr(torch.library, 'custom_op'):
    pytest.skip('the kernel needs PyTorch 2.4', allow_module_level=True)


def make_blocks(channels, heads, device='cpu', **kwargs):
    """Make a block in both forms, with equal parameters."""
    torch.manual_seed(0)
    fused = FusedInnerBlock(channels, heads, 16, **kwargs)
    for parameter in fused.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    plain = TransformerBlock(channels, heads, **kwargs)
    plain.load_state_dict(fused.state_dict())
    return fused.to(device), plain.to(device)


def output_and_gradients(block, x, dtype=torch.float32):
    """Return the output and the gradients of input and parameters."""
    x = x.clone().requires_grad_()
    torch.manual_seed(0)
    with torch.autocast(x.device.type, dtype, enabled=dtype != torch.float32):
        out = block(x)
    grads = torch.autograd.grad(out.sin().sum(), [x, *block.parameters()])
    return {'output': out, 'x': grads[0], **dict(zip(names(block), grads[1:]))}


def names(block):
    return [name for name, _ in block.named_parameters()]


def largest_error(found, expected):
    """Return the largest relative error, by the norm of each tensor."""
    assert found.keys() == expected.keys()
    return max(
        ((found[name] - expected[name]).norm() / expected[name].norm()).item()
        for name in expected
    )


# The archs tiny, small and base.
@pytest.mark.parametrize('channels, heads', [(12, 2), (24, 4), (40, 4)])
def test_kernel_matches_block(channels, heads, device):
    """The last program has fewer patches than the others."""
    fused, plain = make_blocks(channels, heads, device)
    x = torch.randn(9, 16, channels, device=device)
    expected = output_and_gradients(plain, x)
    assert largest_error(output_and_gradients(fused, x), expected) < 1e-5


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_kernel_matches_block_in_mixed_precision(dtype, device):
    """Its error is about as large as layer by layer.

    The interpreter truncates numbers to bfloat16, where GPUs round.
    """
    factor = 5 if (device, dtype) == ('cpu', torch.bfloat16) else 2
    fused, plain = make_blocks(24, 4, device)
    x = torch.randn(3, 16, 24, device=device)
    expected = output_and_gradients(plain, x)
    found = output_and_gradients(fused, x, dtype)
    assert found['output'].dtype == torch.float32
    eager = output_and_gradients(plain, x, torch.bfloat16)
    error = largest_error(found, expected)
    assert 0 < error < factor * largest_error(eager, expected)


def test_kernel_reads_half_precision_weights(device):
    fused, plain = make_blocks(12, 2, device)
    x = torch.randn(3, 16, 12, device=device)
    expected = output_and_gradients(plain, x)
    found = output_and_gradients(fused.bfloat16(), x.bfloat16())
    assert {value.dtype for value in found.values()} == {torch.bfloat16}
    assert largest_error(found, expected) < 0.05


def test_kernel_drops_the_same_branches(device):
    fused, plain = make_blocks(12, 2, device, drop_path_rate=0.5)
    x = torch.randn(5, 16, 12, device=device)
    expected = output_and_gradients(plain.train(), x)
    assert largest_error(output_and_gradients(fused.train(), x), expected) < 1e-5
    torch.testing.assert_close(fused.eval()(x), plain.eval()(x))


def test_kernel_is_one_node_of_a_compiled_graph(device):
    """The model compiles as one graph, and checkpointing recomputes the kernel."""
    torch.manual_seed(0)
    arch = dict(TINY_ARCH, num_layers=1)
    kwargs = dict(arch=arch, img_size=16, patch_size=8, with_cp=True)
    model = TNT(inner_backend='triton', **kwargs).to(device).train()
    plain = TNT(**kwargs).to(device).train()
    plain.load_state_dict(model.state_dict())
    assert type(plain.layers[0].inner) is TransformerBlock  # The kernel is off.
    x = torch.randn(1, 3, 16, 16, device=device)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend='aot_eager')
    with torch.autocast(device, torch.bfloat16):
        assert (compiled(x)[0] - plain(x)[0]).abs().max() < 0.05
    for call, reference in ((compiled, plain), (model, plain)):
        model.zero_grad()
        plain.zero_grad()
        out, expected = call(x)[0], reference(x)[0]
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
        out.sin().sum().backward()
        expected.sin().sum().backward()
        for other, parameter in zip(plain.parameters(), model.parameters()):
            torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-3, atol=1e-5)


def test_no_patches_give_no_words(device):
    fused, _ = make_blocks(12, 2, device)
    x = torch.zeros(0, 16, 12, device=device, requires_grad=True)
    fused(x).sum().backward()
    assert x.grad.shape == x.shape
    assert all(not p.grad.any() for p in fused.parameters())


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda: TNT(TINY_ARCH, inner_backend='cuda'), "inner_backend='cuda'"),
        (lambda: TNT(TINY_ARCH, inner_backend='triton'), '64 words of a patch'),
        (lambda: FusedInnerBlock(96, 4, 16), '96 channels of a word'),
        (lambda: FusedInnerBlock(12, 2, 16, drop_rate=0.1), 'drop_rate=0.1'),
        (
            lambda: FusedInnerBlock(12, 2, 16, norm_cfg=dict(type='BN1d')),
            'norm BatchNorm1d',
        ),
    ],
)
def test_layouts_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda block: block.double(), 'torch.float64'),
        (lambda block: compress_(block, 2.0, min_features=1), 'LowRankLinear'),
        (lambda block: setattr(block, 'is_interpreted', False), "on 'cpu', expected"),
    ],
)
def test_inputs_are_refused_by_name(change, message):
    fused, _ = make_blocks(12, 2)
    change(fused)
    x = torch.zeros(1, 16, 12, dtype=fused.norm1.weight.dtype)
    with pytest.raises(ValueError, match=message):
        fused(x)
    with pytest.raises(ValueError, match='mask of words'):
        make_blocks(12, 2)[0](x.float(), mask=torch.ones(1, 16, dtype=torch.bool))


def test_missing_triton_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, 'triton', None)
    with pytest.raises(ImportError, match="triton is needed.*inner_backend='pytorch'"):
        FusedInnerBlock(12, 2, 16)


def test_blocks_have_equal_state(device):
    fused, plain = make_blocks(12, 2, device)
    assert list(fused.state_dict()) == list(plain.state_dict())
    copied = copy.deepcopy(fused)
    x = torch.randn(1, 16, 12, device=device)
    assert torch.equal(copied(x), fused(x))
