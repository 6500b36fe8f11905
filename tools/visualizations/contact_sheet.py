"""Draw the predictions of a model on one sheet.

Input: a config, and what ``tools/test.py --out`` wrote: a .pkl file, or for
segmentation the folder of label maps.
Output: a picture with one cell for each image:

- classification: the predicted class and its score as title; the true class
  too if it differs;
- questions: questions, answers and scores as title; the true answer too if it
  differs;
- captions: the caption and its score as title; a true caption too if it differs
  from all of them;
- expressions: the expression and the IoU as title, the true box in green and
  the predicted box in red;
- retrieval: the text as title, above the three best images; the true image has
  a green frame;
- detection: drawn by the visualizer of the host, ground truth on the left and
  prediction on the right; the numbers of objects found and of wrong boxes as title;
- segmentation: the same, then the wrong pixels in red; the share of right pixels as
  title.

The headline has the score on the entire test set. Titles of wrong predictions are red.

Example:

    python tools/visualizations/contact_sheet.py CONFIG predictions.pkl \\
        --out predictions.png
"""

import argparse
import os
from collections import Counter
from pathlib import Path
from textwrap import fill
from typing import Any, List, NamedTuple, Sequence, Tuple

import matplotlib
import mmcv
import mmengine
import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.structures import InstanceData, PixelData
from torchvision.ops import box_iou

from mmvlfusion.apis.drawing import build_visualizer, draw_sample
from mmvlfusion.evaluation.functional.vqa import same_answer
from mmvlfusion.hosts import host_of
from mmvlfusion.utils.drawing import (
    GREEN,
    RED,
    draw_box,
    enlarge,
    escape_math,
    with_score,
)

matplotlib.use('Agg')
import matplotlib.pyplot as plt

SHEET_WIDTH = 12.8  # In inches.
TITLE_HEIGHT = 0.4  # Of one line, in inches.
LINE_HEIGHT = 0.13  # Of each further line, in inches.
LINE_LENGTH = 44  # Characters of a line of a title.
NUM_RETRIEVED = 3  # Images that are shown for a text.
FRAME_WIDTH = 8  # Of the true image of a text, in pixels.
IOU_THR = 0.5  # A predicted box is correct from this IoU on.
RIGHT_PIXELS = 0.95  # A label map is correct from this share of right pixels on.


class Cell(NamedTuple):
    """A cell of the sheet.

    Attributes:
        image (np.ndarray): RGB image, (H, W, 3).
        title (str): Text above the image.
        color (str): Colour of the title.
    """

    image: np.ndarray
    title: str = ''
    color: str = 'black'


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        'predictions',
        help='output of tools/test.py --out: a .pkl file, or a folder for segmentation',
    )
    parser.add_argument(
        '--out', default='predictions.png', help='picture (default: %(default)s)'
    )
    parser.add_argument(
        '--rows', type=int, default=4, help='rows of cells (default: %(default)s)'
    )
    parser.add_argument(
        '--columns', type=int, default=8, help='columns of cells (default: %(default)s)'
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.5,
        help='detection: lowest score of a box (default: %(default)s)',
    )
    return parser.parse_args()


def select_balanced(labels: Sequence[int], number: int) -> List[int]:
    """Select samples so that the classes are balanced.

    Args:
        labels (Sequence[int]): The class of each sample.
        number (int): Number of samples to select.

    Returns:
        list[int]: Indices of the samples.
    """
    seen: Counter = Counter()
    order = []
    for index, label in enumerate(labels):
        order.append((seen[label], label, index))
        seen[label] += 1
    return [index for *_, index in sorted(order)[:number]]


