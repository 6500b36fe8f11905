"""A hook that kills its process, like the scheduler of a cluster."""

import os
import signal

from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class KillHook(Hook):
    """Kill the process at an iteration, or at the first point from it on.

    Args:
        iteration (int): The iteration.
        point (str): ``'training'`` (before the iteration), ``'validation'`` (before
            the second batch), or ``'writing'`` (in the middle of a checkpoint).
    """

    def __init__(self, iteration, point='training'):
        self.iteration = iteration
        self.point = point

    def before_train_iter(self, runner, *args, **kwargs):
        if self.point == 'training' and runner.iter == self.iteration:
            kill()

    def before_val_iter(self, runner, batch_idx, *args, **kwargs):
        if (
            self.point == 'validation'
            and runner.iter >= self.iteration
            and batch_idx == 1
        ):
            kill()

    def before_save_checkpoint(self, runner, *args, **kwargs):
        if self.point == 'writing' and runner.iter >= self.iteration:
            LocalBackend.put = write_half


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def write_half(backend, content, path):
    """Write the first half of a file."""
    with open(path, 'wb') as file:
        file.write(content[: len(content) // 2])
    kill()
