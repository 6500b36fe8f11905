"""Measured times of dense and low-rank layers on this machine."""

from typing import Dict

import torch
import torch.nn as nn
from torch.utils.benchmark import Timer

from .calibration import features_of
from .surgery import low_rank_layer

# Shortest time of a measurement in seconds, and the number of measurements.
MIN_SECONDS, ROUNDS = 0.01, 3


class LatencyTable:
    """Measured times by the shape of a layer and its rank.

    Layers of one shape with as many inputs are measured once.

    Attributes:
        times (dict[tuple, float]): Times in seconds.
    """

    def __init__(self) -> None:
        self.times: Dict[tuple, float] = {}

    def time(self, layer: nn.Module, rank: int, count: int) -> float:
        """Measure a layer with a rank, on the device of its weight.

        Args:
            layer (nn.Linear | nn.Conv2d): The dense layer.
            rank (int): The rank; 0 for the dense layer.
            count (int): Number of its inputs in a call, such as the tokens of a
                batch.

        Returns:
            float: The time of a call in seconds, the smallest of a few.
        """
        key = (
            tuple(layer.weight.shape),
            getattr(layer, 'groups', 1),
            str(layer.weight.device),
            count,
            rank,
        )
        if key not in self.times:
            self.times[key] = _measure(layer, rank, count)
        return self.times[key]


def _measure(layer: nn.Module, rank: int, count: int) -> float:
    width = features_of(layer)[1]
    shape = (1, width, count, 1) if isinstance(layer, nn.Conv2d) else (count, width)
    x = torch.rand(shape).to(layer.weight)
    if rank:
        layer = low_rank_layer(layer, rank, empty=True)
    timer = Timer(
        'layer(x)', globals=dict(layer=layer, x=x), num_threads=torch.get_num_threads()
    )
    with torch.no_grad():
        return min(
            timer.blocked_autorange(min_run_time=MIN_SECONDS).median
            for _ in range(ROUNDS)
        )
