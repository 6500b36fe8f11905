"""Make a WordPiece tokenizer from the texts of data sets.

The data sets are those of the loaders of one config or more, and the texts
their questions and answers, captions or expressions, so that training needs no
download:

    python tools/dataset_converters/build_tokenizer.py CONFIG [CONFIG ...]

Without --out it goes where the first config's model looks for it. One that is
there already is left as it is, since checkpoints depend on it.
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
    """The texts of a loader's data set."""
    for entry in read_entries(cfg[f'{split}_dataloader'].dataset):
        for field in ('question', 'gt_answer', 'gt_caption', 'text'):
            texts = entry.get(field, [])
            yield from [texts] if isinstance(texts, str) else texts


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('configs', nargs='+', help='config files')
    parser.add_argument('--out', type=Path, help='folder of the tokenizer')
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
        help='loaders whose texts are read; a score on a split whose texts '
        'made the vocabulary is not one on unseen questions',
    )
    parser.add_argument(
        '--size', type=int, default=30522, help='most tokens (default: %(default)s)'
    )
    parser.add_argument(
        '--min-frequency',
        type=int,
        default=2,
        help='least occurrences of a token (default: %(default)s)',
    )
    parser.add_argument(
        '--unused',
        type=int,
        default=0,
        help='tokens [unused0], [unused1], ... for other things than words, as '
        'the positions of boxes (default: %(default)s)',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    configs = [Config.fromfile(path) for path in args.configs]
    for cfg in configs:
        cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(configs[0].get('default_scope', 'mmengine'))
    out = args.out or Path(configs[0].model.tokenizer)
    if (out / 'tokenizer_config.json').is_file():
        print_log(f'{out} has a tokenizer already; remove it to make another.')
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
