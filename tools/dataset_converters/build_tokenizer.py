"""Train a WordPiece tokenizer on the texts of datasets.

Input: one or more configs. The texts are the questions, answers, captions and
expressions of their data loaders. No download is needed.
Output: the folder of the tokenizer, ``--out`` or by default ``model.tokenizer``
of the first config. An existing tokenizer is kept, because checkpoints depend on
its vocabulary.

Example:

    python tools/dataset_converters/build_tokenizer.py CONFIG --splits train val
"""

import argparse
from pathlib import Path
from typing import Iterator

from mmengine.config import Config, DictAction
from mmengine.logging import print_log
from mmengine.registry import init_default_scope

from mmvlfusion.datasets.questions import read_entries
from mmvlfusion.models.multimodal.tokenizers import train_tokenizer


def texts_of(cfg: Config, split: str) -> Iterator[str]:
    """Iterate over the texts of a dataset.

    Args:
        cfg (Config): The config.
        split (str): ``'train'``, ``'val'`` or ``'test'``.

    Yields:
        str: Question, answer, caption or expression.
    """
    for entry in read_entries(cfg[f'{split}_dataloader'].dataset):
        for field in ('question', 'gt_answer', 'gt_caption', 'text'):
            texts = entry.get(field, [])
            if isinstance(texts, str):
                yield texts
            else:
                yield from texts


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('configs', nargs='+', help='config files')
    parser.add_argument(
        '--out', type=Path, help='folder of the tokenizer (default: model.tokenizer)'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings to override, as key=value',
    )
    parser.add_argument(
        '--splits',
        nargs='+',
        choices=['train', 'val', 'test'],
        default=['train'],
        help='data loaders whose texts are used. If a split is used here, a '
        'score on it is not a score on unseen texts (default: train)',
    )
    parser.add_argument(
        '--size',
        type=int,
        default=30522,
        help='maximum size of the vocabulary (default: %(default)s)',
    )
    parser.add_argument(
        '--min-frequency',
        type=int,
        default=2,
        help='minimum number of occurrences of a token (default: %(default)s)',
    )
    parser.add_argument(
        '--unused',
        type=int,
        default=0,
        help='number of additional tokens [unused0], [unused1], ..., for example '
        'for the coordinates of boxes (default: %(default)s)',
    )
    return parser.parse_args()


def main() -> None:
    """Train the tokenizer of the command line."""
    args = parse_args()
    configs = [Config.fromfile(path) for path in args.configs]
    for cfg in configs:
        cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(configs[0].get('default_scope', 'mmengine'))
    out = args.out or Path(configs[0].model.tokenizer)
    if (out / 'tokenizer_config.json').is_file():
        print_log(f'{out} has a tokenizer already: remove it to train another one.')
        return
    texts = [
        text
        for cfg in configs
        for split in args.splits
        for text in texts_of(cfg, split)
    ]
    tokenizer = train_tokenizer(texts, args.size, args.min_frequency, args.unused)
    tokenizer.save_pretrained(out)
    print_log(f'Wrote {len(tokenizer)} tokens, from {len(texts)} texts, to {out}.')


if __name__ == '__main__':
    main()
