"""Text with dollar signs is drawn literally."""

import matplotlib.mathtext
import matplotlib.pyplot as plt
import numpy as np
import pytest
from mmpretrain.structures import DataSample

from ..helpers import foreground_fraction, load_tool

TEXT = 'is it $5 or $6?'
IMAGE = np.zeros((8, 8, 3), dtype=np.uint8)


@pytest.fixture
def no_formulas(monkeypatch):
    """Fail if matplotlib parses a formula."""

    def parse(self, text, *args, **kwargs):
        raise AssertionError(f'parsed as a formula: {text}')

    monkeypatch.setattr(matplotlib.mathtext.MathTextParser, 'parse', parse)
    yield
    plt.close('all')


def test_no_formulas_fixture_detects_formulas(no_formulas):
    figure, axis = plt.subplots()
    axis.set_title(TEXT)
    with pytest.raises(AssertionError, match='parsed as a formula'):
        figure.canvas.draw()


def test_contact_sheet_draws_dollar_signs(no_formulas):
    tool = load_tool('visualizations/contact_sheet.py')
    figure = tool.draw_sheet([tool.Cell(IMAGE, TEXT)], TEXT, rows=1, columns=2)
    figure.canvas.draw()
    assert figure.axes[0].get_title() == r'is it \$5 or \$6?'
    assert figure.get_suptitle() == r'is it \$5 or \$6?'


def test_vqa_demo_draws_dollar_signs(no_formulas, tmp_path):
    tool = load_tool('vqa_demo.py')
    sample = DataSample()
    sample.set_field(TEXT, 'question')
    sample.set_field('$5 or $6', 'pred_answer')
    sample.set_field(0.5, 'pred_score')
    out = tmp_path / 'vqa.png'
    tool.draw(IMAGE, [sample], [('map of $5 and $6', IMAGE)], str(out))
    assert foreground_fraction(out) > 0.05
