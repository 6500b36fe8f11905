"""Lists of answers, and how well an answer agrees with people's."""
from collections import Counter
from typing import List, Sequence, Union

import mmengine

NUM_ANNOTATORS = 10


def load_answers(answers: Union[str, Sequence[str]]) -> List[str]:
    """A list of answers, or the one in a json file (a list, or a dict whose
    keys are the answers).

    Raises:
        ValueError: If the list is empty or names an answer twice.
    """
    source = 'The list of answers'
    if isinstance(answers, str):
        source = f'The list of answers {answers}'
        answers = mmengine.load(answers)
    answers = list(answers)
    if not answers:
        raise ValueError(f'{source} is empty.')
    twice = sorted(a for a, count in Counter(answers).items() if count > 1)
    if twice:
        raise ValueError(f'{source} has duplicates: {twice[:5]}. '
                         'Name each answer once.')
    return answers


def agreement(share: float) -> float:
    """VQA v2's score of an answer that a share of the ten annotators gave.

    An answer counts as min(1, matches / 3) against each nine of the ten, of
    which the mean is taken: 0.3, 0.6, 0.9 and 1 for one to four of them.
    """
    count = round(share * NUM_ANNOTATORS)
    return ((NUM_ANNOTATORS - count) * min(1., count / 3) +
            count * min(1., (count - 1) / 3)) / NUM_ANNOTATORS
