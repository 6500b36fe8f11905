"""Look inside a compressed model (arXiv 2310.10700, Figure 2).

Writes, for a dense model and its low-rank versions:

- ``spectrum.png``: the singular values of every layer, and the rank kept;
- ``similarity.png``: how alike the features of images are to one another in the
  dense model, after plain compression, and after PELA if its config and
  checkpoint are given; and how alike each block's are to the dense ones.
"""

import argparse
import copy
from itertools import islice
from pathlib import Path
from typing import Dict, List

import matplotlib
import torch
import torch.nn.functional as F
from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch import nn

from mmvlfusion.apis.build import build_model
from mmvlfusion.models.low_rank import compress_
from mmvlfusion.models.low_rank.presets import EXCLUDE, FEATURES, parse_preset, resolve
from mmvlfusion.models.low_rank.surgery import linear_layers
from mmvlfusion.models.utils import matching_modules, recorded_outputs, unwrap_model

matplotlib.use('Agg')
import matplotlib.pyplot as plt


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of the dense model')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument(
        '--pela',
        nargs=2,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='a trained low-rank model or PELADistiller',
    )
    parser.add_argument('--ratio', type=float, default=2.0)
    parser.add_argument('--exclude', nargs='+', default=['vit'])
    parser.add_argument(
        '--features',
        nargs='+',
        default=['vit'],
        help='the modules whose outputs are compared: a preset '
        '(vit, tnt, swin, bert, pooled) or regular expressions',
    )
    parser.add_argument(
        '--num-images', type=int, default=60, help='images, spread over the test set'
    )
    parser.add_argument(
        '--out-dir', type=Path, default=Path('work_dirs/inside_low_rank')
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='settings of both configs',
    )
    args = parser.parse_args()
    args.exclude = parse_preset(args.exclude, EXCLUDE)
    args.features = parse_preset(args.features, FEATURES)
    if args.num_images < 2:
        parser.error('--num-images must be 2 or more')
    return args


def load(config: str, checkpoint: str, options: dict) -> nn.Module:
    """A model with its weights; the student of a distiller."""
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(options)
    return unwrap_model(build_model(cfg, checkpoint).eval(), deploy=True)


def load_images(cfg: Config, number: int) -> List[dict]:
    """Batches of images, spread over the test set in its order."""
    loader = dict(cfg.test_dataloader, num_workers=0, batch_size=1)
    loader.pop('persistent_workers', None)
    dataset = Runner.build_dataloader(loader)
    step = max(len(dataset) // number, 1)
    return list(islice(dataset, 0, step * number, step))


@torch.no_grad()
def features(
    model: nn.Module, batches: List[dict], patterns: List[str]
) -> List[torch.Tensor]:
    """The outputs of modules, (images, numbers) each, flattened."""
    names = matching_modules(model, resolve(patterns, FEATURES, 'features'))
    rows = []
    for batch in batches:
        data = model.data_preprocessor(batch, False)
        with recorded_outputs(model, names) as outputs:
            model(**data, mode='tensor')
        rows.append([x.float().flatten() for x in outputs])
    if len({tuple(map(len, row)) for row in rows}) > 1:
        raise ValueError(
            'The features of the images differ in size, so they '
            'cannot be compared: let the test pipeline resize '
            'images to one size.'
        )
    return [torch.stack(column) for column in zip(*rows)]


def draw_spectra(dense: nn.Module, ranks: Dict[str, int], path: Path) -> None:
    """A panel for each kind of layer, a line for each layer of it, a dot where
    its rank cuts."""
    layers = linear_layers(dense)
    kinds: Dict[str, List[str]] = {}
    for name in ranks:  # Layers differ by the first number of their names.
        parts = name.split('.')
        number = next((i for i, p in enumerate(parts) if p.isdigit()), -1)
        kinds.setdefault('.'.join(parts[number + 1 :]), []).append(name)
    figure, axes = plt.subplots(
        1, len(kinds), figsize=(3.2 * len(kinds), 3), squeeze=False
    )
    for ax, (kind, names) in zip(axes[0], kinds.items()):
        colors = plt.cm.viridis(torch.linspace(0, 0.9, len(names)).tolist())
        for name, color in zip(names, colors):
            values = torch.linalg.svdvals(layers[name].weight.detach().float())
            values = values / values[0].clamp_min(1e-12)
            ax.plot(range(1, len(values) + 1), values, color=color, lw=1)
            ax.plot(ranks[name], values[ranks[name] - 1], 'o', color=color, ms=4)
        ax.set(title=kind, xlabel='rank', ylim=(0, 1.05))
        ax.title.set_size(8)
    axes[0][0].set_ylabel('singular value / largest')
    figure.suptitle('dark: first layers, light: last; dots: rank that is kept', size=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_similarity(named: Dict[str, List[torch.Tensor]], path: Path) -> None:
    """Cosines among images at the last feature, and to the dense model at all
    of them. Features are centred over the images."""
    figure, axes = plt.subplots(
        1, len(named) + 1, figsize=(3.2 * (len(named) + 1), 3.2)
    )
    centred = {
        name: [F.normalize(x - x.mean(dim=0), dim=1) for x in columns]
        for name, columns in named.items()
    }
    matrices = {name: x[-1] @ x[-1].T for name, x in centred.items()}
    # Every image is like itself; the others share a scale.
    limit = max(m.fill_diagonal_(0).abs().max() for m in matrices.values())
    for ax, (name, matrix) in zip(axes, matrices.items()):
        image = ax.imshow(matrix, vmin=-limit, vmax=limit, cmap='RdBu_r')
        ax.set(title=name, xlabel='image', ylabel='image')
        figure.colorbar(image, ax=ax, fraction=0.046)
    dense = centred['dense']
    for name, columns in list(centred.items())[1:]:
        cosines = [(x * y).sum(dim=1).mean().item() for x, y in zip(columns, dense)]
        axes[-1].plot(cosines, 'o-', label=name)
    axes[-1].set(title='to the dense model', xlabel='block', ylabel='mean cosine')
    axes[-1].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('low_rank', log_level='ERROR')
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    model = load(args.config, args.checkpoint, args.cfg_options)
    batches = load_images(cfg, args.num_images)
    named = {'dense': features(model, batches, args.features)}
    args.out_dir.mkdir(parents=True, exist_ok=True)
    compressed = copy.deepcopy(model)
    reports = compress_(compressed, args.ratio, args.exclude)
    draw_spectra(
        model, {r.name: r.rank for r in reports}, args.out_dir / 'spectrum.png'
    )
    named['compressed'] = features(compressed, batches, args.features)
    if args.pela:
        pela = load(*args.pela, args.cfg_options)
        named['PELA'] = features(pela, batches, args.features)
    draw_similarity(named, args.out_dir / 'similarity.png')
    print(f'written: {args.out_dir}/spectrum.png, {args.out_dir}/similarity.png')


if __name__ == '__main__':
    main()
