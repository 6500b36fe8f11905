"""Visualise a compressed model (arXiv 2310.10700, Figure 2).

Input: a config and a checkpoint of a dense model, and optionally those of the
same model after PELA. The dense model is also compressed without training.
Output:

- ``spectrum.png``: the singular values of all layers and the ranks that are
  kept;
- ``similarity.png``: the cosine similarity of the features between images, for
  each model; and the similarity of the features of each block to those of the
  dense model.

Example:

    python tools/visualizations/low_rank.py CONFIG CHECKPOINT \\
        --pela PELA_CONFIG PELA_CHECKPOINT --features vit
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
from mmvlfusion.apis.options import read_config
from mmvlfusion.models.distillation.features import FEATURES
from mmvlfusion.models.low_rank import compress_
from mmvlfusion.models.low_rank.presets import parse_preset
from mmvlfusion.models.utils import (
    EXCLUDE,
    linear_layers,
    matching_modules,
    recorded_outputs,
    resolve,
    unwrap_model,
)

matplotlib.use('Agg')
import matplotlib.pyplot as plt


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of the dense model')
    parser.add_argument('checkpoint', help='checkpoint file of the dense model')
    parser.add_argument(
        '--pela',
        nargs=2,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='config and checkpoint of a trained low-rank model or PELADistiller',
    )
    parser.add_argument(
        '--ratio',
        type=float,
        default=2.0,
        help='compression ratio (default: %(default)s)',
    )
    parser.add_argument(
        '--exclude',
        nargs='+',
        default=['vit'],
        help='layers that stay dense: a preset (vit, swin, swin_without_proj, tnt, '
        'bert) or regular expressions (default: vit)',
    )
    parser.add_argument(
        '--features',
        nargs='+',
        default=['vit'],
        help='modules whose outputs are compared: a preset (vit, tnt, swin, bert, '
        'pooled) or regular expressions (default: vit)',
    )
    parser.add_argument(
        '--num-images',
        type=int,
        default=60,
        help='number of images, at equal distances in the test set '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--out-dir',
        type=Path,
        default=Path('work_dirs/inside_low_rank'),
        help='folder of the pictures (default: %(default)s)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='settings to override in both configs, as key=value',
    )
    args = parser.parse_args()
    args.exclude = parse_preset(args.exclude, EXCLUDE)
    args.features = parse_preset(args.features, FEATURES)
    if args.num_images < 2:
        parser.error(f'--num-images must be 2 or more, got {args.num_images}')
    return args


def load(config: str, checkpoint: str, options: dict) -> nn.Module:
    """Load a model, or the student of a distiller.

    Args:
        config (str): Config file.
        checkpoint (str): Checkpoint file.
        options (dict): Settings that override those of the config.

    Returns:
        nn.Module: The model in evaluation mode.
    """
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(options)
    return unwrap_model(build_model(cfg, checkpoint).eval(), deploy=True)


def load_images(cfg: Config, number: int) -> List[dict]:
    """Load images at equal distances in the test set.

    Args:
        cfg (Config): The config.
        number (int): Number of images.

    Returns:
        list[dict]: Batches of one image, in the order of the test set.
    """
    loader = dict(cfg.test_dataloader, num_workers=0, batch_size=1)
    loader.pop('persistent_workers', None)
    batches = Runner.build_dataloader(loader)
    step = max(len(batches) // number, 1)
    return list(islice(batches, 0, step * number, step))


@torch.no_grad()
def compute_features(
    model: nn.Module, batches: List[dict], patterns: List[str]
) -> List[torch.Tensor]:
    """Compute the outputs of modules for all images.

    Args:
        model (nn.Module): The model.
        batches (list[dict]): The batches of ``load_images``.
        patterns (list[str]): Preset or regular expressions of the modules.

    Returns:
        list[torch.Tensor]: For each module its flattened outputs, (number of
        images, number of values).

    Raises:
        ValueError: If the outputs for the images differ in size.
    """
    names = matching_modules(model, resolve(patterns, FEATURES, 'features'))
    rows = []
    for batch in batches:
        data = model.data_preprocessor(batch, False)
        with recorded_outputs(model, names) as outputs:
            model(**data, mode='tensor')
        rows.append([x.float().flatten() for x in outputs])
    sizes = {tuple(len(output) for output in row) for row in rows}
    if len(sizes) > 1:
        raise ValueError(
            'Cannot compare the features, because their size differs between '
            f'images ({len(sizes)} sizes found): resize all images to the same '
            'size in the test pipeline.'
        )
    return [torch.stack(column) for column in zip(*rows)]


def _kind_of_layer(name: str) -> str:
    """Return the part of a layer's name after its first number.

    Layers of the same kind in different blocks differ only before that.
    """
    parts = name.split('.')
    for index, part in enumerate(parts):
        if part.isdigit():
            return '.'.join(parts[index + 1 :])
    return name


def draw_spectra(dense: nn.Module, ranks: Dict[str, int], path: Path) -> None:
    """Draw the singular values of the layers, one panel for each kind of layer.

    Each line is a layer, and the dot on it is its rank.

    Args:
        dense (nn.Module): The dense model.
        ranks (dict[str, int]): Rank by name of the layer.
        path (Path): The picture to write.
    """
    layers = linear_layers(dense)
    kinds: Dict[str, List[str]] = {}
    for name in ranks:
        kinds.setdefault(_kind_of_layer(name), []).append(name)
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
    figure.suptitle(
        'dark: first layers, light: last layers; dots: rank that is kept', size=8
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_similarity(named: Dict[str, List[torch.Tensor]], path: Path) -> None:
    """Draw the similarity of features between images and to the dense model.

    There is a panel for each model with the cosines between images at the last
    module, and a panel with the mean cosine to the dense model at all modules.
    The mean over the images is subtracted from the features.

    Args:
        named (dict[str, list[torch.Tensor]]): The features of
            ``compute_features`` by name of the model; one is ``'dense'``.
        path (Path): The picture to write.
    """
    figure, axes = plt.subplots(
        1, len(named) + 1, figsize=(3.2 * (len(named) + 1), 3.2)
    )
    centred = {
        name: [F.normalize(x - x.mean(dim=0), dim=1) for x in columns]
        for name, columns in named.items()
    }
    matrices = {name: x[-1] @ x[-1].T for name, x in centred.items()}
    # The diagonal is always 1. The other values determine the common scale.
    limit = max(m.fill_diagonal_(0).abs().max() for m in matrices.values())
    for ax, (name, matrix) in zip(axes, matrices.items()):
        image = ax.imshow(matrix, vmin=-limit, vmax=limit, cmap='RdBu_r')
        ax.set(title=name, xlabel='image', ylabel='image')
        figure.colorbar(image, ax=ax, fraction=0.046)
    dense = centred['dense']
    for name, columns in list(centred.items())[1:]:
        cosines = [(x * y).sum(dim=1).mean().item() for x, y in zip(columns, dense)]
        axes[-1].plot(cosines, 'o-', label=name)
    axes[-1].set(
        title='similarity to the dense model', xlabel='block', ylabel='mean cosine'
    )
    axes[-1].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Draw the pictures of the command line."""
    args = parse_args()
    MMLogger.get_instance('low_rank', log_level='ERROR')
    cfg = read_config(args.config, args.cfg_options)
    model = load(args.config, args.checkpoint, args.cfg_options)
    batches = load_images(cfg, args.num_images)
    named = {'dense': compute_features(model, batches, args.features)}
    args.out_dir.mkdir(parents=True, exist_ok=True)
    compressed = copy.deepcopy(model)
    reports = compress_(compressed, args.ratio, args.exclude)
    draw_spectra(
        model, {r.name: r.rank for r in reports}, args.out_dir / 'spectrum.png'
    )
    named['compressed'] = compute_features(compressed, batches, args.features)
    if args.pela:
        pela = load(*args.pela, args.cfg_options)
        named['PELA'] = compute_features(pela, batches, args.features)
    draw_similarity(named, args.out_dir / 'similarity.png')
    print(f'Written: {args.out_dir}/spectrum.png, {args.out_dir}/similarity.png')


if __name__ == '__main__':
    main()
