"""The official score of VQA v2, for single answers."""

from functools import lru_cache

from mmvlfusion.utils.checks import require

NUM_ANNOTATORS = 10


@lru_cache(maxsize=2**16)
def normalize(answer: str) -> str:
    """Normalise an answer as the official score of VQA v2 does.

    Number words become digits; articles and most punctuation are removed.

    Args:
        answer (str): The answer.

    Returns:
        str: The normalised answer.
    """
    return require('mmpretrain.evaluation').VQAAcc()._process_answer(answer)


def agreement(share: float) -> float:
    """Compute the score of an answer from the share of annotators who gave it.

    An answer scores min(1, matches / 3) against each nine of the ten
    annotators, and the mean is taken: 0.3, 0.6, 0.9 and 1 for one to four
    matches.

    Args:
        share (float): Share of the annotators, 0 to 1.

    Returns:
        float: The score, 0 to 1.
    """
    count = round(share * NUM_ANNOTATORS)
    return (
        (NUM_ANNOTATORS - count) * min(1.0, count / 3)
        + count * min(1.0, (count - 1) / 3)
    ) / NUM_ANNOTATORS
