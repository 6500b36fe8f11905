"""The low-rank linear layer and the factorisation it stands on."""
from typing import Optional, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F


def paper_rank(in_features: int, out_features: int, ratio: float) -> int:
    """The rank at which two factors have ``1 / ratio`` of the parameters
    (PELA, Section 3.2), rounded down."""
    return int(in_features * out_features /
               (ratio * (in_features + out_features)))


def gram(matrix: torch.Tensor) -> torch.Tensor:
    """The Gram matrix of the smaller side, (n, n) with n = min(rows, columns);
    its eigenvalues are the squared singular values."""
    if matrix.shape[0] <= matrix.shape[1]:
        return matrix @ matrix.T
    return matrix.T @ matrix


def _leading_vectors(matrix: torch.Tensor, rank: int) -> torch.Tensor:
    """The first singular vectors of the smaller side, (n, rank).

    Single precision, twice as fast, where what is left out is so large that
    rounding the Gram matrix cannot add 1e-4 to the error; else double.
    """
    if matrix.dtype == torch.float32:
        values, vectors = torch.linalg.eigh(gram(matrix))
        if values[:-rank].clamp_min(0).sum() > 1e-3 * rank * values[-1]:
            return vectors[:, -rank:].flip(1)
    vectors = torch.linalg.eigh(gram(matrix.double()))[1]
    return vectors[:, -rank:].flip(1)


def factorize(
        weight: torch.Tensor,
        rank: int,
        covariance: Optional[torch.Tensor] = None
) -> Tuple[torch.Tensor, torch.Tensor]:
    """The best approximation of a matrix by two factors.

    It is the truncated singular value decomposition, the root of the singular
    values given to both factors (PELA, Section 3.2). An eigendecomposition of
    the Gram matrix of the smaller side finds it many times faster than a full
    decomposition. With the covariance of the layer's inputs, the error of the
    outputs is the smallest instead of that of the weights.

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
        raise ValueError(f'rank={rank} must be within 1 ... '
                         f'{min(weight.shape)} for a weight of the shape '
                         f'{tuple(weight.shape)}.')
    exact = weight.dtype == torch.float64 or covariance is not None
    dense = weight.detach().to(torch.float64 if exact else torch.float32)
    if not torch.isfinite(dense).all():
        raise ValueError('A weight with values that are not finite cannot be '
                         'factorised: its training has diverged.')
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
    # Equal norms on both sides; directions without weight stay trainable.
    scale = (down.norm(dim=1) / up.norm(dim=0).clamp_min(1e-12))
    scale = scale.clamp(1e-12, 1e12).sqrt()
    return ((down / scale[:, None]).to(weight), (up * scale).to(weight))


class LowRankLinear(nn.Module):
    """A linear layer whose weight is the product of two factors.

    It answers ``weight``, ``bias``, ``in_features`` and ``out_features`` as
    ``nn.Linear`` does, ``weight`` being computed. A state dict with a dense
    ``weight`` is factorised as it loads; one with factors loads as it is.

    Args:
        in_features (int): Channels of the input.
        out_features (int): Channels of the output.
        rank (int): Rank of the weight.
        bias (bool): Whether there is a bias. Defaults to True.

    Raises:
        ValueError: If the rank is out of range, or a dense weight that is
            loaded has another shape.
    """

    def __init__(self,
                 in_features: int,
                 out_features: int,
                 rank: int,
                 bias: bool = True,
                 device: Optional[torch.device] = None,
                 dtype: Optional[torch.dtype] = None) -> None:
        super().__init__()
        if not 1 <= rank <= min(in_features, out_features):
            raise ValueError(f'rank={rank} must be within 1 ... '
                             f'{min(in_features, out_features)} for '
                             f'{in_features} inputs and {out_features} '
                             'outputs.')
        self.in_features = in_features
        self.out_features = out_features
        self.rank = rank
        kwargs = dict(device=device, dtype=dtype)
        self.down = nn.Parameter(torch.empty(rank, in_features, **kwargs))
        self.up = nn.Parameter(torch.empty(out_features, rank, **kwargs))
        self.bias = nn.Parameter(torch.empty(out_features, **
                                             kwargs)) if bias else None
        self.reset_parameters()

    @classmethod
    def from_linear(cls,
                    linear: nn.Linear,
                    rank: int,
                    covariance: Optional[torch.Tensor] = None,
                    empty: bool = False) -> 'LowRankLinear':
        """Factorise a linear layer, whose bias is taken over.

        Args:
            linear (nn.Linear): The dense layer.
            rank (int): Rank of the weight.
            covariance (torch.Tensor, optional): See ``factorize``.
            empty (bool): Whether to take the shape alone and leave the
                factors random. Defaults to False.
        """
        weight = linear.weight
        layer = cls(linear.in_features, linear.out_features, rank, False,
                    weight.device, weight.dtype)
        layer.bias = linear.bias
        if not empty:
            layer.set_weight(weight, covariance)
        layer.down.requires_grad_(weight.requires_grad)
        layer.up.requires_grad_(weight.requires_grad)
        return layer.train(linear.training)

    def to_linear(self) -> nn.Linear:
        """A dense layer with the same weight and the same bias."""
        linear = nn.Linear(self.in_features, self.out_features, False,
                           self.up.device, self.up.dtype)
        with torch.no_grad():
            linear.weight.copy_(self.weight)
        linear.weight.requires_grad_(self.up.requires_grad)
        linear.bias = self.bias
        return linear.train(self.training)

    def reset_parameters(self) -> None:
        """Random factors whose product varies as the weight of a new
        ``nn.Linear``, and a bias of zeros."""
        nn.init.uniform_(self.down, -self.in_features**-0.5,
                         self.in_features**-0.5)
        nn.init.normal_(self.up, std=self.rank**-0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @torch.no_grad()
    def set_weight(self,
                   weight: torch.Tensor,
                   covariance: Optional[torch.Tensor] = None) -> None:
        """Take the factors of a dense weight, (out, in)."""
        # Where there is a GPU, the layer is on it before its weight is.
        down, up = factorize(weight.to(self.up.device), self.rank, covariance)
        self.down.copy_(down)
        self.up.copy_(up)

    @property
    def weight(self) -> torch.Tensor:
        """The dense weight, (out, in)."""
        return self.up @ self.down

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., in) to (..., out)."""
        return F.linear(F.linear(x, self.down), self.up, self.bias)

    def extra_repr(self) -> str:
        return (f'in_features={self.in_features}, '
                f'out_features={self.out_features}, rank={self.rank}, '
                f'bias={self.bias is not None}')

    def _load_from_state_dict(self, state_dict: dict, prefix: str,
                              *args) -> None:
        own = {
            key: value
            for key, value in state_dict.items() if key.startswith(prefix)
        }
        dense = own.pop(prefix + 'weight', None)
        if dense is not None:
            shape = (self.out_features, self.in_features)
            if tuple(dense.shape) != shape:
                raise ValueError(
                    f'The checkpoint is of another architecture: '
                    f'{prefix}weight has the shape {tuple(dense.shape)}, and '
                    f'{shape} is wanted here.')
            down, up = factorize(dense.to(self.up.device), self.rank)
            own.update({prefix + 'down': down, prefix + 'up': up})
        super()._load_from_state_dict(own, prefix, *args)
