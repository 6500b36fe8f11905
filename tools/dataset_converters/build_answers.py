"""List the frequent answers of a dataset, for classification heads.

Input: a config whose training set has questions. Each question counts its most
frequent answer once. Answers that are equal after the normalisation of VQA v2 are
counted together, and the most frequent spelling of the data is listed.
Output: a json file with a list of the answers, the most frequent first.

Example:

    python tools/dataset_converters/build_answers.py CONFIG answers.json
"""

import argparse
from collections import Counter, defaultdict
from typing import Dict, List

import mmengine
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import init_default_scope

from mmvlfusion.datasets.questions import read_questions
from mmvlfusion.evaluation.functional.vqa import normalize


def frequent_answers(cfg: Config, min_count: int) -> List[str]:
    """List the answers of at least ``min_count`` questions.

    Args:
        cfg (Config): The config.
        min_count (int): Smallest number of questions of an answer.

    Returns:
        list[str]: The answers, the most frequent first.

    Raises:
        ValueError: If no answer is frequent enough.
    """
    counts: Counter = Counter()
    spellings: Dict[str, Counter] = defaultdict(Counter)
    for question in read_questions(cfg.train_dataloader.dataset):
        answers = question['gt_answer']
        if isinstance(answers, str):
            answer = answers
        else:
            weights = question['gt_answer_weight']
            answer = answers[weights.index(max(weights))]
        counts[normalize(answer)] += 1
        spellings[normalize(answer)][answer] += 1
    answers = [
        spellings[answer].most_common(1)[0][0]
        for answer, count in counts.most_common()
        if count >= min_count
    ]
    if not answers:
        raise ValueError(
            f'No answer has at least {min_count} questions: lower --min-count.'
        )
    return answers


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('out', help='json file to write')
    parser.add_argument(
        '--min-count',
        type=int,
        default=9,
        help='smallest number of questions of an answer (default: %(default)s)',
    )
    return parser.parse_args()


def main() -> None:
    """Write the frequent answers of the dataset."""
    args = parse_args()
    cfg = Config.fromfile(args.config)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    answers = frequent_answers(cfg, args.min_count)
    mmengine.dump(answers, args.out)
    print_log(f'Wrote {len(answers)} answers to {args.out}.')


if __name__ == '__main__':
    main()
