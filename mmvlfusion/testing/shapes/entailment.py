"""Statements that follow from a scene, contradict it, or are undecided by it."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import List

import numpy as np

from .captions import NUMBERS, counted
from .questions import absent_names, name_of, pick, plural, take_turns
from .scene import KINDS, Scene

# Properties that an image does not show.
_INVISIBLE = ('heavy', 'cold', 'soft', 'wooden')


@dataclass(frozen=True)
class Hypothesis:
    """A statement about a scene.

    Attributes:
        text (str): The statement.
        label (str): SNLI-VE's label: ``'entailment'``, ``'neutral'`` or
            ``'contradiction'``.
    """

    text: str
    label: str


def _there_is(name: str) -> str:
    return f'there is {counted(name, 1)}'


def _with_invisible_property(name: str, rng: np.random.Generator) -> str:
    return _there_is(f'{pick(rng, _INVISIBLE)} {name}')


def _exactly(kind: str, number: int) -> str:
    verb, name = ('is', kind) if number == 1 else ('are', plural(kind))
    return f'there {verb} exactly {NUMBERS[number - 1]} {name}'


def _entailed(scene: Scene, rng: np.random.Generator) -> Hypothesis:
    shape = pick(rng, scene.shapes)
    if rng.random() < 0.5:
        text = _there_is(name_of(shape))
    else:
        counts = Counter(shape.kind for shape in scene.shapes)
        text = _exactly(shape.kind, counts[shape.kind])
    return Hypothesis(text, 'entailment')


def _neutral(scene: Scene, rng: np.random.Generator) -> Hypothesis:
    name = name_of(pick(rng, scene.shapes))
    return Hypothesis(_with_invisible_property(name, rng), 'neutral')


def _contradicted(scene: Scene, rng: np.random.Generator) -> Hypothesis:
    form = rng.integers(3)
    if form == 0:
        counts = Counter(shape.kind for shape in scene.shapes)
        kind = pick(rng, KINDS)
        wrong = [number for number in range(1, 4) if number != counts[kind]]
        text = _exactly(kind, pick(rng, wrong))
    else:
        name = pick(rng, absent_names(scene))
        text = _there_is(name) if form == 1 else _with_invisible_property(name, rng)
    return Hypothesis(text, 'contradiction')


_WRITERS = (_entailed, _neutral, _contradicted)


def hypothesize(
    scene: Scene, rng: np.random.Generator, number: int
) -> List[Hypothesis]:
    """Write different statements about a scene; the three labels take turns.

    A statement that gives a shape of the scene a property that images do not
    show is neutral. The same about a shape that the scene does not have is a
    contradiction.

    Args:
        scene (Scene): The scene.
        rng (numpy.random.Generator): Source of all randomness.
        number (int): Number of statements.

    Returns:
        list[Hypothesis]: ``number`` statements with different texts.

    Raises:
        ValueError: If the scene has fewer different statements.
    """
    return take_turns([partial(writer, scene, rng) for writer in _WRITERS], rng, number)
