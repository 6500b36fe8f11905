"""Published sizes and costs, operation counts and benchmarks."""

import json

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmvlfusion.analysis.complexity import (
    Complexity,
    measure,
    resolve_shape,
    weight_macs,
)
from mmvlfusion.analysis.published import config_of, load_published_sizes
from mmvlfusion.apis.build import build_model
from mmvlfusion.models import LowRankLinear
from mmvlfusion.models.backbones.tnt.attention import TNTAttention

from ..helpers import ROOT, load_tool, meta_parameters, skip_on_torch_2_1

get_flops = load_tool('analysis_tools/get_flops.py')


SIZES = load_published_sizes()


@pytest.mark.parametrize('row', SIZES, ids=lambda row: row.name)
def test_model_has_published_size(row, tmp_path):
    cfg = config_of(row, str(tmp_path))
    with meta_parameters():
        model = build_model(cfg)
    params = sum(p.numel() for p in model.parameters())
    if row.params is not None:
        # Papers round, and some of them count the auxiliary head.
        rel = 0.015 if cfg.default_scope == 'mmpretrain' else 0.01
        assert params / 1e6 == pytest.approx(row.params, rel=rel)
    if row.dense_params is not None:
        saved = sum(
            m.in_features * m.out_features - m.down.numel() - m.up.numel()
            for m in model.modules()
            if isinstance(m, LowRankLinear)
        )
        assert (params + saved) / 1e6 == pytest.approx(row.dense_params, rel=1e-3)
        assert params / 1e6 == pytest.approx(row.params, rel=2e-3)
    assert row.params is not None or row.cost is not None


@pytest.mark.parametrize(
    'row', [row for row in SIZES if row.cost is not None], ids=lambda row: row.name
)
def test_model_has_published_cost(row):
    counts = get_flops.complexity_of(row)
    cost = counts.operations(row.convention) / 1e9
    rel = 0.01 if row.convention == 'macs-no-attention' else 0.03
    assert cost == pytest.approx(row.cost, rel=rel)


class TinyModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 6, bias=False)
        self.conv = nn.Conv1d(6, 2, 3, padding=1)

    def forward(self, x):
        x = self.linear(x)
        x = nn.functional.scaled_dot_product_attention(x, x, x)
        return self.conv(x.transpose(1, 2))


def test_shape_is_given_or_that_of_the_config():
    steps = [dict(type='Resize', scale=(96, 64))]
    cfg = Config(dict(model={}, test_dataloader=dict(dataset=dict(pipeline=steps))))
    assert resolve_shape(None, cfg) == (64, 96)
    assert resolve_shape([32], cfg) == (32, 32)
    assert resolve_shape([32, 48], cfg) == (32, 48)
    assert resolve_shape(None, Config(dict(model={}))) == (224, 224)


def test_counts_match_manual_values():
    model = TinyModel()
    counts = measure(model, lambda: model(torch.zeros(1, 5, 4)))
    assert counts == Complexity(
        params=24 + 36 + 2, weight_macs=5 * 24 + 5 * 36, attention_macs=2 * 5 * 5 * 6
    )
    assert counts.operations('macs') == 600
    assert counts.operations('flops-no-attention') == 600
    with pytest.raises(ValueError, match="convention='gflops'"):
        counts.operations('gflops')


def test_counts_of_modules_match_manual_values():
    model = nn.Sequential(TinyModel(), nn.Identity())
    counts = weight_macs(model, lambda: model(torch.zeros(1, 5, 4)))
    assert counts == {
        'Global': 300,
        '': 300,
        '0': 300,
        '0.linear': 120,
        '0.conv': 180,
        '1': 0,
    }


def test_counting_accepts_all_outputs_and_keeps_gradients():
    """Outputs stay tuples, and a forward pass that fails changes no setting."""

    class TupleModel(TinyModel):
        def forward(self, x):
            return (super().forward(x),)

    model = TupleModel()
    weight_macs(model, lambda: model(torch.zeros(1, 5, 4))[0].squeeze(0).shape[1])
    with pytest.raises(RuntimeError):
        weight_macs(model, lambda: model(torch.zeros(1, 5, 3)))
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_word_attention_is_counted():
    attention = TNTAttention(8, num_heads=2)
    counts = measure(attention, lambda: attention(torch.zeros(3, 5, 8)))
    assert counts.weight_macs == 3 * 5 * 4 * 8 * 8
    assert counts.attention_macs == 3 * 2 * 5 * 5 * 8


def test_get_flops_prints_parameters(run_tool):
    output = run_tool(
        'tools/analysis_tools/get_flops.py',
        'configs/tnt/tnt-mini-p8_1xb32-50e_cifar10-32px.py',
        '--convention',
        'flops',
    )
    # The size is that of the config.
    assert 'input       32 x 32' in output and '0.8847 M' in output


@pytest.mark.parametrize('channels', [1, 4])
def test_get_flops_reads_channels_of_the_config(channels, run_tool):
    output = run_tool(
        'tools/analysis_tools/get_flops.py',
        'configs/tnt/tnt-mini-p8_1xb32-50e_cifar10-32px.py',
        '--shape',
        16,
        24,
        '--cfg-options',
        f'model.backbone.in_channels={channels}',
    )
    assert 'input       16 x 24' in output


