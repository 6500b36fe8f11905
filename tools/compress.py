"""Compress a trained model into low-rank layers, or merge them back.

It writes config.py and model.pth into a folder, which the hosts' scripts and
inferencers take, and prints what became of every layer. Of a PELADistiller it
takes the student.

    python tools/compress.py CONFIG CHECKPOINT --ratio 2 --exclude vit
    python tools/compress.py CONFIG CHECKPOINT --merge
"""

import argparse
import os
import os.path as osp
from itertools import islice
from typing import Dict, List

import torch
from mmengine import track_iter_progress
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch import nn

from mmvlfusion.analysis.complexity import example_call, weight_macs
from mmvlfusion.apis.build import build_model
from mmvlfusion.models.low_rank import LowRankReport, compress_, merge_
from mmvlfusion.models.low_rank.builder import to_dense_config, to_low_rank_config
from mmvlfusion.models.low_rank.presets import EXCLUDE, parse_preset
from mmvlfusion.models.utils import is_pretrained, unwrap_model


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of any host')
    parser.add_argument(
        'checkpoint', help='its weights, read as hosts do: trust the source'
    )
    parser.add_argument(
        '--out', help='folder to write (default: work_dirs/CONFIG_low-rank)'
    )
    parser.add_argument('--ratio', type=float, default=2.0)
    parser.add_argument(
        '--exclude',
        nargs='+',
        default=(),
        help='layers that stay whole: a preset (vit, swin, swin_without_proj, '
        'tnt, bert) or regular expressions',
    )
    parser.add_argument('--min-features', type=int, default=10)
    parser.add_argument('--rank-multiple', type=int, default=1)
    parser.add_argument(
        '--backbone-only', action='store_true', help='compress model.backbone'
    )
    parser.add_argument(
        '--calibration',
        type=int,
        default=0,
        metavar='N',
        help='keep the outputs on N batches of the training set',
    )
    parser.add_argument(
        '--allocation', choices=['uniform', 'budget'], default='uniform'
    )
    parser.add_argument('--merge', action='store_true', help='go back to dense layers')
    parser.add_argument(
        '--dry-run', action='store_true', help='print the table, write nothing'
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        default=[224, 224],
        metavar=('H', 'W'),
        help='image in pixels at which multiply-accumulates are counted',
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    args = parser.parse_args()
    args.exclude = parse_preset(args.exclude, EXCLUDE)
    return args


def load(args: argparse.Namespace) -> tuple:
    """The config and the model with its weights; the student of a distiller."""
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    model = build_model(cfg, args.checkpoint)
    cfg.model = cfg.model.get('student', cfg.model)
    return cfg, unwrap_model(model, deploy=True)


def compress(
    model: nn.Module, cfg: Config, args: argparse.Namespace
) -> List[LowRankReport]:
    """Compress the model or its backbone; names are those within the part."""
    part = model.backbone if args.backbone_only else model
    calibration = None
    if args.calibration:
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
        args.allocation,
        progress=track_iter_progress,
    )
    print()
    return reports


def low_rank_config(
    cfg: Config, reports: List[LowRankReport], args: argparse.Namespace
) -> ConfigDict:
    """The config of the model with ``mmvlfusion.LowRank`` where it applies."""
    options = dict(
        ratio=args.ratio,
        exclude=args.exclude,
        min_features=args.min_features,
        rank_multiple=args.rank_multiple,
    )
    if args.allocation == 'budget':
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
    """Print what became of each layer, by its name after the prefix of its part
    of the model. Multiply-accumulates of an attention's packed projection are
    those of both its projections."""
    print(
        '| layer | out x in | rank | error | parameters (k) | MACs (M) |\n'
        '|---|---|---|---|---|---|'
    )
    for name, out_features, in_features, rank, error in reports:
        name = prefix + name
        place = name.removesuffix('.in_proj')
        macs = (
            f'{before[place] / 1e6:.1f} -> {after[place] / 1e6:.1f}'
            if place in before and place in after
            else '-'
        )
        print(
            f'| {name} | {out_features} x {in_features} | {rank} '
            f'| {error:.3f} | {out_features * in_features / 1e3:.1f} -> '
            f'{rank * (out_features + in_features) / 1e3:.1f} | {macs} |'
        )
    print(
        f'\nmodel: {size[0] / 1e6:.2f} -> {size[1] / 1e6:.2f} M parameters, '
        f'{before["Global"] / 1e9:.3g} -> {after["Global"] / 1e9:.3g} G MACs '
        'with weights'
    )


def drop_initial_weights(cfg: ConfigDict) -> None:
    """Take out the checkpoints that parts of the model started from."""
    if is_pretrained(cfg.get('init_cfg')):
        cfg.init_cfg = None
    for value in cfg.values():
        for part in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(part, dict):
                drop_initial_weights(part)


def save(model: nn.Module, cfg: Config, out: str) -> None:
    """Write config and weights; training with that config starts from them."""
    os.makedirs(out, exist_ok=True)
    weights = osp.join(out, 'model.pth')
    torch.save(dict(state_dict=model.state_dict()), weights)
    drop_initial_weights(cfg.model)
    cfg.load_from = weights
    cfg.dump(osp.join(out, 'config.py'))
    print(f'written: {osp.join(out, "config.py")}, {weights}')


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('compress', log_level='ERROR')
    cfg, model = load(args)
    out = args.out or osp.join(
        'work_dirs',
        osp.splitext(osp.basename(args.config))[0]
        + ('_merged' if args.merge else '_low-rank'),
    )
    forward = example_call(model, cfg, args.shape)
    sizes = [sum(p.numel() for p in model.parameters())]
    before = weight_macs(model, forward)
    if args.merge:
        merge_(model)
        reports, cfg.model = [], to_dense_config(cfg.model)
    else:
        reports = compress(model, cfg, args)
        cfg.model = low_rank_config(cfg, reports, args)
    after = weight_macs(model, forward)
    sizes.append(sum(p.numel() for p in model.parameters()))
    prefix = 'backbone.' if args.backbone_only else ''
    print_table(reports, prefix, before, after, sizes)
    if not args.dry_run:
        save(model, cfg, out)


if __name__ == '__main__':
    main()
