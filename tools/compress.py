"""Compress a trained model into low-rank layers, or merge them or LoRA again.

Input: a config and a checkpoint of any host. For a PELADistiller the student is
taken.
Output: a folder with ``config.py`` and ``model.pth``, for the scripts and
inferencers of the host; and a table of all layers with their rank,
approximation error, parameters and multiply-accumulates.

Examples:

    python tools/compress.py CONFIG CHECKPOINT --ratio 2 --exclude vit
    python tools/compress.py CONFIG CHECKPOINT --merge
"""

import argparse
import os
import os.path as osp
from itertools import islice
from typing import Any, Callable, Dict, List

from mmengine import track_iter_progress
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch import nn

from mmvlfusion.analysis.complexity import example_call, resolve_shape, weight_macs
from mmvlfusion.apis.build import (
    build_model,
    drop_idle_persistence,
    drop_initial_weights,
)
from mmvlfusion.apis.options import read_config
from mmvlfusion.models.adapters.lora import LoRALayer, merge_lora_, to_merged_config
from mmvlfusion.models.low_rank import (
    LowRankLinear,
    LowRankReport,
    compress_,
    merge_,
)
from mmvlfusion.models.low_rank.builder import (
    check_dense_config,
    to_dense_config,
    to_low_rank_config,
)
from mmvlfusion.models.low_rank.compression import METHODS, SEARCHES
from mmvlfusion.models.low_rank.presets import parse_preset
from mmvlfusion.models.utils import EXCLUDE, unwrap_model
from mmvlfusion.models.utils import save as save_checkpoint


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of any host')
    parser.add_argument(
        'checkpoint',
        help='checkpoint file',
    )
    parser.add_argument(
        '--out', help='folder to write (default: work_dirs/CONFIG_low-rank, or _merged)'
    )
    parser.add_argument(
        '--ratio',
        type=float,
        default=2.0,
        help='parameters of each layer before over after, without --budget '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--exclude',
        nargs='+',
        default=(),
        help='layers that stay dense: a preset (vit, swin, swin_without_proj, '
        'tnt, bert), regular expressions, or both',
    )
    parser.add_argument(
        '--min-features',
        type=int,
        default=10,
        help='layers with fewer output features stay dense (default: %(default)s)',
    )
    parser.add_argument(
        '--rank-multiple',
        type=int,
        default=1,
        help='ranks are multiples of this number (default: %(default)s)',
    )
    parser.add_argument(
        '--backbone-only', action='store_true', help='only compress model.backbone'
    )
    parser.add_argument(
        '--calibration',
        type=int,
        default=0,
        metavar='N',
        help='run N batches of the training set, for the methods whiten and '
        'sequential, and for budgets of macs and latency',
    )
    parser.add_argument(
        '--method',
        choices=METHODS,
        help='minimise the error of the weights (svd), of the layer outputs (whiten), '
        'or of the outputs given the inputs in the compressed model, block by block '
        '(sequential) (default: whiten with --calibration, else svd)',
    )
    parser.add_argument(
        '--budget',
        nargs='+',
        metavar='KIND=PART',
        help='choose the ranks by error instead of by --ratio: params=0.5, macs=0.5 or '
        'latency=0.6 of the layers, or error=0.1 for each layer; one for each tower '
        'as vision:error=0.1 text:error=0.05',
    )
    parser.add_argument(
        '--search',
        choices=SEARCHES,
        default='layers',
        help='the error that --budget minimises: that of the layer outputs, or of the '
        "model's features, which takes a few forward passes a layer (default: "
        '%(default)s)',
    )
    parser.add_argument(
        '--features',
        metavar='MODULE',
        help='name of the module whose outputs --search features compares (default: '
        'backbone if there is one, else the model)',
    )
    parser.add_argument(
        '--convolutions',
        action='store_true',
        help='compress 1 x 1 convolutions as well',
    )
    parser.add_argument(
        '--joint',
        action='store_true',
        help='one pair of factors for separate query, key and value of the same input, '
        'where that has a smaller error',
    )
    parser.add_argument(
        '--tuning',
        type=int,
        default=0,
        metavar='PASSES',
        help='with the method sequential, tune the factors of each block in so many '
        'passes over the calibration batches (default: %(default)s)',
    )
    parser.add_argument(
        '--merge',
        action='store_true',
        help='merge low-rank layers and LoRA into dense layers',
    )
    parser.add_argument('--dry-run', action='store_true', help='only print the table')
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='height and width in pixels of the image for which '
        'multiply-accumulates are counted (default: the input size of the config, '
        'or 224)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='settings to override, as key=value',
    )
    args = parser.parse_args()
    if args.calibration < 0:
        parser.error(f'--calibration must be at least 0, got {args.calibration}')
    if args.shape is not None and min(args.shape) < 1:
        parser.error(f'--shape takes two positive numbers, got {args.shape}')
    args.exclude = parse_preset(args.exclude, EXCLUDE)
    return args


