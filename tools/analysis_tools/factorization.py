"""Time the factorisation of a model beside full singular value decompositions.

Every linear layer of the model is factorised in turn by ours and by
``numpy.linalg.svd(full_matrices=True)``, as PELA's released code does it; the
times are summed, and the errors compared.

    python tools/analysis_tools/factorization.py mmpretrain.VisionTransformer \\
        --cfg-options arch=deit-base --exclude vit
"""

import argparse
from functools import partial

import numpy as np
import torch
from mmengine.config import DictAction
from mmengine.registry import MODELS

from mmvlfusion.analysis.profiling import time_and_result
from mmvlfusion.models.low_rank import factorize
from mmvlfusion.models.low_rank.presets import EXCLUDE, parse_preset
from mmvlfusion.models.low_rank.ranks import uniform_ranks
from mmvlfusion.models.low_rank.surgery import select_layers


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('model', help='registered type, such as a backbone')
    parser.add_argument('--ratio', type=float, default=2.0)
    parser.add_argument('--exclude', nargs='+', default=[])
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='arguments of the model',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.manual_seed(0)
    model = MODELS.build(dict(type=args.model, **args.cfg_options))
    layers = select_layers(model, parse_preset(args.exclude, EXCLUDE), 10)
    ranks = uniform_ranks(layers, args.ratio, 1)
    ours = theirs = worst = 0.0
    factorize(torch.rand(64, 64, device=args.device), 8)  # Warms up.
    for name, layer in layers.items():
        weight, rank = layer.weight.detach(), ranks[name]
        seconds, (down, up) = time_and_result(
            partial(factorize, weight.to(args.device), rank), args.device
        )
        ours += seconds
        seconds, (_, values, _) = time_and_result(
            partial(np.linalg.svd, weight.numpy()), 'cpu'
        )
        theirs += seconds
        error = (up.double() @ down.double()).cpu() - weight.double()
        optimum = np.linalg.norm(values[rank:].astype(np.float64))
        worst = max(worst, error.norm().item() / optimum - 1)
    print(
        f'{len(layers)} layers on {args.device}, {torch.get_num_threads()} '
        f'threads: {ours:.2f} s, full decompositions on the CPU {theirs:.2f} '
        f's, {theirs / ours:.1f} times as long; largest error above the '
        f'optimum {worst:.1e} of it'
    )


if __name__ == '__main__':
    main()
