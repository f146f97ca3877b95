"""Does a trained bridge hold together? Tests of the fields against identities that need no truth, and of the samples.

Identities, each an average over draws of the interpolant at given times:

* calibration: a field is a conditional mean, so its target minus its value is orthogonal to the value itself:
  the regression slope of target on prediction is 1. A wrong sign gives -1, a wrong factor its inverse;
* rate: ``E[x . b] = E[x . dx/dt]``, half the rate of the second moment; a wrong gamma' or a flipped time breaks it;
* Stein: ``E[(x - mean) . s] = -D`` for the score of any law that decays.

A network that was stopped early, before it had learnt its rows by heart, is no conditional mean over these, and may be
one over the law: the averages are taken over rows that training has not seen, where there are some. These are few and
are drawn often, so that a standard error counts rows and not draws: sums over the draws of each end and of each start,
less what both count (two-way clustering).

Samples: transported points against the data, ODE against SDE, there and back again, each beside its sampling floor.

Source: Cameron, Gelbach & Miller (2011), J. Bus. Econ. Stat. 29, 238-249, for the standard error.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.couplings.independent import Independent
from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.equal_rows import copies, together, uncut
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.ops import mean_event, sum_event
from interpolants.foundations.randomness import generator
from interpolants.foundations.types import take_rows
from interpolants.framework.self_checks import Check, CheckReport
from interpolants.methods.parts.start_points import Pool, draw_base
from interpolants.metrics.estimate import two_halves
from interpolants.metrics.sliced_wasserstein import sliced_wasserstein
from interpolants.paths.path import PathSample
from interpolants.training.pairs import draw_pairs

TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
# Allowed bias of a learnt field against an identity, beyond four standard errors: pass and warn.
BIAS = (0.1, 0.3)
# Distance to the data over the sampling floor: pass and warn.
FLOORS = (2.0, 4.0)
# A prediction below this share of its target, in mean square, need not have the right slope.
NEGLIGIBLE = 0.05
RETURN = (0.05, 0.2)


def check_bridge(
    fields: Fields,
    pool0: Pool | None,
    pool1: Pool,
    shape: tuple[int, ...],
    *,
    n: int = 2000,
    seed: int = 0,
    eps: float = 0.5,
    coupling: Any = None,
    batch_size: int = 256,
    held: tuple[Pool | None, Pool] | None = None,
) -> CheckReport:
    """Run every check that applies.

    Args:
        fields: The bridge's fields.
        pool0: Samples of rho0; None where the path has a Gaussian base (or is a mirror).
        pool1: Samples of rho1, with conditions if the fields need them.
        shape: Event shape.
        n: Draws per check.
        seed: Seed of all draws.
        eps: Noise level of the SDE checks.
        coupling: How starts and ends were paired while training: the fields are means over such pairs. Independent
            ones when None.
        batch_size: Rows that were paired at once.
        held: Samples of both ends that training has not seen, for the identities; ``pool0`` and ``pool1`` if None.
    """
    draws = _Draws(fields, pool0, pool1, shape, n, seed, coupling, batch_size)
    unseen = draws if held is None else _Draws(fields, *held, shape, n, seed, coupling, batch_size)
    checks = [*_calibrations(unseen), *_identities(unseen)]
    try:
        checks += _arrivals(draws, eps)
    except DivergedError as error:
        checks.append(Check("sampling", "fail", math.nan, 0.0, str(error)))
    return CheckReport(tuple(checks))


class _Draws:
    """Points of the interpolant at the times of the checks, and starts for sampling."""

    def __init__(
        self,
        fields: Fields,
        pool0: Pool | None,
        pool1: Pool,
        shape: tuple[int, ...],
        n: int,
        seed: int,
        coupling: Any,
        batch_size: int,
    ) -> None:
        assert fields.path is not None
        self.fields, self.path, self.n, self.seed = fields, fields.path, n, seed
        self.pool1, self.shape = pool1, shape
        source = generator(seed, "check pairs")
        self.pool0 = pool0
        if pool0 is not None and coupling is not None and not isinstance(coupling, Independent):
            self.x0, self.x1, self.cond = draw_pairs(
                pool0.x,
                pool1.x,
                n,
                coupling,
                batch_size,
                source,
                cond=pool1.cond,
                cond0=pool0.cond,
                who="Bridge.check",
            )
        else:
            rows = torch.randint(len(pool1.x), (n,), generator=source)
            self.x1, self.cond = pool1.x[rows], take_rows(pool1.cond, rows)
            if self.path.base is not None:
                self.x0 = draw_base(self.path.base, shape, n, seed + 1, 0)
            elif pool0 is not None:
                self.x0 = pool0.x[torch.randint(len(pool0.x), (n,), generator=source)]
            else:
                self.x0 = self.x1
        draw = torch.randn if self.path.base is None else self.path.base.noise
        self.z: Tensor = draw(self.x1.shape, generator=source, dtype=self.x1.dtype)
        drawn = (self.x1,) if pool0 is None else (self.x1, self.x0)
        self.rows = [torch.unique(x.flatten(1), dim=0, return_inverse=True)[1] for x in drawn]

    @property
    def times(self) -> Sequence[float]:
        """Where to look: a path with a grid of its own has little to show at even times."""
        own = self.path.own_grid(7)
        return TIMES if own is None else own[1:-2]

    def at(self, t: float) -> list[PathSample]:
        """The antithetic pair of draws at a time."""
        if self.path.is_one_sided:
            return [self.path.sample(x1=self.x1, t=t, z=self.z)]
        return [self.path.sample(x0=self.x0, x1=self.x1, t=t, z=z) for z in (self.z, -self.z)]

    def values(self, draw: PathSample, quantity: str) -> Tensor:
        """A field at the draw."""
        with torch.inference_mode():
            return self.fields.evaluate(draw.x_t, draw.t[0], (quantity,), self.cond)[quantity]

    def relative(self, gap: Tensor, scale: float) -> tuple[float, float]:
        """Mean of a gap ``(B,)`` and its standard error, over a scale; draws that share a row are not independent."""
        scale, apart = max(scale, 1e-12), gap - gap.mean()
        alone = apart.square().sum()
        shared = [_by_row(apart, rows) for rows in self.rows]
        total = sum(shared, -alone * (len(shared) - 1)).clamp_min(alone)
        return float(gap.mean()) / scale, math.sqrt(float(total)) / len(gap) / scale

    def tamed(self, draw: PathSample, value: Tensor) -> Tensor:
        """A value ``(B,)`` per row; where the base has no fourth moment, with less weight far out.

        The identities hold under any weight that depends on x_t alone, and their standard errors need two moments more.
        """
        if self.path.base is None or self.path.base.moments > 4:
            return value
        return value / (1 + mean_event(draw.x_t.square()))


def _calibrations(draws: _Draws) -> list[Check]:
    targets: dict[str, Callable[[PathSample], Tensor]] = {
        "velocity": lambda d: d.x_dot,
        "mean_rate": lambda d: d.i_dot,
        "noise": lambda d: d.z,
        "endpoint0": lambda d: d.x0,
        "denoised": lambda d: d.x1,
        "score": draws.path.kernel_score,
    }
    gaussian = draws.path.base is None or draws.path.base.is_gaussian
    checks = []
    for quantity in draws.fields.known:
        quantity = "noise" if quantity == "score" and gaussian else quantity
        worst, spread, when = 0.0, 0.0, 0.5
        for t in draws.times:
            sides = [(d, targets[quantity](d), draws.values(d, quantity)) for d in draws.at(t)]
            gap = torch.stack([draws.tamed(d, sum_event((y - f) * f)) for d, y, f in sides]).mean(0)
            power, target = (
                torch.stack([draws.tamed(d, sum_event(v.square())) for d, v in values]).mean()
                for values in ([(d, f) for d, _, f in sides], [(d, y) for d, y, _ in sides])
            )
            # a mean that is all but zero is judged by the size of its target
            power = torch.maximum(power, NEGLIGIBLE * target)
            bias, error = draws.relative(gap, float(power))
            if abs(bias) - 4 * error > abs(worst) - 4 * spread or t == draws.times[0]:
                worst, spread, when = bias, error, t
        message = f"slope of target on prediction is {1 + worst:.3f} ± {spread:.3f} at t={when}"
        checks.append(_judge(f"calibration of {quantity}", abs(worst), BIAS, 4 * spread, message))
    return checks


def _identities(draws: _Draws) -> list[Check]:
    checks = []
    worst, spread, when = 0.0, 0.0, 0.5
    for t in draws.times:
        sides = [(d, draws.values(d, "velocity")) for d in draws.at(t)]
        gap = torch.stack([draws.tamed(d, sum_event((d.x_dot - b) * d.x_t)) for d, b in sides]).mean(0)
        sizes = [[draws.tamed(d, sum_event(y.square())).mean() for y in (b, d.x_t)] for d, b in sides]
        scale = torch.stack([rate * place for rate, place in sizes])
        bias, error = draws.relative(gap, float(scale.mean().sqrt()))
        if abs(bias) - 4 * error > abs(worst) - 4 * spread or t == draws.times[0]:
            worst, spread, when = bias, error, t
    message = f"E[x.b] misses the rate of the second moment by {worst:+.3f} ± {spread:.3f} at t={when}"
    checks.append(_judge("rate of the second moment", abs(worst), BIAS, 4 * spread, message))
    if draws.fields.has_score:
        checks.append(_stein(draws))
    return checks


def _stein(draws: _Draws) -> Check:
    size = math.prod(draws.shape)
    worst, spread, when = 0.0, 0.0, 0.5
    for t in draws.times:
        sides, scale = [], float(size)
        for d in draws.at(t):
            centred, score = d.x_t - d.x_t.mean(0), draws.values(d, "score")
            sides.append(sum_event(centred * score) + size)
            # Where modes lie far apart the product is a small difference of large terms: judge it by their size.
            terms = sum_event(centred.square()).mean() * sum_event(score.square()).mean()
            scale = max(scale, float(terms.sqrt()))
        bias, error = draws.relative(torch.stack(sides).mean(0), scale)
        if abs(bias) - 4 * error > abs(worst) - 4 * spread or t == draws.times[0]:
            worst, spread, when = bias, error, t
    message = f"E[(x - mean).s] misses -{size} by {worst:+.3f} ± {spread:.3f} of its terms' size at t={when}"
    return _judge("Stein identity of the score", abs(worst), BIAS, 4 * spread, message)


def _arrivals(draws: _Draws, eps: float) -> list[Check]:
    fields, seed = draws.fields, draws.seed
    half = min(draws.n, len(draws.pool1.x) // 2)
    source = generator(seed, "check halves")
    rows = torch.randperm(len(draws.pool1.x), generator=source)[: 2 * half]
    a, b = draws.pool1.x[rows[:half]], draws.pool1.x[rows[half:]]
    a, b = _without_shared_copies(draws.pool1.x, half, source) or (a, b)
    start, end, cond = draws.x0[:half], draws.x1[:half], take_rows(draws.cond, slice(0, half))
    floor = sliced_wasserstein(a, b, generator=generator(seed, "check floor")).value
    flow = sample(fields, start, cond=cond, on_failure="keep").x
    checks = [_distance("ODE against data", flow, b, floor, seed)]
    if fields.has_score:
        noisy = sample(fields, start, eps=eps, seed=seed, cond=cond, on_failure="keep").x
        checks.append(_distance(f"SDE (eps={eps:g}) against data", noisy, b, floor, seed))
        checks.append(_distance("SDE against ODE", noisy, flow, floor, seed))
    if not bool(torch.isfinite(flow).all()):
        return checks
    back = sample(fields, flow, reverse=True, cond=cond, on_failure="keep").x
    spread = float(start.std())
    miss = float((back - start).square().mean().sqrt()) / spread
    message = f"there and back misses the start by {100 * miss:.2g}% of its spread"
    checks.append(_judge("ODE there and back", miss, RETURN, 0.0, message))
    if draws.pool0 is not None and len(draws.pool0.x) >= 4:
        x = draws.pool0.x
        first, second = _without_shared_copies(x, half, source) or two_halves(x[: 2 * half], source)
        floor0 = sliced_wasserstein(first, second, generator=generator(seed, "check floor of starts")).value
        arrived = sample(fields, end, reverse=True, cond=cond, on_failure="keep").x
        checks.append(_distance("reverse ODE against rho0", arrived[: len(second)], second, floor0, seed))
    return checks


def _without_shared_copies(x: Tensor, max_rows: int, source: Generator) -> tuple[Tensor, Tensor] | None:
    """Two sets of at most ``max_rows`` rows of which none has a copy in the other; None where there are no copies.

    Rows of a weighted set are repeated by their weights: halves that shared them would be too near to each other.
    """
    if (first := copies(x)) is None:
        return None
    order = together(torch.randperm(len(x), generator=source), first)
    split_index = uncut(order, first, len(x) // 2)
    a, b = (
        side[torch.linspace(0, len(side) - 1, min(len(side), max_rows)).long()]
        for side in (order[:split_index], order[split_index:])
    )
    return x[a], x[b]


def _distance(name: str, x: Tensor, y: Tensor, floor: float, seed: int) -> Check:
    if not bool(torch.isfinite(x).all()):
        return Check(name, "fail", math.nan, FLOORS[0], "some samples are not finite")
    found = sliced_wasserstein(x, y, generator=generator(seed, "check distance"))
    ratio = found.value / floor if floor > 0 else math.inf
    message = f"sliced W2 {found.value:.4g} is {ratio:.2f} times that of two halves of the data ({floor:.4g})"
    return _judge(name, ratio, FLOORS, 0.0, message)


def _by_row(apart: Tensor, rows: Tensor) -> Tensor:
    """Sum over rows of the squared sum of their draws, ``apart (B,)``, corrected for a mean over few rows."""
    count = int(rows.max()) + 1
    sums = torch.zeros(count, dtype=apart.dtype).index_add_(0, rows, apart)
    return sums.square().sum() * count / max(count - 1, 1)


def _judge(name: str, value: float, limits: tuple[float, float], slack: float, message: str) -> Check:
    good, fair = (limit + slack for limit in limits)
    verdict = "pass" if value <= good else "warn" if value <= fair else "fail"
    return Check(name, verdict, value, good, message)
