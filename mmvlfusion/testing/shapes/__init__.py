"""Synthetic scenes of coloured shapes, for runs that need no download."""

from .entailment import Hypothesis, hypothesize
from .questions import DEFAULT_KINDS, QUESTION_KINDS, Question, ask
from .scene import COLORS, KINDS, LEVELS, Scene, render_scene
from .writers import TASKS, write_dataset

__all__ = [
    'COLORS',
    'DEFAULT_KINDS',
    'Hypothesis',
    'KINDS',
    'LEVELS',
    'QUESTION_KINDS',
    'Question',
    'Scene',
    'TASKS',
    'ask',
    'hypothesize',
    'render_scene',
    'write_dataset',
]
