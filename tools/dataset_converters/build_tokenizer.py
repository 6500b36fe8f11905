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
from tempfile import TemporaryDirectory
from typing import Iterator, List

from mmengine.config import Config, DictAction
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from tokenizers.implementations import BertWordPieceTokenizer
from transformers import BertTokenizerFast

from mmvlfusion.datasets.questions import read_entries

SPECIAL_TOKENS = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')


def texts_of(cfg: Config, split: str) -> Iterator[str]:
    """The texts of a loader's data set."""
    for entry in read_entries(cfg[f'{split}_dataloader'].dataset):
        for field in ('question', 'gt_answer', 'gt_caption', 'text'):
            texts = entry.get(field, [])
            yield from [texts] if isinstance(texts, str) else texts


def train_tokenizer(texts: List[str],
                    size: int,
                    min_frequency: int,
                    unused: int = 0) -> BertTokenizerFast:
    """Train WordPiece on lower-case texts; the same texts, the same tokens.

    Args:
        texts (list[str]): The texts.
        size (int): Most tokens.
        min_frequency (int): Least occurrences of a token.
        unused (int): Number of tokens ``[unused0]`` and on, beyond ``size``.
            Defaults to 0.

    Raises:
        ValueError: If there are no texts.
    """
    if not texts:
        raise ValueError('There are no texts to make a tokenizer from.')
    trained = BertWordPieceTokenizer(lowercase=True)
    # The trainer numbers the inner letters of words in the order of a hash, on
    # which its choice among equals depends; these have their numbers before.
    letters = set(''.join(map(trained.normalizer.normalize_str, set(texts))))
    inner = [f'##{letter}' for letter in sorted(letters) if letter.strip()]
    trained.train_from_iterator(
        texts,
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=[*SPECIAL_TOKENS, *inner],
        show_progress=False)
    vocabulary = trained.get_vocab()
    with TemporaryDirectory() as folder:
        path = Path(folder) / 'vocab.txt'
        path.write_text('\n'.join([
            *sorted(vocabulary, key=vocabulary.get),
            *(f'[unused{i}]' for i in range(unused))
        ]))  # yapf: disable
        return BertTokenizerFast(str(path), do_lower_case=True)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', help='config files')
    parser.add_argument('--out', type=Path, help='folder of the tokenizer')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings to override, as key=value')
    parser.add_argument(
        '--splits',
        nargs='+',
        choices=['train', 'val', 'test'],
        default=['train'],
        help='loaders whose texts are read; a score on a split whose texts '
        'made the vocabulary is not one on unseen questions')
    parser.add_argument(
        '--size',
        type=int,
        default=30522,
        help='most tokens (default: %(default)s)')
    parser.add_argument(
        '--min-frequency',
        type=int,
        default=2,
        help='least occurrences of a token (default: %(default)s)')
    parser.add_argument(
        '--unused',
        type=int,
        default=0,
        help='tokens [unused0], [unused1], ... for other things than words, as '
        'the positions of boxes (default: %(default)s)')
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
        text for cfg in configs for split in args.splits
        for text in texts_of(cfg, split)
    ]
    tokenizer = train_tokenizer(texts, args.size, args.min_frequency,
                                args.unused)
    tokenizer.save_pretrained(out)
    print_log(f'Wrote {len(tokenizer)} tokens, from {len(texts)} texts, to '
              f'{out}.')


if __name__ == '__main__':
    main()
