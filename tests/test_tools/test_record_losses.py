"""The losses of small trainings are those that were recorded."""

import json

import numpy as np
import pytest

from ..helpers import ROOT, load_tool

record_losses = load_tool('analysis_tools/record_losses.py')


@pytest.fixture(scope='module')
def inputs(tmp_path_factory):
    root = tmp_path_factory.mktemp('golden')
    record_losses.write_inputs(root)
    return root


@pytest.fixture(scope='module')
def recorded():
    """The file of this version of PyTorch, or that of the newest version."""
    files = {
        tuple(map(int, path.stem.removeprefix('torch-').split('.'))): path
        for path in (ROOT / 'tests/golden_losses').glob('torch-*.json')
    }
    here = record_losses.environment()['torch'].split('.')
    path = files.get(tuple(int(part) for part in here if part.isdigit()))
    return json.loads((path or files[max(files)]).read_text())


@pytest.mark.parametrize('method', list(record_losses.METHODS))
def test_trains_with_recorded_losses(method, inputs, recorded):
    """Losses are equal bit for bit where the same kernels run.

    Kernels depend on the version of PyTorch, the number of threads, the instruction
    set and the processor. Others add in another order, so that the last digits of
    the losses differ.
    """
    settings = record_losses.METHODS[method]
    expected = np.float32(recorded['losses'][method])
    losses = np.float32(record_losses.losses_of(settings, inputs))
    if recorded['environment'] == record_losses.environment():
        np.testing.assert_array_equal(losses, expected)
    else:
        count = settings.comparable
        np.testing.assert_allclose(losses[:count], expected[:count], rtol=1e-4)
