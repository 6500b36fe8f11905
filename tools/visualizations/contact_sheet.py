"""Paint the predictions of a model on one sheet.

Takes what ``tools/test.py --out`` writes: a .pkl file, or for segmentation the
folder of label maps. Classified images carry their predicted class and score,
and the true class where that differs; questions stand over their image with
answers and scores, and the true answer where that differs; captions stand over
theirs; expressions over the box that they refer to, green, and the one found,
red; texts over the images found for them, the best left and the right one
framed; boxes and label maps are drawn by the host's visualizer, the truth left
and the prediction right.
"""

import argparse
import os
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill
from typing import Any, List, NamedTuple, Sequence, Tuple

import cv2
import matplotlib
import mmcv
import mmengine
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, VISUALIZERS, init_default_scope
from mmengine.structures import InstanceData, PixelData
from torchvision.ops import box_iou

from mmvlfusion.hosts import host_of

matplotlib.use('Agg')
import matplotlib.pyplot as plt

# Side in pixels to which smaller images are enlarged, so that labels fit.
ENLARGED = 384
# Width of the sheet.
INCHES = 12.8
# Letters of a line over an image.
LETTERS = 44


class Cell(NamedTuple):
    """An RGB image, and what stands over it."""

    image: np.ndarray
    title: str = ''
    color: str = 'black'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file')
    parser.add_argument(
        'predictions',
        help='.pkl file or, of segmentation, folder of tools/test.py --out',
    )
    parser.add_argument('--out', default='predictions.png')
    parser.add_argument('--rows', type=int, default=4)
    parser.add_argument('--columns', type=int, default=8)
    parser.add_argument(
        '--score-thr', type=float, default=0.5, help='lowest score of boxes'
    )
    return parser.parse_args()


def choose(labels: Sequence[int], number: int) -> List[int]:
    """Indices of ``number`` samples that share the classes out evenly."""
    seen: Counter = Counter()
    order = []
    for index, label in enumerate(labels):
        order.append((seen[label], label, index))
        seen[label] += 1
    return [index for *_, index in sorted(order)[:number]]


