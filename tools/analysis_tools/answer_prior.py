"""The score of the most frequent answer, to set beside a model's.

The answer is that of the training set: of all its questions, or with --by of
all that have the same value of a field.

    python tools/analysis_tools/answer_prior.py CONFIG --by question_type
"""

import argparse
from collections import Counter, defaultdict
from typing import Any, Dict, Hashable, List, Optional

import mmengine
from mmengine.config import Config
from mmengine.registry import METRICS, init_default_scope

from mmvlfusion.datasets.questions import read_questions


def frequent(questions: List[dict], by: Optional[str]) -> Dict[Hashable, str]:
    """The most frequent answer of each value of a field, and under None of
    all questions."""
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--by', help='field of the questions')
    parser.add_argument('--out', help='json file of the scores')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    answers = frequent(list(read_questions(cfg.train_dataloader.dataset)), args.by)
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
