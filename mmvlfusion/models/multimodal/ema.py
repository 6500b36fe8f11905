"""The exponential moving average of a model, for soft targets."""

from mmengine.model import ExponentialMovingAverage
from torch import nn

from ..utils import gathered_parameters


class EMAModel(ExponentialMovingAverage):
    """Exponential moving average of a model with replaceable layers.

    Layers of the averaged model may be replaced by low-rank ones after the
    construction. If a checkpoint lacks some of its parameters, such as the
    factors of these layers, the average restarts from the model, because its
    factors would be in other bases than the model's factors. A checkpoint may
    hold more parameters, such as those of other objectives.

    Args:
        model (nn.Module): The model to be averaged.
        momentum (float): Weight of the model in an update. See
            ``mmengine.model.ExponentialMovingAverage``.
        **kwargs: See ``mmengine.model.ExponentialMovingAverage``.
    """

    def update_parameters(self, model: nn.Module) -> None:
        """See ``ExponentialMovingAverage.update_parameters``."""
        # Layers may have been replaced since the last update.
        self.avg_parameters = dict(self.module.named_parameters())
        with gathered_parameters(model) as source:
            super().update_parameters(source)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Restart the average if the checkpoint lacks some of its parameters."""
        super()._load_from_state_dict(state_dict, prefix, *args)
        names = (name for name, _ in self.module.named_parameters())
        if any(f'{prefix}module.{name}' not in state_dict for name in names):
            # At step 0 an update copies the model.
            self.steps.zero_()
