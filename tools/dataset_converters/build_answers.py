"""List the frequent answers of a data set, for heads that choose among them.

The data set is that of a config's training loader:

    python tools/dataset_converters/build_answers.py CONFIG OUT.json

An answer counts once for each question that most people gave it to, in the form
in which VQA v2's score compares it.
"""

import argparse
from collections import Counter
from typing import List

import mmengine
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import init_default_scope

from mmvlfusion.datasets.questions import read_questions
from mmvlfusion.evaluation.functional.vqa import normalize


def frequent_answers(cfg: Config, min_count: int) -> List[str]:
    """The answers of ``min_count`` questions or more, the most frequent
    first.

    Raises:
        ValueError: If there is none.
    """
    counts: Counter = Counter()
    for question in read_questions(cfg.train_dataloader.dataset):
        answers = question['gt_answer']
        if isinstance(answers, str):
            counts[normalize(answers)] += 1
        else:
            weights = question['gt_answer_weight']
            counts[normalize(answers[weights.index(max(weights))])] += 1
    answers = [a for a, count in counts.most_common() if count >= min_count]
    if not answers:
        raise ValueError(f'No answer has {min_count} questions: lower --min-count.')
    return answers


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('out', help='json file of the list')
    parser.add_argument(
        '--min-count',
        type=int,
        default=9,
        help='least questions of an answer (default: %(default)s)',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    answers = frequent_answers(cfg, args.min_count)
    mmengine.dump(answers, args.out)
    print_log(f'Wrote {len(answers)} answers to {args.out}.')


if __name__ == '__main__':
    main()
