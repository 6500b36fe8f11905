"""Training and loading of models with adapters."""

from typing import Optional

from mmengine.hooks import Hook
from mmengine.runner import Runner, load_checkpoint

from mmvlfusion.models.adapters.base import STATISTICS
from mmvlfusion.models.utils import check_checkpoint
from mmvlfusion.registry import HOOKS


@HOOKS.register_module()
class AdapterHook(Hook):
    """Keep frozen weights out of the optimizer, and load the base of adapters.

    The hook is not needed for a model whose base is loaded by its ``init_cfg``, apart
    from the optimizer: some releases of mmengine give it frozen parameters as well.

    Args:
        base (str, optional): Checkpoint of the complete base, which is loaded before
            one with trained weights only. ``tools/train.py`` and ``tools/test.py``
            set it to ``load_from`` of the config. Defaults to None.

    Raises:
        FileNotFoundError: If the file of the base is missing when it is needed.
        ValueError: If it is incomplete or may run code.
    """

    def __init__(self, base: Optional[str] = None) -> None:
        self.base = base

    def before_run(self, runner: Runner) -> None:
        """Remove frozen parameters from the optimizer.

        Args:
            runner (Runner): The runner.
        """
        optimizer = getattr(runner.optim_wrapper, 'optimizer', None)
        # Schedules refer to the groups, which remain even if they are empty.
        for group in getattr(optimizer, 'param_groups', ()):
            group['params'] = [p for p in group['params'] if p.requires_grad]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Load the base before a checkpoint that needs it is loaded.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The checkpoint.
        """
        weights = checkpoint.get('state_dict', checkpoint)
        if self.base and any(key.split('.')[-1] == STATISTICS for key in weights):
            check_checkpoint(self.base)
            load_checkpoint(runner.model, self.base, map_location='cpu')
