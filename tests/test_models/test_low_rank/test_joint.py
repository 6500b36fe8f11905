"""Joint factors of separate query, key and value."""

import copy

import pytest
import torch
import torch.nn as nn

from mmvlfusion.models.low_rank import LowRankLinear, compress_, merge_
from mmvlfusion.models.low_rank.joint import pack_, pack_ranks_
from mmvlfusion.models.low_rank.surgery import low_rank_layer, replace_


class Attention(nn.Module):
    """Attention with separate projections, as in BERT."""

    def __init__(self, cross):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(32, 32) for _ in range(3))
        self.cross = cross

    def forward(self, x):
        y = x.flip(1) + 1 if self.cross else x
        q, k, v = self.query(x), self.key(y), self.value(y)
        return x + (q @ k.mT / 6).softmax(-1) @ v


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = nn.Sequential(Attention(False), Attention(True))
    with torch.no_grad():  # The rows of the weights span one space.
        shared = torch.randn(6, 32) / 6
        for attention in model:
            for linear in (attention.query, attention.key, attention.value):
                linear.weight.copy_(torch.randn(32, 6) @ shared / 2)
    return model


X = torch.randn(4, 7, 32, generator=torch.Generator().manual_seed(0))


def test_same_inputs_are_packed_where_that_saves(model):
    dense = copy.deepcopy(model)
    reports = compress_(model, 3.0, calibration=[X], joint=True)
    assert [r.name for r in reports if '+' in r.name] == [
        '0.query+key+value',
        '1.key+value',
    ]
    assert '1.query' in [r.name for r in reports]
    # The rank of query in the second attention is below that of its weight.
    torch.testing.assert_close(model[0](X), dense[0](X), rtol=1e-3, atol=1e-3)
    other = copy.deepcopy(dense)
    assert '+' not in ''.join(r.name for r in compress_(other, 3.0, calibration=[X]))
    calls = []
    model[0].get_submodule('query+key+value').register_forward_hook(
        lambda *_: calls.append(1)
    )
    model(X)
    model(X)
    assert len(calls) == 2
    # A model with the same ranks loads the factors, and the dense weights.
    again = copy.deepcopy(dense)
    ranks = {r.name: r.rank for r in reports}
    pack_ranks_(again, ranks)
    replace_(again, ranks, lambda name, x, rank: low_rank_layer(x, rank, empty=True))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(X), model(X))
    again.load_state_dict(dense.state_dict())
    torch.testing.assert_close(again[0](X), dense[0](X), rtol=1e-3, atol=1e-3)
    merge_(again)
    assert list(again.state_dict()) == list(dense.state_dict())
    again.load_state_dict(dense.state_dict())
    torch.testing.assert_close(again(X), dense(X))


def test_packed_model_can_be_copied_and_trained(model):
    compress_(model, 3.0, calibration=[X], joint=True, method='sequential', tuning=2)
    assert isinstance(model[0].get_submodule('query+key+value'), LowRankLinear)
    copied = copy.deepcopy(model)
    with torch.no_grad():
        copied[0].get_submodule('query+key+value').up.zero_()
    assert not torch.equal(copied(X), model(X))
    model(X).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_rejects_names_that_are_no_layers(model):
    with pytest.raises(ValueError, match=r'0.query\+x, but 0 \(Attention\)'):
        pack_(model, '0', ('query', 'x'))
    with pytest.raises(ValueError, match='joint=True packs .* set calibration'):
        compress_(model, joint=True)
