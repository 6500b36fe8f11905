from .class_count_hook import ClassCountHook
from .exact_resume_hook import ExactResumeHook

__all__ = ['ClassCountHook', 'ExactResumeHook']
