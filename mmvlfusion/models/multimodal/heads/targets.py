"""The answers that a sample holds, for training and after it."""
from typing import Any, Iterable, List, Tuple


def weighted_answers(sample: Any) -> List[Tuple[str, float]]:
    """The different answers of a ``DataSample`` with the shares of people who
    gave them; those of equal share where none are stored.

    Raises:
        ValueError: If there is none.
    """
    answers = sample.get('gt_answer')
    if not answers:
        raise ValueError(
            f'Question {sample.get("question_id", "")}, '
            f'{sample.get("question")!r}, has no answer to train on: let the '
            "pipeline's last step pack gt_answer.")
    if isinstance(answers, str):
        answers = [answers]
    weights = sample.get('gt_answer_weight')
    if weights is None:
        weights = [1 / len(answers)] * len(answers)
    return list(zip(answers, map(float, weights)))


def store_answers(samples: List[Any], answers: Iterable[str],
                  scores: Iterable[float]) -> List[Any]:
    """Give each sample its ``pred_answer`` and ``pred_score``."""
    for sample, answer, score in zip(samples, answers, scores):
        sample.set_field(answer, 'pred_answer')
        sample.set_field(score, 'pred_score')
    return samples
