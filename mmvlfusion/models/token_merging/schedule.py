"""The number of tokens that each block merges."""

from numbers import Real
from typing import List, Sequence, Tuple, Union

from mmvlfusion.utils.checks import check_number

# The schedules that ``merge_schedule`` accepts.
Schedule = Union[int, Sequence[int], Tuple[int, float]]


def merge_schedule(r: Schedule, num_layers: int, num_patches: int) -> List[int]:
    """Make the list of the numbers of merged tokens.

    Args:
        r (int | list[int] | tuple[int, float]): A number for all blocks; a list
            of the numbers of the first blocks, 0 for the others; or a pair (r,
            inflect), the latter a float: the numbers change linearly from
            r * (1 - inflect) to r * (1 + inflect), so that -1.0 merges early and
            1.0 merges late.
        num_layers (int): Number of blocks.
        num_patches (int): Number of image tokens before the first block.

    Returns:
        list[int]: One number per block.

    Raises:
        ValueError: If ``r`` is none of the three, has too many numbers, or a
            number is negative or leaves no image token.
    """
    # Command lines and files give a pair as a list.
    is_pair = isinstance(r, Sequence) and len(r) == 2 and isinstance(r[1], float)
    if isinstance(r, (list, tuple)) and not is_pair:
        numbers = list(r)
        if len(numbers) > num_layers:
            raise ValueError(
                f'r={r!r} has {len(numbers)} numbers, but there are {num_layers} '
                'blocks: give at most one number per block.'
            )
        numbers += [0] * (num_layers - len(numbers))
    elif is_pair:
        mean, inflect = r  # type: ignore[misc]
        check_number('r[0]', mean, 0, integer=True)
        check_number('r[1]', inflect, -1, 1)
        first = int(mean * (1 - inflect))
        step = 2 * (mean - first) / max(num_layers - 1, 1)
        numbers = [int(first + step * i) for i in range(num_layers)]
    elif isinstance(r, Real):
        numbers = [r] * num_layers  # type: ignore[list-item]
    else:
        raise ValueError(
            f'r={r!r} must be a number, a list of numbers, or a pair (number, '
            'inflect) such as (13, -1.0).'
        )
    for number in numbers:
        check_number('r', number, 0, integer=True)
        if number >= num_patches:
            raise ValueError(
                f'r={r!r} merges {number} tokens in a block, but an image has '
                f'{num_patches}, so that no token would be left: set r to at most '
                f'{num_patches // 2}, half of them, which is the most that a block '
                'can merge.'
            )
    return numbers
