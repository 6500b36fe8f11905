"""Lists of answers."""

from collections import Counter
from typing import Iterable, List, Sequence, Union

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
        FileNotFoundError: If the file does not exist.
        ValueError: If the list is empty, has something else than text, or has
            duplicates, ignoring case.
    """
    source = 'The list of answers'
    if isinstance(answers, str):
        source = f'The list of answers {answers}'
        if not mmengine.exists(answers):
            raise FileNotFoundError(
                f'The file {answers!r} of the list of answers does not exist: set '
                'answers to a json file or a list.'
            )
        answers = mmengine.load(answers)
    if not isinstance(answers, Iterable):
        raise ValueError(
            f'answers={answers!r} must be a list of answers, or a json file of one.'
        )
    answers = list(answers)
    if not answers:
        raise ValueError(f'{source} is empty.')
    for answer in answers:
        if not isinstance(answer, str):
            raise ValueError(f'{source} has {answer!r}, which is not text.')
    counts = Counter(answer.strip().lower() for answer in answers)
    duplicates = sorted(answer for answer, count in counts.items() if count > 1)
    if duplicates:
        raise ValueError(
            f'{source} has duplicates: {duplicates[:NUM_DUPLICATES_SHOWN]}. List '
            'each answer once.'
        )
    return answers
