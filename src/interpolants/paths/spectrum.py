"""Power spectra of data in a basis: measured, or fitted by a power law.

Letters: ``f`` frequency in cycles per image, ``|f|`` its length; ``D`` power ``E u^2`` of a coordinate u.
"""

import math

import torch
from torch import Tensor

from interpolants.foundations.checks import finite, number, positive
from interpolants.foundations.errors import invalid
from interpolants.paths.bases import Basis, FourierBasis

# A real operator must treat f and -f alike; what differs more than this is no spectrum of real data.
_ASYMMETRY = 1e-4
# Rows that are transformed at once.
_ROWS = 1024
# Values of c2, in cycles per image, among which a power law is fitted.
_SHIFTS = torch.logspace(-3, 1, 81, dtype=torch.float64)


def measured_spectrum(data: Tensor, basis: Basis, *, floor: float = 1e-6) -> Tensor:
    """Mean square of each coordinate, ``(*D)`` in float64; about zero, so the mean of the data counts.

    Args:
        data: ``(N, *D)``.
        basis: The coordinates.
        floor: Powers below this fraction of the largest are raised to it, in [0, 1).

    Raises:
        InvalidInputError: If the data are not finite, are all zero, or ``floor`` is out of range.
    """
    who = "ShortestPath.fit"
    if data.ndim < 2 or len(data) < 1:
        raise invalid(who, "data must be (N, *D)", tuple(data.shape))
    finite(who, "data", data)
    number(who, "floor", floor, at_least=0, below=1)
    total = torch.zeros(data.shape[1:], dtype=torch.float64)
    for k in range(0, len(data), _ROWS):
        total += basis.forward(data[k : k + _ROWS].detach().cpu().double()).square().sum(0)
    power = basis.pool(total / len(data))
    largest = float(power.max())
    if largest == 0:
        raise invalid(who, "data must not be all zero", "zeros")
    if floor == 0 and not bool((power > 0).all()):
        raise invalid(who, "every power must be > 0", float(power.min()), "Set floor, e.g. 1e-6.")
    return power.clamp_min(floor * largest)


def check_spectrum(who: str, basis: Basis, spectrum: Tensor) -> Tensor:
    """A spectrum in float64 on the CPU.

    Raises:
        InvalidInputError: If a power is not finite and positive, or a Fourier spectrum differs at f and -f.
    """
    power = torch.as_tensor(spectrum, dtype=torch.float64).detach().cpu()
    good = torch.isfinite(power) & (power > 0)
    if power.ndim < 1 or not bool(good.all()):
        found = float(power.flatten()[(~good).flatten()][0]) if power.ndim else float(power)
        remedy = "Directions in which the data do not vary need a floor: ShortestPath.fit(..., floor=1e-6)."
        raise invalid(who, "every power must be finite and > 0, one for each entry of a state", found, remedy)
    if isinstance(basis, FourierBasis):
        if power.ndim < basis.axes:
            raise invalid(who, f"spectrum must have at least {basis.axes} dimensions", tuple(power.shape))
        gap = float(((power - basis.mirrored(power)).abs() / power).max())
        if gap > _ASYMMETRY:
            rule = "a Fourier spectrum must be equal at f and -f, or real states would turn complex"
            raise invalid(
                who, rule, f"a relative difference of {gap:.3g}", "Average it: basis.pool(spectrum)."
            )
        power = basis.pool(power)
    return power


def radius(event_shape: tuple[int, ...]) -> Tensor:
    """``|f|`` of each Fourier coordinate over the last two dimensions, in cycles per image, ``(H, W)``.

    Raises:
        InvalidInputError: If these are not of one, even length.
    """
    sides = tuple(event_shape[-2:])
    if len(sides) != 2 or sides[0] != sides[1] or sides[0] % 2:
        rule = "a radial spectrum needs square images of even side"
        raise invalid("ShortestPath", rule, tuple(event_shape), "Measure the spectrum instead: radial=False.")
    f = torch.fft.fftfreq(sides[0], d=1 / sides[0], dtype=torch.float64)
    return torch.hypot(f[:, None], f[None, :])


def power_law(event_shape: tuple[int, ...], c1: float, c2: float, m: float) -> Tensor:
    """``c1 / (|f| + c2)^m`` for each coordinate of a state, the channels alike.

    Raises:
        InvalidInputError: If a parameter is not finite and positive, or the shape has no radius.
    """
    for name, value in (("c1", c1), ("c2", c2), ("m", m)):
        positive("ShortestPath", f"the power law's {name}", value)
    return (c1 / (radius(event_shape) + c2) ** m).expand(event_shape).contiguous()


def fit_power_law(spectrum: Tensor, basis: Basis) -> Tensor:
    """The power law nearest to a measured Fourier spectrum: least squares in the logarithm, over channels and f.

    Raises:
        InvalidInputError: If the basis is not Fourier, the shape has no radius, or the powers do not fall with ``|f|``.
    """
    if not isinstance(basis, FourierBasis) or basis.axes != 2:
        raise invalid("ShortestPath.fit", "radial=True needs the Fourier basis of images", repr(basis))
    shape = tuple(spectrum.shape)
    distance = radius(shape)
    goal = spectrum.log().reshape(-1, *shape[-2:])
    best: tuple[float, float, float, float] | None = None
    for c2 in _SHIFTS.tolist():
        u = (distance + c2).log()
        away = u - u.mean()
        m = -float((away * (goal - goal.mean())).mean() / away.square().mean())
        log_c1 = float(goal.mean() + m * u.mean())
        error = float((goal - log_c1 + m * u).square().mean())
        if best is None or error < best[0]:
            best = (error, log_c1, c2, m)
    assert best is not None
    _, log_c1, c2, m = best
    if m <= 0:
        remedy = "These data have no falling spectrum; use the measured one, radial=False."
        raise invalid("ShortestPath.fit", "the exponent m of the power law must be > 0", m, remedy)
    return power_law(shape, math.exp(log_c1), c2, m)
