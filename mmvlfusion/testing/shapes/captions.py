"""Captions of a scene, and expressions that refer to one of its shapes."""

from collections import Counter
from typing import Callable, Dict, List, Tuple

import numpy as np

from .questions import pick, plural, unique
from .scene import Scene, Shape

_OPENINGS = ('', 'a picture of ', 'we see ')
NUMBERS = ('one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight')


def _words(shape: Shape) -> str:
    texture = '' if shape.texture == 'plain' else shape.texture + ' '
    return f'{texture}{shape.color} {shape.kind}'


def _list(parts: List[str]) -> str:
    return ' and '.join(part for part in (', '.join(parts[:-1]), parts[-1]) if part)


def counted(name: str, number: int) -> str:
    """A name after its article or, in the plural, its number (1 to 8)."""
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
    way = ('from left to right', 'from top to bottom')[axis]
    return f'{way} {_list([counted(_words(s), 1) for s in shapes])}'


def describe(scene: Scene, rng: np.random.Generator, number: int) -> List[str]:
    """Write different captions, each of which names all shapes.

    Args:
        scene (Scene): The scene.
        rng (numpy.random.Generator): Source of all randomness.
        number (int): How many captions are wanted, at most 3.

    Returns:
        list[str]: ``number`` different captions; the shapes stand in any order,
        or from left to right or top to bottom where the caption says so.
    """
    captions: Dict[str, None] = {}
    while len(captions) < number:
        in_line = len(scene.shapes) > 1 and rng.random() < 0.5
        captions.setdefault((_in_line if in_line else _in_any_order)(scene, rng))
    return list(captions)


def _at_an_end(scene: Scene, shapes: List[Shape]) -> List[Tuple[str, Shape]]:
    """The shapes that stand clearly first or last of several."""
    found = []
    for axis, words in enumerate(
        (('leftmost', 'rightmost'), ('topmost', 'bottommost'))
    ):
        line = sorted(shapes, key=lambda shape: shape.center[axis])
        for word, (end, near) in zip(words, (line[:2], line[:-3:-1])):
            gap = abs(end.center[axis] - near.center[axis])
            if gap > 0.08 * len(scene.image):
                found.append((word, end))
    return found


def refer(scene: Scene) -> List[List[str]]:
    """Write the expressions that tell each shape from the others: by its kind,
    its colour, both, or where it stands.

    Args:
        scene (Scene): The scene.

    Returns:
        list[list[str]]: Expressions for each shape of the scene, which may be
        none.
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
            for word, shape in _at_an_end(scene, shapes):
                found[id(shape)].append(f'the {word} {name}')
    return list(found.values())
