"""Make a WordPiece tokenizer from the questions and answers of a data set.

The data sets are those of a config's loaders, so that training needs no
download:

    python tools/dataset_converters/build_tokenizer.py CONFIG

Without --out it goes where the config's model looks for it.
"""
import argparse
from pathlib import Path
from typing import Iterator, List

from mmengine.config import Config, DictAction
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from tokenizers.implementations import BertWordPieceTokenizer
from transformers import BertTokenizerFast

from mmvlfusion.datasets.questions import read_questions


def texts_of(cfg: Config, split: str) -> Iterator[str]:
    """The questions and answers of a loader's data set."""
    for question in read_questions(cfg[f'{split}_dataloader'].dataset):
        yield question['question']
        answers = question.get('gt_answer', [])
        yield from [answers] if isinstance(answers, str) else answers


def train_tokenizer(texts: List[str], size: int,
                    min_frequency: int) -> BertTokenizerFast:
    """Train WordPiece on lower-case texts.

    Raises:
        ValueError: If there are no texts.
    """
    if not texts:
        raise ValueError('There are no questions to make a tokenizer from.')
    trained = BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator(
        texts, vocab_size=size, min_frequency=min_frequency,
        show_progress=False)
    return BertTokenizerFast(
        tokenizer_object=trained._tokenizer, do_lower_case=True)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
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
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    out = args.out or Path(cfg.model.tokenizer)
    texts = [text for split in args.splits for text in texts_of(cfg, split)]
    tokenizer = train_tokenizer(texts, args.size, args.min_frequency)
    tokenizer.save_pretrained(out)
    print_log(f'Wrote {len(tokenizer)} tokens, from {len(texts)} texts, to '
              f'{out}.')


if __name__ == '__main__':
    main()
