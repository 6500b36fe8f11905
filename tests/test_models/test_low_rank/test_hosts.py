"""Models of the hosts: compress, train one step, save, load and predict."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import load_checkpoint, save_checkpoint

from mmvlfusion.analysis.complexity import measure
from mmvlfusion.models.low_rank import LowRankLinear, compress_, merge_
from mmvlfusion.models.low_rank.attention import LowRankMultiheadAttention

from ...helpers import HOST_MODELS, SWIN, VIT, flatten_output, host_samples


def build(name, low_rank):
    host, make, _ = HOST_MODELS[name]
    init_default_scope(host)
    cfg = ConfigDict(make())
    if low_rank:
        cfg.update(
            type='mmvlfusion.LowRank',
            module=cfg['type'],
            ratio=1.5,
            exclude=['fc_cls'] if name == 'Faster R-CNN' else (),
        )
    return MODELS.build(cfg)


def parameters_of(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize('name', HOST_MODELS)
def test_low_rank_model_trains_saves_and_loads(name, tmp_path):
    torch.manual_seed(0)
    host, _, attention = HOST_MODELS[name]
    dense = build(name, False)
    dense.init_weights()
    low = build(name, True)
    assert isinstance(low, type(dense))
    assert parameters_of(low) < parameters_of(dense)
    found = [m for m in low.modules() if isinstance(m, LowRankMultiheadAttention)]
    assert bool(found) == attention

    low.init_weights()  # Initialise like the host ...
    low.load_state_dict(dense.state_dict())  # ... and load a checkpoint.
    layer = next(m for m in low.modules() if isinstance(m, LowRankLinear))
    before = copy.deepcopy(layer.up.data)
    optimizer = torch.optim.AdamW(low.parameters(), lr=1e-4)
    low.train()
    data = low.data_preprocessor(host_samples(host), training=True)
    losses, _ = low.parse_losses(low(**data, mode='loss'))
    losses.backward()
    assert all(
        m.up.grad is not None and m.down.grad is not None
        for m in low.modules()
        if isinstance(m, LowRankLinear)
    )
    optimizer.step()
    assert not torch.equal(before, layer.up)

    path = str(tmp_path / 'weights.pth')
    save_checkpoint(dict(state_dict=low.state_dict()), path)
    again = build(name, True)
    load_checkpoint(again, path, strict=True)
    merged = copy.deepcopy(low)
    merge_(merged)
    assert parameters_of(merged) == parameters_of(dense)
    outputs = []
    for model in (low, again, merged):
        model.eval()
        with torch.no_grad():
            data = model.data_preprocessor(host_samples(host), training=False)
            data['inputs'] = torch.ones_like(data['inputs'])
            outputs.append(flatten_output(model(**data, mode='tensor')))
            model(**data, mode='predict')
    torch.testing.assert_close(outputs[1], outputs[0])
    torch.testing.assert_close(outputs[2], outputs[0], rtol=1e-3, atol=1e-3)


# The detector compresses few layers, since each block takes two forward passes.
EXCLUDED = {'DETR': ['backbone', 'encoder', 'neck', 'bbox_head', r'layers\.[1-9]']}


@pytest.mark.parametrize('name', ['Swin', 'DETR', 'UPerNet'])
def test_calibrated_models_are_created_from_their_ranks(name):
    """Compress by all options, and load the result by the ranks only."""
    host, make, _ = HOST_MODELS[name]
    torch.manual_seed(0)
    model = build(name, False)
    model.init_weights()
    reports = compress_(
        model,
        calibration=[host_samples(host)],
        method='sequential',
        budget='macs=0.6',
        convolutions=True,
        joint=True,
        tuning=1,
        exclude=EXCLUDED.get(name, ()),
    )
    cfg = ConfigDict(make())
    cfg.update(
        type='mmvlfusion.LowRank',
        module=cfg['type'],
        ranks={r.name: r.rank for r in reports},
    )
    again = MODELS.build(cfg)
    again.load_state_dict(model.state_dict())
    outputs = []
    for low in (model, again):
        low.eval()
        with torch.no_grad():
            data = low.data_preprocessor(host_samples(host), training=False)
            data['inputs'] = torch.ones_like(data['inputs'])
            outputs.append(flatten_output(low(**data, mode='tensor')))
    torch.testing.assert_close(outputs[1], outputs[0])


def test_bert_with_joint_factors_and_padding():
    """The batches are those of transformers; padded tokens have no influence."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    cfg = BertConfig(
        vocab_size=99,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
    )
    dense = BertModel(cfg).eval()
    tokens, mask = torch.randint(1, 99, (16, 9)), torch.ones(16, 9, dtype=torch.long)
    mask[:, 6:] = 0
    factors = []
    for padding in (0, 98):
        batch = dict(input_ids=tokens.where(mask.bool(), padding), attention_mask=mask)
        model = copy.deepcopy(dense)
        reports = compress_(
            model, 2.0, 'bert', calibration=[batch], method='sequential', joint=True
        )
        with torch.no_grad():
            factors.append(model(**batch)[0][:, :6])
    assert any(r.name.endswith('query+key+value') for r in reports)
    torch.testing.assert_close(factors[0], factors[1], rtol=1e-3, atol=1e-3)


def test_bert_trains_saves_and_loads(tmp_path):
    """Compress a model of the transformers library."""
    from transformers import BertConfig, BertForMaskedLM

    from mmvlfusion.models.low_rank import compress_

    torch.manual_seed(0)
    cfg = BertConfig(
        vocab_size=99,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
    )
    model = BertForMaskedLM(cfg)
    names = [r.name for r in compress_(model, 1.5, 'bert')]
    assert len(names) == 12 and all('encoder.layer' in n for n in names)
    tokens = torch.randint(0, 99, (2, 7))
    model.train()(input_ids=tokens, labels=tokens).loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    # The head still shares the weight of the embedding.
    assert (
        model.cls.predictions.decoder.weight
        is model.bert.embeddings.word_embeddings.weight
    )
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    again = BertForMaskedLM(cfg)
    compress_(again, 1.5, 'bert')
    again.load_state_dict(torch.load(tmp_path / 'weights.pth'))
    with torch.no_grad():
        assert torch.equal(again.eval()(tokens).logits, model.eval()(tokens).logits)


@pytest.mark.parametrize(
    'backbone, layer',
    [
        (
            dict(
                type='BEiTViT',
                arch=dict(VIT, embed_dims=48),
                img_size=64,
                patch_size=16,
                out_type='avg_featmap',
            ),
            'layers.0.attn.qkv',
        ),
        (
            dict(
                type='SwinTransformerV2',
                arch=dict(SWIN, extra_norm_every_n_blocks=0),
                img_size=64,
                window_size=[4, 4, 2, 2],
                pad_small_map=True,
            ),
            'stages.0.blocks.0.attn.w_msa.qkv',
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else value['type'],
)
def test_layers_that_are_not_called_stay_dense(backbone, layer, capsys):
    """The attention computes with the weight of qkv, so that a low-rank qkv would
    cost more operations than a dense one."""
    init_default_scope('mmpretrain')

    def operations(ratio):
        model = MODELS.build(copy.deepcopy(backbone))
        if ratio:
            names = [report.name for report in compress_(model, ratio, 'swin')]
            assert layer not in names and layer.replace('qkv', 'proj') in names
        return measure(model, lambda: model(torch.zeros(1, 3, 64, 64))).weight_macs

    dense = operations(None)
    assert operations(2.0) < dense
    output = capsys.readouterr().out
    assert 'stay dense, since their attention reads the weight' in output
    assert layer in output