def load(args: argparse.Namespace) -> tuple:
    """Load the config and the model, or those of the student of a distiller.

    Args:
        args (argparse.Namespace): The arguments of the command line.

    Returns:
        tuple[Config, nn.Module]: The config and the model with its weights.
    """
    cfg = read_config(args.config, args.cfg_options)
    model = build_model(cfg, args.checkpoint)
    cfg.model = cfg.model.get('student', cfg.model)
    deployed = unwrap_model(model, deploy=True)
    deployed.dataset_meta = model.dataset_meta
    return cfg, deployed


def compress(
    model: nn.Module, cfg: Config, args: argparse.Namespace
) -> List[LowRankReport]:
    """Compress the model or its backbone, in place.

    Args:
        model (nn.Module): The model.
        cfg (Config): Its config.
        args (argparse.Namespace): The arguments of the command line.

    Returns:
        list[LowRankReport]: A report for each compressed layer. With
        ``--backbone-only`` the names are those within the backbone.
    """
    if args.backbone_only and not hasattr(model, 'backbone'):
        raise ValueError(
            f'--backbone-only: {type(model).__name__} has no backbone. Omit the '
            'option, or keep other parts dense with --exclude.'
        )
    part = model.backbone if args.backbone_only else model
    check_dense_config(cfg.model.backbone if args.backbone_only else cfg.model)
    calibration = None
    if args.calibration:
        drop_idle_persistence(cfg.train_dataloader)
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
        calibration = islice(loader, args.calibration)
        if args.backbone_only:
            calibration = (
                model.data_preprocessor(batch)['inputs'] for batch in calibration
            )
    reports = compress_(
        part,
        args.ratio,
        args.exclude,
        args.min_features,
        args.rank_multiple,
        calibration,
        args.method,
        args.budget,
        args.search,
        args.features,
        args.convolutions,
        args.tuning,
        args.joint,
        progress=track_iter_progress,
    )
    print()
    return reports


def low_rank_config(
    cfg: Config, reports: List[LowRankReport], args: argparse.Namespace
) -> ConfigDict:
    """Make the config of the compressed model.

    Args:
        cfg (Config): The config of the dense model.
        reports (list[LowRankReport]): The reports of ``compress``.
        args (argparse.Namespace): The arguments of the command line.

    Returns:
        ConfigDict: The model config with ``mmvlfusion.LowRank``.
    """
    options = dict(
        ratio=args.ratio,
        exclude=args.exclude,
        min_features=args.min_features,
        rank_multiple=args.rank_multiple,
    )
    if args.convolutions:
        options['convolutions'] = True
    if args.budget or args.joint:
        options = dict(ranks={r.name: r.rank for r in reports})
    if not args.backbone_only:
        return to_low_rank_config(cfg.model, **options)
    cfg.model.backbone = to_low_rank_config(cfg.model.backbone, **options)
    return cfg.model


