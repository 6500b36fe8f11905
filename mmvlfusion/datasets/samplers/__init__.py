from .task_mixture import TaskMixtureSampler

__all__ = ['TaskMixtureSampler']