def select_evenly(total: int, number: int) -> range:
    """Select samples at equal distances.

    Args:
        total (int): Number of samples.
        number (int): Number of samples to select.

    Returns:
        range: Indices of ``number`` samples, or of all if there are fewer.
    """
    step = max(1, total // number)
    return range(0, step * min(number, total), step)


def read_image(dataset: Any, index: int) -> np.ndarray:
    """Read an image of the dataset.

    Args:
        dataset (Any): The test set.
        index (int): Index of the image.

    Returns:
        np.ndarray: RGB image, (H, W, 3).
    """
    return mmcv.imread(dataset.get_data_info(index)['img_path'], channel_order='rgb')


def load_results(path: str, dataset: Any) -> List[dict]:
    """Load the predictions of a .pkl file.

    Args:
        path (str): The file.
        dataset (Any): The test set.

    Returns:
        list[dict]: One prediction for each image of the dataset.

    Raises:
        ValueError: If the numbers of predictions and images differ.
    """
    results = mmengine.load(path)
    if len(results) != len(dataset):
        raise ValueError(
            f'{path} has {len(results)} predictions, but the test set has '
            f'{len(dataset)} images: run tools/test.py again.'
        )
    return results


def cells_of_classification(
    cfg: Config, dataset: Any, args: argparse.Namespace
) -> Tuple[List[Cell], str]:
    """Show images with their predicted classes; the headline is the accuracy.

    Args:
        cfg (Config): The config.
        dataset (Any): The test set.
        args (argparse.Namespace): The arguments of the command line.

    Returns:
        tuple[list[Cell], str]: The cells and the headline of the sheet.
    """
    results = load_results(args.predictions, dataset)
    labels = [int(result['gt_label'][0]) for result in results]
    predictions = [int(result['pred_label'][0]) for result in results]
    classes = dataset.metainfo['classes']
    cells = []
    for index in select_balanced(labels, args.rows * args.columns):
        predicted, label = predictions[index], labels[index]
        title = f'{classes[predicted]} {results[index]["pred_score"][predicted]:.2f}'
        color = 'green'
        if predicted != label:
            title += f'\nis {classes[label]}'
            color = 'red'
        cells.append(Cell(read_image(dataset, index), title, color))
    correct = sum(predicted == label for predicted, label in zip(predictions, labels))
    return cells, f'top-1 accuracy {100 * correct / len(labels):.1f} % of {len(labels)}'


def count_matches(
    predicted: dict, truth: List[dict], score_thr: float
) -> Tuple[int, int]:
    """Match predicted boxes to those of the same class, the highest score first.

    Args:
        predicted (dict): ``bboxes``, ``scores`` and ``labels``.
        truth (list[dict]): The objects, with ``bbox`` and ``bbox_label``.
        score_thr (float): Lowest score of a box.

    Returns:
        tuple[int, int]: Objects that a box of their class covers with an IoU of at
        least ``IOU_THR``, and boxes without such an object.
    """
    kept = (predicted['scores'] >= score_thr).nonzero().flatten()
    kept = kept[predicted['scores'][kept].argsort(descending=True)]
    boxes = torch.tensor([x['bbox'] for x in truth]).reshape(-1, 4).float()
    ious = box_iou(predicted['bboxes'][kept].float(), boxes)
    free = set(range(len(truth)))
    for row, label in zip(ious, predicted['labels'][kept].tolist()):
        candidates = [
            index
            for index in free
            if truth[index]['bbox_label'] == label and row[index] >= IOU_THR
        ]
        if candidates:
            free.remove(max(candidates, key=lambda index: row[index]))
    found = len(truth) - len(free)
    return found, len(kept) - found


def cells_of_detection(
    cfg: Config, dataset: Any, args: argparse.Namespace
) -> Tuple[List[Cell], str]:
    """Show boxes, drawn by mmdet's visualizer.

    Arguments and return value: see ``cells_of_classification``.
    """
    results = load_results(args.predictions, dataset)
    visualizer = build_visualizer(cfg, dataset.metainfo)
    cells, total_found, total_wrong, total = [], 0, 0, 0
    for index, result in enumerate(results):
        truth = dataset.get_data_info(index)['instances']
        predicted = result['pred_instances']
        found, wrong = count_matches(predicted, truth, args.score_thr)
        total_found, total_wrong = total_found + found, total_wrong + wrong
        total += len(truth)
        if index >= args.rows * args.columns:
            continue
        image, factor = enlarge(read_image(dataset, index))
        sample = host_of(cfg).sample_type(
            gt_instances=InstanceData(
                bboxes=factor * torch.tensor([x['bbox'] for x in truth]).reshape(-1, 4),
                labels=torch.tensor([x['bbox_label'] for x in truth], dtype=torch.long),
            ),
            pred_instances=InstanceData(
                bboxes=factor * predicted['bboxes'],
                scores=predicted['scores'],
                labels=predicted['labels'],
            ),
        )
        drawn = draw_sample(visualizer, image, sample, pred_score_thr=args.score_thr)
        title = f'{found} of {len(truth)} found, {wrong} wrong'
        is_correct = found == len(truth) and not wrong
        cells.append(Cell(drawn, title, 'green' if is_correct else 'red'))
    share = 100 * total_found / max(1, total)
    return cells, (
        f'{share:.1f} % of {total} objects found, {total_wrong} wrong boxes (score '
        f'>= {args.score_thr}, IoU >= {IOU_THR}); ground truth | prediction'
    )


def read_label_maps(
    dataset: Any, index: int, folder: str
) -> Tuple[np.ndarray, np.ndarray]:
    """Read the true and the predicted label map of an image.

    Args:
        dataset (Any): The test set.
        index (int): Index of the image.
        folder (str): The folder of the predicted label maps.

    Returns:
        tuple[np.ndarray, np.ndarray]: Both maps, (H, W); 255 is ignored.

    Raises:
        FileNotFoundError: If the predicted map is missing.
    """
    info = dataset.get_data_info(index)
    predicted = Path(folder) / f'{Path(info["img_path"]).stem}.png'
    if not predicted.is_file():
        raise FileNotFoundError(
            f'{predicted} is missing: write the label maps with '
            'tools/test.py --out FOLDER.'
        )
    maps = []
    for path in (info['seg_map_path'], predicted):
        labels = mmcv.imread(str(path), 'unchanged', backend='pillow')
        if info['reduce_zero_label']:
            # The unsigned 0 becomes 255, the label of ignored pixels.
            labels = labels - np.uint8(1)
        maps.append(labels)
    return maps[0], maps[1]


def cells_of_segmentation(
    cfg: Config, dataset: Any, args: argparse.Namespace
) -> Tuple[List[Cell], str]:
    """Show label maps, drawn by mmseg's visualizer; the headline is the mean IoU.

    Arguments and return value: see ``cells_of_classification``.
    """
    visualizer = build_visualizer(cfg, dataset.metainfo)
    number = len(dataset.metainfo['classes'])
    # Pixels by true and predicted class.
    counts = np.zeros((number, number), dtype=np.int64)
    cells = []
    for index in range(len(dataset)):
        truth, predicted = read_label_maps(dataset, index, args.predictions)
        valid = truth < number
        wrong = valid & (truth != predicted)
        pairs = number * truth[valid].astype(np.int64) + predicted[valid]
        counts += np.bincount(pairs, minlength=number**2).reshape(number, number)
        if index >= args.rows * args.columns:
            continue
        image, _ = enlarge(read_image(dataset, index))
        maps = [
            PixelData(data=torch.from_numpy(enlarge(labels)[0]).long()[None])
            for labels in (truth, predicted)
        ]
        sample = host_of(cfg).sample_type(gt_sem_seg=maps[0], pred_sem_seg=maps[1])
        # Grey, so that red pixels are the wrong ones.
        marked = image.mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8)
        marked[enlarge(wrong)[0]] = RED
        drawn = draw_sample(visualizer, image, sample)
        right = 1 - wrong.sum() / max(1, valid.sum())
        cells.append(
            Cell(
                np.concatenate([drawn, marked], axis=1),
                f'{100 * right:.1f} % of the pixels right',
                'green' if right >= RIGHT_PIXELS else 'red',
            )
        )
    right = counts.diagonal()
    union = counts.sum(axis=0) + counts.sum(axis=1) - right
    iou = 100 * (right[union > 0] / union[union > 0]).mean()
    return cells, (
        f'mean IoU {iou:.1f} % on {len(dataset)} images; ground truth | prediction | '
        'wrong pixels'
    )


