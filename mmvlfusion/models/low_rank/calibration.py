"""Statistics of layers' inputs on calibration data, an extension of PELA."""

import inspect
from contextlib import contextmanager
from functools import partial
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Tuple,
)

import torch
import torch.nn as nn
from mmengine.logging import print_log

from ..utils import packed_attention

# Arguments that mark padded tokens, and whether they are nonzero for tokens (or for
# padding).
MASKS = dict(
    attention_mask=True,
    key_padding_mask=False,
    query_key_padding_mask=False,
    src_key_padding_mask=False,
)
# Eigenvalues below this part of the largest one are zero.
RELATIVE_CUT = 1e-10


class Moments:
    """Running mean and covariance of a layer's inputs.

    Products are computed in single precision for each batch and summed in
    double precision. They are relative to the mean of the first batch, so that a
    large mean does not cancel digits.

    Attributes:
        count (int): Number of inputs.
    """

    def __init__(self) -> None:
        self.count = 0
        self._origin: Dict[str, torch.Tensor] = {}
        self._sums: Dict[str, torch.Tensor] = {}

    def add(self, x: torch.Tensor, target: Optional[torch.Tensor] = None) -> None:
        """Add inputs.

        Args:
            x (torch.Tensor): Shape (groups, n, in).
            target (torch.Tensor, optional): The inputs of the dense model for
                the same tokens, of the same shape. Defaults to None.
        """
        if not x.shape[1]:
            return
        self.count += x.shape[1]
        inputs = dict(x=x) if target is None else dict(x=x, target=target)
        centred = {}
        for name, value in inputs.items():
            value = value.detach().float()
            if name not in self._origin:
                self._origin[name] = value.mean(1, keepdim=True)
            centred[name] = value - self._origin[name]
            self._add(name, centred[name].sum(1))
        self._add('xx', centred['x'].mT @ centred['x'])
        if target is not None:
            self._add('target x', centred['target'].mT @ centred['x'])
            self._add('target target', centred['target'].mT @ centred['target'])

    def _add(self, name: str, value: torch.Tensor) -> None:
        self._sums[name] = self._sums.get(name, 0) + value.double()

    def mean(self, name: str = 'x') -> torch.Tensor:
        """Get the mean of the inputs.

        Args:
            name (str): ``'x'``, or ``'target'`` for those of the dense model.

        Returns:
            torch.Tensor: Shape (groups, in).
        """
        return self._origin[name][:, 0].double() + self._sums[name] / self.count

    def covariance(
        self, centred: bool = True, rows: str = 'x', columns: str = 'x'
    ) -> torch.Tensor:
        """Get a matrix of second moments.

        Args:
            centred (bool): Whether they are relative to the means. Defaults
                to True.
            rows (str): ``'x'``, or ``'target'`` for the inputs of the dense model.
                Defaults to ``'x'``.
            columns (str): The same for the columns. Defaults to ``'x'``.

        Returns:
            torch.Tensor: Shape (groups, in, in).
        """
        shift = self._sums[rows] / self.count, self._sums[columns] / self.count
        products = self._sums['xx' if rows == columns == 'x' else f'{rows} {columns}']
        covariance = products / self.count - _outer(*shift)
        if centred:
            return covariance
        return covariance + _outer(self.mean(rows), self.mean(columns))

    @property
    def is_paired(self) -> bool:
        """bool: Whether the inputs of the dense model were added too."""
        return 'target' in self._sums

    def forget_products(self) -> None:
        """Free the matrices and keep the means."""
        self._sums = {k: v for k, v in self._sums.items() if k in ('x', 'target')}


