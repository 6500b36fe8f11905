"""Checkpoints from which training can be resumed exactly."""

from collections import deque
from typing import Any, Deque

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from mmvlfusion.registry import HOOKS


@HOOKS.register_module()
class StepCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, which saves at optimizer steps only.

    Accumulated gradients are not in a checkpoint, and they differ between ranks
    until the optimizer step. Therefore a checkpoint that is due between two
    optimizer steps (``accumulative_counts`` above 1) is saved after the next
    one. Its iteration is stored in it, also if its name is the number of an
    epoch: then it has the first iterations of the next epoch, too.
    The checkpoint of the best score has the weights that were validated; it is
    not for resumption, and is saved at once.

    Outdated checkpoints are removed after the new one is complete, so that
    there is always one to resume from, also with ``max_keep_ckpts=1``.

    Its arguments are those of mmengine's hook.
    """

    keep_ckpt_ids: Deque[int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_due = False

    def before_train(self, runner: Runner) -> None:
        """See ``CheckpointHook``.

        Args:
            runner (Runner): The runner.
        """
        super().before_train(runner)
        if self.max_keep_ckpts > 0:
            # Without a maximum, because it has one more during saving.
            self.keep_ckpt_ids = deque(self.keep_ckpt_ids)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Save a checkpoint if one is due, at an optimizer step.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Not used.
            data_batch (Any): Not used.
            outputs (Any): Not used.
        """
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if self._is_due and _is_at_optimizer_step(runner):
            self._save_due(runner, runner.iter + 1)

    def after_train(self, runner: Runner) -> None:
        """Save a checkpoint that is still due after an early end of training.

        Args:
            runner (Runner): The runner.
        """
        if self._is_due:
            self._save_due(runner, runner.iter)
        super().after_train(runner)

    def _save_due(self, runner: Runner, iteration: int) -> None:
        """Save a checkpoint that was due earlier."""
        runner.logger.info(
            f'Saving the checkpoint that was due before, at {iteration} iterations'
        )
        self._save(
            runner,
            runner.epoch if self.by_epoch else iteration,
            dict(epoch=runner.epoch, iter=iteration),
        )

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """Save a checkpoint, or postpone it to the next optimizer step."""
        if _is_at_optimizer_step(runner):
            self._save(runner, step, meta)
        else:
            self._is_due = True

    def _save(self, runner: Runner, step: int, meta: dict) -> None:
        """Save a checkpoint, then remove outdated ones."""
        self._is_due = False
        # mmengine removes the oldest one before it saves.
        self.max_keep_ckpts += 1
        super()._save_checkpoint_with_step(runner, step, meta)
        self.max_keep_ckpts -= 1
        while 0 < self.max_keep_ckpts < len(self.keep_ckpt_ids):
            oldest = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
            path = self.file_backend.join_path(self.out_dir, oldest)
            if is_main_process() and self.file_backend.isfile(path):
                self.file_backend.remove(path)


def _is_at_optimizer_step(runner: Runner) -> bool:
    """Check whether no gradients are accumulated."""
    wrapper = runner.optim_wrapper
    parts = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return all(part.should_update() for part in parts)