def cells_of_questions(
    cfg: Config, dataset: Any, args: argparse.Namespace
) -> Tuple[List[Cell], str]:
    """Show images with questions and answers; the headline is the accuracy.

    Arguments and return value: see ``cells_of_classification``.
    """
    results = {r['question_id']: r for r in mmengine.load(args.predictions)}
    cells, correct = [], 0
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        lines = []
        for question in info.get('questions', [info]):
            result = results[question['question_id']]
            answer = result['pred_answer']
            line = with_score(answer, result.get('pred_score'))
            line = f'{question["question"]} {line}'
            truth = question['gt_answer']
            truth = [truth] if isinstance(truth, str) else truth
            if any(same_answer(answer, text) for text in truth):
                correct += 1
                lines.append(f'✓ {line}')
            else:
                lines.append(f'✗ {line} (is {truth[0]})')
        if len(cells) < args.rows * args.columns:
            image, _ = enlarge(read_image(dataset, index))
            cells.append(Cell(image, '\n'.join(lines)))
    return cells, (
        f'{100 * correct / len(results):.1f} % of {len(results)} '
        'answers are one of the ground-truth answers'
    )


def cells_of_captions(
    cfg: Config, dataset: Any, args: argparse.Namespace
) -> Tuple[List[Cell], str]:
    """Show images with captions; the headline is the share of exact matches.

    Arguments and return value: see ``cells_of_classification``.
    """
    results = load_results(args.predictions, dataset)
    cells, correct = [], 0
    for index, result in enumerate(results):
        caption = result['pred_caption']
        is_correct = caption in [text.lower() for text in result['gt_caption']]
        correct += is_correct
        if len(cells) < args.rows * args.columns:
            image, _ = enlarge(read_image(dataset, index))
            title = fill(with_score(caption, result.get('pred_score')), LINE_LENGTH)
            if not is_correct:
                truth = result['gt_caption'][0]
                title += '\n' + fill(f'is {truth}', LINE_LENGTH)
            cells.append(Cell(image, title, 'green' if is_correct else 'red'))
    return cells, (
        f'{100 * correct / len(results):.1f} % of {len(results)} '
        'captions are one of the ground-truth captions'
    )


