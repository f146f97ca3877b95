"""Noise levels eps(t) of the SDE, chosen after training: every eps >= 0 leaves the marginals of x_t unchanged.

The drift is ``b ± eps s``. Where the score was learnt through the noise, ``s = -eta/sigma`` with sigma the coefficient
of the path's noise, and sigma vanishes at an end. Since every eps(t) is allowed, we take one that
vanishes faster: ``eps(t) = min(eps, c sigma(t)^2 / h)`` with h the local step. Then ``eps s`` stays finite, and an
explicit step stays stable even where the data sit on a point or a thin set (there ``s`` has slope ``-1/sigma^2``, or
``-k/sigma^2`` where the noise is not standard normal: then ``sigma^2/k`` takes the place of ``sigma^2``).
As h -> 0 the cap disappears at every inner time.

On a path with a basis sigma is one number per coordinate, and so is the level: noise of any covariance that is diagonal
in the basis leaves the distribution of x_t as it is, with the drift ``b ± eps s`` taken coordinate by coordinate.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from annotated_types import Ge, Gt
from torch import Tensor

from interpolants.fields.protocol import Fields
from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.kinds import NonNegative, Real, Remedy
from interpolants.foundations.ops import expand_like
from interpolants.paths.path import Path, SpatiallyLinearPath

# Explicit Euler on dX = -(eps/sigma^2) X dt contracts without overshoot while eps h / sigma^2 <= 1.
SAFE_STEP = 0.5


class NoiseLevel(Checked, ABC):
    """A diffusivity eps(t) >= 0, in data units squared per unit of time."""

    @abstractmethod
    def values(self, t: Tensor, path: Path | None) -> Tensor:
        """The level at times ``t (n,)`` float64 -> ``(n,)``, or ``(n, *D)`` per coordinate on a path with a basis."""


@dataclass(frozen=True)
class ConstantNoise(NoiseLevel):
    """Constant eps."""

    eps: Annotated[float, Ge(0), Remedy("eps=0 runs the ODE.")]
    """The level, in data units squared per unit of time."""

    def values(self, t: Tensor, path: Path | None) -> Tensor:
        """The level at each time."""
        return torch.full_like(t, self.eps)


@dataclass(frozen=True)
class GammaNoise(NoiseLevel):
    """``eps(t) = scale sigma(t)``, proportional to gamma (to alpha on a one-sided path): vanishes where noise does."""

    scale: NonNegative = 1.0
    """Factor in data units per unit of time."""

    def values(self, t: Tensor, path: Path | None) -> Tensor:
        """The level at each time."""
        if path is None:
            raise invalid(
                "GammaNoise", "fields must have a path", "none", "Pass a number or a function of t as eps."
            )
        return self.scale * path.noise_scale(t)


@dataclass(frozen=True)
class ReverseNoise(NoiseLevel):
    """``eps(t) = scale g^2(t) / 2``: with ``scale = 1`` the SDE is the noising process of a one-sided path, reversed.

    Source: Anderson (1982); Song et al. (2021), arXiv:2011.13456, equation 6.
    """

    scale: Annotated[float, Gt(0), Remedy("eps=0 runs the ODE.")] = 1.0
    """Factor without unit."""

    def values(self, t: Tensor, path: Path | None) -> Tensor:
        """The level at each time."""
        if not isinstance(path, SpatiallyLinearPath) or not path.is_one_sided:
            remedy = "Pass a number or a function of t as eps."
            raise invalid("ReverseNoise", "the path must be one-sided", type(path).__name__, remedy)
        return 0.5 * self.scale * path.g_squared(t)


@dataclass(frozen=True)
class ScheduledNoise(NoiseLevel):
    """A function of time of your own."""

    function: Callable[[Tensor], Tensor]
    """``t (n,) float64 -> eps (n,)``, finite and >= 0; or ``(n, *D)``, one level per coordinate, on a path with a
    basis."""

    def values(self, t: Tensor, path: Path | None) -> Tensor:
        """The level at each time, checked."""
        values = torch.as_tensor(self.function(t), dtype=torch.float64)
        coordinates = None if path is None or path.basis is None else path.noise_scale(t).shape
        if values.shape not in ((), t.shape, coordinates):
            raise invalid(
                "eps", f"the schedule must give one value per time, {tuple(t.shape)}", tuple(values.shape)
            )
        values = values.expand(t.shape) if values.ndim == 0 else values
        good = torch.isfinite(values) & (values >= 0)
        if not bool(good.all()):
            at = tuple((~good).nonzero()[0].tolist())
            rule = f"the schedule must be finite and >= 0; at t={float(t[at[0]]):.4g}"
            raise invalid("eps", rule, float(values[at]))
        return values


@dataclass(frozen=True)
class TabulatedNoise(NoiseLevel):
    """A level known at some times, linear between them and constant before the first and after the last."""

    times: tuple[Real, ...]
    """Increasing, in [0, 1]."""
    levels: tuple[NonNegative, ...]
    """One level per time."""

    def check_settings(self) -> None:
        """Check that the times are strictly increasing, with one level each."""
        if len(self.times) != len(self.levels) or not self.times:
            sizes = (len(self.times), len(self.levels))
            raise asked.invalid("times and levels must have equal, nonzero lengths", sizes)
        if not (np.diff(self.times) > 0).all() or not 0 <= self.times[0] <= self.times[-1] <= 1:
            raise asked.invalid("times must be strictly increasing within [0, 1]", self.times)

    def values(self, t: Tensor, path: Path | None) -> Tensor:
        """The level at each time."""
        return torch.from_numpy(np.interp(t.double().numpy(), self.times, self.levels))


def as_noise(eps: Any) -> NoiseLevel | None:
    """A number, function or ``NoiseLevel`` -> a noise level, or None for eps = 0 (the ODE)."""
    if isinstance(eps, NoiseLevel):
        return None if isinstance(eps, ConstantNoise) and eps.eps == 0 else eps
    if callable(eps):
        return ScheduledNoise(eps)
    try:
        number = float(eps)
    except (TypeError, ValueError):
        rule = "the noise level must be a number, a function of t or a NoiseLevel"
        raise invalid(
            "eps", rule, eps, "For example, use eps=0.5, eps=GammaNoise(1.0), or eps=lambda t: t * (1 - t)."
        ) from None
    level = ConstantNoise(number)
    return level if number > 0 else None


class NoiseTable:
    """eps on the nodes of a grid, capped for stability, and linear between them.

    Args:
        level: The wanted noise level.
        path: Path of the fields, or None (then nothing is capped).
        grid: Grid times ``(n + 1,)``.
        cap: Apply the cap ``SAFE_STEP sigma^2 / h``.
        size: Entries of a state, on which the steepness of a base distribution that is not Gaussian depends.
    """

    def __init__(
        self, level: NoiseLevel, path: Path | None, grid: npt.NDArray[np.float64], *, cap: bool, size: int = 1
    ) -> None:
        order = np.argsort(grid)
        self._times = torch.from_numpy(grid[order].copy())
        self._path = path
        eps = level.values(self._times, path).clone()
        if path is not None and path.basis is not None and eps.ndim == 1:
            scale = path.noise_scale(self._times)
            eps = expand_like(eps, scale).expand_as(scale)
        if cap and path is not None:
            steps = torch.diff(self._times)
            local = torch.maximum(torch.cat([steps[:1], steps]), torch.cat([steps, steps[-1:]]))
            steepness = 1.0 if path.base is None else path.base.steepness(size)
            most = SAFE_STEP * path.noise_scale(self._times).square()
            eps = torch.minimum(eps, most / expand_like(steepness * local, most))
        self._eps = eps
        self._on: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def weight(self, t: Tensor, *, of_score: bool) -> Tensor:
        """Factor of the score (eps) or of minus the noise (eps / sigma) at times ``()`` or ``(n,)``."""
        return self.eps(t) if of_score else self.over_scale(t)

    def eps_score(self, fields: Fields, value: Tensor, t: Tensor) -> Tensor:
        """``eps s`` from ``fields.bounded_quantity``, whichever of score and noise stays finite, at a 0-d time.

        For paths without a basis, where eps is one number.
        """
        if fields.bounded_quantity == "score":
            return value * self.weight(t, of_score=True)
        base = None if fields.path is None else fields.path.base
        # With a base of another distribution the score is learnt, and is the noise quantity.
        noise = base.inverse_root_transpose(value) if isinstance(base, Gaussian) else value
        return -noise * self.weight(t, of_score=False)

    def strength(self, times: Tensor) -> Tensor:
        """``sqrt(2 eps)`` at the grid's own times, float64."""
        return torch.sqrt(2 * self.used(times))

    def used(self, times: Tensor) -> Tensor:
        """The level at the grid's own times, after the cap, float64."""
        return self._eps[torch.searchsorted(self._times, times.contiguous())]

    def eps(self, t: Tensor) -> Tensor:
        """The level at times inside the grid, ``()`` or ``(n,)``, in their precision and on their device."""
        if (t.device, t.dtype) not in self._on:
            self._on[t.device, t.dtype] = self._times.to(t), self._eps.to(t)
        nodes, values = self._on[t.device, t.dtype]
        # right=False with the first node excluded: a node belongs to the interval that ends at it
        k = torch.searchsorted(nodes[1:-1], t, right=False)
        left, right, value = nodes[k], nodes[k + 1], values[k]
        return torch.lerp(value, values[k + 1], expand_like(((t - left) / (right - left)).clamp(0, 1), value))

    def over_scale(self, t: Tensor) -> Tensor:
        """``eps / sigma``; zero where sigma is."""
        assert self._path is not None
        scale = self._path.noise_scale(t)
        return torch.where(
            scale > 0, self.eps(t) / scale.clamp_min(torch.finfo(scale.dtype).tiny), torch.zeros_like(scale)
        )
