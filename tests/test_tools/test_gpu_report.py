"""The report of a GPU: its small version, and its format."""

import json

import pytest

from ..helpers import ROOT, load_tool

report = load_tool('analysis_tools/gpu_report.py')


def test_small_report_has_all_tables(run_tool, tmp_path, monkeypatch):
    """A later run continues: it keeps what is measured."""
    if report.torch.cuda.is_available():
        pytest.skip('measures the GPU')
    tool = 'tools/analysis_tools/gpu_report.py'
    output = run_tool(tool, '--out', tmp_path)
    assert 'state-space: finished' in output
    text = (tmp_path / 'report.md').read_text()
    for name, table in report.TABLES.items():
        assert f'## {table.title}\n' in text
        rows = json.loads((tmp_path / f'{name}.json').read_text())
        assert len(rows) == len(table.rows('cpu', True))
        assert all(report.is_done(row['models']) for row in rows.values())
    assert 'not measured' not in text and 'skipped' in text

    (tmp_path / 'pela.json').unlink()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob('*.json')}
    run_tool(tool, '--out', tmp_path, '--tables', 'fusions', 'factorization', 'pela')
    for path in before:
        if path.name != 'machine.json':
            assert path.stat().st_mtime_ns == before[path]
    assert (tmp_path / 'pela.json').is_file()


def test_script_starts_the_report(run_tool):
    options = dict(launcher=['bash'], env=dict(PYTHON='echo'))
    output = run_tool('tools/gpu_report.sh', '--minutes', 3, **options)
    assert output == 'tools/analysis_tools/gpu_report.py --minutes 3\n'


def test_complete_tables_have_all_settings():
    """Models, modes and sizes of the complete tables."""
    rows = {
        name: table.rows('cuda', False)
        for name, table in report.TABLES.items()
        if name != 'tests'
    }
    assert [row.setting for row in rows['tnt-train-bf16']] == [
        f'{form}, batch {batch}'
        for batch in (64, 256)
        for form in ('eager', 'compiled')
    ]
    models = list(rows['tnt-train-bf16'][0].models)
    assert models[:2] == ['DeiT-S (timm)', 'TNT-S (timm)']
    assert models[2:] == ['TNT-S', 'TNT-S, fused inner block', 'TNT-S, with_cp']
    assert len(rows['pela']) == 8 and len(rows['fusions']) == 6
    sizes = [row.setting.split(', ')[1] for row in rows['state-space'][:4]]
    assert sizes == ['224 px', '448 px', '896 px', '2048 px']
    for table in rows.values():
        assert len({row.setting for row in table}) == len(table)


def test_configs_of_the_tables_exist():
    pela = [report.PELA.format(name) for name in ('deit-base-p16', 'swin-base')]
    assert all((ROOT / name).is_file() for name in (report.TNT, *pela))


def test_failed_model_does_not_stop_the_others():
    def fail():
        raise RuntimeError('out of memory\nmore')

    def prepare():
        return (lambda: None), dict(params=1, memory=2.0)

    row = report.Row('setting', 4, 3, {'a': prepare, 'b': fail})
    found = report.run_row(row, 'cpu')
    assert found['b'] == dict(error='RuntimeError: out of memory')
    assert len(found['a']['times']) == 3 and not report.is_done(found)
    assert not report.is_done({'': dict(passed=False)})


def test_cells_have_median_quartiles_and_ratio():
    found = dict(times=[0.1, 0.2, 0.3, 0.4, 0.5], memory=7.0)
    cells = report.cells_of(found, 6, [0.2, 0.4, 0.6, 0.8, 1.0])
    assert cells == ['300.000', '200.000 to 400.000', '20.0', '2.00', '7.0']
    failed = report.cells_of(dict(error='a|b'), 6, [])
    assert failed == ['not measured: a b', '-', '-', '-', '-']


def test_missing_libraries_are_skipped_by_name(monkeypatch):
    find = report.find_spec
    gone = ('timm', 'mmpretrain', 'mmcv._ext')
    monkeypatch.setattr(
        report, 'find_spec', lambda name: None if name in gone else find(name)
    )
    assert list(report.missing()) == ['timm', 'mmpretrain', 'the operators of mmcv']
    (row, *_) = report.TABLES['tnt-train-bf16'].rows('cuda', False)
    assert next(iter(row.models)) == 'TNT-S'
    lines = list(report.format_table('pela', {}, 'cuda'))
    assert lines[-1] == 'Not measured: mmpretrain is not installed.'


def test_tests_of_missing_libraries_do_not_fail(monkeypatch):
    monkeypatch.setattr(report, 'missing', lambda: dict(mmdet='tests of detectors'))
    lines = [
        'SKIPPED [1] tests/a.py:1: needs two GPUs',
        "ERROR tests/b.py - ModuleNotFoundError: No module named 'mmdet'",
        '== 3 passed, 1 skipped, 1 error in 2.00s ==',
    ]
    found = report.summarise_tests(lines)
    assert found['passed'] and found['lines'] == lines[:2]
    assert found['summary'] == '3 passed, 1 skipped, 1 error in 2.00s'
    assert not report.summarise_tests(['FAILED tests/a.py::b', '1 failed'])['passed']


def test_other_card_needs_another_folder(tmp_path):
    (tmp_path / 'machine.json').write_text(json.dumps(dict(card='another')))
    with pytest.raises(ValueError, match="card 'another'.*set --out"):
        report.check_machine(tmp_path, 'cpu')