def _boxes(results: List[dict], name: str) -> List[torch.Tensor]:
    """Return the box of each result, (1, 4)."""
    return [torch.as_tensor(r[name]).float().reshape(1, 4) for r in results]


def cells_of_expressions(
    cfg: Config, dataset: Any, args: argparse.Namespace
) -> Tuple[List[Cell], str]:
    """Show the boxes of referring expressions; the headline is the accuracy.

    Arguments and return value: see ``cells_of_classification``.
    """
    results = load_results(args.predictions, dataset)
    true_boxes = _boxes(results, 'gt_bboxes')
    predicted_boxes = _boxes(results, 'pred_bboxes')
    ious = [float(box_iou(*pair)) for pair in zip(true_boxes, predicted_boxes)]
    cells = []
    for index in select_evenly(len(results), args.rows * args.columns):
        image, factor = enlarge(read_image(dataset, index))
        for boxes, color in ((true_boxes, GREEN), (predicted_boxes, RED)):
            draw_box(image, (factor * boxes[index][0]).tolist(), color)
        title = f'{results[index]["text"]}: {ious[index]:.2f}'
        cells.append(Cell(image, title, 'green' if ious[index] >= IOU_THR else 'red'))
    share = sum(iou >= IOU_THR for iou in ious) / len(ious)
    return (
        cells,
        f'IoU of at least {IOU_THR} for {100 * share:.1f} % of {len(ious)} boxes',
    )


def _draw_frame(image: np.ndarray) -> None:
    """Draw a green frame on an image, in place."""
    image[:FRAME_WIDTH], image[-FRAME_WIDTH:] = GREEN, GREEN
    image[:, :FRAME_WIDTH], image[:, -FRAME_WIDTH:] = GREEN, GREEN


def _rank_of_truth(result: dict) -> int:
    """Return how many images have a higher score than the true one."""
    scores = result['pred_score']
    return int((scores > scores[int(result['gt_label'][0])]).sum())


