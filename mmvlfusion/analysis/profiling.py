"""Measurement of the time and memory of a call."""

import ctypes
import gc
import sys
import time
from typing import Any, Callable, Tuple

import torch

# Parameters of mallopt, from malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_TRIM_BYTES = 2**30
# The largest threshold that glibc accepts.
_MMAP_BYTES = 2**25
_MIB = 2**20


def keep_heap() -> None:
    """Make glibc keep the memory of freed tensors of up to 32 MiB.

    By default, it depends on the history of the process whether glibc returns
    this memory to the system after each large tensor and requests it again page
    by page. In some processes this takes a quarter of the time, in others
    none.
    """
    if sys.platform == 'linux':
        libc = ctypes.CDLL(None)
        if hasattr(libc, 'mallopt'):
            libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
            libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)


def _synchronize(device: str) -> None:
    """Wait for the kernels of a GPU."""
    if device.startswith('cuda'):
        torch.cuda.synchronize()


def time_and_result(step: Callable, device: str) -> Tuple[float, Any]:
    """Measure the time of a call, and keep its result.

    Args:
        step (Callable): The call.
        device (str): Device on which it runs.

    Returns:
        tuple[float, Any]: The seconds that the call takes, and its result.
    """
    _synchronize(device)
    start = time.perf_counter()
    result = step()
    _synchronize(device)
    return time.perf_counter() - start, result


def time_call(step: Callable, device: str) -> float:
    """Measure the time of a call.

    Args:
        step (Callable): The call.
        device (str): Device on which it runs.

    Returns:
        float: The seconds that the call takes.
    """
    return time_and_result(step, device)[0]


def peak_memory(step: Callable, device: str) -> float:
    """Measure the peak of the memory that a call allocates.

    Memory that is allocated before the call is not counted.

    Args:
        step (Callable): The call.
        device (str): Device on which it runs.

    Returns:
        float: The peak in MiB.
    """
    gc.collect()
    if device.startswith('cuda'):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return (torch.cuda.max_memory_allocated() - before) / _MIB
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
    return peak / _MIB
