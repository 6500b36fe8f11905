"""Compare the speed of low-rank factorisation with full SVD.

Input: a registered model type; its weights are random. Each linear layer is
factorised by ``factorize`` of this project, and by
``numpy.linalg.svd(full_matrices=True)`` as in PELA's released code.
Output: the total times of both, and the largest relative difference of the
approximation error from the optimum.

Example:

    python tools/analysis_tools/factorization.py mmpretrain.VisionTransformer \\
        --cfg-options arch=deit-base --exclude vit
"""

import argparse
from functools import partial
from typing import List

import numpy as np
import torch
from mmengine.config import DictAction
from mmengine.registry import MODELS
from torch import nn

from mmvlfusion.analysis.profiling import time_and_result
from mmvlfusion.models.low_rank import factorize
from mmvlfusion.models.low_rank.presets import parse_preset
from mmvlfusion.models.low_rank.ranks import uniform_ranks
from mmvlfusion.models.low_rank.surgery import select_layers
from mmvlfusion.models.utils import EXCLUDE

# The defaults of tools/compress.py.
MIN_FEATURES, RANK_MULTIPLE = 10, 1


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('model', help='registered type of a model, such as a backbone')
    parser.add_argument('--ratio', type=float, default=2.0, help='compression ratio')
    parser.add_argument(
        '--exclude',
        nargs='+',
        default=[],
        help='layers to skip: a preset (vit, swin, swin_without_proj, tnt, bert) '
        'or regular expressions',
    )
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='device of the factorisation (default: a GPU if available)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='arguments of the model',
    )
    return parser.parse_args()


def compare(model: nn.Module, ratio: float, exclude: List[str], device: str) -> dict:
    """Factorise all layers by both methods.

    Args:
        model (nn.Module): The model.
        ratio (float): Compression ratio.
        exclude (list[str]): Layers to skip, see the command line.
        device (str): Device of ``factorize``.

    Returns:
        dict: The number of ``layers``, the times ``low_rank`` and ``svd`` in
        seconds, and ``excess``, the largest relative excess of the error over the
        optimum.
    """
    layers = select_layers(model, parse_preset(exclude, EXCLUDE), MIN_FEATURES)
    ranks = uniform_ranks(layers, ratio, RANK_MULTIPLE)
    found = dict(layers=len(layers), low_rank=0.0, svd=0.0, excess=0.0)
    # The first call also initialises the linear algebra library.
    factorize(torch.rand(64, 64, device=device), 8)
    for name, layer in layers.items():
        weight, rank = layer.weight.detach(), ranks[name]
        seconds, (down, up) = time_and_result(
            partial(factorize, weight.to(device), rank), device
        )
        found['low_rank'] += seconds
        seconds, (_, values, _) = time_and_result(
            partial(np.linalg.svd, weight.numpy()), 'cpu'
        )
        found['svd'] += seconds
        error = (up.double() @ down.double()).cpu() - weight.double()
        optimum = np.linalg.norm(values[rank:].astype(np.float64))
        found['excess'] = max(found['excess'], error.norm().item() / optimum - 1)
    return found


def main() -> None:
    """Factorise all layers by both methods and print the comparison."""
    args = parse_args()
    torch.manual_seed(0)
    model = MODELS.build(dict(type=args.model, **args.cfg_options))
    found = compare(model, args.ratio, args.exclude, args.device)
    print(
        f'{found["layers"]} layers on {args.device}, {torch.get_num_threads()} '
        f'threads: {found["low_rank"]:.2f} s; full SVD on the CPU: '
        f'{found["svd"]:.2f} s, {found["svd"] / found["low_rank"]:.1f} times as '
        f'long. The relative excess of the error over the optimum is at most '
        f'{found["excess"]:.1e}.'
    )


if __name__ == '__main__':
    main()
