"""Scores of whole fields: anomaly correlation, variogram score, and power spectra along an axis.

Letters: B cases, M members, D entries of a field, P pairs of entries, R rows, n points of an axis, K wavenumbers.
"""

import math

import torch
from torch import Tensor

from interpolants.foundations.checks import number
from interpolants.foundations.errors import invalid
from interpolants.metrics.crps import check_members, forecast_arrays, score_estimate
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.samples import ArrayLike

# Numbers held at once by the differences of pairs.
_BUDGET = 2**23


def anomaly_correlation(
    members: ArrayLike, truth: ArrayLike, climatology: ArrayLike, *, weights: ArrayLike | None = None
) -> Estimate:
    """Correlation of the anomalies of the ensemble mean with those of what came, field by field.

    ``sum w a b / sqrt(sum w a^2 sum w b^2)`` with ``a = mean member - climatology`` and ``b = truth - climatology``.
    This is the uncentred form: the mean anomaly of a field stays in. 1 for the right pattern, whatever its size; 0 for
    a forecast that knows no more than the climatology.

    Args:
        members: Ensembles, ``(B, M, *D)``; a single forecast has one member.
        truth: What came, ``(B, *D)``.
        climatology: Mean that anomalies are taken from, ``(*D)`` or ``(B, *D)``.
        weights: Weights of the entries, ``(*D)``, such as areas; all alike if not given.

    Returns:
        The mean over cases, without unit, with its error.

    Raises:
        InvalidInputError: If shapes do not fit, or a field has no anomaly at all.

    Source: Murphy & Epstein (1989).
    """
    who = "anomaly_correlation"
    x, y = forecast_arrays(who, members, truth)
    shape = tuple(torch.as_tensor(truth).shape)
    mean = _entries(who, "climatology", climatology, shape, shape[1:])
    w = None if weights is None else _entries(who, "weights", weights, shape[1:])
    return score_estimate(correlation_of_cases(x.mean(1) - mean, y - mean, w), "anomaly correlation")


def correlation_of_cases(a: Tensor, b: Tensor, weights: Tensor | None = None) -> Tensor:
    """``sum w a b / sqrt(sum w a^2 sum w b^2)`` of anomalies ``(B, D)``; ``weights (D,)`` -> ``(B,)``.

    Raises:
        InvalidInputError: If a field has no anomaly.
    """
    w = torch.ones_like(a[0]) if weights is None else weights
    size = ((w * a.square()).sum(1) * (w * b.square()).sum(1)).sqrt()
    if not bool((size > 0).all()):
        case = int((size <= 0).nonzero()[0])
        raise invalid(
            "anomaly_correlation", "every field must differ from the climatology", f"none in case {case}"
        )
    found: Tensor = (w * a * b).sum(1) / size
    return found


def variogram_score(
    members: ArrayLike,
    truth: ArrayLike,
    *,
    p: float = 0.5,
    weights: ArrayLike | None = None,
    fair: bool = True,
) -> Estimate:
    """Variogram score ``sum_ij w_ij (|y_i - y_j|^p - E|X_i - X_j|^p)^2``: tells wrong dependence between entries.

    It sees neither a bias that all entries share nor, of one pair, more than the mean of ``|X_i - X_j|^p``: proper, not
    strictly. Lower is better.

    Args:
        members: Ensembles, ``(B, M, *D)``, in data units.
        truth: What came, ``(B, *D)``.
        p: Order, > 0; 0.5 is robust against outliers.
        weights: Weights ``(D, D)`` of pairs, of which each is taken once, ``i < j``, and whose sum becomes one; all
            alike if not given.
        fair: Subtract the variance of the mean of M members, so that the score does not depend on M; needs M >= 2.

    Returns:
        The mean over cases, in data units to the power 2p, with its error.

    Raises:
        InvalidInputError: If shapes do not fit, there are fewer than two entries, weights are negative or all 0, or
            a single member is to be scored fairly.

    Source: Scheuerer & Hamill (2015); the fair form follows Ferro (2014).
    """
    who = "variogram_score"
    x, y = forecast_arrays(who, members, truth)
    dim = y.shape[1]
    if dim < 2:
        raise invalid(who, "a field must have at least two entries", dim)
    number(who, "p", p, above=0)
    pairs = torch.triu_indices(dim, dim, 1)
    w = torch.ones(pairs.shape[1], dtype=torch.float64)
    if weights is not None:
        given = torch.as_tensor(weights, dtype=torch.float64)
        if tuple(given.shape) != (dim, dim):
            raise invalid(who, f"weights must be of all pairs, ({dim}, {dim})", tuple(given.shape))
        w = given[pairs[0], pairs[1]]
        if not bool((w >= 0).all()) or not float(w.sum()) > 0:
            raise invalid(who, "weights must be >= 0 and not all 0", f"least {float(w.min()):g}")
    return score_estimate(variogram_of_cases(x, y, pairs, w, p=p, fair=fair), "variogram score")


