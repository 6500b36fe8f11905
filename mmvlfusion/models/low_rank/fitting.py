"""Low-rank layers that are fitted to statistics of their inputs."""

from typing import Dict, NamedTuple, Optional

import torch
import torch.nn as nn

from ..utils import packed_attention
from .calibration import InputStatistics, bias_of, matrices
from .linear import LowRankLinear, Spectrum, check_finite, decompose, project
from .surgery import low_rank_layer, replace_

# Part of the energy of a layer's outputs that its inputs in the compressed model
# explain at least, if they are those of the same tokens.
MIN_EXPLAINED = 0.5


class Fit(NamedTuple):
    """What a layer of any rank is made from.

    Attributes:
        weight (torch.Tensor): The weight to approximate, (groups, out / groups,
            in / groups).
        spectrum (Spectrum): The components of its outputs.
        statistics (InputStatistics, optional): Those of the inputs, from which the
            change of the bias is computed.
    """

    weight: torch.Tensor
    spectrum: Spectrum
    statistics: Optional[InputStatistics]

    def factors(self, rank: int) -> tuple:
        """Compute the factors of a rank.

        Args:
            rank (int): The rank.

        Returns:
            tuple[torch.Tensor, torch.Tensor]: ``down`` and ``up``, with groups.
        """
        return project(self.weight, self.spectrum.basis[..., :rank])

    def bias_shift(self, rank: int) -> Optional[torch.Tensor]:
        """Compute the change of the bias, (out,), for a rank; None without
        statistics or bias."""
        if self.statistics is None or not self.statistics.centred:
            return None
        return self.statistics.bias_shift(self.spectrum.basis[..., :rank], self.weight)


def fit(layer: nn.Module, statistics: Optional[InputStatistics]) -> Fit:
    """Decompose a layer.

    Args:
        layer (nn.Linear | nn.Conv2d): The layer.
        statistics (InputStatistics, optional): The statistics of its inputs;
            if they have the inputs of the dense model, its outputs are
            approximated. Their matrices are freed. None: only the weight is
            approximated.

    Returns:
        Fit: The decomposition, in single precision.
    """
    weight = matrices(layer).double()
    covariance = None
    if statistics is not None:
        covariance = statistics.covariance()
        if statistics.of_outputs:
            # Their components need no further product with the weight.
            check_finite(weight)
            energies, basis = torch.linalg.eigh(covariance)
            spectrum = Spectrum(energies.flip(-1).clamp_min(0), basis.flip(-1))
        elif all(part.is_paired for part in statistics.parts):
            dense = statistics.covariance('target')
            mapped = statistics.target_weight()
            explained = _energy(mapped, covariance) / _energy(weight, dense)
            if explained >= MIN_EXPLAINED:
                weight = mapped
            else:  # Other tokens than in the dense model, such as other proposals.
                covariance = dense
        for part in statistics.parts:
            part.forget_products()
    if statistics is None or not statistics.of_outputs:
        spectrum = decompose(weight, covariance)
    return Fit(
        weight.float(),
        Spectrum(spectrum.energies.sum(0), spectrum.basis.float()),
        statistics,
    )


def _energy(weight: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """Mean square of the outputs."""
    return ((weight @ covariance) * weight).sum().clamp_min(1e-30)


def replace_fitted_(
    module: nn.Module, fits: Dict[str, Fit], ranks: Dict[str, int]
) -> None:
    """Replace layers by low-rank ones with the fitted factors, in place.

    Args:
        module (nn.Module): The model.
        fits (dict[str, Fit]): The decomposition by name of the layer.
        ranks (dict[str, int]): The rank by name.
    """
    biases: Dict[str, torch.Tensor] = {}

    def factor(name: str, layer: nn.Module, rank: int) -> LowRankLinear:
        low_rank = low_rank_layer(layer, rank, empty=True)
        down, up = fits[name].factors(rank)
        low_rank.set_factors(down, up)
        shift = fits[name].bias_shift(rank)
        bias = bias_of(module, name, layer)
        if shift is not None and bias is not None:
            biases[name] = nn.Parameter(
                (bias.detach() + shift).to(bias), bias.requires_grad
            )
        return low_rank

    replace_(module, ranks, factor)
    for name, bias in biases.items():
        attention = packed_attention(module, name)
        if attention is None:
            module.get_submodule(name).bias = bias
        else:
            attention.in_proj_bias = bias
