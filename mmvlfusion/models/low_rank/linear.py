"""The low-rank linear layer and its factorisation."""

from typing import Optional, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F

# Single precision suffices for the Gram matrix if the squared error of the
# truncation exceeds this share of the largest eigenvalue, per unit of rank.
SINGLE_PRECISION_LIMIT = 1e-3
# Limits of the norms and of their ratio when the factors are balanced.
MIN_NORM, MAX_SCALE = 1e-12, 1e12


def gram(matrix: torch.Tensor) -> torch.Tensor:
    """Compute the Gram matrix of the smaller side.

    Args:
        matrix (torch.Tensor): Shape (rows, columns).

    Returns:
        torch.Tensor: Shape (n, n) with n = min(rows, columns); its eigenvalues
        are the squared singular values.
    """
    if matrix.shape[0] <= matrix.shape[1]:
        return matrix @ matrix.T
    return matrix.T @ matrix


def _leading_vectors(matrix: torch.Tensor, rank: int) -> torch.Tensor:
    """The leading singular vectors of the smaller side, (n, rank).

    Single precision is twice as fast. It is used where the truncation error is
    so large that rounding the Gram matrix adds less than 1e-4 to it.
    """
    if matrix.dtype == torch.float32:
        values, vectors = torch.linalg.eigh(gram(matrix))
        if values[:-rank].clamp_min(0).sum() > (
            SINGLE_PRECISION_LIMIT * rank * values[-1]
        ):
            return vectors[:, -rank:].flip(1)
    vectors = torch.linalg.eigh(gram(matrix.double()))[1]
    return vectors[:, -rank:].flip(1)


