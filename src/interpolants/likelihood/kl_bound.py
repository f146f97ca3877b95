"""KL bound: an upper bound on the divergence of an SDE model from the field errors, and the best noise level.

Letters: ``db, ds, dv`` errors of velocity, score and mean rate at a time, in mean square over x_t: ``A = E|db|^2``,
``B = E|ds|^2``, ``C = E db.ds``; ``r = gamma gamma'``. The forward model's drift is wrong by ``db + eps ds``, and by
Girsanov's theorem and the chain rule

``KL(rho1 || model) <= int E|db + eps ds|^2 / (4 eps) dt = int (A + 2 eps C + eps^2 B) / (4 eps) dt``.

Where only A and B are known, ``|u + w|^2 <= 2|u|^2 + 2|w|^2`` gives ``int A/(2 eps) + eps B/2 dt``, or with the errors
of v, ``int E|dv|^2/(2 eps) + (r - eps)^2 B/(2 eps) dt``. The first two are least, over constants or time by time, at
the root of A/B. No such bound holds for the flow.

Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 2.4, there in terms of loss gaps; with squared
errors the factors are half of those.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.dynamics.noise import NoiseLevel, TabulatedNoise, as_noise
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import is_whole, one_of, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import sum_event
from interpolants.foundations.records import record
from interpolants.paths.path import Path

FORMS = ("drift", "velocity_score", "v")
_ROUNDING = 1e-5  # relative, of means in float32


@record("squared_errors", skip=("path",))
@dataclass(frozen=True)
class SquaredErrors:
    """Mean squared errors of the fields at some times, summed over the event.

    Attributes:
        t: ``(n,)`` increasing times in [0, 1], float64; tables are linear between them and constant beyond.
        velocity: ``(n,)`` E|db|^2, in data units squared per time squared.
        score: ``(n,)`` E|ds|^2, in 1/data squared.
        cross: ``(n,)`` E db.ds, if known.
        mean_rate: ``(n,)`` E|dv|^2, if known.
        path: Path of the fields; needed for the form with v.
    """

    t: Tensor
    velocity: Tensor
    score: Tensor
    cross: Tensor | None = None
    mean_rate: Tensor | None = None
    path: Path | None = None

    def __post_init__(self) -> None:
        who = "SquaredErrors"
        if self.t.ndim != 1 or len(self.t) < 1 or not bool((self.t.diff() > 0).all()):
            raise invalid(who, "t must be a vector of increasing times", tuple(self.t.shape))
        if not 0 <= float(self.t[0]) <= float(self.t[-1]) <= 1:
            raise invalid(who, "t must lie in [0, 1]", (float(self.t[0]), float(self.t[-1])))
        for name in ("velocity", "score", "cross", "mean_rate"):
            values = getattr(self, name)
            if values is None:
                continue
            if values.shape != self.t.shape or not bool(torch.isfinite(values).all()):
                rule = f"{name} must hold one finite number per time, {tuple(self.t.shape)}"
                raise invalid(who, rule, tuple(values.shape))
            if name != "cross" and bool((values < 0).any()):
                raise invalid(who, f"{name} must be >= 0", float(values.min()), "It is a mean square.")
        most = self.velocity.sqrt() * self.score.sqrt()
        if self.cross is not None and bool((self.cross.abs() > (1 + _ROUNDING) * most).any()):
            found = float((self.cross.abs() - most).max())
            remedy = "It is the mean of db.ds over the same states."
            raise invalid(who, "cross must lie within sqrt(velocity score)", f"{found:.3g} more", remedy)


@dataclass(frozen=True)
class KlBound:
    """An upper bound of a Kullback-Leibler divergence, and where in time it comes from.

    Attributes:
        value: The bound in nats; infinite where eps vanishes and the velocity is wrong.
        t: ``(n,)`` times.
        rate: ``(n,)`` nats per unit of time; the bound is its integral.
        form: ``"drift"``, ``"velocity_score"`` or ``"v"``.
    """

    value: float
    t: Tensor
    rate: Tensor
    form: str


def squared_errors(
    fields: Fields,
    reference: Fields,
    x0: Tensor | None,
    x1: Tensor,
    *,
    times: int | Sequence[float] = 24,
    generator: Generator | None = None,
) -> SquaredErrors:
    """Mean squared errors of ``fields`` against ``reference``, over x_t of given end points.

    Args:
        fields: The fields to judge.
        reference: The true fields, on the same path.
        x0: Start points ``(N, *D)``, paired with ``x1`` by row; None where the path draws them.
        x1: End points ``(N, *D)``.
        times: The times, or their number: nodes at the middle of equal parts of [0, 1].
        generator: Source of the latent noise.

    Raises:
        InvalidInputError: If neither of the fields has a path, or the times are unfit.
    """
    path = fields.path if fields.path is not None else reference.path
    if path is None:
        raise invalid("squared_errors", "the fields must have a path", "none")
    nodes = middle_times(times)
    rows: list[list[float]] = []
    names = ("velocity", "score", "mean_rate")
    with torch.no_grad():
        for t in nodes.to(x1.dtype):
            x = path.sample(x0=x0, x1=x1, t=t, generator=generator).x_t
            found, true = (f.evaluate(x, t, names) for f in (fields, reference))
            db, ds, dv = ((found[name] - true[name]).double() for name in names)
            rows.append([float(sum_event(u * w).mean()) for u, w in ((db, db), (ds, ds), (db, ds), (dv, dv))])
    velocity, score, cross, mean_rate = torch.tensor(rows, dtype=torch.float64).unbind(1)
    return SquaredErrors(nodes, velocity, score, cross, mean_rate, path)


def middle_times(times: int | Sequence[float]) -> Tensor:
    """Given times, or the middles of n equal parts of [0, 1]; float64."""
    if is_whole(times):
        n = whole("squared_errors", "times", times, at_least=1)
        return (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.as_tensor(times, dtype=torch.float64)


def kl_bound(errors: SquaredErrors, eps: Any, *, end: int = 1, form: str = "auto") -> KlBound:
    """Upper bound of ``KL(rho1 || model)`` of the forward SDE, or of ``KL(rho0 || model)`` of the backward one.

    Args:
        errors: Mean squared errors of the fields.
        eps: Noise level: a number > 0, a function of t, or a ``NoiseLevel``.
        end: 1 for the forward model, 0 for the backward model.
        form: ``"drift"`` (the tightest; needs ``cross``), ``"velocity_score"``, ``"v"`` (needs ``mean_rate`` and
            ``path``), or ``"auto"``: ``"drift"`` if it can be had, else ``"velocity_score"``.

    Raises:
        InvalidInputError: If eps is zero, or the form needs an error that is not known.
    """
    one_of("kl_bound", "end", end, (0, 1))
    noise = as_noise(eps)
    if noise is None:
        remedy = "Errors of the fields bound the divergence of an SDE only."
        raise invalid("kl_bound", "eps must be > 0", eps, remedy)
    form = ("velocity_score" if errors.cross is None else "drift") if form == "auto" else form
    level = noise.values(errors.t, errors.path)
    squared = _twice_squared(errors, level, 1.0 if end == 1 else -1.0, form)
    # 0/0: no error where there is no noise; where the noise is infinite, any error is too.
    rate = torch.where((squared == 0) & (level == 0), 0.0, squared / (4 * level))
    rate = torch.where(rate.isnan(), torch.inf, rate)
    return KlBound(_integral(errors.t, rate), errors.t, rate, form)


def _twice_squared(errors: SquaredErrors, eps: Tensor, sign: float, form: str) -> Tensor:
    """``E|db ± eps ds|^2``, or an upper bound of it, at each time."""
    if form == "drift":
        cross = _needed(errors.cross, "cross", form)
        return (errors.velocity + 2 * sign * eps * cross + eps.square() * errors.score).clamp_min(0)
    if form == "velocity_score":
        return 2 * errors.velocity + 2 * eps.square() * errors.score
    if form == "v":
        mean_rate = _needed(errors.mean_rate, "mean_rate", form)
        if errors.path is None:
            raise invalid("kl_bound", "form='v' needs the path", "none")
        r = errors.path.envelope.gamma_gamma_dot(errors.t)
        return 2 * mean_rate + 2 * (r - sign * eps).square() * errors.score
    raise invalid("kl_bound", f"form must be one of {', '.join(FORMS)}", repr(form))


def _needed(values: Tensor | None, name: str, form: str) -> Tensor:
    if values is None:
        raise invalid("kl_bound", f"form={form!r} needs the errors' {name}", "None")
    return values


def optimal_eps(errors: SquaredErrors) -> float:
    """The constant noise level of least bound, ``sqrt(int A dt / int B dt)``.

    Raises:
        InvalidInputError: If the score has no error: then the bound falls with every increase of eps.
    """
    velocity, score = (_integral(errors.t, part) for part in (errors.velocity, errors.score))
    if score <= 0:
        raise invalid("optimal_eps", "the score must have an error", score, "Any large eps will do.")
    return math.sqrt(velocity / score)


def optimal_schedule(errors: SquaredErrors, *, scale: float = 1.0) -> NoiseLevel:
    """The noise level of least bound at each time, ``scale sqrt(A(t) / B(t))``.

    Raises:
        InvalidInputError: If the score has no error at some time.
    """
    if bool((errors.score <= 0).any()):
        t = float(errors.t[errors.score <= 0][0])
        raise invalid("optimal_schedule", "the score must have an error at every time", f"0 at t={t:.4g}")
    level = scale * torch.sqrt(errors.velocity / errors.score)
    return TabulatedNoise(tuple(errors.t.tolist()), tuple(level.tolist()))


def _integral(t: Tensor, values: Tensor) -> float:
    """Over [0, 1], linear between the nodes and constant beyond them."""
    if bool(values.isinf().any()):  # also at an end, whose share has no width
        return math.inf
    inner = torch.trapezoid(values, t) if len(t) > 1 else values.new_zeros(())
    return float(inner + values[0] * t[0] + values[-1] * (1 - t[-1]))
