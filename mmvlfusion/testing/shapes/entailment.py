"""Statements about a scene that follow from it, contradict it or go beyond."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import List

import numpy as np

from .captions import NUMBERS, counted
from .questions import absent_names, name_of, pick, plural, take_turns
from .scene import KINDS, Scene

# What no picture shows.
_UNSEEN = ('heavy', 'cold', 'soft', 'wooden')


@dataclass(frozen=True)
class Hypothesis:
    """A statement and SNLI-VE's label of it."""

    text: str
    label: str


def _there_is(name: str) -> str:
    return f'there is {counted(name, 1)}'


def _unseen(name: str, rng: np.random.Generator) -> str:
    return _there_is(f'{pick(rng, _UNSEEN)} {name}')


def _exactly(kind: str, number: int) -> str:
    verb, name = ('is', kind) if number == 1 else ('are', plural(kind))
    return f'there {verb} exactly {NUMBERS[number - 1]} {name}'


def _entailed(scene: Scene, rng: np.random.Generator) -> Hypothesis:
    shape = pick(rng, scene.shapes)
    number = Counter(s.kind for s in scene.shapes)[shape.kind]
    text = (
        _there_is(name_of(shape))
        if rng.random() < 0.5
        else _exactly(shape.kind, number)
    )
    return Hypothesis(text, 'entailment')


def _neutral(scene: Scene, rng: np.random.Generator) -> Hypothesis:
    return Hypothesis(_unseen(name_of(pick(rng, scene.shapes)), rng), 'neutral')


def _contradicted(scene: Scene, rng: np.random.Generator) -> Hypothesis:
    form = rng.integers(3)
    if form == 0:
        counts = Counter(shape.kind for shape in scene.shapes)
        kind = pick(rng, KINDS)
        wrong = [n for n in range(1, 4) if n != counts[kind]]
        text = _exactly(kind, pick(rng, wrong))
    else:
        absent = pick(rng, absent_names(scene))
        text = _there_is(absent) if form == 1 else _unseen(absent, rng)
    return Hypothesis(text, 'contradiction')


_WRITERS = (_entailed, _neutral, _contradicted)


def hypothesize(
    scene: Scene, rng: np.random.Generator, number: int
) -> List[Hypothesis]:
    """Write different statements about a scene, of the three labels in turn.

    A shape that is there, with a property that pictures do not show, is
    neutral; the same of a shape that is not there is a contradiction.

    Args:
        scene (Scene): The scene.
        rng (numpy.random.Generator): Source of all randomness.
        number (int): How many statements are wanted.

    Returns:
        list[Hypothesis]: ``number`` statements with different texts.
    """
    return take_turns([partial(writer, scene, rng) for writer in _WRITERS], rng, number)
