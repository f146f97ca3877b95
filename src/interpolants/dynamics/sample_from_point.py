"""Sampling of later states given one state: a diffusion that starts at a point.

The distribution of ``x_t`` given x0 is a point at t = 0, so its score does not exist there, and the flow alone could
never leave it. We take the first step exactly: a moment after the start ``x_t`` is Gaussian around a known mean with
standard deviation gamma(t), up to the square of ``beta(t)``. From there on every noise level ``eps(t) >= 0`` gives the
same distribution, the flow (eps = 0, one Gaussian draw and then no noise) included.

Source: Chen, Goldstein, Hua, Albergo, Boffi & Vanden-Eijnden (2024), arXiv:2403.13724; the first step is ours.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.dynamics.grids import time_grid as make_grid
from interpolants.dynamics.noise import NoiseLevel, as_noise
from interpolants.dynamics.sample import Samples, check_call, sample
from interpolants.fields.point_source_fields import FirstStep, PointSourceFields, start_at
from interpolants.foundations.checks import number, whole
from interpolants.foundations.chunks import Chunks
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.kinds import NonNegative
from interpolants.foundations.randomness import BlockNoise
from interpolants.foundations.types import Condition
from interpolants.paths.path import Path, SpatiallyLinearPath

# The first step: at the latest time where x1 has a share of at most this fraction of the noise.
LATEST_FIRST, FIRST_RATIO = 0.02, 0.005
_REMEDY = "Wrap your drift: fields.PointSourceFields(path, drift=...)."


@dataclass(frozen=True)
class ReferenceNoise(NoiseLevel):
    """``eps*(t) = gamma gamma' + gamma^2 / (1 - t)``: the level at which the learnt drift is used as it is."""

    scale: NonNegative = 1.0
    """Factor."""

    def values(self, t: Tensor, path: Path | None) -> Tensor:
        """The level at each time."""
        path = _linear("ReferenceNoise", path)
        inside = t.clamp(1e-9, 1 - 1e-9)
        squared = path.envelope.gamma(inside).square()
        eps = path.envelope.gamma_gamma_dot(inside) + squared / (1 - inside)
        return self.scale * eps.clamp_min(0)


@dataclass(frozen=True)
class FollmerNoise(NoiseLevel):
    """``eps(t) = |gamma^2 beta' / beta - gamma gamma'|``: the level at which errors of the drift do least harm.

    An error of ``E[x1|x_t, x0]`` enters the drift at level eps with the factor
    ``beta' - beta gamma'/gamma + beta eps / gamma^2``. The Kullback-Leibler bound is its square over ``4 eps``, and
    least at this eps. The process is then the Foellmer process: of all that have the right distribution, the one
    closest to its reference.

    Source: Chen et al. (2024), arXiv:2403.13724, derived anew.
    """

    def values(self, t: Tensor, path: Path | None) -> Tensor:
        """The level at each time; where beta = 0 any level does and the reference is taken."""
        path = _linear("FollmerNoise", path)
        inside = t.clamp(1e-9, 1 - 1e-9)
        beta, gamma_gamma_dot = path.beta(inside), path.envelope.gamma_gamma_dot(inside)
        ratio = path.beta_dot(inside) / torch.where(beta > 0, beta, torch.ones_like(beta))
        best = (path.envelope.gamma(inside).square() * ratio - gamma_gamma_dot).abs()
        return torch.where(beta > 0, best, gamma_gamma_dot.abs())