def _outer(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a.unsqueeze(-1) * b.unsqueeze(-2)


class InputStatistics:
    """Moments of the inputs of one layer.

    A linear layer has one input, the packed projection of an attention three. A
    layer with fewer outputs than inputs needs only the moments of its outputs.

    Args:
        layer (nn.Linear | nn.Conv2d): The layer.
        centred (bool): Whether a bias can hold the mean of the outputs.
        of_inputs (bool): Whether the moments of the inputs are needed in any case,
            as with those of the dense model. Defaults to False.

    Attributes:
        of_outputs (bool): Whether the moments are those of the outputs, without
            bias.
    """

    def __init__(
        self, layer: nn.Module, centred: bool, of_inputs: bool = False
    ) -> None:
        self.layer = layer
        self.centred = centred
        self.parts: List[Moments] = []
        out_features, in_features = matrices(layer).shape[1:]
        self.of_outputs = not of_inputs and out_features < in_features

    def add(
        self, inputs: List[torch.Tensor], targets: Optional[List[torch.Tensor]] = None
    ) -> None:
        """Add the inputs of a call.

        Args:
            inputs (list[torch.Tensor]): Each (groups, n, in).
            targets (list[torch.Tensor], optional): Those of the dense model.
        """
        if not self.parts:
            self.parts = [Moments() for _ in inputs]
        if self.of_outputs:
            weight = matrices(self.layer)
            inputs = [x.to(weight) @ weight.mT for x in inputs]
        for index, (part, x) in enumerate(zip(self.parts, inputs)):
            part.add(x, None if targets is None else targets[index])

    @property
    def count(self) -> int:
        """int: Number of the inputs."""
        return max((part.count for part in self.parts), default=0)

    def covariance(self, of: str = 'x') -> torch.Tensor:
        """Get the covariance of the inputs, or of the outputs if these are added.

        Args:
            of (str): ``'x'``, or ``'target'`` for the inputs of the dense model.
                Defaults to ``'x'``.

        Returns:
            torch.Tensor: Shape (groups, in, in), or (groups, out, out).
        """
        total = sum(part.count for part in self.parts)
        return sum(
            part.covariance(self.centred, of, of) * (part.count / total)
            for part in self.parts
        )

    def target_weight(self) -> torch.Tensor:
        """Get the weight whose outputs for the inputs are closest to those of the
        dense model.

        It is W M G^+, of which the low-rank weight is a projection (AA-SVD,
        arXiv 2604.02119): M has the moments of the dense model's inputs with the
        inputs, G those of the inputs.

        Returns:
            torch.Tensor: Shape (groups, out / groups, in), in double precision.
        """
        rows = matrices(self.layer).double().chunk(len(self.parts), 1)
        mapped = []
        for part, weight in zip(self.parts, rows):
            cross = part.covariance(self.centred, 'target')
            inverse = torch.linalg.pinv(
                part.covariance(self.centred), rtol=RELATIVE_CUT, hermitian=True
            )
            mapped.append(weight @ cross @ inverse)
        return torch.cat(mapped, 1)

    def bias_shift(self, basis: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compute the change of the bias that keeps the mean of the outputs.

        Args:
            basis (torch.Tensor): The components that the outputs are projected on,
                (groups, out / groups, rank).
            target (torch.Tensor): The weight that is projected, (groups,
                out / groups, in / groups).

        Returns:
            torch.Tensor: Shape (out,), in double precision.
        """
        means, projected = [], []
        chunks = len(self.parts)
        rows = zip(
            matrices(self.layer).double().chunk(chunks, 1),
            target.double().chunk(chunks, 1),
        )
        for part, (dense, weight) in zip(self.parts, rows):
            mean = part.mean().unsqueeze(-1)
            if self.of_outputs:
                means.append(mean)
                projected.append(mean)
            else:
                of = part.mean('target' if part.is_paired else 'x').unsqueeze(-1)
                means.append(dense @ of)
                projected.append(weight @ mean)
        basis = basis.double()
        low = basis @ (basis.mT @ torch.cat(projected, 1))
        return (torch.cat(means, 1) - low).flatten()


def matrices(layer: nn.Module) -> torch.Tensor:
    """Get the weight of a layer as matrices.

    Args:
        layer (nn.Linear | nn.Conv2d): The layer.

    Returns:
        torch.Tensor: Shape (groups, out / groups, in / groups).
    """
    groups = getattr(layer, 'groups', 1)
    return layer.weight.detach().flatten(1).unflatten(0, (groups, -1))


class Padding:
    """The tokens that a mask of the model marks as padding, while it runs."""

    def __init__(self, module: nn.Module) -> None:
        self.masks: List[torch.Tensor] = []
        self.handles = []
        for child in module.modules():
            names = _mask_arguments(child)
            if names:
                self.handles += [
                    child.register_forward_pre_hook(
                        partial(self._enter, names), with_kwargs=True
                    ),
                    child.register_forward_hook(self._leave),
                ]

    def _enter(self, names: Dict[str, int], _: nn.Module, args: tuple, kw: dict):
        for name, position in names.items():
            mask = kw.get(name, args[position] if position < len(args) else None)
            if isinstance(mask, torch.Tensor) and mask.dim() in (2, 4):
                self.masks.append(_valid_tokens(mask, MASKS[name]))
                return
        self.masks.append(torch.empty(0))

    def _leave(self, *_: Any) -> None:
        self.masks.pop()

    def drop(self, x: torch.Tensor) -> torch.Tensor:
        """Drop padded tokens, (B, N, in) -> (n, in)."""
        for mask in self.masks:
            if mask.shape == x.shape[:-1]:
                return x[mask.to(x.device)]
        return x.flatten(0, -2)

    def remove(self) -> None:
        """Remove the hooks."""
        self.masks.clear()
        for handle in self.handles:
            handle.remove()


def _mask_arguments(module: nn.Module) -> Dict[str, int]:
    """Names and positions of the arguments that mark padded tokens."""
    try:
        names = list(inspect.signature(module.forward).parameters)
    except (TypeError, ValueError):
        return {}
    return {name: names.index(name) for name in MASKS if name in names}


def _valid_tokens(mask: torch.Tensor, marks_tokens: bool) -> torch.Tensor:
    """Convert a mask into a boolean one, (B, N), that is True for tokens."""
    if mask.dim() == 4:  # Terms that are added to scores, (B, 1, 1, N).
        if mask.shape[1] != 1 or mask.shape[2] != 1:
            return torch.empty(0)
        mask = mask[:, 0, 0]
        return mask if mask.dtype == torch.bool else mask > -1
    return mask.bool() if marks_tokens else ~mask.bool()


class Stop(Exception):
    """Ends a forward pass when all that is needed has run."""


@contextmanager
def named_failures(module: nn.Module) -> Iterator[None]:
    """Name the module in which a forward pass fails.

    Args:
        module (nn.Module): The model.

    Raises:
        RuntimeError: If the forward pass fails.
    """
    running: List[str] = []
    handles = []
    for name, child in module.named_modules():
        handles += [
            child.register_forward_pre_hook(lambda *_, name=name: running.append(name)),
            child.register_forward_hook(lambda *_: running.pop() and None),
        ]
    try:
        yield
    except Stop:
        raise
    except Exception as error:
        name = running[-1] if running else ''
        where = (
            f'{name} ({type(module.get_submodule(name)).__name__})'
            if name
            else type(module).__name__
        )
        raise RuntimeError(
            f'The forward pass of {type(module).__name__} on a calibration batch '
            f'fails in {where}: {type(error).__name__}: {error}\nEach batch must be '
            "an input of the model's test_step, or of a call if it has none."
        ) from error
    finally:
        for handle in handles:
            handle.remove()


def run(module: nn.Module, batch: Any) -> Any:
    """Run a model on a calibration batch.

    Args:
        module (nn.Module): The model: a host's model runs by ``test_step``, any
            other by a call.
        batch (Any): The batch.

    Returns:
        Any: The result; None if the pass was ended by ``Stop``.
    """
    try:
        with torch.no_grad(), named_failures(module):
            if hasattr(module, 'test_step'):
                return module.test_step(batch)
            if _has_arguments(module, batch):
                return module(**batch)
            return module(batch)
    except Stop:
        return None


def _has_arguments(module: nn.Module, batch: Any) -> bool:
    """Whether the keys of a batch are arguments of a model, as in transformers."""
    if not isinstance(batch, Mapping):
        return False
    try:
        inspect.signature(module.forward).bind(**batch)
    except TypeError:
        return False
    return True


@contextmanager
def evaluation(*modules: nn.Module) -> Iterator[None]:
    """Set modules to evaluation mode for a while.

    Args:
        *modules (nn.Module): The modules.
    """
    modes = [
        (child, child.training) for module in modules for child in module.modules()
    ]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for child, training in modes:
            child.training = training


@contextmanager
def watched_inputs(
    module: nn.Module,
    layers: Dict[str, nn.Module],
    receive: Callable[[str, List[torch.Tensor]], None],
) -> Iterator['Padding']:
    """Pass on the inputs of layers while a model runs.

    Args:
        module (nn.Module): The model.
        layers (dict[str, nn.Module]): The layers, with the names of
            ``linear_layers``.
        receive (Callable): Receives the name of a layer and its inputs, each
            (groups, n, in / groups), without padded tokens.

    Yields:
        Padding: The padded tokens at any moment of a forward pass.
    """
    padding = Padding(module)

    def record(name: str, layer: nn.Module, _: nn.Module, args: tuple, kw: dict):
        # A linear layer has one input, an attention query, key and value.
        if isinstance(layer, nn.Conv2d):
            step = layer.stride
            x = args[0][..., :: step[0], :: step[1]].flatten(2)
            x = x.unflatten(1, (layer.groups, -1)).permute(1, 0, 3, 2)
            receive(name, [x.flatten(1, 2)])
            return
        named = (kw.get(key) for key in ('input', 'query', 'key', 'value'))
        inputs = [x for x in (*args[:3], *named) if x is not None]
        receive(name, [padding.drop(x).unsqueeze(0) for x in inputs])

    handles = []
    for name, layer in layers.items():
        owner = packed_attention(module, name) or layer
        handles.append(
            owner.register_forward_pre_hook(
                partial(record, name, layer), with_kwargs=True
            )
        )
    try:
        yield padding
    finally:
        padding.remove()
        for handle in handles:
            handle.remove()


class LayerCalls(NamedTuple):
    """How a layer runs in a forward pass of one batch.

    Attributes:
        calls (int): How often it runs.
        inputs (int): Number of inputs of a call, such as the tokens of a batch.
        input (tuple): Identity of the input of the last call.
    """

    calls: int
    inputs: int
    input: tuple


def trace(
    module: nn.Module, layers: Dict[str, nn.Module], batches: List[Any]
) -> Dict[str, LayerCalls]:
    """Run one batch to find how the layers run.

    Args:
        module (nn.Module): The model.
        layers (dict[str, nn.Module]): The layers by name.
        batches (list): Inputs of the model.

    Returns:
        dict[str, LayerCalls]: The calls by name, in the order in which the layers
        run, without layers that do not run.

    Raises:
        ValueError: If there is no batch.
        RuntimeError: If the forward pass fails.
    """
    if not batches:
        raise ValueError(
            'calibration has no batch: give at least one, or a loader of a data set '
            'that has images.'
        )
    counts: Dict[str, List[int]] = {}
    last: Dict[str, tuple] = {}

    def receive(name: str, inputs: List[torch.Tensor]) -> None:
        last[name] = _identity(inputs[0])
        counts.setdefault(name, []).append(
            sum(x.shape[1] for x in inputs) // len(inputs)
        )

    with evaluation(module), watched_inputs(module, layers, receive):
        run(module, batches[0])
    return {
        name: LayerCalls(len(numbers), sum(numbers) // len(numbers), last[name])
        for name, numbers in counts.items()
    }


def _identity(x: torch.Tensor) -> tuple:
    """What equals for equal tensors only, except by chance."""
    return (tuple(x.shape), x.double().sum().item(), x.double().square().sum().item())


def input_statistics(
    module: nn.Module,
    layers: Dict[str, nn.Module],
    batches: List[Any],
    progress: Callable[[list], Iterable] = iter,
    of_inputs: bool = False,
) -> Dict[str, InputStatistics]:
    """Compute statistics of the inputs of layers.

    Args:
        module (nn.Module): The model. It runs in evaluation mode, a host's
            model by ``test_step``, any other by a call.
        layers (dict[str, nn.Module]): The layers, with the names of
            ``linear_layers``.
        batches (list): Inputs of the model.
        progress (Callable): Wraps the batches, such as a progress bar.
        of_inputs (bool): See ``InputStatistics``.

    Returns:
        dict[str, InputStatistics]: The statistics by name, in the order in
        which the layers ran, without layers that did not run.

    Raises:
        RuntimeError: If the forward pass fails.
    """
    statistics: Dict[str, InputStatistics] = {}

    def receive(name: str, inputs: List[torch.Tensor]) -> None:
        if name not in statistics:
            bias = bias_of(module, name, layers[name])
            statistics[name] = InputStatistics(
                layers[name], bias is not None, of_inputs
            )
        statistics[name].add(inputs)

    with evaluation(module), watched_inputs(module, layers, receive):
        for batch in progress(batches):
            run(module, batch)
    idle = [name for name in layers if name not in statistics]
    if idle:
        print_log(
            f'{len(idle)} layers did not run on the calibration batches, so that '
            f'their factors are those of the weights only: {", ".join(idle)}.'
        )
    _warn_of_few_inputs(statistics)
    return statistics


def _warn_of_few_inputs(statistics: Dict[str, InputStatistics]) -> None:
    """Warn if a covariance has fewer samples than dimensions."""
    small = {
        name: (s.count, matrices(s.layer).shape[-1])
        for name, s in statistics.items()
        if s.count < matrices(s.layer).shape[-1]
    }
    if small:
        name, (count, width) = max(small.items(), key=lambda x: x[1][1] / x[1][0])
        print_log(
            f'The calibration is small for {len(small)} layers: {name} has {count} '
            f'inputs of {width} channels. Their factors fit these inputs exactly and '
            f'generalise less: give at least {-(-width // max(count, 1))} times as '
            'many batches.',
            level=30,
        )


def bias_of(module: nn.Module, name: str, layer: nn.Module) -> Optional[nn.Parameter]:
    """Get the bias of a layer, or of the packed projection of an attention.

    Args:
        module (nn.Module): The model.
        name (str): Name of the layer, as ``linear_layers`` lists it.
        layer (nn.Module): The layer.

    Returns:
        nn.Parameter | None: The bias.
    """
    attention = packed_attention(module, name)
    return layer.bias if attention is None else attention.in_proj_bias


def features_of(layer: nn.Module) -> Tuple[int, int]:
    """Get the channels of the output and of the input of a layer.

    Args:
        layer (nn.Module): A linear layer or a convolution.

    Returns:
        tuple[int, int]: The numbers.
    """
    return layer.weight.shape[0], layer.weight.shape[1] * getattr(layer, 'groups', 1)
