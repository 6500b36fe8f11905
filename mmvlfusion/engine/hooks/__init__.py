from .class_count_hook import ClassCountHook
from .exact_resume_hook import ExactResumeHook
from .initial_weights_hook import InitialWeightsHook

__all__ = ['ClassCountHook', 'ExactResumeHook', 'InitialWeightsHook']