def sample_from_point(
    fields: PointSourceFields,
    x0: Tensor,
    *,
    eps: Any = "reference",
    n_steps: int = 50,
    time_grid: Any = "auto",
    first: float | None = None,
    method: str | None = None,
    seed: int = 0,
    cond: Condition = None,
    first_index: int = 0,
    **options: Any,
) -> Samples:
    """Draw one later state for each row of ``x0``; repeat a row to get an ensemble.

    Args:
        fields: Fields of the process that starts from a point.
        x0: States now, ``(B, *D)``, floating point.
        eps: ``"reference"`` (the level the drift was learnt at), ``"follmer"``, a number, a function of t or a
            ``NoiseLevel``; 0 is the flow after a random first step. In data units squared. All give one distribution.
        n_steps: Number of steps, >= 2, the first one included.
        time_grid: ``"auto"`` (dense at both ends, like ``"cosine"``, from the first time on), or as in :func:`sample`.
        first: Time of the first step, in (0, 1); by default as late as 0.02 where ``beta / gamma < 0.005``, which
            leaves its distribution right to 1e-4 for data of unit spread. A later first step spares the solver the
            start, where the flow spreads like the root of t.
        method: As in :func:`sample`; ``"rk4"`` by default for the flow.
        seed: Seed of the first step and of the Brownian motion.
        cond: What else is known of each row.
        first_index: Index of the first row in the whole job: row i sees the same noise whatever its batch.
        options: Anything else that :func:`sample` takes: ``chunk``, ``stop``, ``finish``, ``return_path`` ...

    Returns:
        The samples; ``times`` start after the first step.

    Raises:
        InvalidInputError: If an argument breaks its rule.
        DivergedError: If a sample became NaN or infinite.
    """
    who = "sample_from_point"
    if not isinstance(fields, PointSourceFields):
        raise invalid(who, "fields must be PointSourceFields", type(fields).__name__, _REMEDY)
    for name in ("reverse", "start"):
        if name in options:
            raise invalid(who, f"{name} has no meaning: the start is a point at t = 0", options[name])
    check_call(who, x0, cond, first_index, options.get("chunk"), options.get("on_failure", "raise"))
    seed = whole(who, "seed", seed)
    grid = start_grid(fields.path, n_steps, time_grid, first, options.pop("stop", 1.0))
    with torch.no_grad():
        soon = _first_step(fields, x0, float(grid[0]), cond, first_index, options)
        noise = BlockNoise.like(x0, seed, "point start", first=first_index)
        x = torch.add(soon.mean, noise.normal(), alpha=soon.std)
    level = _level(eps)
    if method is None and as_noise(level) is None:
        # Nothing dampens the flow's errors, and soon after the start it grows like the root of t.
        method = "rk4"
    return sample(
        fields,
        x,
        eps=level,
        method=method,
        time_grid=grid,
        seed=seed,
        cond=start_at(x0, cond),
        first_index=first_index,
        **options,
    )


def _first_step(
    fields: PointSourceFields,
    x0: Tensor,
    t: float,
    cond: Condition,
    first_index: int,
    options: dict[str, Any],
) -> FirstStep:
    """The first step in chunks, cut and padded like those of the later steps: no row may feel its batch."""
    chunks = Chunks(
        fields,
        lambda x, given: fields.first_step(x, t, given).mean,
        x0,
        cond,
        networks=fields.networks,
        chunk=options.get("chunk"),
        first_index=first_index,
        invariant=options.get("invariant", True),
    )
    return chunks.map(lambda part: fields.first_step(part.x, t, part.cond))


def _level(eps: Any) -> Any:
    if not isinstance(eps, str):
        return eps
    named = {"reference": ReferenceNoise(), "follmer": FollmerNoise()}
    if eps not in named:
        rule = "eps must be 'reference', 'follmer', a number, a function of t or a NoiseLevel"
        raise invalid("sample_from_point", rule, repr(eps), nearest(eps, named))
    return named[eps]


def start_grid(
    path: SpatiallyLinearPath,
    n_steps: int,
    spacing: Any = "auto",
    first: float | None = None,
    stop: float = 1.0,
) -> npt.NDArray[np.float64]:
    """The times from the end of the first step on, with arguments as in :func:`sample_from_point`."""
    who = "sample_from_point"
    whole(who, "n_steps", n_steps, at_least=2, remedy="The first one is a Gaussian draw.")
    number(who, "stop", stop, above=0, at_most=1)
    begin = _first_time(path, stop) if first is None else first
    if not 0 < begin < stop:
        raise invalid(who, f"first must lie in (0, {stop:g})", begin)
    if not isinstance(spacing, str):
        grid = make_grid(n_steps, spacing, stop=stop)
        return grid[grid > 0]
    if spacing != "auto":
        return make_grid(n_steps - 1, spacing, start=begin, stop=stop)
    grid = _even_then_fine(begin, stop, n_steps)
    grid[0], grid[-1] = begin, stop
    return grid


def _even_then_fine(begin: float, stop: float, count: int) -> npt.NDArray[np.float64]:
    """Even steps in the angle whose squared sine is t, but never large against the angle itself.

    Gamma of a Brownian envelope is smooth in the angle; soon after the start the flow grows in proportion to it.
    """
    low, knee, high = (float(np.arcsin(np.sqrt(t))) for t in (begin, LATEST_FIRST, stop))
    knee = max(low, min(knee, high))
    bend = float(np.log(knee / low))
    u = np.linspace(0.0, bend + (high - knee) / knee, count)
    angle = np.where(u < bend, low * np.exp(np.minimum(u, bend)), knee * (1 + u - bend))
    times: npt.NDArray[np.float64] = np.sin(angle) ** 2
    return times


def _first_time(path: SpatiallyLinearPath, stop: float) -> float:
    t = torch.logspace(-7, np.log10(min(LATEST_FIRST, 0.5 * stop)), 400, dtype=torch.float64)
    good = path.beta(t) <= FIRST_RATIO * path.envelope.gamma(t)
    return float(t[good][-1]) if bool(good.any()) else float(t[0])


def _linear(who: str, path: Path | None) -> SpatiallyLinearPath:
    if not isinstance(path, SpatiallyLinearPath):
        raise invalid(who, "fields must have a spatially linear path", type(path).__name__)
    return path
