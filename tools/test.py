"""Evaluate a checkpoint of any task: classification, detection, and others.

Input: a config of mmpretrain, mmdet or mmseg, and a checkpoint. The options are
those of the test scripts of all three hosts.
Output: the metrics on the console and in the work directory. ``--out`` also
writes the predictions or the metrics to a file, and ``--show-dir`` draws the
predictions.

Example:

    python tools/test.py CONFIG CHECKPOINT --out predictions.pkl
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
    process_group,
    set_loader_defaults,
)
from mmvlfusion.datasets.questions import QuestionDataset
from mmvlfusion.datasets.utils.wrappers import iter_datasets
from mmvlfusion.hosts import host_of
from mmvlfusion.models.utils import check_checkpoint
from mmvlfusion.utils.drawing import literal_texts


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    add_common_arguments(parser)
    parser.add_argument(
        '--out',
        help='file that receives the predictions (.pkl), or the metrics with '
        '--out-item metrics (.json); for segmentation a folder that receives the '
        'label maps',
    )
    parser.add_argument(
        '--out-item',
        choices=['pred', 'metrics'],
        default='pred',
        help='what --out receives (default: %(default)s)',
    )
    parser.add_argument(
        '--show', action='store_true', help='show the predictions in a window'
    )
    parser.add_argument(
        '--show-dir', help='folder that receives pictures of the predictions'
    )
    parser.add_argument(
        '--interval',
        type=int,
        default=1,
        help='draw every n-th sample (default: %(default)s)',
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        help='seconds that --show shows each sample (default: %(default)s)',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='use test-time augmentation: tta_model and tta_pipeline of the '
        'config if they exist, otherwise horizontal flipping',
    )
    return parser.parse_args()


def enable_visualization(cfg: Config, args: argparse.Namespace) -> None:
    """Set the visualization hook of the host to draw predictions.

    Args:
        cfg (Config): The config, which is changed in place.
        args (argparse.Namespace): The arguments of the command line.

    Raises:
        ValueError: If the config has no visualization hook.
    """
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
    """Make a TTA pipeline with and without flipping, whose last step is ``last``."""
    flips = [dict(type='RandomFlip', prob=p) for p in (1.0, 0.0)]
    tta = dict(type='TestTimeAug', transforms=[flips, [last]])
    return [*deepcopy(pipeline[:-1]), tta]


def enable_tta(cfg: Config) -> None:
    """Wrap the model and the pipeline for test-time augmentation.

    Args:
        cfg (Config): The config, which is changed in place.
    """
    dataset = cfg.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    host = host_of(cfg)
    last = host.tta_meta(dataset.pipeline[-1])
    model = cfg.get('tta_model', host.tta_model)
    dataset.pipeline = cfg.get('tta_pipeline') or _flip_pipeline(dataset.pipeline, last)
    cfg.model = ConfigDict(**model, module=cfg.model)


def merge_args(cfg: Config, args: argparse.Namespace) -> None:
    """Write the options of testing into the config.

    Args:
        cfg (Config): The config, which is changed in place.
        args (argparse.Namespace): The arguments of the command line.

    Raises:
        ValueError: If ``--out`` is a folder and the task is not segmentation.
    """
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
                f'--out {args.out} must end in .pkl, or in .json with '
                '--out-item metrics. Only segmentation takes a folder.'
            )
        cfg.test_evaluator.update(output_dir=args.out, keep_results=True)
    set_loader_defaults(cfg, args)


def is_file(out: str) -> bool:
    """Check whether ``--out`` names a file, not a folder.

    Args:
        out (str): The value of ``--out``.

    Returns:
        bool: True if it has the extension of a file that mmengine can write.
    """
    return out.endswith(('.pkl', '.pickle', '.json', '.yml', '.yaml'))


def dump_type(cfg: Config, runner: Runner) -> type:
    """Select the metric that writes the predictions.

    Args:
        cfg (Config): The config.
        runner (Runner): The runner.

    Returns:
        type: ``DumpSamples`` if an image may have several questions, otherwise
        the metric of the host.
    """
    dataset = runner.test_loop.dataloader.dataset
    if any(isinstance(part, QuestionDataset) for part in iter_datasets(dataset)):
        return METRICS.get('mmvlfusion.DumpSamples')
    return METRICS.get(host_of(cfg).dump_metric)


def main() -> None:
    """Test the checkpoint of the command line."""
    args = parse_args()
    check_checkpoint(args.checkpoint)
    cfg = load_config(args)
    merge_args(cfg, args)
    with process_group():
        runner = build_runner(cfg)
        writes_file = args.out and is_file(args.out)
        if writes_file and args.out_item == 'pred':
            dump = dump_type(cfg, runner)(out_file_path=args.out)
            runner.test_evaluator.metrics.append(dump)
        with explained_errors(), literal_texts():
            metrics = runner.test()
        if writes_file and args.out_item == 'metrics':
            mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    main()
