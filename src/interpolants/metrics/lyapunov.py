"""Lyapunov exponents of flows ``du/dt = f(u)`` and of maps, and the dimension of Kaplan and Yorke from them.

Letters: B starts, d states.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.foundations.checks import finite, positive, whole
from interpolants.foundations.errors import DivergedError, invalid

Rates = Callable[[Tensor], Tensor]
# Relative size of the shifts of central differences: the best for errors of 1e-16 in the rates.
_SHIFT = 6e-6


@dataclass(frozen=True)
class LyapunovSpectrum:
    """Exponents, in one over the unit of time.

    Attributes:
        exponents: ``(d,)``, the largest first.
        errors: Their standard errors over the starts, ``(d,)``; NaN for a single start.
        divergence: Mean of the trace of the Jacobian along the paths, which the exponents must sum to.
        divergence_error: Its standard error over the starts.
    """

    exponents: Tensor
    errors: Tensor
    divergence: float
    divergence_error: float

    @property
    def dimension(self) -> float:
        """The dimension of Kaplan and Yorke."""
        return kaplan_yorke(self.exponents)

    @property
    def mismatch(self) -> float:
        """Relative difference of the sum of the exponents and the divergence; of their sizes if that is nearly 0."""
        size = max(abs(self.divergence), 0.01 * float(self.exponents.abs().sum()), 1e-300)
        return abs(float(self.exponents.sum()) - self.divergence) / size


def lyapunov_spectrum(
    rates: Rates,
    start: Tensor,
    *,
    step: float,
    steps: int,
    jacobian: Rates | None = None,
    differences: bool = False,
    settle: int = 0,
    every: int = 1,
) -> LyapunovSpectrum:
    """Exponents by the evolution of an orthonormal frame, ``Q' = J(u) Q``, which is made orthonormal again and again.

    State and frame take the same steps of the classical Runge-Kutta scheme. The average is over time and over the
    starts, whose spread gives the errors.

    Args:
        rates: f, ``(B, d)`` -> ``(B, d)``.
        start: States near the attractor, ``(B, d)`` or ``(d,)``, float64.
        step: Step of time, > 0.
        steps: Steps that are averaged over.
        jacobian: ``df_i / du_j``, ``(B, d)`` -> ``(B, d, d)``.
        differences: Whether central differences of ``rates`` may take the place of a Jacobian that is not given.
        settle: Steps before them, for the frame to turn to its directions.
        every: Steps between two orthonormalisations.

    Raises:
        InvalidInputError: If a size does not fit, or there is no Jacobian and differences are not permitted.
        DivergedError: If a state becomes NaN or infinite.

    Source: Benettin, Galgani, Giorgilli & Strelcyn (1980), Meccanica 15, 9-30.
    """
    who = "lyapunov_spectrum"
    whole(who, "steps", steps, at_least=1), whole(who, "settle", settle, at_least=0)
    whole(who, "every", every, at_least=1), positive(who, "step", step)
    u = finite(who, "start", start.double().reshape(-1, start.shape[-1]))
    if jacobian is None and not differences:
        remedy = "Pass jacobian=, or allow central differences with differences=True."
        raise invalid(who, "jacobian must be a function", None, remedy)
    slope = jacobian or (lambda x: central_jacobian(rates, x))
    frame = torch.eye(u.shape[1], dtype=u.dtype).expand(len(u), -1, -1)
    grown, divergence = u.new_zeros(u.shape), u.new_zeros(len(u))
    for k in range(settle + steps):
        u, frame, trace = _stepped(rates, slope, u, frame, step)
        if (k + 1) % every == 0 or k + 1 in (settle, settle + steps):
            frame, growth = _orthonormal(frame)
            if not bool(torch.isfinite(u).all()):
                raise DivergedError(f"{who}: a state became NaN or infinite after {(k + 1) * step:g}.")
            grown = grown + growth if k >= settle else grown
        divergence = divergence + trace if k >= settle else divergence
    return _summary(grown / (steps * step), divergence / steps)


def map_lyapunov_spectrum(
    step: Callable[[Tensor], tuple[Tensor, Tensor]], start: Tensor, *, steps: int, settle: int = 0
) -> LyapunovSpectrum:
    """Exponents of a map ``u -> F(u)``, per step, as those of a flow are found.

    Args:
        step: The next states and their Jacobians, ``(B, d)`` -> ``(B, d)`` and ``(B, d, d)``.
        start: States ``(B, d)`` or ``(d,)``, float64.
        steps: Steps that are averaged over.
        settle: Steps before them.

    Returns:
        The exponents; ``divergence`` is the mean of ``log |det J|``, to which they sum.

    Raises:
        InvalidInputError: If a size does not fit.
        DivergedError: If a state becomes NaN or infinite.

    Source: Eckmann & Ruelle (1985), Reviews of Modern Physics 57, 617-656.
    """
    who = "map_lyapunov_spectrum"
    whole(who, "steps", steps, at_least=1), whole(who, "settle", settle, at_least=0)
    u = finite(who, "start", start.double().reshape(-1, start.shape[-1]))
    frame = torch.eye(u.shape[1], dtype=u.dtype).expand(len(u), -1, -1)
    grown, volume = u.new_zeros(u.shape), u.new_zeros(len(u))
    for k in range(settle + steps):
        u, slope = step(u)
        if not bool(torch.isfinite(u).all()):
            raise DivergedError(f"{who}: a state became NaN or infinite after {k + 1} steps.")
        frame, growth = _orthonormal(slope @ frame)
        if k >= settle:
            grown = grown + growth
            volume = volume + torch.linalg.slogdet(slope).logabsdet.clamp_min(-690.0)
    return _summary(grown / steps, volume / steps)


def _summary(exponents: Tensor, divergence: Tensor) -> LyapunovSpectrum:
    """Means and errors over the starts, ``(B, d)`` and ``(B,)``."""
    count = len(exponents) ** 0.5
    # Sorted by their means: within a start two exponents that are nearly equal may stand in either order.
    order = exponents.mean(0).argsort(descending=True)
    exponents = exponents[:, order]
    lone = exponents.new_full(exponents.shape[1:], torch.nan)
    errors = exponents.std(0) / count if len(exponents) > 1 else lone
    spread = float(divergence.std()) / count if len(divergence) > 1 else float("nan")
    return LyapunovSpectrum(exponents.mean(0), errors, float(divergence.mean()), spread)


def _stepped(rates: Rates, slope: Rates, u: Tensor, frame: Tensor, h: float) -> tuple[Tensor, Tensor, Tensor]:
    """State and frame after one step of Runge and Kutta, and the divergence ``(B,)`` before it."""
    first = slope(u)
    k1, g1 = rates(u), first @ frame
    middle = u + h / 2 * k1
    k2, g2 = rates(middle), slope(middle) @ (frame + h / 2 * g1)
    middle = u + h / 2 * k2
    k3, g3 = rates(middle), slope(middle) @ (frame + h / 2 * g2)
    end = u + h * k3
    k4, g4 = rates(end), slope(end) @ (frame + h * g3)
    u = u + h / 6 * (k1 + 2 * (k2 + k3) + k4)
    frame = frame + h / 6 * (g1 + 2 * (g2 + g3) + g4)
    return u, frame, first.diagonal(dim1=1, dim2=2).sum(1)


def _orthonormal(frame: Tensor) -> tuple[Tensor, Tensor]:
    """An orthonormal frame ``(B, d, d)`` of the same flags, and the logarithms by which its directions had grown."""
    q, r = torch.linalg.qr(frame)
    return q, r.diagonal(dim1=1, dim2=2).abs().clamp_min(1e-300).log()


def central_jacobian(rates: Rates, u: Tensor) -> Tensor:
    """``df_i / du_j`` by central differences, ``(B, d)`` -> ``(B, d, d)``; relative errors of about 1e-10."""
    b, d = u.shape
    size = _SHIFT * u.abs().clamp_min(1.0)
    shifts = torch.diag_embed(size)
    both = rates(torch.cat([u[:, None] + shifts, u[:, None] - shifts], 1).reshape(2 * b * d, d))
    up, down = both.reshape(b, 2, d, d).unbind(1)
    jacobian: Tensor = ((up - down) / (2 * size[..., None])).transpose(1, 2)
    return jacobian


def kaplan_yorke(exponents: Tensor) -> float:
    """``k + (l_1 + ... + l_k) / |l_{k+1}|``, k the most exponents whose sum is not negative.

    Args:
        exponents: ``(d,)``, in any order.

    Returns:
        Between 0, where all are negative, and d, where the sum of all is not.

    Source: Kaplan & Yorke (1979).
    """
    finite("kaplan_yorke", "exponents", exponents)
    ordered = exponents.double().sort(descending=True).values
    sums = ordered.cumsum(0)
    count = int((sums >= 0).cumprod(0).sum())
    if count in (0, len(ordered)):
        return float(count)
    return count + float(sums[count - 1] / ordered[count].abs())