@pytest.mark.parametrize(
    'options',
    [
        ['--mode', 'inference', '--dtype', 'bf16'],
        ['--mode', 'train'],
    ],
)
def test_benchmark_compares_two_configs(options, run_tool):
    output = run_tool(
        'tools/analysis_tools/benchmark.py',
        'configs/tnt/tnt-mini-p8_1xb32-50e_cifar10-32px.py',
        'configs/tnt/vit-mini-p8_1xb32-50e_cifar10-32px.py'
        '+model.backbone.in_channels=1',
        '--batch-size',
        2,
        '--rounds',
        2,
        *options,
    )
    rows = [
        line.split('|') for line in output.split('\n') if line.startswith('| configs')
    ]
    assert 'batch 2, 32 x 32 px' in output
    assert len(rows) == 2 and rows[0][5].strip() == '1.00'
    assert all(float(row[6]) > 0 for row in rows)


def test_benchmark_draws_costs_over_image_size(run_tool, tmp_path):
    name = 'mmvlfusion:VisionSSD:tiny+drop_path_rate=0.1'
    run_tool(
        'tools/analysis_tools/benchmark.py',
        name,
        f'{name}+expand=1',
        '--img-size',
        32,
        64,
        '--batch-size',
        1,
        '--rounds',
        1,
        '--out',
        tmp_path,
    )
    results = json.loads((tmp_path / 'results.json').read_text())
    assert set(results) == {'32', '64'}
    small, large = (results[size][name]['macs'] for size in ('32', '64'))
    assert 2 * small < large < 5 * small
    assert results['64'][f'{name}+expand=1']['macs'] < large
    assert (tmp_path / 'img_size.png').stat().st_size


@pytest.mark.e2e
@skip_on_torch_2_1('has no torch.export with dynamic axes')
def test_benchmark_runs_exported_models_next_to_eager_ones(run_tool, tmp_path):
    pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    backends = ['torch', 'onnxruntime', 'onnxruntime-int8']
    config = 'configs/tnt/vit-mini-p8_1xb32-50e_cifar10-32px.py'
    run_tool(
        'tools/analysis_tools/benchmark.py',
        config,
        *('--batch-size', 2, '--rounds', 2, '--device', 'cpu', '--out', tmp_path),
        *('--backend', *backends),
    )
    rows = json.loads((tmp_path / 'results.json').read_text())['32']
    assert list(rows) == [f'{config} ({backend})' for backend in backends]
    eager, exported, int8 = rows.values()
    assert eager['file'] is None and exported['memory'] is None
    assert int8['file'] < exported['file'] / 2
    assert len({row['macs'] for row in rows.values()}) == 1
    assert all(len(row['times']) == 2 for row in rows.values())


@pytest.mark.parametrize(
    'options, message',
    [
        (['--backend', 'openvino', '--mode', 'train'], 'openvino need --mode infer'),
        (['--backend', 'onnxruntime', '--dtype', 'bf16'], 'need --dtype fp32, got'),
        (['--backend', 'torch', 'torch'], 'backend has a value twice'),
    ],
)
def test_benchmark_refuses_options_that_no_runtime_has(
    options, message, monkeypatch, capsys
):
    benchmark = load_tool('analysis_tools/benchmark.py')
    monkeypatch.setattr(
        'sys.argv', ['benchmark.py', 'timm:tnt_s_patch16_224', *options]
    )
    with pytest.raises(SystemExit):
        benchmark.parse_args()
    assert message in capsys.readouterr().err


def test_benchmark_refuses_settings_without_value():
    benchmark = load_tool('analysis_tools/benchmark.py')
    with pytest.raises(ValueError, match=r"'expand' of TNT.*\+KEY=VALUE"):
        benchmark.split_settings('TNT+expand')


def test_benchmark_refuses_configs_of_different_sizes():
    benchmark = load_tool('analysis_tools/benchmark.py')
    names = [
        f'{ROOT}/configs/tnt/tnt-mini-p8_1xb32-50e_cifar10-32px.py',
        f'{ROOT}/configs/tnt/tnt-small-p16_8xb64-100e_cifar10-384px.py',
    ]
    with pytest.raises(ValueError, match=r'\(32, 32\).*\(384, 384\).*--img-size'):
        benchmark.common_shape(names)
    assert benchmark.common_shape(['timm:tnt_s_patch16_224', names[0]]) == (32, 32)
    assert benchmark.common_shape(['timm:tnt_s_patch16_224']) == (224, 224)


def test_benchmark_builds_models_of_other_libraries():
    benchmark = load_tool('analysis_tools/benchmark.py')
    assert type(benchmark.build('timm:tnt_s_patch16_224')).__name__ == 'TNT'
    assert 'mmpretrain' in type(benchmark.build('mmpretrain:TNT:s')).__module__
    assert not benchmark.is_config('mmvlfusion:VSSD:micro')
    assert benchmark.build('mmvlfusion:VSSD:micro').arch['embed_dims'] == 48


def test_fusion_scaling_writes_table_and_plots(run_tool, tmp_path):
    output = run_tool(
        'tools/analysis_tools/fusion_scaling.py',
        '--run',
        '--width',
        64,
        128,
        '--depth',
        4,
        '--img-size',
        64,
        128,
        '--out',
        tmp_path,
    )
    assert output.count('| joint |') == output.count('| concat |') == 4
    assert {p.name for p in tmp_path.iterdir()} == {
        'table.json',
        'img_size.png',
        'width.png',
    }


def test_joint_fusion_costs_less_than_concat():
    """Few joint tokens cost less, and hardly more for larger images (JAR)."""
    count = load_tool('analysis_tools/fusion_scaling.py').count
    macs = {
        (name, size): count(name, {}, size, 768, 32)['macs']
        for name in ('joint', 'concat')
        for size in (224, 448)
    }
    assert macs['joint', 224] <= 0.45 * macs['concat', 224]
    assert macs['joint', 448] <= 1.15 * macs['joint', 224]
    assert macs['concat', 448] > 2.5 * macs['concat', 224]
