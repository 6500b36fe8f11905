"""Functions that the supported releases of PyTorch have in different places."""

from contextlib import AbstractContextManager
from typing import Any

import torch


def is_compiling() -> bool:
    """Check whether ``torch.compile`` traces the code.

    Returns:
        bool: True within a compiled function.
    """
    if hasattr(torch.compiler, 'is_dynamo_compiling'):  # From PyTorch 2.3 on.
        return torch.compiler.is_dynamo_compiling()
    return torch._dynamo.is_compiling()


def is_symbolic(*sizes: Any) -> bool:
    """Check whether ``torch.export`` traces a graph for any size.

    Args:
        *sizes (int | torch.SymInt): Sizes of tensors.

    Returns:
        bool: True if one of the sizes has no fixed value.
    """
    return any(isinstance(size, torch.SymInt) for size in sizes)


def attention_as_matmuls() -> AbstractContextManager:
    """Make ``scaled_dot_product_attention`` run as separate matmuls.

    Returns:
        AbstractContextManager: The context in which it does.
    """
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:  # Not in PyTorch 2.1.
        return torch.backends.cuda.sdp_kernel(
            enable_flash=False, enable_mem_efficient=False
        )
    return sdpa_kernel(SDPBackend.MATH)


def start_time(event: Any) -> int:
    """Get the start of an event of the profiler.

    Args:
        event (Any): The event.

    Returns:
        int: Its start in nanoseconds. PyTorch 2.1 rounds it to microseconds.
    """
    if hasattr(event, 'start_ns'):
        return event.start_ns()
    return 1000 * event.start_us()


def has_fused_optimizers(device: str) -> bool:
    """Check whether optimizers have ``fused`` kernels for a device.

    Args:
        device (str): The device.

    Returns:
        bool: True if they do. PyTorch 2.1 has none for CPUs.
    """
    parameter = torch.nn.Parameter(torch.zeros(1, device=device))
    try:
        torch.optim.AdamW([parameter], fused=True)
    except RuntimeError:
        return False
    return True


def has_bfloat16(device: str) -> bool:
    """Check whether a device computes in bfloat16.

    ``torch.cuda.is_bf16_supported`` includes devices that emulate it, from PyTorch
    2.4 on.

    Args:
        device (str): The type of the device.

    Returns:
        bool: True for a CPU, GPUs of AMD, and those of NVIDIA from Ampere on.
    """
    if device != 'cuda':
        return device == 'cpu'
    return torch.version.hip is not None or torch.cuda.get_device_capability()[0] >= 8
