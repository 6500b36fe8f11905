"""Time and memory of one call."""

import gc
import time
from typing import Any, Callable, Tuple

import torch

from mmvlfusion.utils.torch_versions import start_time


def _synchronize(device: str) -> None:
    """Wait for the kernels of a GPU."""
    if device.startswith('cuda'):
        torch.cuda.synchronize()


def time_and_result(step: Callable, device: str) -> Tuple[float, Any]:
    """Measure the time of one call, and return its result.

    Args:
        step (Callable): The function to call, without arguments.
        device (str): The device that it runs on.

    Returns:
        tuple[float, Any]: The time in seconds and the result.
    """
    _synchronize(device)
    start = time.perf_counter()
    result = step()
    _synchronize(device)
    return time.perf_counter() - start, result


def time_call(step: Callable, device: str) -> float:
    """Measure the time of one call.

    Args:
        step (Callable): The function to call, without arguments.
        device (str): The device that it runs on.

    Returns:
        float: The time in seconds.
    """
    return time_and_result(step, device)[0]


def peak_memory(step: Callable, device: str) -> float:
    """Measure the peak memory of one call.

    Args:
        step (Callable): The function to call, without arguments.
        device (str): The device that it runs on.

    Returns:
        float: The peak of the allocated memory in MiB, minus the memory that is
        allocated before the call.
    """
    gc.collect()
    if device.startswith('cuda'):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        step()
    changes = [
        event
        for event in profile.profiler.kineto_results.events()
        if event.name() == '[memory]'
    ]
    current = peak = 0
    for event in sorted(changes, key=start_time):
        current += event.nbytes()
        peak = max(peak, current)
    return peak / 2**20
