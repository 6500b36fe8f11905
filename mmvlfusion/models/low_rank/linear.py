"""The low-rank linear layer and its factorisation."""

from typing import NamedTuple, Optional, Tuple

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


class Spectrum(NamedTuple):
    """Principal components of the outputs of a layer.

    Attributes:
        energies (torch.Tensor): Mean squared output along each component, in
            descending order, (..., n) with n = min(out, in). The squared error
            of rank k is the sum of those from k on.
        basis (torch.Tensor): Orthonormal components, (..., out, n).
    """

    energies: torch.Tensor
    basis: torch.Tensor


def decompose(
    weight: torch.Tensor, covariance: Optional[torch.Tensor] = None
) -> Spectrum:
    """Compute the principal components of a layer's outputs.

    They are the eigenvectors of W C W^T. The projection of W on the first k
    of them is the matrix of rank k with the smallest squared error of the
    outputs. Compared with the whitening of SVD-LLM (arXiv 2403.07378), there
    is no inverse of a root of C, so that C may be deficient.

    Args:
        weight (torch.Tensor): W, (..., out, in).
        covariance (torch.Tensor, optional): C, positive semidefinite,
            (..., in, in). Defaults to None, the identity.

    Returns:
        Spectrum: The components, in double precision.
    """
    matrix = weight.detach().double()
    check_finite(matrix)
    if matrix.shape[-2] <= matrix.shape[-1]:
        scaled = matrix if covariance is None else matrix @ covariance
        energies, basis = torch.linalg.eigh(scaled @ matrix.mT)
        return Spectrum(energies.flip(-1).clamp_min(0), basis.flip(-1))
    if covariance is not None:
        values, vectors = torch.linalg.eigh(covariance)
        matrix = matrix @ (vectors * values.clamp_min(0).sqrt().unsqueeze(-2))
    energies, vectors = torch.linalg.eigh(matrix.mT @ matrix)
    # The decomposition completes the basis where an energy is zero.
    basis = torch.linalg.qr(matrix @ vectors.flip(-1)).Q
    return Spectrum(energies.flip(-1).clamp_min(0), basis)


def check_finite(weight: torch.Tensor) -> None:
    """Check that a weight can be factorised.

    Args:
        weight (torch.Tensor): The weight.

    Raises:
        ValueError: If a value is not finite.
    """
    if not torch.isfinite(weight).all():
        raise ValueError(
            f'A weight of the shape {tuple(weight.shape)} has values that are '
            'not finite and cannot be factorised: its training has diverged.'
        )


def balance(down: torch.Tensor, up: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
    """Give both factors equal norms in each direction.

    Args:
        down (torch.Tensor): Shape (..., rank, in).
        up (torch.Tensor): Shape (..., out, rank).

    Returns:
        tuple[torch.Tensor, torch.Tensor]: The factors with the same product.
    """
    # Directions of zero norm remain trainable.
    scale = down.norm(dim=-1) / up.norm(dim=-2).clamp_min(MIN_NORM)
    scale = scale.clamp(MIN_NORM, MAX_SCALE).sqrt()
    return down / scale.unsqueeze(-1), up * scale.unsqueeze(-2)


def project(
    weight: torch.Tensor, basis: torch.Tensor
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Factorise the projection of a weight on output components.

    Args:
        weight (torch.Tensor): Shape (..., out, in).
        basis (torch.Tensor): Orthonormal columns, (..., out, rank).

    Returns:
        tuple[torch.Tensor, torch.Tensor]: ``down`` (..., rank, in) and ``up``
        (..., out, rank), of the type of ``basis``.
    """
    return balance(basis.mT @ weight.detach().to(basis), basis)


def factorize(
    weight: torch.Tensor, rank: int, covariance: Optional[torch.Tensor] = None
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Compute the best approximation of a matrix by two factors.

    It is the truncated singular value decomposition with the square root of
    the singular values in both factors (PELA, Section 3.1, Eq. 2-3), computed
    by an eigendecomposition of the Gram matrix of the smaller side, which is
    faster than a full decomposition. With the covariance of the layer's
    inputs, the error of the outputs is minimised instead of that of the
    weights, see ``decompose``.

    Args:
        weight (torch.Tensor): Shape (out, in).
        rank (int): Rank of the approximation, 1 to min(out, in).
        covariance (torch.Tensor, optional): Positive semidefinite, (in, in).

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
    check_finite(weight)
    if covariance is not None:
        covariance = covariance.to(weight.device, torch.float64)
        factors = project(weight, decompose(weight, covariance).basis[:, :rank])
    else:
        exact = weight.dtype == torch.float64
        dense = weight.detach().to(torch.float64 if exact else torch.float32)
        top = _leading_vectors(dense, rank)
        dense = dense.to(top)
        if out_features <= in_features:
            factors = balance(top.T @ dense, top)
        else:
            factors = balance(top.T, dense @ top)
    return factors[0].to(weight), factors[1].to(weight)


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
        empty: bool = False,
    ) -> 'LowRankLinear':
        """Factorise a linear layer. The bias is shared with it.

        Args:
            linear (nn.Linear): The dense layer.
            rank (int): Rank of the weight.
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
        return layer._take_over(linear, empty)

    def _take_over(self, dense: nn.Module, empty: bool) -> 'LowRankLinear':
        """Take over the weight, unless it is loaded later, and the settings of its
        training."""
        if not empty:
            self.set_weight(dense.weight)
        self.down.requires_grad_(dense.weight.requires_grad)
        self.up.requires_grad_(dense.weight.requires_grad)
        return self.train(dense.training)

    def to_dense(self) -> nn.Module:
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
    def set_weight(self, weight: torch.Tensor) -> None:
        """Set the factors to those of a dense weight.

        Args:
            weight (torch.Tensor): Shape (out, in).
        """
        # The weight of a checkpoint is on the CPU; the layer may be on a GPU.
        self.set_factors(*self._factors_of(weight.to(self.up.device)))

    def _factors_of(self, weight: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """The factors of a dense weight."""
        return factorize(weight, self.rank)

    @torch.no_grad()
    def set_factors(self, down: torch.Tensor, up: torch.Tensor) -> None:
        """Set the factors.

        Args:
            down (torch.Tensor): Shape (rank, in).
            up (torch.Tensor): Shape (out, rank).
        """
        self.down.copy_(down.reshape(self.down.shape))
        self.up.copy_(up.reshape(self.up.shape))

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
            shape = tuple(self.weight.shape)
            if tuple(dense.shape) != shape:
                raise ValueError(
                    f'The checkpoint is of another architecture: '
                    f'{prefix}weight has the shape {tuple(dense.shape)}, '
                    f'expected {shape}.'
                )
            down, up = self._factors_of(dense.to(self.up.device))
            own.update({prefix + 'down': down, prefix + 'up': up})
        super()._load_from_state_dict(own, prefix, *args)
