"""Score the most frequent answer of the training set as a baseline.

Input: a config with a training set and a test set of questions. The prediction
is the most frequent answer of all training questions. With ``--by`` it is the
most frequent one among the training questions with the same value of a field.
Output: the scores of the test evaluator, on the console and in the file
``--out``.

Example:

    python tools/analysis_tools/answer_prior.py CONFIG --by question_type
"""

import argparse
from collections import Counter, defaultdict
from typing import Any, Dict, Hashable, List, Optional

import mmengine
from mmengine.config import Config
from mmengine.registry import METRICS, init_default_scope

from mmvlfusion.datasets.questions import read_questions


def most_frequent(questions: List[dict], by: Optional[str]) -> Dict[Hashable, str]:
    """Find the most frequent answers.

    Args:
        questions (list[dict]): Questions with ``gt_answer`` and, if a question
            has several answers, ``gt_answer_weight``.
        by (str, optional): A field of the questions.

    Returns:
        dict[Hashable, str]: The most frequent answer for each value of the
        field, and under the key None that of all questions.
    """
    counts: Dict[Any, Counter] = defaultdict(Counter)
    for question in questions:
        answers = question['gt_answer']
        answers = [answers] if isinstance(answers, str) else answers
        weights = question.get('gt_answer_weight', [1.0])
        for answer, weight in zip(answers, weights):
            counts[None][answer] += weight
            if by is not None:
                counts[question[by]][answer] += weight
    return {value: count.most_common(1)[0][0] for value, count in counts.items()}


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--by', help='field that groups the questions, such as question_type'
    )
    parser.add_argument('--out', help='json file that receives the scores')
    return parser.parse_args()


def main() -> None:
    """Score the most frequent answers and print the scores."""
    args = parse_args()
    cfg = Config.fromfile(args.config)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    answers = most_frequent(list(read_questions(cfg.train_dataloader.dataset)), args.by)
    metric = METRICS.build(cfg.test_evaluator)
    for question in read_questions(cfg.test_dataloader.dataset):
        answer = answers.get(question.get(args.by), answers[None])
        metric.process({}, [dict(question, pred_answer=answer)])
    scores = metric.evaluate(len(metric.results))
    if args.out:
        mmengine.dump(scores, args.out)
    for name, score in scores.items():
        print(f'{name}: {score:.1f}')


if __name__ == '__main__':
    main()
