"""Synthetic scenes of coloured shapes, for runs that need no download."""

from .entailment import Hypothesis, hypothesize
from .questions import Question, ask
from .scene import COLORS, KINDS, LEVELS, Scene, render_scene
from .writers import TASKS, write_dataset

__all__ = [
    'COLORS',
    'Hypothesis',
    'KINDS',
    'LEVELS',
    'Question',
    'Scene',
    'TASKS',
    'ask',
    'hypothesize',
    'render_scene',
    'write_dataset',
]
