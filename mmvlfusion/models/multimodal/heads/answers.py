"""Lists of answers."""

from collections import Counter
from typing import List, Sequence, Union

import mmengine

NUM_DUPLICATES_SHOWN = 5


def load_answers(answers: Union[str, Sequence[str]]) -> List[str]:
    """Load a list of answers.

    Args:
        answers (str | Sequence[str]): The answers, or a json file with a list
            of answers, or with a dict whose keys are the answers.

    Returns:
        list[str]: The answers.

    Raises:
        ValueError: If the list is empty or has duplicates, ignoring case.
    """
    source = 'The list of answers'
    if isinstance(answers, str):
        source = f'The list of answers {answers}'
        answers = mmengine.load(answers)
    answers = list(answers)
    if not answers:
        raise ValueError(f'{source} is empty.')
    counts = Counter(answer.strip().lower() for answer in answers)
    duplicates = sorted(answer for answer, count in counts.items() if count > 1)
    if duplicates:
        raise ValueError(
            f'{source} has duplicates: {duplicates[:NUM_DUPLICATES_SHOWN]}. List '
            'each answer once.'
        )
    return answers
