"""Lists of answers, and how well an answer agrees with people's."""
from collections import Counter
from functools import lru_cache
from typing import List, Sequence, Union

import mmengine

from .extras import require

NUM_ANNOTATORS = 10


def load_answers(answers: Union[str, Sequence[str]]) -> List[str]:
    """A list of answers, or the one in a json file (a list, or a dict whose
    keys are the answers).

    Raises:
        ValueError: If the list is empty or names an answer twice, be it in
            other letters.
    """
    source = 'The list of answers'
    if isinstance(answers, str):
        source = f'The list of answers {answers}'
        answers = mmengine.load(answers)
    answers = list(answers)
    if not answers:
        raise ValueError(f'{source} is empty.')
    counts = Counter(answer.strip().lower() for answer in answers)
    twice = sorted(answer for answer, count in counts.items() if count > 1)
    if twice:
        raise ValueError(f'{source} has duplicates: {twice[:5]}. '
                         'Name each answer once.')
    return answers


@lru_cache(maxsize=2**16)
def normalize(answer: str) -> str:
    """An answer as VQA v2's official score compares it: digits for words,
    without articles and most punctuation."""
    return require('mmpretrain.evaluation').VQAAcc()._process_answer(answer)


def agreement(share: float) -> float:
    """VQA v2's score of an answer that a share of the ten annotators gave.

    An answer counts as min(1, matches / 3) against each nine of the ten, of
    which the mean is taken: 0.3, 0.6, 0.9 and 1 for one to four of them.
    """
    count = round(share * NUM_ANNOTATORS)
    return ((NUM_ANNOTATORS - count) * min(1., count / 3) +
            count * min(1., (count - 1) / 3)) / NUM_ANNOTATORS
