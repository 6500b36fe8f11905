"""Parameters of models that are sharded over processes."""

from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any, Iterator

from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP

# What FSDP adds to the names of the parameters of a unit.
_PREFIX = '_fsdp_wrapped_module.'


def is_sharded(model: nn.Module) -> bool:
    """Check whether blocks of a model are sharded over processes.

    Their parameters then are parts, and ``state_dict`` exchanges data among the
    processes.

    Args:
        model (nn.Module): The model.

    Returns:
        bool: Whether a module within it is a unit of FSDP.
    """
    return any(isinstance(module, FSDP) for module in model.modules())


@contextmanager
def gathered_parameters(model: nn.Module) -> Iterator[Any]:
    """Gather the parameters of the sharded blocks of a model.

    Args:
        model (nn.Module): A model, or one whose blocks are units of FSDP, within
            its forward pass.

    Yields:
        nn.Module | SimpleNamespace: The model, or an object with its methods
        ``named_parameters`` and ``buffers`` that gives complete parameters by their
        names in the model that is not sharded.
    """
    units = [module for module in model.modules() if isinstance(module, FSDP)]
    if not units:
        yield model
        return
    with ExitStack() as stack:
        for unit in units:
            stack.enter_context(
                FSDP.summon_full_params(unit, recurse=False, writeback=False)
            )
        yield SimpleNamespace(
            named_parameters=lambda: [
                (name.replace(_PREFIX, ''), parameter)
                for name, parameter in model.named_parameters()
            ],
            buffers=model.buffers,
        )