def print_table(
    reports: List[LowRankReport],
    prefix: str,
    before: Dict[str, int],
    after: Dict[str, int],
    size: List[int],
) -> None:
    """Print a table of the compressed layers, and the size of the model.

    The multiply-accumulates of ``in_proj`` of an attention are those of its
    input and output projections together.

    Args:
        reports (list[LowRankReport]): The reports of ``compress``.
        prefix (str): Prefix of the names of the layers in the model.
        before (dict[str, int]): Multiply-accumulates by module before the
            compression; the key ``'Global'`` is the total. Empty if they were
            not counted.
        after (dict[str, int]): The same after the compression.
        size (list[int]): Parameters of the model before and after.
    """
    print(
        '| layer | out x in | rank | error | parameters (k) | MACs (M) |\n'
        '|---|---|---|---|---|---|'
    )
    for name, out_features, in_features, rank, error in reports:
        name = prefix + name
        module = name.removesuffix('.in_proj')
        macs = '-'
        if module in before and module in after:
            macs = f'{before[module] / 1e6:.1f} -> {after[module] / 1e6:.1f}'
        print(
            f'| {name} | {out_features} x {in_features} | {rank} '
            f'| {error:.3f} | {out_features * in_features / 1e3:.1f} -> '
            f'{rank * (out_features + in_features) / 1e3:.1f} | {macs} |'
        )
    print(f'\nmodel: {size[0] / 1e6:.2f} -> {size[1] / 1e6:.2f} M parameters', end='')
    if before and after:
        print(
            f', {before["Global"] / 1e9:.3g} -> {after["Global"] / 1e9:.3g} G MACs '
            'with weights',
            end='',
        )
    dense = size[0] - sum(r.out_features * r.in_features for r in reports)
    print(
        f'\n{dense / 1e6:.2f} M parameters are in layers that stay dense: those '
        'that were excluded, convolutions, embeddings and norms'
        if reports
        else ''
    )


def count_macs(
    model: nn.Module, forward: Callable[[], Any], shape: List[int]
) -> Dict[str, int]:
    """Count multiply-accumulates, if the model runs on a blank image.

    Args:
        model (nn.Module): The model.
        forward (Callable): Runs a forward pass of it.
        shape (list[int]): Height and width of the image, for the message.

    Returns:
        dict[str, int]: See ``weight_macs``; empty if the model did not run.
    """
    try:
        return weight_macs(model, forward)
    except Exception as error:
        print(
            f'Multiply-accumulates are not counted, since the model does not run '
            f'on a blank image of {shape[0]} x {shape[1]} pixels: {error}\n'
            'If it has another image size, set --shape.'
        )
        return {}


def save(model: nn.Module, cfg: Config, out: str) -> None:
    """Write the config and the weights; the config loads the weights.

    Args:
        model (nn.Module): The model.
        cfg (Config): Its config.
        out (str): The folder to write to.
    """
    os.makedirs(out, exist_ok=True)
    weights = osp.join(out, 'model.pth')
    meta = dict(dataset_meta=model.dataset_meta)
    save_checkpoint(dict(state_dict=model.state_dict(), meta=meta), weights)
    drop_initial_weights(cfg.model)
    cfg.load_from = weights
    cfg.dump(osp.join(out, 'config.py'))
    print(f'Written: {osp.join(out, "config.py")}, {weights}')


def main() -> None:
    """Compress or merge the model of the command line."""
    args = parse_args()
    MMLogger.get_instance('compress', log_level='ERROR')
    cfg, model = load(args)
    suffix = '_merged' if args.merge else '_low-rank'
    name = osp.splitext(osp.basename(args.config))[0]
    out = args.out or osp.join('work_dirs', name + suffix)
    shape = resolve_shape(args.shape, cfg)
    forward = example_call(model, cfg, shape)
    sizes = [sum(p.numel() for p in model.parameters())]
    before = count_macs(model, forward, shape)
    if args.merge:
        kinds = (LowRankLinear, LoRALayer)
        if not any(isinstance(module, kinds) for module in model.modules()):
            raise ValueError(
                f'--merge: the {type(model).__name__} of {args.config} has no '
                'low-rank layer and no LoRA: there is nothing to merge.'
            )
        merge_(model)
        merge_lora_(model)
        reports, cfg.model = [], to_merged_config(to_dense_config(cfg.model))
    else:
        reports = compress(model, cfg, args)
        cfg.model = low_rank_config(cfg, reports, args)
    after = count_macs(model, forward, shape) if before else {}
    sizes.append(sum(p.numel() for p in model.parameters()))
    prefix = 'backbone.' if args.backbone_only else ''
    print_table(reports, prefix, before, after, sizes)
    if not args.dry_run:
        save(model, cfg, out)


if __name__ == '__main__':
    main()
