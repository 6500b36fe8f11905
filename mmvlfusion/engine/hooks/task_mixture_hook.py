"""Adaptation of task ratios to the progress of training."""

from typing import Any, Dict, List, Optional, Sequence

from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import tensor

from mmvlfusion.datasets.samplers import TaskMixtureSampler
from mmvlfusion.registry import HOOKS

from .exact_resume_hook import _SeededBatches


@HOOKS.register_module()
class TaskMixtureHook(Hook):
    """Adapt the ratios of a ``TaskMixtureSampler`` to progress and difficulty.

    Ratios change linearly from those of the sampler to ``end_ratios``. Each is
    multiplied by ``difficulty ** power``. The difficulty of a task is its mean
    loss in the last interval in which it was drawn, divided by that in the
    first one. This is our reading of the adaptive mixture that JAR (Section 4)
    refers to; its rule is not published.

    New ratios are used from the interval after the next, so that they are known
    when workers load ahead. They are the same on all ranks, and are stored in
    checkpoints.

    Args:
        end_ratios (Sequence[float], optional): Ratios at the end of training.
            Defaults to None, the ratios of the sampler.
        power (float): Exponent of the difficulty; 0 ignores it. Defaults to 1.

    Raises:
        TypeError: If the training loader has no ``TaskMixtureSampler``.
        ValueError: If the number of ``end_ratios`` is not the number of tasks,
            or they are negative or all 0.
    """

    def __init__(
        self, end_ratios: Optional[Sequence[float]] = None, power: float = 1.0
    ) -> None:
        self.end_ratios = end_ratios
        self.power = power
        self._stored: Optional[Dict[str, Any]] = None

    def before_train(self, runner: Runner) -> None:
        """Find the sampler and set its ratios.

        Args:
            runner (Runner): The runner.
        """
        sampler = runner.train_dataloader.batch_sampler
        if isinstance(sampler, _SeededBatches):
            sampler = sampler.base
        if not isinstance(sampler, TaskMixtureSampler):
            raise TypeError(
                'TaskMixtureHook needs a TaskMixtureSampler, but the training '
                f'loader has a {type(sampler).__name__}: set '
                'train_dataloader.batch_sampler.'
            )
        self.sampler = sampler
        tasks = len(self.sampler.parts)
        start = self.sampler.ratios
        if self.end_ratios is None:
            self.ends = start
        else:
            self.ends = self.sampler.normalize('end_ratios', self.end_ratios)
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
        outputs: Any = None,
    ) -> None:
        """Record the loss; at the end of an interval, set new ratios.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Not used.
            data_batch (Any): Not used.
            outputs (dict, optional): The output of the training step, with
                ``loss``.
        """
        task = self.sampler.task_at(runner.iter)
        loss = tensor(float(outputs['loss']))
        all_reduce(loss, op='mean')
        self.state['totals'][task] += float(loss)
        self.state['counts'][task] += 1
        if (runner.iter + 1) % self.sampler.interval:
            return
        progress = (runner.iter + 1) / runner.max_iters
        ratios = []
        for start, end, difficulty in zip(
            self.sampler.ratios, self.ends, self._difficulties()
        ):
            planned = (1 - progress) * start + progress * end
            ratios.append(planned * difficulty**self.power)
        self.state['history'].append(self.sampler.normalize('ratios', ratios))

    def _difficulties(self) -> List[float]:
        """Compute the difficulty of each task, and start a new interval."""
        state = self.state
        difficulties = []
        for task, count in enumerate(state['counts']):
            if count:
                state['last'][task] = state['totals'][task] / count
                if state['first'][task] is None:
                    state['first'][task] = state['last'][task]
            state['totals'][task] = 0.0
            state['counts'][task] = 0
            first = state['first'][task]
            difficulties.append(state['last'][task] / first if first else 1.0)
        return difficulties

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Store the ratios in the checkpoint.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The checkpoint, which is changed.
        """
        checkpoint['task_mixture'] = self.state

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Read the ratios from the checkpoint. They are used on resumption.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The checkpoint.
        """
        self._stored = checkpoint.get('task_mixture')
