"""The command line of the export."""

import pytest

from ..helpers import load_tool


@pytest.mark.e2e
def test_export_writes_graph_and_compares_metrics(run_tool, tiny_config, tmp_path):
    pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    config = tiny_config()
    run_tool('tools/train.py', config, '--work-dir', tmp_path / 'run')
    output = run_tool(
        *('tools/export.py', config, tmp_path / 'run/epoch_2.pth'),
        *('--out', tmp_path / 'out', '--dynamic', 'batch', '--test'),
    )
    assert (tmp_path / 'out/model.onnx').is_file()
    values = [
        line.split('|')[2:4]
        for line in output.split('\n')
        if line.startswith('| accuracy')
    ]
    assert values and all(eager == exported for eager, exported in values)


@pytest.mark.parametrize(
    'options, message',
    [
        (['--int8'], '--int8 needs calibration data'),
        (['--calibration', '4'], '--calibration is only used with --int8'),
        (['--shape', '0'], '--shape takes one or two positive numbers'),
        (['--dynamic', 'all'], 'invalid choice'),
    ],
)
def test_bad_options_are_refused(options, message, monkeypatch, capsys):
    export = load_tool('export.py')
    monkeypatch.setattr('sys.argv', ['export.py', 'c.py', 'c.pth', *options])
    with pytest.raises(SystemExit):
        export.parse_args()
    assert message in capsys.readouterr().err


def test_config_without_training_set_cannot_calibrate():
    export = load_tool('export.py')
    with pytest.raises(ValueError, match='no train_dataloader'):
        next(export.training_batches({}, 1))