def variogram_of_cases(
    x: Tensor, y: Tensor, pairs: Tensor, weights: Tensor, *, p: float = 0.5, fair: bool
) -> Tensor:
    """The score of each case over some pairs.

    Args:
        x: Members, ``(B, M, D)``.
        y: What came, ``(B, D)``.
        pairs: Entries i and j of each pair, ``(2, P)``.
        weights: ``(P,)``; their sum becomes one.
        p: Order.
        fair: As in :func:`variogram_score`.

    Returns:
        ``(B,)``.

    Raises:
        InvalidInputError: If a single member is to be scored fairly.
    """
    check_members("variogram_score", x.shape[1], fair=fair)
    count, w = x.shape[1], (weights / weights.sum()).to(x)
    rows = max(1, _BUDGET // (count * pairs.shape[1]))

    def score(x: Tensor, y: Tensor) -> Tensor:
        apart = (x[..., pairs[0]] - x[..., pairs[1]]).abs().pow(p)
        came = (y[..., pairs[0]] - y[..., pairs[1]]).abs().pow(p)
        gap = (came - apart.mean(1)).square()
        return ((gap - apart.var(1) / count if fair else gap) * w).sum(1)

    pieces = zip(torch.split(x, rows), torch.split(y, rows), strict=True)
    return torch.cat([score(a, b) for a, b in pieces])


def power_spectrum(fields: ArrayLike, *, periodic: bool) -> Tensor:
    """Power by wavenumber along the last axis; the sum over wavenumbers is the mean square of the field.

    A field that does not close is continued by its mirror image, as in the cosine transform, so that its ends do not
    look like a jump; its wavenumbers then go by halves.

    Args:
        fields: ``(..., n)``, finite.
        periodic: Whether the axis is a circle.

    Returns:
        ``(..., n // 2 + 1)`` at the wavenumbers 0, 1, 2, ... per length of the axis, or ``(..., n)`` at 0, 1/2, 1, ...

    Raises:
        InvalidInputError: If values are not finite.

    Source: Denis, Cote & Laprise (2002) for fields with ends.
    """
    x = torch.as_tensor(fields).double()
    if not bool(torch.isfinite(x).all()):
        raise invalid("power_spectrum", "fields must be finite", "nan or inf")
    n = x.shape[-1]
    if not periodic:
        x = torch.cat([x, x.flip(-1)], -1)
    length = x.shape[-1]
    power: Tensor = torch.fft.rfft(x, dim=-1).abs().square() / length**2
    power[..., 1 : (length + 1) // 2] *= 2  # waves of both signs
    return power if periodic else power[..., :n]


def spectral_gap(members: Tensor, truth: Tensor) -> Estimate | None:
    """Mean of ``|ln (power of the members / power of what came)|`` over wavenumbers; 0 for the right spectrum.

    Powers are added over cases before the ratio is taken. The wavenumber 0 and those without power do not count.

    Args:
        members: Power of the members of each case, ``(B, C, K)``.
        truth: Power of what came, ``(B, C, K)``.

    Returns:
        The gap with its error by leaving out one case at a time, NaN for a single case; None where no wavenumber has
        power.
    """
    ours, came = members[..., 1:], truth[..., 1:]
    kept = (ours.sum(0) > 0) & (came.sum(0) > 0)
    if not bool(kept.any()):
        return None

    def gap(a: Tensor, b: Tensor) -> Tensor:
        floor = torch.finfo(a.dtype).tiny
        ratio = (a.clamp_min(floor) / b.clamp_min(floor)).log().abs()
        return ratio[..., kept].mean(-1)

    value, n = float(gap(ours.sum(0), came.sum(0))), len(ours)
    if n < 2:
        return Estimate(value, math.nan, n, "spectral gap")
    left_out = gap(ours.sum(0) - ours, came.sum(0) - came)
    error = float((left_out - left_out.mean()).square().sum() * (n - 1) / n) ** 0.5
    return Estimate(value, error, n, "spectral gap")


def _entries(who: str, name: str, value: ArrayLike, *shapes: tuple[int, ...]) -> Tensor:
    """A finite array of one of these shapes, entries flattened behind the cases of the first."""
    x = torch.as_tensor(value).double()
    if tuple(x.shape) not in shapes:
        wanted = " or ".join(map(str, shapes))
        raise invalid(who, f"{name} must have the shape {wanted}", tuple(x.shape))
    if not bool(torch.isfinite(x).all()):
        raise invalid(who, f"{name} must be finite", "nan or inf")
    return x.reshape(len(x), -1) if x.ndim == len(shapes[0]) and len(shapes) > 1 else x.reshape(-1)
