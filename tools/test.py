"""Evaluate a checkpoint: classification, detection, segmentation, multimodal.

The options are the union of those of mmpretrain's, mmdet's and mmseg's test
scripts.
"""

import argparse
from copy import deepcopy

import mmengine
from mmengine.config import Config, ConfigDict
from mmengine.registry import METRICS
from mmengine.runner import Runner

from mmvlfusion.apis.cli import (
    add_common_arguments,
    build_runner,
    explained_errors,
    load_config,
    set_loader_defaults,
)
from mmvlfusion.datasets.questions import QuestionDataset
from mmvlfusion.datasets.utils.wrappers import iter_datasets
from mmvlfusion.hosts import host_of


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    add_common_arguments(parser)
    parser.add_argument(
        '--out',
        help='file of the predictions (.pkl) or metrics (with --out-item); '
        'for segmentation a folder, which receives the label maps',
    )
    parser.add_argument(
        '--out-item',
        choices=['pred', 'metrics'],
        default='pred',
        help='what --out receives',
    )
    parser.add_argument(
        '--show', action='store_true', help='show predictions in a window'
    )
    parser.add_argument('--show-dir', help='folder of painted predictions')
    parser.add_argument(
        '--interval', type=int, default=1, help='paint every n-th sample'
    )
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds of each window'
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation, by tta_model and tta_pipeline of the '
        'config or else by flipping',
    )
    return parser.parse_args()


def enable_visualization(cfg: Config, args: argparse.Namespace) -> None:
    """Let the host's visualization hook paint predictions."""
    hook = cfg.get('default_hooks', {}).get('visualization')
    if hook is None:
        raise ValueError(
            '--show and --show-dir need a visualization hook: '
            'set default_hooks.visualization in the config.'
        )
    hook.update(show=args.show, wait_time=args.wait_time)
    hook.interval = args.interval
    host_of(cfg).draw_predictions(cfg, hook, args.show_dir)


def _flip_pipeline(pipeline: list, last: dict) -> list:
    flips = [dict(type='RandomFlip', prob=p) for p in (1.0, 0.0)]
    tta = dict(type='TestTimeAug', transforms=[flips, [last]])
    return [*deepcopy(pipeline[:-1]), tta]


def enable_tta(cfg: Config) -> None:
    """Wrap the model and the pipeline for test-time augmentation."""
    dataset = cfg.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    host = host_of(cfg)
    last = host.tta_meta(dataset.pipeline[-1])
    model = cfg.get('tta_model', host.tta_model)
    dataset.pipeline = cfg.get('tta_pipeline') or _flip_pipeline(dataset.pipeline, last)
    cfg.model = ConfigDict(**model, module=cfg.model)


def merge_args(cfg: Config, args: argparse.Namespace) -> None:
    """Write the options of testing into the config."""
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if args.amp:
        cfg.test_cfg.fp16 = True
    if args.show or args.show_dir:
        enable_visualization(cfg, args)
    if args.tta:
        enable_tta(cfg)
    if args.out and not is_file(args.out):
        if not host_of(cfg).writes_label_maps:
            raise ValueError(
                f'--out {args.out} has to end in .pkl, or in '
                '.json with --out-item metrics; a folder suits '
                'segmentation only.'
            )
        cfg.test_evaluator.update(output_dir=args.out, keep_results=True)
    set_loader_defaults(cfg, args)


def is_file(out: str) -> bool:
    return out.endswith(('.pkl', '.pickle', '.json', '.yml', '.yaml'))


def dump_of(cfg: Config, runner: Runner) -> type:
    """The metric that writes predictions, of which an image may have many."""
    dataset = runner.test_loop.dataloader.dataset
    if any(isinstance(part, QuestionDataset) for part in iter_datasets(dataset)):
        return METRICS.get('mmvlfusion.DumpSamples')
    return METRICS.get(host_of(cfg).dump_metric)


def main() -> None:
    args = parse_args()
    if not mmengine.exists(args.checkpoint):
        raise FileNotFoundError(f'There is no checkpoint {args.checkpoint!r}.')
    cfg = load_config(args)
    merge_args(cfg, args)
    runner = build_runner(cfg)
    dumps = args.out and is_file(args.out)
    if dumps and args.out_item == 'pred':
        dump = dump_of(cfg, runner)(out_file_path=args.out)
        runner.test_evaluator.metrics.append(dump)
    with explained_errors():
        metrics = runner.test()
    if dumps and args.out_item == 'metrics':
        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    main()
