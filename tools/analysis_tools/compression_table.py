"""Compare the methods of compression without training on one model.

Input: a config of a classifier with a backbone, its checkpoint, and the data sets of
the config. Each row compresses the backbone by one method at one ratio, with batches
of the training set. Finished rows are skipped.
Output: ``table.md`` and a file for each row in the folder ``--out``. A row has the
relative squared error of the backbone's features on photographs (``--photos``, else
the test set), the accuracy on the test set, parameters, multiply-accumulates, the time
of a forward pass relative to the dense backbone in the same process, and the minutes
of the compression. The accuracy is that of the model's head or, with ``--probe``, of a
linear classifier that is trained on the features of the dense backbone.

Example:

    python tools/analysis_tools/compression_table.py CONFIG CHECKPOINT --exclude vit
"""

import argparse
import copy
import os
import os.path as osp
import time
from itertools import islice
from typing import Any, Dict, List

import mmengine
import torch
from mmengine.config import Config, DictAction
from mmengine.dataset import default_collate
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch import nn

from mmvlfusion.analysis.complexity import measure
from mmvlfusion.analysis.profiling import time_call
from mmvlfusion.apis.build import build_model, drop_idle_persistence
from mmvlfusion.apis.options import read_config
from mmvlfusion.models.low_rank import compress_
from mmvlfusion.models.low_rank.presets import parse_preset
from mmvlfusion.models.utils import EXCLUDE

