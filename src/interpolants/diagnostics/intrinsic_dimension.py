"""Intrinsic dimension of the data, from learnt fields at low noise.

Letters: D dimensions of the space, sigma noise over signal at the time t, in data units; ``M = -sigma^2 grad S`` in
these units; ``eta`` the mean noise, ``-sigma S``. Near a smooth surface, M is the projection on its normals, which
has D - d eigenvalues one and d near zero; trajectories of the flow are pulled along normals and keep along tangents;
and ``log rho`` falls by ``D - d`` per unit of ``log sigma``. Hence three estimates at points of the surface,

* ``"score"``: D less the singular values of M above 1/2,
* ``"flow"``: singular values of the flow from ``sigma`` to ``coarse`` times it, over their noise ratio: above its root,
* ``"density"``: ``D - tr M + |eta|^2``, a real number.

A gauge of the score leaves density and samples as they are and spoils all three: ``|A S|^2`` enters the last, its
derivatives the others. A conservative score has none.

Source: Horvat & Pfister (2024), arXiv:2402.03845; Stanczuk et al. (2022), arXiv:2212.12611; Tempczyk et al. (2022),
arXiv:2206.14882, for the density; derived anew for any path with Gaussian noise.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import one_of, positive
from interpolants.foundations.derivatives import jacobian
from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition
from interpolants.paths.path import SpatiallyLinearPath

METHODS = ("score", "flow", "density")


@dataclass(frozen=True)
class Dimension:
    """Estimated dimensions at some points.

    Attributes:
        value: ``(B,)``; whole numbers for ``"score"`` and ``"flow"``.
        spectrum: ``(B, D)`` singular values, descending; of the flow over their noise ratio. None for ``"density"``.
        t: The time at which the fields were asked.
        method: How.
    """

    value: Tensor
    spectrum: Tensor | None
    t: float
    method: str

    @property
    def mean(self) -> float:
        """Mean over the points."""
        return float(self.value.mean())


def intrinsic_dimension(
    fields: Fields,
    x: Tensor,
    *,
    sigma: float,
    method: str = "score",
    symmetric: bool = False,
    coarse: float = 10.0,
    n_steps: int = 60,
    cond: Condition = None,
) -> Dimension:
    """Dimension of the data near the points ``x``.

    Args:
        fields: Fields with a score, on a path whose noise is isotropic: one-sided (``alpha x0`` is the noise), or with
            a latent term.
        x: Points of the data ``(B, *D)``, at t = 1.
        sigma: Noise over signal, in data units: small beside curvature and gaps, and not below what was learnt well.
        method: ``"score"``, ``"flow"`` or ``"density"``.
        symmetric: Whether to use the symmetric part of M, which removes a purely rotational gauge, and no other.
        coarse: For ``"flow"``: how much more noise there is at its other end, > 1.
        n_steps: For ``"flow"``: steps of Runge's fourth-order method, in equal ratios of the noise.
        cond: Condition, one row per point.

    Raises:
        InvalidInputError: If there is no noise at all, sigma is not positive or never reached, or a setting is wrong.
    """
    who = "intrinsic_dimension"
    one_of(who, "method", method, METHODS)
    positive(who, "sigma", sigma, remedy="The estimate needs some noise.")
    if not coarse > 1:
        raise invalid(who, "coarse must be > 1", coarse)
    path = fields.path
    if not isinstance(path, SpatiallyLinearPath) or not path.has_latent or not fields.has_score:
        rule = "the fields must have a score, on a spatially linear path with Gaussian noise"
        raise invalid(who, rule, type(path).__name__, "For example, use paths.OneSidedLinear().")
    t = _time(path, sigma, who)
    if method == "flow":
        return _by_flow(
            fields, path, x, t, _time(path, coarse * sigma, who, "coarse * sigma"), coarse, n_steps, cond
        )
    place = torch.as_tensor(t, dtype=x.dtype, device=x.device)
    scale = _std(path, t)
    point = path.beta(place) * x

    def score(y: Tensor) -> Tensor:
        return fields.evaluate(y, place, ("score",), cond)["score"]

    with torch.no_grad():
        s, j = jacobian(score, point)
    m = -(scale**2) * j
    if method == "density":
        pulled = m.diagonal(dim1=1, dim2=2).sum(1)
        value = m.shape[1] - pulled + scale**2 * s.flatten(1).square().sum(1)
        return Dimension(value, None, t, method)
    m = (m + m.mT) / 2 if symmetric else m
    spectrum = torch.linalg.svdvals(m)
    return Dimension(m.shape[1] - (spectrum > 0.5).sum(1).to(x.dtype), spectrum, t, method)


def _by_flow(
    fields: Fields,
    path: SpatiallyLinearPath,
    x: Tensor,
    fine: float,
    coarse: float,
    ratio: float,
    n_steps: int,
    cond: Condition,
) -> Dimension:
    # The flow from little noise to more; in units of the signal, so that tangents keep their length.
    levels = torch.linspace(math.log(_ratio(path, coarse)), math.log(_ratio(path, fine)), n_steps + 1)
    grid = [_time(path, math.exp(level), "intrinsic_dimension") for level in levels.tolist()]
    start, stop = grid[0], grid[-1]
    weights = [float(path.beta(torch.tensor(t, dtype=torch.float64))) for t in (start, stop)]

    def carried(y: Tensor) -> Tensor:
        moved = sample(
            fields, weights[1] * y, reverse=True, method="rk4", time_grid=grid, cond=cond, differentiable=True,
            invariant=False, chunk=len(y),
        )  # fmt: skip
        return moved.x / weights[0]

    with torch.no_grad():
        _, j = jacobian(carried, x)
    # Normals grow with the noise, tangents keep: the root of the ratio lies between on a logarithmic scale.
    spectrum = torch.linalg.svdvals(j) / ratio
    value = j.shape[1] - (spectrum > ratio**-0.5).sum(1).to(x.dtype)
    return Dimension(value, spectrum, fine, "flow")


def _std(path: SpatiallyLinearPath, t: float) -> float:
    """Standard deviation of the Gaussian noise in x_t, in data units."""
    time = torch.tensor(t, dtype=torch.float64)
    return float(path.noise_std(time) if path.is_one_sided else path.envelope.gamma(time))


def _ratio(path: SpatiallyLinearPath, t: float) -> float:
    return _std(path, t) / float(path.beta(torch.tensor(t, dtype=torch.float64)))


def _time(path: SpatiallyLinearPath, sigma: float, who: str, name: str = "sigma") -> float:
    """The last time at which noise over signal is ``sigma``, by bisection of the second half of the path."""
    low, high = (0.0, 1.0) if path.is_one_sided else (0.5, 1.0)
    least = _ratio(path, high)
    most = _ratio(path, low + 1e-9)
    if not least < sigma < most:
        remedy = "Use another sigma, or a path that ends at a lower noise level."
        if name != "sigma":
            remedy = "Use a smaller coarse or sigma, or a path that starts at a higher noise level."
        raise invalid(who, f"{name} must lie between {least:.3g} and {most:.3g} on this path", sigma, remedy)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _ratio(path, middle) > sigma else (low, middle)
    return (low + high) / 2
