"""Text with dollar signs is drawn literally."""

from argparse import Namespace

import cv2
import matplotlib.mathtext
import matplotlib.pyplot as plt
import mmengine
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.dataset import BaseDataset
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer

from mmvlfusion.engine import QuestionVisualizationHook
from mmvlfusion.utils.drawing import literal_texts

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


@pytest.mark.parametrize(
    'score, shown', [(0.0031, '$5 (0.0031)'), (0.87, '$5 (0.87)'), (None, '$5')]
)
def test_vqa_demo_draws_dollar_signs_and_scores(score, shown, no_formulas, tmp_path):
    """Small probabilities are not rounded to 0; models may have no score."""
    tool = load_tool('vqa_demo.py')
    fields = dict(question=TEXT, pred_answer='$5')
    if score is not None:
        fields.update(pred_score=score)
    assert tool.answer_of(DataSample(metainfo=fields)) == shown
    out = tmp_path / 'vqa.png'
    sample = DataSample(metainfo=fields)
    tool.draw(IMAGE, [sample], [('map of $5 and $6', IMAGE)], str(out))
    assert foreground_fraction(out) > 0.05


def test_hook_draws_dollar_signs(no_formulas, tmp_path):
    """The host wraps the text, and matplotlib parses wrapped texts."""
    UniversalVisualizer.get_instance('visualizer')
    image = tmp_path / 'image.png'
    cv2.imwrite(str(image), np.zeros((200, 300, 3), np.uint8))
    hook = QuestionVisualizationHook(enable=True, interval=1, out_dir=str(tmp_path))
    sample = DataSample(
        metainfo=dict(img_path=str(image), question_id=7, question=TEXT)
    )
    sample.set_field('$5 or $6', 'pred_answer')
    with literal_texts():
        hook.after_test_iter(None, 0, None, [sample])
    assert sample.question == TEXT
    assert foreground_fraction(tmp_path / 'image.png_7_0.png') > 0.005


def draw_class_by_mmpretrain(image):
    sample = DataSample().set_gt_label(0)
    UniversalVisualizer().visualize_cls(image, sample, classes=[TEXT])


def draw_expression_by_mmpretrain(image):
    sample = DataSample(metainfo=dict(text=TEXT))
    sample.set_field(torch.tensor([[20.0, 20, 90, 90]]), 'pred_bboxes')
    UniversalVisualizer().visualize_visual_grounding(image, sample)


def draw_class_by_mmdet(image):
    visualizer = DetLocalVisualizer()
    visualizer.dataset_meta = dict(classes=[TEXT], palette=[(0, 0, 255)])
    found = InstanceData(
        bboxes=torch.tensor([[20.0, 20, 90, 90]]), labels=torch.tensor([0])
    )
    visualizer.add_datasample('', image, DetDataSample(gt_instances=found))


@pytest.mark.parametrize(
    'draw',
    [draw_class_by_mmpretrain, draw_expression_by_mmpretrain, draw_class_by_mmdet],
)
def test_hosts_draw_dollar_signs(draw, no_formulas):
    image = np.zeros((200, 300, 3), np.uint8)
    with pytest.raises(AssertionError, match='parsed as a formula'):
        draw(image)
    with literal_texts():
        draw(image)


def test_contact_sheet_of_answers_without_scores(tmp_path):
    """Answers are compared as by the score; a text is one answer."""
    tool = load_tool('visualizations/contact_sheet.py')
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), IMAGE)
    questions = [
        dict(question=TEXT, question_id=i, gt_answer=answer)
        for i, answer in enumerate(['t-shirt', ['2.5', '3']])
    ]
    dataset = BaseDataset(lazy_init=True, serialize_data=False)
    dataset.data_list = [dict(img_path=str(path), questions=questions)]
    dataset._fully_initialized = True
    predictions = tmp_path / 'predictions.pkl'
    mmengine.dump(
        [
            dict(question_id=0, pred_answer='t'),
            dict(question_id=1, pred_answer='2. 5', pred_score=0.004),
        ],
        predictions,
    )
    args = Namespace(predictions=str(predictions), rows=1, columns=1)
    cells, headline = tool.cells_of_questions(None, dataset, args)
    assert headline.startswith('50.0 % of 2')
    assert cells[0].title == (f'✗ {TEXT} t (is t-shirt)\n✓ {TEXT} 2. 5 (0.004)')
