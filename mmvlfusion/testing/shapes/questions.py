"""Questions about a scene, whose answers cannot be guessed from the text."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np

from .scene import COLORS, KINDS, Scene, Shape


@dataclass(frozen=True)
class Question:
    """A question, its answer, and VQA v2's type of the answer."""

    text: str
    answer: str
    answer_type: str


def name_of(shape: Shape) -> str:
    """What a shape is called: its colour and kind."""
    return f'{shape.color} {shape.kind}'


def absent_names(scene: Scene) -> List[str]:
    """The names of which the scene has no shape."""
    names = set(map(name_of, scene.shapes))
    return [f'{c} {k}' for c in COLORS for k in KINDS if f'{c} {k}' not in names]


def plural(kind: str) -> str:
    """The plural of a word."""
    return kind + ('es' if kind.endswith('s') else 's')


def unique(scene: Scene, key: Callable[[Shape], str]) -> List[Shape]:
    """The shapes that no other shape shares ``key`` with."""
    counts = Counter(map(key, scene.shapes))
    return [shape for shape in scene.shapes if counts[key(shape)] == 1]


def pick(rng: np.random.Generator, items: Sequence):
    """One of the items, at random."""
    return items[rng.integers(len(items))]


def _color(scene: Scene, rng: np.random.Generator) -> Optional[Question]:
    shapes = unique(scene, lambda shape: shape.kind)
    if not shapes:
        return None
    shape = pick(rng, shapes)
    return Question(f'what color is the {shape.kind}?', shape.color, 'other')


def _kind(scene: Scene, rng: np.random.Generator) -> Optional[Question]:
    shapes = unique(scene, lambda shape: shape.color)
    if not shapes:
        return None
    shape = pick(rng, shapes)
    return Question(f'what shape is the {shape.color} object?', shape.kind, 'other')


def _texture(scene: Scene, rng: np.random.Generator) -> Optional[Question]:
    shapes = unique(scene, name_of)
    if not shapes or len({shape.texture for shape in scene.shapes}) == 1:
        return None
    shape = pick(rng, shapes)
    return Question(
        f'what texture does the {name_of(shape)} have?', shape.texture, 'other'
    )


def _count(scene: Scene, rng: np.random.Generator) -> Question:
    kinds = Counter(shape.kind for shape in scene.shapes)
    colors = Counter(shape.color for shape in scene.shapes)
    by_count: Dict[int, List[str]] = {len(scene.shapes): ['objects']}
    for kind in KINDS:
        by_count.setdefault(kinds[kind], []).append(plural(kind))
    for color in COLORS:
        by_count.setdefault(colors[color], []).append(f'{color} objects')
    # The count first, then the text: else most answers would be 0.
    number = pick(rng, sorted(by_count))
    return Question(
        f'how many {pick(rng, by_count[number])} are there?', str(number), 'number'
    )


def _existence(scene: Scene, rng: np.random.Generator) -> Question:
    if rng.random() < 0.5:
        names = sorted(set(map(name_of, scene.shapes)))
        return Question(f'is there a {pick(rng, names)}?', 'yes', 'yes/no')
    name = pick(rng, absent_names(scene))
    return Question(f'is there a {name}?', 'no', 'yes/no')


def _relation(scene: Scene, rng: np.random.Generator) -> Optional[Question]:
    shapes = unique(scene, name_of)
    if len(shapes) < 2:
        return None
    first, second = (shapes[i] for i in rng.permutation(len(shapes))[:2])
    offset = first.center - second.center
    axis = int(rng.integers(2))
    if abs(offset[axis]) < 0.08 * len(scene.image):
        return None
    words = (('left of', 'right of'), ('above', 'below'))[axis]
    said = int(rng.integers(2))
    answer = 'yes' if said == int(offset[axis] > 0) else 'no'
    return Question(
        f'is the {name_of(first)} {words[said]} the {name_of(second)}?',
        answer,
        'yes/no',
    )


def take_turns(
    makers: Sequence[Callable[[], Optional[Any]]], rng: np.random.Generator, number: int
) -> List[Any]:
    """``number`` things of different ``text``, which makers make in turn; one
    that cannot returns None."""
    found: Dict[str, Any] = {}
    while len(found) < number:
        for index in rng.permutation(len(makers)):
            made = makers[index]()
            if made is not None and len(found) < number:
                found.setdefault(made.text, made)
    return list(found.values())


_ASKERS = (_color, _kind, _texture, _count, _existence, _relation)


def ask(scene: Scene, rng: np.random.Generator, number: int) -> List[Question]:
    """Ask different questions about a scene.

    Colours, kinds, textures, counts, existence and spatial relations take
    turns; yes and no are drawn with equal probability before the text is.

    Args:
        scene (Scene): The scene.
        rng (numpy.random.Generator): Source of all randomness.
        number (int): How many questions are wanted.

    Returns:
        list[Question]: ``number`` questions with different texts.
    """
    return take_turns([partial(asker, scene, rng) for asker in _ASKERS], rng, number)
