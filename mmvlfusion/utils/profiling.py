"""Time and memory of one call."""
import gc
import time
from typing import Any, Callable, Tuple

import torch


def _synchronize(device: str) -> None:
    if device.startswith('cuda'):
        torch.cuda.synchronize()


def timed(step: Callable, device: str) -> Tuple[float, Any]:
    """The seconds that one call takes, and what it returns."""
    _synchronize(device)
    start = time.perf_counter()
    result = step()
    _synchronize(device)
    return time.perf_counter() - start, result


def seconds(step: Callable, device: str) -> float:
    """The seconds that one call takes."""
    return timed(step, device)[0]


def peak_memory(step: Callable, device: str) -> float:
    """Peak MiB that one call allocates, above what stands before it."""
    gc.collect()
    if device.startswith('cuda'):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(
            activities=activities, profile_memory=True) as profile:
        step()
    changes = [
        event for event in profile.profiler.kineto_results.events()
        if event.name() == '[memory]'
    ]
    current = peak = 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        current += event.nbytes()
        peak = max(peak, current)
    return peak / 2**20
