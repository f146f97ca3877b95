"""Weights for the rows of a batch by how much the errors of an ensemble disagree on them."""

import torch
from torch import Tensor

from interpolants.foundations.checks import finite, floating, number
from interpolants.foundations.errors import invalid
from interpolants.foundations.row_weights import effective_rows
from interpolants.foundations.tell import FitWarning, tell

# Offsets are looked for on a grid of their logarithms, this far beyond the variances, and then between two neighbours.
_DECADES, _GRID = 4.0, 100


def sample_excess_kurtosis(errors: Tensor) -> Tensor:
    """Unbiased for a Gaussian: ``(E - 1) / ((E - 2)(E - 3)) ((E + 1) g + 6)``, g that of the moments.

    From ``(B, E)`` to ``(B,)``. Where all errors are equal it is 0. It needs four members, and is very noisy for few.
    """
    n = errors.shape[1]
    centred = errors - errors.mean(1, keepdim=True)
    largest = centred.abs().amax(1, keepdim=True)
    # In their own unit: fourth powers of small or of large errors are 0 or infinite.
    centred = centred / torch.where(largest > 0, largest, 1)
    squared = centred.square().mean(1)
    plain = centred.square().square().mean(1) / squared.square() - 3
    found = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * plain + 6)
    return torch.where(squared > 0, found, torch.zeros_like(found))


def shrunk_variance(errors: Tensor, kurtosis: Tensor | float | None = None) -> Tensor:
    """``s^2 / (k/E + (E + 1)/(E - 1))``: the multiple of the unbiased variance with the least mean squared error.

    It follows from ``Var s^2 = sigma^4 (k/E + 2/(E - 1))``; for five Gaussian errors the factor is 2/3.

    Args:
        errors: ``(B, E)``, E members that are drawn alike for each row.
        kurtosis: k, the excess kurtosis, a number or ``(B,)``, at least -2; None estimates it from each row, which
            needs four members.

    Raises:
        InvalidInputError: If there are fewer than two members, or errors are not ``(B, E)``.

    Source: Kim et al. (2024), arXiv:2408.02295; the published code takes the biased variance with this factor.
    """
    who = "shrunk_variance"
    floating(who, "errors", errors)
    if errors.ndim != 2 or errors.shape[1] < 2:
        raise invalid(who, "errors must be (batch, ensemble) with two members or more", tuple(errors.shape))
    n = errors.shape[1]
    if kurtosis is None and n < 4:
        words = f"{who}: the kurtosis of {n} members cannot be estimated, 0 is taken; use four or more"
        tell(FitWarning, words)
        kurtosis = 0.0
    k = sample_excess_kurtosis(errors) if kurtosis is None else kurtosis
    found: Tensor = errors.var(1, correction=1) / (k / n + (n + 1) / (n - 1))
    return found


def inverse_error_variance_weights(
    errors: Tensor, *, effective: float = 16.0, kurtosis: Tensor | float | None = None
) -> Tensor:
    """``w = 1 / (v + xi)``, made to sum to 1: rows on which an ensemble agrees count more.

    ``xi`` is the smallest offset, >= 0, with which at least ``min(B - 1, effective)`` rows count, measured by
    ``1 / sum w^2``. Weights do not depend on the unit of the errors, and carry no gradient.

    Args:
        errors: ``(B, E)``, B > 1 rows and E members.
        effective: Least effective number of rows, >= 1.
        kurtosis: As in :func:`shrunk_variance`, which gives v.

    Returns:
        Weights ``(B,)``.

    Raises:
        InvalidInputError: If errors are not finite, of a wrong shape, or a single row.

    Source: Kim et al. (2024), arXiv:2408.02295, after Mai, Mani & Paull (2022), arXiv:2201.01666.
    """
    who = "inverse_error_variance_weights"
    finite(who, "errors", floating(who, "errors", errors))
    number(who, "effective", effective, at_least=1)
    if len(errors) < 2:
        remedy = "Use larger batches: a single row has no other rows to be weighted against."
        raise invalid(who, "errors must have at least two rows", len(errors), remedy)
    v = shrunk_variance(errors.detach(), kurtosis)
    if not bool((v > 0).any()):  # the members agree on every row
        return torch.full_like(v, 1 / len(v))
    return _weights(v / v[v > 0].min(), min(len(v) - 1.0, float(effective)))


def _weights(v: Tensor, wanted: float) -> Tensor:
    """Weights of variances in units of the smallest, with the least offset that lets ``wanted`` rows count."""
    low, high = -_DECADES, _DECADES + float(v.max().log10())
    least = 0.0 if bool((v > 0).all()) else 10.0**low
    plain = 1 / (v + least)
    if effective_rows(plain) >= wanted:
        return plain / plain.sum()
    for _ in range(2):
        grid = torch.logspace(low, high, _GRID, dtype=v.dtype, device=v.device)
        w = 1 / (v + grid[:, None])
        enough = w.sum(1).square() / w.square().sum(1) >= wanted
        first = max(int(enough.int().argmax()), 1)  # the number of rows grows with the offset
        w = w[first]
        low, high = (float(grid[place].log10()) for place in (first - 1, first))
    return w / w.sum()
