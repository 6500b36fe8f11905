"""Captions of a scene, and referring expressions for its shapes."""

from collections import Counter
from typing import Callable, Dict, List, Tuple

import numpy as np

from .questions import MAX_IDLE_ROUNDS, MIN_OFFSET, pick, plural, unique
from .scene import Scene, Shape

_OPENINGS = ('', 'a picture of ', 'we see ')
NUMBERS = ('one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight')


def _words(shape: Shape) -> str:
    """Name the texture, colour and kind of a shape."""
    texture = '' if shape.texture == 'plain' else shape.texture + ' '
    return f'{texture}{shape.color} {shape.kind}'


def _list(parts: List[str]) -> str:
    """Join parts as in 'a, b and c'."""
    if len(parts) == 1:
        return parts[0]
    return f'{", ".join(parts[:-1])} and {parts[-1]}'


def counted(name: str, number: int) -> str:
    """Put an article or a number in front of a name.

    Args:
        name (str): The name.
        number (int): Number of objects, 1 to 8.

    Returns:
        str: The name with an article, or its plural with a number.
    """
    if number == 1:
        article = 'an' if name[0] in 'aeiou' else 'a'
        return f'{article} {name}'
    return f'{NUMBERS[number - 1]} {plural(name)}'


def _in_any_order(scene: Scene, rng: np.random.Generator) -> str:
    counts = list(Counter(map(_words, scene.shapes)).items())
    order = rng.permutation(len(counts))
    return pick(rng, _OPENINGS) + _list([counted(*counts[i]) for i in order])


def _in_line(scene: Scene, rng: np.random.Generator) -> str:
    axis = int(rng.integers(2))
    shapes = sorted(scene.shapes, key=lambda shape: shape.center[axis])
    direction = ('from left to right', 'from top to bottom')[axis]
    return f'{direction} {_list([counted(_words(shape), 1) for shape in shapes])}'


def describe(scene: Scene, rng: np.random.Generator, number: int) -> List[str]:
    """Write different captions, each of which names all shapes.

    Args:
        scene (Scene): The scene.
        rng (numpy.random.Generator): Source of all randomness.
        number (int): Number of captions.

    Returns:
        list[str]: ``number`` different captions. A caption that says 'from left
        to right' or 'from top to bottom' lists the shapes in that order,
        others in a random order.

    Raises:
        ValueError: If ``MAX_IDLE_ROUNDS`` rounds give no new caption.
    """
    captions: Dict[str, None] = {}
    idle_rounds = 0
    while len(captions) < number:
        if len(scene.shapes) > 1 and rng.random() < 0.5:
            caption = _in_line(scene, rng)
        else:
            caption = _in_any_order(scene, rng)
        idle_rounds = idle_rounds + 1 if caption in captions else 0
        captions.setdefault(caption)
        if idle_rounds == MAX_IDLE_ROUNDS:
            raise ValueError(
                f'Asked for {number} different captions of a scene, but found '
                f'only {len(captions)}: lower the number.'
            )
    return list(captions)


def _outermost(scene: Scene, shapes: List[Shape]) -> List[Tuple[str, Shape]]:
    """Find the shapes that are clearly first or last along an axis."""
    found = []
    for axis, words in enumerate(
        (('leftmost', 'rightmost'), ('topmost', 'bottommost'))
    ):
        ordered = sorted(shapes, key=lambda shape: shape.center[axis])
        ends = ((ordered[0], ordered[1]), (ordered[-1], ordered[-2]))
        for word, (end, neighbor) in zip(words, ends):
            gap = abs(end.center[axis] - neighbor.center[axis])
            if gap > MIN_OFFSET * len(scene.image):
                found.append((word, end))
    return found


def refer(scene: Scene) -> List[List[str]]:
    """Write expressions that identify each shape.

    They use its kind, its colour, both, or its position.

    Args:
        scene (Scene): The scene.

    Returns:
        list[list[str]]: Expressions for each shape of the scene. A shape
        without a unique property has an empty list.
    """
    found: Dict[int, List[str]] = {id(shape): [] for shape in scene.shapes}
    names: List[Tuple[str, Callable[[Shape], str]]] = [
        ('the {}', lambda shape: shape.kind),
        ('the {} object', lambda shape: shape.color),
        ('the {}', lambda shape: f'{shape.color} {shape.kind}'),
    ]
    for text, key in names:
        for shape in unique(scene, key):
            found[id(shape)].append(text.format(key(shape)))
    groups: Dict[str, List[Shape]] = {'object': scene.shapes}
    for shape in scene.shapes:
        groups.setdefault(shape.kind, []).append(shape)
    for name, shapes in groups.items():
        if len(shapes) > 1:
            for word, shape in _outermost(scene, shapes):
                found[id(shape)].append(f'the {word} {name}')
    return list(found.values())
