"""Time and memory of one call."""

import ctypes
import gc
import sys
import time
from typing import Any, Callable, Tuple

import torch


def keep_heap() -> None:
    """Make glibc keep the memory of freed tensors, of up to 32 MiB each.

    Whether it hands memory back after each large tensor, only to fetch it
    again page by page, depends on what the process did before. That costs
    nothing in one process and a quarter of the time in another.
    """
    if sys.platform == 'linux':
        libc = ctypes.CDLL(None)
        if hasattr(libc, 'mallopt'):
            trim_threshold, mmap_threshold = -1, -3  # malloc.h
            libc.mallopt(trim_threshold, 2**30)
            libc.mallopt(mmap_threshold, 2**25)  # the largest there is


def _synchronize(device: str) -> None:
    if device.startswith('cuda'):
        torch.cuda.synchronize()


def time_and_result(step: Callable, device: str) -> Tuple[float, Any]:
    """The seconds that one call takes, and what it returns."""
    _synchronize(device)
    start = time.perf_counter()
    result = step()
    _synchronize(device)
    return time.perf_counter() - start, result


def time_call(step: Callable, device: str) -> float:
    """The seconds that one call takes."""
    return time_and_result(step, device)[0]


def peak_memory(step: Callable, device: str) -> float:
    """Peak MiB that one call allocates, above what stands before it."""
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
    for event in sorted(changes, key=lambda event: event.start_ns()):
        current += event.nbytes()
        peak = max(peak, current)
    return peak / 2**20
