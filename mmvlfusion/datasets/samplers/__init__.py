from .shard_local import ShardLocalSampler
from .task_mixture import TaskMixtureSampler

__all__ = ['ShardLocalSampler', 'TaskMixtureSampler']