# Arguments of compress_ by row; {part} is 1 / ratio.
ROWS: Dict[str, dict] = {
    'plain': dict(method='svd'),
    'whitened': dict(method='whiten'),
    'whitened, ranks by layer error': dict(method='whiten', budget='params={part}'),
    'whitened, ranks by feature error': dict(
        method='whiten', budget='params={part}', search='features'
    ),
    'sequential': dict(method='sequential'),
    'sequential, tuned': dict(method='sequential', tuning=8),
    'sequential, ranks by layer error': dict(
        method='sequential', budget='params={part}'
    ),
    'sequential, ranks by layer error, tuned': dict(
        method='sequential', budget='params={part}', tuning=8
    ),
    'sequential, ranks by feature error, tuned': dict(
        method='sequential', budget='params={part}', search='features', tuning=8
    ),
}
# Regularisation and steps of the linear classifier.
PROBE_DECAY, PROBE_STEPS = 1e-2, 100
TIMED_IMAGES, TIMED_ROUNDS = 8, 5


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of a classifier')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='checkpoint of the model (default: the weights of init_cfg)',
    )
    parser.add_argument('--out', default='work_dirs/compression_table')
    parser.add_argument('--ratios', type=float, nargs='+', default=[2.0, 1.5, 3.0, 4.0])
    parser.add_argument('--rows', nargs='+', choices=list(ROWS), default=list(ROWS))
    parser.add_argument('--exclude', nargs='+', default=['vit'])
    parser.add_argument(
        '--calibration', type=int, default=8, help='batches (default: %(default)s)'
    )
    parser.add_argument('--photos', help='folder of images, in folders by class')
    parser.add_argument(
        '--probe',
        type=int,
        default=0,
        metavar='N',
        help='train a linear classifier on N images of the training set',
    )
    parser.add_argument(
        '--test', type=int, default=0, metavar='N', help='only N test images'
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    return parser.parse_args()


class Data:
    """The images that the methods are compared on.

    Args:
        cfg (Config): The config.
        model (nn.Module): The model, whose preprocessing is applied.
        args (argparse.Namespace): The arguments of the command line.
    """

    def __init__(self, cfg: Config, model: nn.Module, args: argparse.Namespace) -> None:
        self.model = model
        drop_idle_persistence(cfg.train_dataloader)
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
        self.calibration = [
            self._preprocess(batch)['inputs']
            for batch in islice(loader, args.calibration)
        ]
        dataset = cfg.test_dataloader.dataset
        self.test = self._load(dataset, args.test)
        photos = self.test
        if args.photos:
            photos = self._load(
                dict(
                    type='mmpretrain.CustomDataset',
                    data_root=args.photos,
                    pipeline=dataset.pipeline,
                ),
                0,
            )
        self.photos = photos
        self.train: List[dict] = []
        if args.probe:
            train = copy.deepcopy(cfg.train_dataloader.dataset)
            train.pipeline = dataset.pipeline
            self.train = self._load(train, args.probe)

    def _preprocess(self, batch: dict) -> dict:
        return self.model.data_preprocessor(batch, training=False)

    def _load(self, cfg: dict, count: int) -> List[dict]:
        dataset = DATASETS.build(cfg)
        # Images of all classes.
        number = min(count or len(dataset), len(dataset))
        indices = torch.linspace(0, len(dataset) - 1, number).long().tolist()
        samples = [dataset[i] for i in indices]
        return [
            self._preprocess(default_collate(samples[i : i + 50]))
            for i in range(0, len(samples), 50)
        ]


@torch.no_grad()
def features_of(backbone: nn.Module, batches: List[dict]) -> torch.Tensor:
    """Compute the last features of images, (images, channels)."""
    backbone.eval()
    return torch.cat([backbone(batch['inputs'])[-1].flatten(1) for batch in batches])


def labels_of(batches: List[dict]) -> torch.Tensor:
    """Collect the labels of images, (images,)."""
    return torch.cat(
        [sample.gt_label for batch in batches for sample in batch['data_samples']]
    )


def train_probe(features: torch.Tensor, labels: torch.Tensor) -> nn.Module:
    """Train a linear classifier on standardised features by L-BFGS."""
    mean, std = features.mean(0), features.std(0).clamp_min(1e-6)
    probe = nn.Linear(features.shape[1], int(labels.max()) + 1)
    nn.init.zeros_(probe.weight)
    optimizer = torch.optim.LBFGS(probe.parameters(), max_iter=PROBE_STEPS)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(probe((features - mean) / std), labels)
        loss = loss + PROBE_DECAY * probe.weight.square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        probe.weight /= std
        probe.bias -= probe.weight @ mean
    return probe


def evaluate(
    backbone: nn.Module, dense: nn.Module, head: Any, data: Data, reference: dict
) -> dict:
    """Evaluate a compressed backbone.

    Args:
        backbone (nn.Module): The backbone.
        dense (nn.Module): The dense one.
        head (Callable): Computes scores from features.
        data (Data): The images.
        reference (dict): ``photos``, the dense features.

    Returns:
        dict: The results.
    """
    test = features_of(backbone, data.test)
    photos = test if data.photos is data.test else features_of(backbone, data.photos)
    target = reference['photos']
    error = (photos - target).square().sum()
    error = error / (target - target.mean(0)).square().sum()
    with torch.no_grad():
        hits = head(test).argmax(1) == labels_of(data.test)
        image = data.test[0]['inputs']
        counts = measure(backbone, lambda: backbone(image[:1]))
        batch = image[:TIMED_IMAGES]
        times = [
            [time_call(lambda m=m: m(batch), 'cpu') for m in (dense, backbone)]
            for _ in range(TIMED_ROUNDS)
        ]
    fastest = [min(column) for column in zip(*times)]
    return dict(
        error=error.item(),
        accuracy=100 * hits.float().mean().item(),
        parameters=counts.params,
        macs=counts.operations('macs'),
        time=fastest[1] / fastest[0],
    )


def write_table(out: str) -> None:
    """Write ``table.md`` from the finished rows."""
    lines = [
        '| method | ratio | feature error | accuracy | params (M) | MACs (G) | time | '
        'minutes |',
        '|---|---|---|---|---|---|---|---|',
    ]
    files = [x for x in os.listdir(out) if x.endswith('.json')]
    order = ['dense', *ROWS]
    rows = [mmengine.load(osp.join(out, name)) for name in files]
    for row in sorted(rows, key=lambda x: (x['ratio'], order.index(x['name']))):
        lines.append(
            f'| {row["name"]} | {row["ratio"]:g} | {row["error"]:.4f} '
            f'| {row["accuracy"]:.1f} | {row["parameters"] / 1e6:.3f} '
            f'| {row["macs"] / 1e9:.3f} | {row["time"]:.2f} | {row["minutes"]:.1f} |'
        )
    text = '\n'.join(lines)
    with open(osp.join(out, 'table.md'), 'w') as file:
        file.write(text + '\n')
    print(text, flush=True)


def main() -> None:
    """Run the rows of the command line and write the table."""
    args = parse_args()
    torch.manual_seed(0)
    cfg = read_config(args.config, args.cfg_options)
    os.makedirs(args.out, exist_ok=True)
    model = build_model(cfg, args.checkpoint)
    if args.checkpoint is None:
        model.init_weights()
    model.eval()
    data = Data(cfg, model, args)
    dense = model.backbone
    head: Any = lambda x: model.head([x])  # noqa: E731
    if args.probe:
        head = train_probe(features_of(dense, data.train), labels_of(data.train))
    reference = dict(photos=features_of(dense, data.photos))
    jobs = [('dense', 1.0, {})]
    jobs += [(name, ratio, ROWS[name]) for ratio in args.ratios for name in args.rows]
    for name, ratio, options in jobs:
        path = osp.join(args.out, f'{name.replace(" ", "-")}-{ratio:g}.json')
        if osp.isfile(path):
            continue
        backbone, start = copy.deepcopy(dense), time.time()
        if options:
            options = {
                key: value.format(part=1 / ratio) if key == 'budget' else value
                for key, value in options.items()
            }
            compress_(
                backbone,
                ratio,
                parse_preset(args.exclude, EXCLUDE),
                calibration=data.calibration,
                **options,
            )
        minutes = (time.time() - start) / 60
        row = dict(name=name, ratio=ratio)
        row.update(evaluate(backbone, dense, head, data, reference), minutes=minutes)
        mmengine.dump(row, path, indent=2)
        print(row, flush=True)
    write_table(args.out)


if __name__ == '__main__':
    main()
