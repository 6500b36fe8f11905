"""Ratios of tasks that follow the training."""

from typing import Any, Dict, List, Optional, Sequence

from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import tensor

from mmvlfusion.datasets.samplers import TaskMixtureSampler
from mmvlfusion.registry import HOOKS


@HOOKS.register_module()
class TaskMixtureHook(Hook):
    """Adapt the ratios of a ``TaskMixtureSampler`` to progress and difficulty.

    Ratios move in a line from those of the sampler to ``end_ratios``, and each
    is multiplied by the task's difficulty to the power of ``power``: its mean
    loss of the last interval that had some, over that of its first. This is our
    reading of the adaptive mixture that JAR (Section 4) refers to, whose rule
    is not published. Ratios hold from the interval after the next, so that
    they are known when workers load ahead. They are the same on all ranks, and
    stored in checkpoints.

    Args:
        end_ratios (Sequence[float], optional): Ratios at the end. Defaults to
            the sampler's.
        power (float): How much difficulty counts; 0 is not at all. Defaults to
            1.

    Raises:
        TypeError: If the training loader has no such sampler.
    """

    def __init__(
        self, end_ratios: Optional[Sequence[float]] = None, power: float = 1.0
    ) -> None:
        self.end_ratios = end_ratios
        self.power = power
        self._stored: Optional[Dict[str, Any]] = None

    def before_train(self, runner: Runner) -> None:
        """Take the sampler over."""
        batches = runner.train_dataloader.batch_sampler
        # The exact resumption stands around it.
        self.sampler = getattr(batches, 'batches', batches)
        if not isinstance(self.sampler, TaskMixtureSampler):
            raise TypeError(
                'TaskMixtureHook adapts a TaskMixtureSampler, and the training '
                f'loader has a {type(self.sampler).__name__}: set '
                'train_dataloader.batch_sampler.'
            )
        tasks = len(self.sampler.parts)
        start = self.sampler.ratios
        self.ends = (
            start
            if self.end_ratios is None
            else self.sampler.normalize('end_ratios', self.end_ratios)
        )
        self.state: Dict[str, List] = dict(
            history=[start, start],
            first=[None] * tasks,
            last=[None] * tasks,
            totals=[0.0] * tasks,
            counts=[0] * tasks,
        )
        if runner.iter and self._stored is not None:
            self.state = self._stored
        self.sampler.history = self.state['history']

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Note the loss, and at the end of an interval set new ratios."""
        state, task = self.state, self.sampler.task_at(runner.iter)
        loss = tensor(float(outputs['loss']))
        all_reduce(loss, op='mean')
        state['totals'][task] += float(loss)
        state['counts'][task] += 1
        if (runner.iter + 1) % self.sampler.interval:
            return
        difficulty = []
        for task, count in enumerate(state['counts']):
            if count:
                state['last'][task] = state['totals'][task] / count
                if state['first'][task] is None:
                    state['first'][task] = state['last'][task]
            state['totals'][task], state['counts'][task] = 0.0, 0
            first = state['first'][task]
            difficulty.append(state['last'][task] / first if first else 1.0)
        progress = (runner.iter + 1) / runner.max_iters
        state['history'].append(
            self.sampler.normalize(
                'ratios',
                [
                    ((1 - progress) * start + progress * end) * hard**self.power
                    for start, end, hard in zip(
                        self.sampler.ratios, self.ends, difficulty
                    )
                ],
            )
        )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Store the ratios."""
        checkpoint['task_mixture'] = self.state

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take the ratios of a run that is resumed."""
        self._stored = checkpoint.get('task_mixture')