def spread(total: int, number: int) -> range:
    """``number`` of ``total`` indices, or all if there are fewer, at equal
    distances."""
    step = max(1, total // number)
    return range(0, step * min(number, total), step)


def read_image(dataset: Any, index: int) -> np.ndarray:
    return mmcv.imread(dataset.get_data_info(index)['img_path'], channel_order='rgb')


def load_results(path: str, dataset: Any) -> List[dict]:
    """The predictions of a .pkl file, one for each image of the data set."""
    results = mmengine.load(path)
    if len(results) != len(dataset):
        raise ValueError(
            f'{path} has {len(results)} predictions, but the test set has '
            f'{len(dataset)} images: test again.'
        )
    return results


def build_visualizer(cfg: Config, dataset: Any) -> Any:
    visualizer = VISUALIZERS.build(dict(cfg.visualizer, vis_backends=None))
    visualizer.dataset_meta = dataset.metainfo
    return visualizer


def draw(visualizer: Any, image: np.ndarray, sample: Any, **kwargs) -> np.ndarray:
    """What a host's visualizer makes of a sample, which it only files."""
    with TemporaryDirectory() as folder:
        path = os.path.join(folder, 'drawn.png')
        visualizer.add_datasample('', image, sample, out_file=path, **kwargs)
        return mmcv.imread(path, channel_order='rgb')


def enlarge(image: np.ndarray) -> Tuple[np.ndarray, int]:
    """A small image at a whole multiple of its size, and the factor."""
    factor = max(1, ENLARGED // max(image.shape[:2]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1), factor


def classification(
    cfg: Config, dataset: Any, args: argparse.Namespace
) -> Tuple[List[Cell], str]:
    """Predicted classes, and the accuracy."""
    results = load_results(args.predictions, dataset)
    labels = [int(result['gt_label'][0]) for result in results]
    guesses = [int(result['pred_label'][0]) for result in results]
    classes = dataset.metainfo['classes']
    cells = []
    for index in choose(labels, args.rows * args.columns):
        guess, label = guesses[index], labels[index]
        title = f'{classes[guess]} {results[index]["pred_score"][guess]:.2f}'
        if guess != label:
            title += f'\nis {classes[label]}'
        cells.append(
            Cell(
                read_image(dataset, index), title, 'green' if guess == label else 'red'
            )
        )
    right = sum(guess == label for guess, label in zip(guesses, labels))
    return cells, (f'top-1 accuracy {100 * right / len(labels):.1f} % of {len(labels)}')


def detection(
    cfg: Config, dataset: Any, args: argparse.Namespace
) -> Tuple[List[Cell], str]:
    """Boxes, by mmdet's visualizer."""
    results = load_results(args.predictions, dataset)
    visualizer = build_visualizer(cfg, dataset)
    cells = []
    for index in range(min(args.rows * args.columns, len(dataset))):
        image, factor = enlarge(read_image(dataset, index))
        truth = dataset.get_data_info(index)['instances']
        sample = host_of(cfg).sample_type(
            gt_instances=InstanceData(
                bboxes=factor * torch.tensor([x['bbox'] for x in truth]).reshape(-1, 4),
                labels=torch.tensor([x['bbox_label'] for x in truth], dtype=torch.long),
            ),
            pred_instances=InstanceData(
                bboxes=factor * results[index]['pred_instances']['bboxes'],
                scores=results[index]['pred_instances']['scores'],
                labels=results[index]['pred_instances']['labels'],
            ),
        )
        cells.append(
            Cell(draw(visualizer, image, sample, pred_score_thr=args.score_thr))
        )
    return cells, (
        f'truth | boxes with scores over {args.score_thr}, '
        f'{len(cells)} of {len(dataset)} images'
    )


def segmentation(
    cfg: Config, dataset: Any, args: argparse.Namespace
) -> Tuple[List[Cell], str]:
    """Label maps, by mmseg's visualizer."""
    visualizer = build_visualizer(cfg, dataset)
    cells = []
    for index in range(min(args.rows * args.columns, len(dataset))):
        info = dataset.get_data_info(index)
        painted = Path(args.predictions) / f'{Path(info["img_path"]).stem}.png'
        if not painted.is_file():
            raise FileNotFoundError(
                f'{painted} is missing: write the label maps with '
                'tools/test.py --out FOLDER.'
            )
        maps = []
        for path in (info['seg_map_path'], painted):
            labels = mmcv.imread(str(path), 'unchanged', backend='pillow')
            if info['reduce_zero_label']:
                labels = labels - np.uint8(1)  # 0 becomes 255, no class.
            maps.append(torch.from_numpy(enlarge(labels)[0]).long()[None])
        sample = host_of(cfg).sample_type(
            gt_sem_seg=PixelData(data=maps[0]), pred_sem_seg=PixelData(data=maps[1])
        )
        image, _ = enlarge(read_image(dataset, index))
        cells.append(Cell(draw(visualizer, image, sample)))
    return cells, f'truth | prediction, {len(cells)} of {len(dataset)} images'


def questions(
    cfg: Config, dataset: Any, args: argparse.Namespace
) -> Tuple[List[Cell], str]:
    """Questions with answers, and the share of those that are right."""
    results = {r['question_id']: r for r in mmengine.load(args.predictions)}
    cells, right = [], 0
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        lines, hits = [], 0
        for question in info.get('questions', [info]):
            result = results[question['question_id']]
            answer, truth = result['pred_answer'], question['gt_answer'][0]
            hit = answer in question['gt_answer']
            hits += hit
            lines.append(
                f'{"✓" if hit else "✗"} {question["question"]} '
                f'{answer} {result["pred_score"]:.2f}'
                + ('' if hit else f' (is {truth})')
            )
        right += hits
        if len(cells) < args.rows * args.columns:
            cells.append(Cell(enlarge(read_image(dataset, index))[0], '\n'.join(lines)))
    return cells, (
        f'{100 * right / len(results):.1f} % of {len(results)} '
        'questions answered as one of the annotators did'
    )


def captions(
    cfg: Config, dataset: Any, args: argparse.Namespace
) -> Tuple[List[Cell], str]:
    """Captions, and the share of those that somebody wrote as well."""
    results = load_results(args.predictions, dataset)
    cells, right = [], 0
    for index, result in enumerate(results):
        caption = result['pred_caption']
        hit = caption in [text.lower() for text in result['gt_caption']]
        right += hit
        if len(cells) < args.rows * args.columns:
            cells.append(
                Cell(
                    enlarge(read_image(dataset, index))[0],
                    fill(f'{caption} {result["pred_score"]:.2f}', LETTERS),
                )
            )
    return cells, (
        f'{100 * right / len(results):.1f} % of {len(results)} '
        "captions are one of the annotators'"
    )


def expressions(
    cfg: Config, dataset: Any, args: argparse.Namespace
) -> Tuple[List[Cell], str]:
    """Boxes that expressions refer to."""
    results = load_results(args.predictions, dataset)
    pairs = [
        tuple(
            torch.as_tensor(result[name]).float().reshape(1, 4)
            for name in ('gt_bboxes', 'pred_bboxes')
        )
        for result in results
    ]
    overlaps = [float(box_iou(*pair)) for pair in pairs]
    cells = []
    for index in spread(len(results), args.rows * args.columns):
        image, factor = enlarge(read_image(dataset, index))
        for box, color in zip(pairs[index], ((0, 200, 0), (255, 0, 0))):
            corners = (factor * box[0]).round().int().tolist()
            cv2.rectangle(image, corners[:2], corners[2:], color, 3)
        cells.append(
            Cell(
                image,
                f'{results[index]["text"]}: {overlaps[index]:.2f}',
                'green' if overlaps[index] >= 0.5 else 'red',
            )
        )
    share = sum(overlap >= 0.5 for overlap in overlaps) / len(overlaps)
    return cells, (
        f'{100 * share:.1f} % of {len(overlaps)} boxes overlap the right one by half'
    )


def retrieval(
    cfg: Config, dataset: Any, args: argparse.Namespace
) -> Tuple[List[Cell], str]:
    """The three best images for a text."""
    results = mmengine.load(args.predictions)
    ranks = [
        int(
            (
                result['pred_score'] > result['pred_score'][int(result['gt_label'][0])]
            ).sum()
        )
        for result in results
    ]
    cells = []
    for number in spread(len(results), args.rows * args.columns):
        result = results[number]
        found = []
        for index in result['pred_score'].topk(3).indices.tolist():
            image, _ = enlarge(read_image(dataset, index))
            if index == int(result['gt_label'][0]):
                image[:8], image[-8:] = (0, 200, 0), (0, 200, 0)
                image[:, :8], image[:, -8:] = (0, 200, 0), (0, 200, 0)
            found.append(image)
        height = min(len(image) for image in found)
        cells.append(
            Cell(
                np.concatenate([image[:height] for image in found], axis=1),
                fill(result['text'], LETTERS),
                'red' if ranks[number] else 'green',
            )
        )
    share = sum(rank == 0 for rank in ranks) / len(ranks)
    return cells, (
        f'the right image first for {100 * share:.1f} % of {len(ranks)} texts'
    )


def by_labels(
    cfg: Config, dataset: Any, args: argparse.Namespace
) -> Tuple[List[Cell], str]:
    """What mmpretrain's configs train, by what the data set knows."""
    known = set(dataset.get_data_info(0))
    painters = dict(
        question=questions,
        questions=questions,
        gt_caption=captions,
        gt_bboxes=expressions,
        gt_text_id=retrieval,
    )
    for name, painter in painters.items():
        if name in known:
            return painter(cfg, dataset, args)
    return classification(cfg, dataset, args)


PAINTERS = dict(mmpretrain=by_labels, mmdet=detection, mmseg=segmentation)


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    init_default_scope(cfg.default_scope)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    dataset.full_init()
    cells, headline = PAINTERS[host_of(cfg).name](cfg, dataset, args)

    height, width = cells[0].image.shape[:2]
    column = INCHES / args.columns
    lines = max(cell.title.count('\n') for cell in cells)
    figure, axes = plt.subplots(
        args.rows,
        args.columns,
        squeeze=False,
        layout='constrained',
        figsize=(INCHES, args.rows * (column * height / width + 0.4 + 0.13 * lines)),
    )
    for axis in axes.flat:
        axis.axis('off')
    for axis, cell in zip(axes.flat, cells):
        axis.imshow(cell.image, interpolation='nearest')
        axis.set_title(cell.title, fontsize=7 if lines > 1 else 9, color=cell.color)
    figure.suptitle(headline)
    mmengine.mkdir_or_exist(os.path.dirname(args.out) or '.')
    figure.savefig(args.out, dpi=110)
    print(f'Predictions: {os.path.abspath(args.out)}')


if __name__ == '__main__':
    main()
