"""Time grids between the ends of a bridge."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from interpolants.foundations.checks import one_of, whole
from interpolants.foundations.errors import invalid
from interpolants.paths.linear import OneSidedLinear
from interpolants.paths.path import Path, SpatiallyLinearPath
from interpolants.paths.trigonometric import OneSidedTrigonometric
from interpolants.paths.variance_preserving import VariancePreserving

_SHAPES: dict[str, Callable[[Any], Any]] = {
    "uniform": lambda u: u,
    # denser at the data end
    "quadratic": lambda u: 1 - (1 - u) ** 2,
    # u -> sin^2(pi u / 2): a Brownian envelope sqrt(t (1 - t)) is smooth in u, although not in t
    "cosine": lambda u: np.sin(np.pi / 2 * u) ** 2,
}


# Spacings by the noise of a one-sided path, between levels l0 and l1 of the logarithm of noise over signal.
_BY_NOISE: dict[str, Callable[[Any, float, float], Any]] = {
    "log_snr": lambda u, l0, l1: l0 + (l1 - l0) * u,
    "karras": lambda u, l0, l1: (
        _RHO * np.log(np.exp(l0 / _RHO) + u * (np.exp(l1 / _RHO) - np.exp(l0 / _RHO)))
    ),
}
# All spacings by name.
SPACINGS = (*_SHAPES, *_BY_NOISE)
# Solvers with memory take cosine steps on these paths, from end to end, and even steps on all others. On pictures the
# largest directions settle close to the noise: with learnt fields of 28 x 28 pixels and 5 or 10 steps, cosine steps are
# two to four times closer in Fréchet distance than even ones, and with exact fields of mixtures up to seven times. On
# `vp` and its like the data leave a trace at t = 0, which a learnt noise multiplies by its inverse, 150: there steps
# that are dense at either end can be 5 to 100 times worse (docs/work_precision.md).
_MEMORY = ("dpmpp_2m", "dpmpp_3m", "exponential_ab2", "exponential_ab3", "unipc2", "unipc3")
_COSINE = (OneSidedLinear, OneSidedTrigonometric, VariancePreserving)
_RHO = 7.0  # of Karras et al. (2022), arXiv:2206.00364, equation 5


def by_noise(
    path: Path | None, n_steps: int, spacing: str, *, start: float, stop: float
) -> npt.NDArray[np.float64]:
    """``n_steps + 1`` times, even in the log of signal over noise or as Karras et al. space the noise.

    Raises:
        InvalidInputError: If the path is not one-sided, or there is no signal at ``start`` or no noise at ``stop``.
    """
    if not isinstance(path, SpatiallyLinearPath) or not path.is_one_sided or path.basis is not None:
        name = type(path).__name__
        raise invalid("time_grid", f"{spacing!r} needs a one-sided path", name, "Use 'auto' or 'cosine'.")
    ends = torch.tensor([start, stop], dtype=torch.float64)
    first, last = (-path.log_snr(ends) / 2).tolist()
    if not np.isfinite([first, last]).all():
        rule = f"{spacing!r} needs some signal at its first time and some noise at its last"
        remedy = "Name them, e.g. start=0.002, stop=0.998; samples then carry the noise of stop."
        raise invalid("time_grid", rule, (start, stop), remedy)
    levels = _BY_NOISE[spacing](np.linspace(0, 1, n_steps + 1), first, last)
    times: npt.NDArray[np.float64] = path.time_at_log_snr(torch.from_numpy(-2 * levels)).numpy().copy()
    times[0], times[-1] = start, stop
    return times


def time_grid(
    n_steps: int, spacing: Any = "uniform", *, start: float = 0.0, stop: float = 1.0
) -> npt.NDArray[np.float64]:
    """``n_steps + 1`` increasing times from ``start`` to ``stop``.

    Args:
        n_steps: Number of steps, >= 1; ignored when ``spacing`` is a grid itself.
        spacing: ``"uniform"``, ``"quadratic"`` (denser at t = 1), ``"cosine"`` (denser at both ends), or the times.
            Spacings by the noise of a path, ``"log_snr"`` and ``"karras"``, are made by :func:`by_noise`.
        start: First time, in [0, 1).
        stop: Last time, in (start, 1].

    Raises:
        InvalidInputError: If a time lies outside [0, 1], the times do not increase, there are fewer than two, or times
            of your own do not begin and end where ``start`` and ``stop`` say.
    """
    if not isinstance(spacing, str):
        grid = _own_grid(spacing)
        for name, asked, plain, own in (("start", start, 0.0, grid[0]), ("stop", stop, 1.0, grid[-1])):
            if asked != plain and asked != own:
                remedy = f"Leave {name} out: the times determine it."
                raise invalid("sample", f"{name} must be that of the times given, {own:.6g}", asked, remedy)
        return grid
    one_of("time_grid", "spacing", spacing, (*_SHAPES, *_BY_NOISE))
    if spacing in _BY_NOISE:
        raise invalid("time_grid", "a spacing by noise needs a path", repr(spacing), "Pass it to sample().")
    whole("sample", "n_steps", n_steps, at_least=1)
    if not 0 <= start < stop <= 1:
        raise invalid("sample", "start and stop must satisfy 0 <= start < stop <= 1", (start, stop))
    u = np.linspace(0.0, 1.0, n_steps + 1)
    times: npt.NDArray[np.float64] = start + (stop - start) * _SHAPES[spacing](u)
    times[0], times[-1] = start, stop
    return times


def spacing_for(
    path: Path | None,
    n_steps: int,
    spacing: Any,
    *,
    start: float = 0.0,
    stop: float = 1.0,
    noisy: bool = True,
    method: str | None = None,
) -> Any:
    """A spacing for :func:`time_grid`, where ``"auto"`` has become what suits a path.

    Its own grid where it has one; ``"cosine"`` where the latent noise vanishes like a square root and matters; for
    solvers with memory on some one-sided paths; else ``"uniform"``.

    Args:
        path: Of the fields.
        n_steps: Number of steps.
        spacing: As for ``time_grid``, or ``"auto"``.
        start: First time.
        stop: Last time.
        noisy: Whether the latent noise matters: an SDE, or a velocity made from the noise.
        method: Solver of the run, by name.
    """
    if isinstance(spacing, str) and spacing in _BY_NOISE:
        return by_noise(
            path, whole("sample", "n_steps", n_steps, at_least=1), spacing, start=start, stop=stop
        )
    if not (isinstance(spacing, str) and spacing == "auto"):
        return spacing
    whole("sample", "n_steps", n_steps, at_least=1)
    own = None if path is None else path.own_grid(n_steps)
    if own is not None:
        return [start, *(t for t in own if start < t < stop), stop]
    return "cosine" if path is not None and _takes_cosine(path, method, noisy, (start, stop)) else "uniform"


def _takes_cosine(path: Path, method: str | None, noisy: bool, ends: tuple[float, float]) -> bool:
    """Return True if a run along a path is better with steps that are denser at both ends."""
    has_memory = method in _MEMORY
    if path.is_one_sided or path.envelope.is_zero:
        return has_memory and ends == (0.0, 1.0) and type(path) in _COSINE
    rates = path.envelope.gamma_gamma_dot(torch.tensor([0.0, 1.0], dtype=torch.float64)).abs()
    return (noisy or has_memory) and bool((rates > 0).any())


def _own_grid(times: Any) -> npt.NDArray[np.float64]:
    if isinstance(times, torch.Tensor):
        times = times.detach().cpu().double().numpy()
    try:
        grid = np.array(times, dtype=np.float64)
    except (TypeError, ValueError):
        raise invalid("time_grid", "the times must be numbers", times) from None
    if grid.ndim != 1 or len(grid) < 2:
        raise invalid(
            "time_grid", "the times must be a vector of at least two entries", f"shape {grid.shape}"
        )
    if not (np.isfinite(grid).all() and grid.min() >= 0 and grid.max() <= 1):
        raise invalid("time_grid", "the times must lie in [0, 1]", (float(grid.min()), float(grid.max())))
    if not (np.diff(grid) > 0).all():
        remedy = "Pass the times from 0 to 1; reverse=True runs them backwards."
        raise invalid(
            "time_grid", "the times must be strictly increasing", "equal or decreasing times", remedy
        )
    return grid
