"""The layers of student and teacher that are compared."""

import re
from itertools import groupby, pairwise
from typing import Dict, Iterable, List, Tuple, Union

from torch import nn

from ..utils import matching_modules, resolve
from ..utils.features import NUM_NAMES_SHOWN

LAST_NUMBER = r'\d+(?!.*\d)'
# What the losses accept as ``features``.
Features = Union[str, Iterable[str], Dict[str, str]]

# Layers whose outputs are distilled: every block, and the pooled feature of a
# classifier.
FEATURES = dict(
    vit=(r'(\w+\.)?(layers|blocks)\.\d+',),
    tnt=(r'(\w+\.)?layers\.\d+\.outer',),
    swin=(r'(\w+\.)?stages\.\d+\.blocks\.\d+',),
    vssd=(r'(\w+\.)?stages\.\d+\.blocks\.\d+',),
    vision_ssd=(r'(\w+\.)?layers\.\d+',),
    bert=(r'(\w+\.)*encoder\.layer\.\d+',),
    pooled=('neck',),
)


def pair_layers(
    features: Features,
    student: nn.Module,
    teacher: nn.Module,
    proportional: bool = True,
) -> Tuple[List[str], List[str]]:
    """Find the layers of the student, and the layer of the teacher for each.

    Args:
        features (str | Iterable[str] | dict[str, str]): The name of a preset
            (``'vit'``, ``'tnt'``, ``'swin'``, ``'vssd'``, ``'vision_ssd'``,
            ``'bert'``: every block; ``'pooled'``: the neck); regular expressions
            that match whole names of modules; or a layer map, the name of a module
            of the teacher by the name of the module of the student.
        student (nn.Module): The student.
        teacher (nn.Module): The teacher.
        proportional (bool): Whether the student may have fewer blocks than the
            teacher. Block i of M (counted from 1) then corresponds to block i * N /
            M of N, within each stage: blocks 2, 4, ..., 12 of the teacher for a
            student of 6 blocks. Defaults to True.

    Returns:
        tuple[list[str], list[str]]: Names in the student, and in the teacher.

    Raises:
        ValueError: If a name or a pattern matches no module, or the numbers of
            modules do not fit.
    """
    if isinstance(features, dict):
        return _checked_map(features, student, teacher)
    patterns = resolve(features, FEATURES, 'features')
    ours = matching_modules(student, patterns)
    theirs = matching_modules(teacher, patterns)
    if len(ours) == len(theirs):
        return ours, theirs
    groups, teacher_groups = _by_stage(ours), _by_stage(theirs)
    if (
        not proportional
        or list(groups) != list(teacher_groups)
        or any(len(groups[key]) > len(teacher_groups[key]) for key in groups)
    ):
        raise ValueError(
            f'features={list(patterns)} match {len(ours)} modules of the student and '
            f'{len(theirs)} of the teacher; their outputs are compared in pairs. '
            'Give a layer map, features={NAME IN THE STUDENT: NAME IN THE TEACHER}.'
        )
    chosen = []
    for key, group in groups.items():
        ratio = len(teacher_groups[key]) / len(group)
        chosen += [
            teacher_groups[key][round(number * ratio) - 1]
            for number in range(1, len(group) + 1)
        ]
    return ours, chosen


def _checked_map(
    features: Dict[str, str], student: nn.Module, teacher: nn.Module
) -> Tuple[List[str], List[str]]:
    """Both sides of a layer map, in the order in which the modules run."""
    positions = []
    for owner, model, names in (
        ('student', student, list(features.keys())),
        ('teacher', teacher, list(features.values())),
    ):
        known = {name: i for i, (name, _) in enumerate(model.named_modules())}
        for name in names:
            if name not in known:
                similar = [x for x in known if x.count('.') == name.count('.')]
                raise ValueError(
                    f'The layer map features has {name!r}, which the {owner} '
                    f'{type(model).__name__} does not have. It has modules such as '
                    f'{", ".join(similar[:NUM_NAMES_SHOWN])}.'
                )
        positions.append([known[name] for name in names])
    pairs = sorted(zip(*positions, features.items()))
    if any(pair[1] > following[1] for pair, following in pairwise(pairs)):
        raise ValueError(
            f'The layer map features={features} changes the order of the layers: a '
            'later layer of the student needs a later layer of the teacher.'
        )
    return [names[0] for *_, names in pairs], [names[1] for *_, names in pairs]


def _by_stage(names: List[str]) -> Dict[str, List[str]]:
    """Names of blocks by the part in front of the last number."""
    return {
        key: list(group)
        for key, group in groupby(names, lambda x: re.split(LAST_NUMBER, x)[0])
    }


def first_block(name: str) -> str:
    """Get the name of the first block of the sequence that a block belongs to.

    Args:
        name (str): Name of the block, such as ``'backbone.layers.5'``.

    Returns:
        str: The same name with the last number 0.
    """
    return re.sub(LAST_NUMBER, '0', name)


def check_equal_numbers(features: list, targets: list) -> None:
    """Check that a forward pass ran the layers of both models equally often.

    Args:
        features (list): Outputs of the student's layers.
        targets (list): Outputs of the teacher's layers.

    Raises:
        ValueError: If the numbers differ.
    """
    if len(features) != len(targets):
        raise ValueError(
            f'The student returned {len(features)} features and the '
            f'teacher {len(targets)}: the modules of `features` must run '
            "equally often in both. If the student's loss runs them more "
            "than once, set feature_pass='tensor'."
        )