def factorize(
    weight: torch.Tensor, rank: int, covariance: Optional[torch.Tensor] = None
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Compute the best approximation of a matrix by two factors.

    It is the truncated singular value decomposition with the square root of
    the singular values in both factors (PELA, Section 3.1, Eq. 2-3), computed
    by an eigendecomposition of the Gram matrix of the smaller side, which is
    faster than a full decomposition. With the covariance of the layer's
    inputs, the error of the outputs is minimised instead of that of the
    weights.

    Args:
        weight (torch.Tensor): Shape (out, in).
        rank (int): Rank of the approximation, 1 to min(out, in).
        covariance (torch.Tensor, optional): Positive definite, (in, in).

    Returns:
        tuple[torch.Tensor, torch.Tensor]: ``down`` (rank, in) and ``up``
        (out, rank), of the weight's type and device; ``up @ down``
        approximates the weight.

    Raises:
        ValueError: If the rank is out of range or the weight not finite.
    """
    out_features, in_features = weight.shape
    if not 1 <= rank <= min(weight.shape):
        raise ValueError(
            f'rank={rank} must be within 1 ... '
            f'{min(weight.shape)} for a weight of the shape '
            f'{tuple(weight.shape)}.'
        )
    exact = weight.dtype == torch.float64 or covariance is not None
    dense = weight.detach().to(torch.float64 if exact else torch.float32)
    if not torch.isfinite(dense).all():
        raise ValueError(
            f'A weight of the shape {tuple(weight.shape)} has values that are '
            'not finite and cannot be factorised: its training has diverged.'
        )
    matrix = dense
    if covariance is not None:
        values, vectors = torch.linalg.eigh(covariance.to(dense))
        root = (vectors * values.sqrt()) @ vectors.T
        matrix = dense @ root
    top = _leading_vectors(matrix, rank)
    dense, matrix = dense.to(top), matrix.to(top)
    if out_features <= in_features:
        up, down = top, top.T @ dense
    elif covariance is None:
        up, down = dense @ top, top.T
    else:
        up = matrix @ top
        down = top.T @ ((vectors * values.rsqrt()) @ vectors.T)
    # Give both factors equal norms; directions of zero norm remain trainable.
    scale = down.norm(dim=1) / up.norm(dim=0).clamp_min(MIN_NORM)
    scale = scale.clamp(MIN_NORM, MAX_SCALE).sqrt()
    return ((down / scale[:, None]).to(weight), (up * scale).to(weight))


class LowRankLinear(nn.Module):
    """A linear layer whose weight is the product of two factors.

    x -> up (down x) + bias. It has the attributes ``weight`` (computed),
    ``bias``, ``in_features`` and ``out_features`` of ``nn.Linear``. A state
    dict with a dense ``weight`` is factorised while it is loaded; one with
    factors is loaded unchanged.

    Args:
        in_features (int): Channels of the input.
        out_features (int): Channels of the output.
        rank (int): Rank of the weight.
        bias (bool): Whether there is a bias. Defaults to True.
        device (torch.device, optional): Device of the parameters. Defaults to
            None, PyTorch's default.
        dtype (torch.dtype, optional): Data type of the parameters. Defaults to
            None, PyTorch's default.

    Raises:
        ValueError: If the rank is out of range, or a dense weight that is
            loaded has another shape.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rank: int,
        bias: bool = True,
        device: Optional[torch.device] = None,
        dtype: Optional[torch.dtype] = None,
    ) -> None:
        super().__init__()
        if not 1 <= rank <= min(in_features, out_features):
            raise ValueError(
                f'rank={rank} must be within 1 ... '
                f'{min(in_features, out_features)} for '
                f'{in_features} inputs and {out_features} '
                'outputs.'
            )
        self.in_features = in_features
        self.out_features = out_features
        self.rank = rank
        kwargs = dict(device=device, dtype=dtype)
        self.down = nn.Parameter(torch.empty(rank, in_features, **kwargs))
        self.up = nn.Parameter(torch.empty(out_features, rank, **kwargs))
        self.bias = nn.Parameter(torch.empty(out_features, **kwargs)) if bias else None
        self.reset_parameters()

    @classmethod
    def from_linear(
        cls,
        linear: nn.Linear,
        rank: int,
        covariance: Optional[torch.Tensor] = None,
        empty: bool = False,
    ) -> 'LowRankLinear':
        """Factorise a linear layer. The bias is shared with it.

        Args:
            linear (nn.Linear): The dense layer.
            rank (int): Rank of the weight.
            covariance (torch.Tensor, optional): See ``factorize``.
            empty (bool): Whether to leave the factors random, to be loaded
                later. Defaults to False.

        Returns:
            LowRankLinear: The layer.
        """
        weight = linear.weight
        layer = cls(
            linear.in_features,
            linear.out_features,
            rank,
            False,
            weight.device,
            weight.dtype,
        )
        layer.bias = linear.bias
        if not empty:
            layer.set_weight(weight, covariance)
        layer.down.requires_grad_(weight.requires_grad)
        layer.up.requires_grad_(weight.requires_grad)
        return layer.train(linear.training)

    def to_linear(self) -> nn.Linear:
        """Make a dense layer with the same weight. The bias is shared with it.

        Returns:
            nn.Linear: The layer.
        """
        linear = nn.Linear(
            self.in_features, self.out_features, False, self.up.device, self.up.dtype
        )
        with torch.no_grad():
            linear.weight.copy_(self.weight)
        linear.weight.requires_grad_(self.up.requires_grad)
        linear.bias = self.bias
        return linear.train(self.training)

    def reset_parameters(self) -> None:
        """Draw factors whose product has the variance of the weight of a new
        ``nn.Linear``, and set the bias to zero."""
        nn.init.uniform_(self.down, -(self.in_features**-0.5), self.in_features**-0.5)
        nn.init.normal_(self.up, std=self.rank**-0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @torch.no_grad()
    def set_weight(
        self, weight: torch.Tensor, covariance: Optional[torch.Tensor] = None
    ) -> None:
        """Set the factors to those of a dense weight.

        Args:
            weight (torch.Tensor): Shape (out, in).
            covariance (torch.Tensor, optional): See ``factorize``.
        """
        # The weight of a checkpoint is on the CPU; the layer may be on a GPU.
        down, up = factorize(weight.to(self.up.device), self.rank, covariance)
        self.down.copy_(down)
        self.up.copy_(up)

    @property
    def weight(self) -> torch.Tensor:
        """torch.Tensor: The dense weight, (out, in)."""
        return self.up @ self.down

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer.

        Args:
            x (torch.Tensor): Shape (..., in).

        Returns:
            torch.Tensor: Shape (..., out).
        """
        return F.linear(F.linear(x, self.down), self.up, self.bias)

    def extra_repr(self) -> str:
        return (
            f'in_features={self.in_features}, '
            f'out_features={self.out_features}, rank={self.rank}, '
            f'bias={self.bias is not None}'
        )

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Factorise the dense weight of a checkpoint, if it has one."""
        own = {
            key: value for key, value in state_dict.items() if key.startswith(prefix)
        }
        dense = own.pop(prefix + 'weight', None)
        if dense is not None:
            shape = (self.out_features, self.in_features)
            if tuple(dense.shape) != shape:
                raise ValueError(
                    f'The checkpoint is of another architecture: '
                    f'{prefix}weight has the shape {tuple(dense.shape)}, '
                    f'expected {shape}.'
                )
            down, up = factorize(dense.to(self.up.device), self.rank)
            own.update({prefix + 'down': down, prefix + 'up': up})
        super()._load_from_state_dict(own, prefix, *args)
