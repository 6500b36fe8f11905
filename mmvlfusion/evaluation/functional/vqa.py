"""The official score of VQA v2, for single answers."""

from functools import lru_cache

from mmvlfusion.utils.checks import require
from mmvlfusion.utils.spacing import even_spaces

# Of a question of VQA v2.
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


def same_answer(predicted: str, answer: str, normalized: bool = True) -> bool:
    """Check whether a predicted answer equals an annotator's answer.

    Answers that are equal in the official score are equal. Answers that differ
    only in the spaces next to marks, such as "2. 5" and "2.5", are equal as
    well, because many tokenizers do not keep these spaces.

    Args:
        predicted (str): The predicted answer.
        answer (str): The annotator's answer.
        normalized (bool): Whether to normalise both answers. If False, only
            line breaks and tabs are replaced by spaces. Defaults to True.

    Returns:
        bool: Whether they are equal.
    """
    convert = normalize if normalized else one_line
    return convert(predicted) == convert(answer) or (
        convert(even_spaces(predicted)) == convert(even_spaces(answer))
    )


def one_line(answer: str) -> str:
    """Replace the line breaks and tabs of an answer by spaces.

    Args:
        answer (str): The answer.

    Returns:
        str: The answer, without spaces at its ends.
    """
    return answer.replace('\n', ' ').replace('\t', ' ').strip()


def agreement(share: float, num_annotators: int = NUM_ANNOTATORS) -> float:
    """Compute the score of an answer from the share of annotators who gave it.

    The official score compares an answer with the answers of all annotators but
    one. It is min(1, matches / 3), averaged over the annotators who are left
    out: 0.3, 0.6, 0.9 and 1 for one to four matches of ten. With up to three
    annotators, the score of an answer that all of them gave is below 1. With
    one annotator no answer would be left, so the score is 1 for a match.

    Args:
        share (float): Share of the annotators, 0 to 1.
        num_annotators (int): Number of annotators of the question. Defaults to
            ten, as in VQA v2.

    Returns:
        float: The score, 0 to 1.
    """
    count = round(share * num_annotators)
    if num_annotators == 1:
        return float(count)
    return (
        (num_annotators - count) * min(1.0, count / 3)
        + count * min(1.0, (count - 1) / 3)
    ) / num_annotators
