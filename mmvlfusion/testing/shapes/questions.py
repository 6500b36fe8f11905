"""Questions about a scene, whose answers cannot be guessed from the text."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np

from mmvlfusion.utils.checks import check_choice

from .scene import COLORS, KINDS, Scene, Shape

# Smallest distance along an axis, relative to the image's side, at which two
# shapes have a clear order.
MIN_OFFSET = 0.08
# `take_turns` gives up after so many rounds without a new text. Rare texts are
# drawn about once in 250 rounds.
MAX_IDLE_ROUNDS = 10_000


@dataclass(frozen=True)
class Question:
    """A question about a scene.

    Attributes:
        text (str): The question.
        answer (str): The answer.
        answer_type (str): VQA v2's type of the answer: ``'yes/no'``,
            ``'number'`` or ``'other'``.
    """

    text: str
    answer: str
    answer_type: str


def name_of(shape: Shape) -> str:
    """Get the name of a shape.

    Args:
        shape (Shape): The shape.

    Returns:
        str: Its colour and kind.
    """
    return f'{shape.color} {shape.kind}'


def absent_names(scene: Scene) -> List[str]:
    """List the names that no shape of a scene has.

    Args:
        scene (Scene): The scene.

    Returns:
        list[str]: The names, a colour and a kind each.
    """
    names = set(map(name_of, scene.shapes))
    return [
        f'{color} {kind}'
        for color in COLORS
        for kind in KINDS
        if f'{color} {kind}' not in names
    ]


def plural(kind: str) -> str:
    """Form the plural of a noun.

    Args:
        kind (str): The noun.

    Returns:
        str: Its plural.
    """
    return kind + ('es' if kind.endswith('s') else 's')


def unique(scene: Scene, key: Callable[[Shape], str]) -> List[Shape]:
    """Find the shapes whose key no other shape has.

    Args:
        scene (Scene): The scene.
        key (Callable): Maps a shape to its key, such as its colour.

    Returns:
        list[Shape]: The shapes.
    """
    counts = Counter(map(key, scene.shapes))
    return [shape for shape in scene.shapes if counts[key(shape)] == 1]


def pick(rng: np.random.Generator, items: Sequence) -> Any:
    """Draw one item.

    Args:
        rng (numpy.random.Generator): Source of all randomness.
        items (Sequence): The items.

    Returns:
        Any: The item.
    """
    return items[int(rng.integers(len(items)))]


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
    # Draw the count before the noun. Otherwise most answers would be 0.
    number = pick(rng, sorted(by_count))
    noun = pick(rng, by_count[number])
    return Question(f'how many {noun} are there?', str(number), 'number')


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
    order = rng.permutation(len(shapes))
    first = shapes[order[0]]
    second = shapes[order[1]]
    offset = first.center - second.center
    axis = int(rng.integers(2))
    if abs(offset[axis]) < MIN_OFFSET * len(scene.image):
        return None
    before, after = (('left of', 'right of'), ('above', 'below'))[axis]
    truth = after if offset[axis] > 0 else before
    claim = pick(rng, (before, after))
    return Question(
        f'is the {name_of(first)} {claim} the {name_of(second)}?',
        'yes' if claim == truth else 'no',
        'yes/no',
    )


def _position(scene: Scene, rng: np.random.Generator) -> Optional[Question]:
    shapes = unique(scene, name_of)
    if not shapes:
        return None
    shape = pick(rng, shapes)
    axis = int(rng.integers(2))
    offset = shape.center[axis] - len(scene.image) / 2
    if abs(offset) < MIN_OFFSET / 2 * len(scene.image):
        return None
    halves = (('left', 'right'), ('top', 'bottom'))[axis]
    return Question(
        f'which half is the {name_of(shape)} in, {halves[0]} or {halves[1]}?',
        halves[int(offset > 0)],
        'other',
    )


def _neighbor(scene: Scene, rng: np.random.Generator) -> Optional[Question]:
    shapes = unique(scene, name_of)
    if len(scene.shapes) < 2 or not shapes:
        return None
    shape = pick(rng, shapes)
    axis, sign = int(rng.integers(2)), int(rng.choice((-1, 1)))
    others = [other for other in scene.shapes if other is not shape]
    offsets = [sign * (other.center[axis] - shape.center[axis]) for other in others]
    least = MIN_OFFSET * len(scene.image)
    if any(abs(offset) < least for offset in offsets):
        return None
    there = [other for other, offset in zip(others, offsets) if offset > 0]
    if len(there) != 1:
        return None
    side = (('left of', 'right of'), ('above', 'below'))[axis][int(sign > 0)]
    # Draw the attribute that is asked for.
    if rng.random() < 0.5:
        return Question(
            f'which color has the object {side} the {name_of(shape)}?',
            there[0].color,
            'other',
        )
    return Question(
        f'which shape has the object {side} the {name_of(shape)}?',
        there[0].kind,
        'other',
    )


def take_turns(
    makers: Sequence[Callable[[], Optional[Any]]], rng: np.random.Generator, number: int
) -> List[Any]:
    """Call makers in turn until enough items with different texts are found.

    Each round calls all makers once, in random order.

    Args:
        makers (Sequence[Callable]): Each draws an item with the attribute
            ``text``, or returns None if it cannot make one.
        rng (numpy.random.Generator): Source of the order.
        number (int): Number of items.

    Returns:
        list[Any]: ``number`` items with different texts.

    Raises:
        ValueError: If ``MAX_IDLE_ROUNDS`` rounds give no new text.
    """
    found: Dict[str, Any] = {}
    idle_rounds = 0
    while len(found) < number:
        found_before = len(found)
        for index in rng.permutation(len(makers)):
            made = makers[index]()
            if made is not None and len(found) < number:
                found.setdefault(made.text, made)
        idle_rounds = 0 if len(found) > found_before else idle_rounds + 1
        if idle_rounds == MAX_IDLE_ROUNDS:
            raise ValueError(
                f'Asked for {number} different texts about a scene, but found '
                f'only {len(found)}: lower the number (--num-questions of '
                'tools/dataset_converters/shapes.py), or use scenes with more '
                'shapes.'
            )
    return list(found.values())


_ASKERS: Dict[str, Callable[[Scene, np.random.Generator], Optional[Question]]] = dict(
    color=_color,
    kind=_kind,
    texture=_texture,
    count=_count,
    existence=_existence,
    relation=_relation,
    position=_position,
    neighbor=_neighbor,
)
QUESTION_KINDS = tuple(_ASKERS)
#: The kinds that a scene is asked about unless others are chosen.
DEFAULT_KINDS = QUESTION_KINDS[:6]


def ask(
    scene: Scene,
    rng: np.random.Generator,
    number: int,
    kinds: Sequence[str] = DEFAULT_KINDS,
) -> List[Question]:
    """Ask different questions about a scene.

    Questions of the given kinds take turns. Yes and no are drawn with equal
    probability before the text is drawn. No answer follows from the text.

    Args:
        scene (Scene): The scene.
        rng (numpy.random.Generator): Source of all randomness.
        number (int): Number of questions.
        kinds (Sequence[str]): Kinds of questions: ``'color'``, ``'kind'`` and
            ``'texture'`` of a shape, the ``'count'`` of shapes, the
            ``'existence'`` of a shape, whether a ``'relation'`` of two shapes
            holds, the ``'position'`` of a shape, the colour or kind of its only
            ``'neighbor'`` in a direction. Defaults to the first six.

    Returns:
        list[Question]: ``number`` questions with different texts.

    Raises:
        ValueError: If the scene has fewer different questions, or a kind is
            unknown.
    """
    for kind in kinds:
        check_choice('kinds', kind, QUESTION_KINDS)
    return take_turns(
        [partial(_ASKERS[kind], scene, rng) for kind in kinds], rng, number
    )
