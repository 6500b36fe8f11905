"""Paint the predictions of a classifier on one sheet.

Takes the file that ``tools/test.py --out predictions.pkl`` writes. Each image
carries its predicted class and score, and the true class where that differs.
"""
import argparse
import os
from collections import Counter
from typing import List, Sequence

import matplotlib
import mmcv
import mmengine
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file')
    parser.add_argument('predictions', help='.pkl file of tools/test.py')
    parser.add_argument('--out', default='predictions.png')
    parser.add_argument('--rows', type=int, default=4)
    parser.add_argument('--columns', type=int, default=8)
    return parser.parse_args()


def choose(labels: Sequence[int], number: int) -> List[int]:
    """Indices of ``number`` samples that share the classes out evenly."""
    seen: Counter = Counter()
    order = []
    for index, label in enumerate(labels):
        order.append((seen[label], label, index))
        seen[label] += 1
    return [index for *_, index in sorted(order)[:number]]


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    init_default_scope(cfg.default_scope)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    results = mmengine.load(args.predictions)
    if len(results) != len(dataset):
        raise ValueError(
            f'{args.predictions} has {len(results)} predictions, but the test '
            f'set of {args.config} has {len(dataset)} images: test again.')
    labels = [int(result['gt_label'][0]) for result in results]
    classes = dataset.metainfo['classes']
    figure, axes = plt.subplots(
        args.rows, args.columns, figsize=(1.6 * args.columns, 2. * args.rows))
    for axis in axes.flat:
        axis.axis('off')
    for axis, index in zip(axes.flat, choose(labels, axes.size)):
        info, result = dataset.get_data_info(index), results[index]
        guess = int(result['pred_label'][0])
        score = float(result['pred_score'][guess])
        right = guess == labels[index]
        title = f'{classes[guess]} {score:.2f}'
        if not right:
            title += f'\nis {classes[labels[index]]}'
        axis.imshow(
            mmcv.imread(info['img_path'], channel_order='rgb'),
            interpolation='nearest')
        axis.set_title(title, fontsize=9, color='green' if right else 'red')
    accuracy = sum(
        int(result['pred_label'][0]) == label
        for result, label in zip(results, labels)) / len(labels)
    figure.suptitle(f'top-1 accuracy {100 * accuracy:.1f} % of {len(labels)}')
    figure.tight_layout()
    mmengine.mkdir_or_exist(os.path.dirname(args.out) or '.')
    figure.savefig(args.out, dpi=110)
    print(f'Predictions: {os.path.abspath(args.out)}')


if __name__ == '__main__':
    main()