def cells_of_retrieval(
    cfg: Config, dataset: Any, args: argparse.Namespace
) -> Tuple[List[Cell], str]:
    """Show the best images for texts; the headline is Recall@1.

    Arguments and return value: see ``cells_of_classification``.
    """
    results = mmengine.load(args.predictions)
    ranks = [_rank_of_truth(result) for result in results]
    cells = []
    for number in select_evenly(len(results), args.rows * args.columns):
        result = results[number]
        images = []
        for index in result['pred_score'].topk(NUM_RETRIEVED).indices.tolist():
            image, _ = enlarge(read_image(dataset, index))
            if index == int(result['gt_label'][0]):
                _draw_frame(image)
            images.append(image)
        height = min(len(image) for image in images)
        cells.append(
            Cell(
                np.concatenate([image[:height] for image in images], axis=1),
                fill(result['text'], LINE_LENGTH),
                'green' if ranks[number] == 0 else 'red',
            )
        )
    share = sum(rank == 0 for rank in ranks) / len(ranks)
    return cells, (
        f'the true image is first for {100 * share:.1f} % of {len(ranks)} texts'
    )


SHOW_BY_KIND = dict(
    classification=cells_of_classification,
    detection=cells_of_detection,
    segmentation=cells_of_segmentation,
    questions=cells_of_questions,
    captions=cells_of_captions,
    expressions=cells_of_expressions,
    retrieval=cells_of_retrieval,
)
KIND_BY_HOST = dict(mmdet='detection', mmseg='segmentation')
# Fields of a sample of mmpretrain's datasets; the first that exists decides.
KIND_BY_FIELD = dict(
    question='questions',
    questions='questions',
    gt_caption='captions',
    gt_bboxes='expressions',
    gt_text_id='retrieval',
)


def kind_of(cfg: Config, dataset: Any) -> str:
    """Return the kind of the predictions.

    Args:
        cfg (Config): The config.
        dataset (Any): The test set.

    Returns:
        str: A key of ``SHOW_BY_KIND``.
    """
    host = host_of(cfg).name
    if host in KIND_BY_HOST:
        return KIND_BY_HOST[host]
    fields = set(dataset.get_data_info(0))
    for field, kind in KIND_BY_FIELD.items():
        if field in fields:
            return kind
    return 'classification'


def draw_sheet(cells: List[Cell], headline: str, rows: int, columns: int) -> Figure:
    """Draw the cells in a grid.

    Args:
        cells (list[Cell]): The cells.
        headline (str): The text above the grid.
        rows (int): Rows of the grid.
        columns (int): Columns of the grid.

    Returns:
        matplotlib.figure.Figure: The sheet.
    """
    height, width = cells[0].image.shape[:2]
    cell_width = SHEET_WIDTH / columns
    extra_lines = max(cell.title.count('\n') for cell in cells)
    title_height = TITLE_HEIGHT + LINE_HEIGHT * extra_lines
    figure, axes = plt.subplots(
        rows,
        columns,
        squeeze=False,
        layout='constrained',
        figsize=(SHEET_WIDTH, rows * (cell_width * height / width + title_height)),
    )
    for axis in axes.flat:
        axis.axis('off')
    for axis, cell in zip(axes.flat, cells):
        axis.imshow(cell.image, interpolation='nearest')
        axis.set_title(
            escape_math(cell.title),
            fontsize=7 if extra_lines > 1 else 9,
            color=cell.color,
        )
    figure.suptitle(escape_math(headline))
    return figure


def main() -> None:
    """Draw the sheet of the command line."""
    args = parse_args()
    cfg = Config.fromfile(args.config)
    init_default_scope(cfg.default_scope)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    dataset.full_init()
    show = SHOW_BY_KIND[kind_of(cfg, dataset)]
    cells, headline = show(cfg, dataset, args)
    figure = draw_sheet(cells, headline, args.rows, args.columns)
    mmengine.mkdir_or_exist(os.path.dirname(args.out) or '.')
    figure.savefig(args.out, dpi=110)
    print(f'Predictions: {os.path.abspath(args.out)}')


if __name__ == '__main__':
    main()
