"""Conversion rules between the fields of a path, chained until the wanted field is reached.

On a one-sided path the velocity, the endpoints and the mean noise determine each other for any distribution of the
base. The score joins them by Tweedie's formula, which holds for a Gaussian base alone.

Letters: b velocity, v mean rate, s score, n mean noise, e0, e1 mean end points; a, b_ coefficients of x0, x1; g gamma.
A rule says what it needs, when it holds, and its formula. Rules stand in order of preference: those without a
division by something that vanishes at an end come first.

Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 2; derived anew, checked against closed
forms in the tests.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from interpolants.foundations.base import BaseDistribution
from interpolants.foundations.errors import NotIdentifiableError
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths.path import Path, SpatiallyLinearPath, Unmix


class At:
    """A path's coefficients at given times, widened to the states, each computed when first asked for.

    ``at.alpha``, ``at.beta_dot`` ... come from the path, ``at.gamma``, ``at.gamma_gamma_dot`` from its envelope.

    On a path with a basis everything here is in its coordinates, ``at.x`` included: what a formula takes goes through
    ``enter`` and what it gives through ``leave``. The formulas are the same, entry by entry.
    """

    def __init__(self, path: Path, x: Tensor, t: Tensor, mean1: Tensor | None = None) -> None:
        self.path, self.t = path, t
        self._dtype = x.dtype
        self.x = self.enter(x)
        self.mean1 = mean1 if mean1 is None or path.basis is None else self.enter(mean1.to(x)[None])[0]

    def enter(self, value: Tensor) -> Tensor:
        """A field's value in the coordinates of the formulas."""
        return value if self.path.basis is None else self.path.basis.forward(value)

    def leave(self, value: Tensor) -> Tensor:
        """A formula's value as that of a field."""
        return value if self.path.basis is None else self.path.basis.inverse(value).to(self._dtype)

    def __getattr__(self, name: str) -> Tensor:
        owner = self.path.envelope if name.startswith("gamma") else self.path
        value = self._wide(getattr(owner, name)(self.t))
        setattr(self, name, value)
        return value

    @property
    def base(self) -> BaseDistribution:
        """The distribution of x0 of a one-sided path."""
        assert self.path.base is not None
        return self.path.base

    @property
    def gaussian(self) -> Gaussian:
        """The same where it is Gaussian."""
        assert isinstance(self.path.base, Gaussian)
        return self.path.base

    @cached_property
    def unmix(self) -> Unmix:
        """The coefficients that recover the end points."""
        assert isinstance(self.path, SpatiallyLinearPath)
        return Unmix(*(self._wide(c) for c in self.path.unmix(self.t)))

    def _wide(self, value: Tensor) -> Tensor:
        return self.path.widen(value, self.x)


Formula = Callable[..., Tensor]


@dataclass(frozen=True)
class Rule:
    """``target`` follows from ``needs`` by ``formula(at, *values)`` on paths for which ``holds``."""

    target: str
    needs: tuple[str, ...]
    holds: Callable[[Path], bool]
    formula: Formula


def _one_sided(path: Path) -> bool:
    return path.is_one_sided


def _gaussian_base(path: Path) -> bool:
    return path.base is not None and path.base.is_gaussian


def _latent(path: Path) -> bool:
    return not path.is_one_sided and not path.envelope.is_zero


def _no_latent(path: Path) -> bool:
    return path.envelope.is_zero


def _linear_latent(path: Path) -> bool:
    return isinstance(path, SpatiallyLinearPath) and _latent(path) and not path.is_static


def _linear_two_sided(path: Path) -> bool:
    return isinstance(path, SpatiallyLinearPath) and not path.is_one_sided and not path.is_static


def _mixing(path: Path) -> bool:
    return isinstance(path, SpatiallyLinearPath) and path.is_mixing


def _mixing_latent(path: Path) -> bool:
    return _mixing(path) and _latent(path)


def _mixing_plain(path: Path) -> bool:
    # Without a latent term position and velocity alone give both end points.
    return _mixing(path) and _no_latent(path)


def _determined_ends(path: Path) -> bool:
    # One end point, with the position, gives the other.
    return path.is_one_sided or _mixing_plain(path)


def _static(path: Path) -> bool:
    return path.is_static


Determinant = Callable[[SpatiallyLinearPath, Tensor], Tensor]


def _latent_dividing_by(determinant: Determinant) -> Callable[[Path], bool]:
    """Spatially linear with a latent term, and the determinant keeps its sign strictly inside (0, 1)."""

    def holds(path: Path) -> bool:
        if not (isinstance(path, SpatiallyLinearPath) and _linear_latent(path)):
            return False
        values = determinant(path, torch.linspace(0, 1, 515, dtype=torch.float64)[1:-1])
        return bool((values > 0).all() or (values < 0).all())

    return holds


def _det0(path: SpatiallyLinearPath, t: Tensor) -> Tensor:
    # Of (x, b) as a system for (x0, z), times gamma: alpha' and gamma' enter as products only where they must.
    gamma_squared = path.envelope.gamma(t).square()
    return gamma_squared * path.alpha_dot(t) - path.envelope.gamma_gamma_dot(t) * path.alpha(t)


def _det1(path: SpatiallyLinearPath, t: Tensor) -> Tensor:
    gamma_squared = path.envelope.gamma(t).square()
    return gamma_squared * path.beta_dot(t) - path.envelope.gamma_gamma_dot(t) * path.beta(t)


def _endpoint0_from_flow(at: At, b: Tensor, e1: Tensor) -> Tensor:
    squared = at.gamma * at.gamma
    rest = squared * (b - at.beta_dot * e1) - at.gamma_gamma_dot * (at.x - at.beta * e1)
    return rest / (squared * at.alpha_dot - at.gamma_gamma_dot * at.alpha)


def _denoised_from_flow(at: At, b: Tensor, e0: Tensor) -> Tensor:
    squared = at.gamma * at.gamma
    rest = squared * (b - at.alpha_dot * e0) - at.gamma_gamma_dot * (at.x - at.alpha * e0)
    return rest / (squared * at.beta_dot - at.gamma_gamma_dot * at.beta)


def _steep(path: Path) -> bool:
    """Whether alpha vanishes at t = 1 with an infinite rate, so that velocity and score are both finite there."""
    if not (
        isinstance(path, SpatiallyLinearPath) and isinstance(path.base, Gaussian) and path.base.is_centred
    ):
        return False
    return not bool(torch.isfinite(path.alpha_dot(torch.ones((), dtype=torch.float64))).all())


# With C the base's covariance, E[x0|x] = -alpha C s and b = (beta'/beta) x + (g^2/2) C s. Times beta nothing infinite
# is left: g^2 beta/2 holds alpha^2 and the product alpha alpha' only.
def _steep_score(at: At, b: Tensor) -> Tensor:
    half_g_squared = at.alpha * at.alpha * at.beta_dot - at.alpha_alpha_dot * at.beta
    return at.gaussian.score((at.beta_dot * at.x - at.beta * b) / half_g_squared)


def _steep_velocity(at: At, e1: Tensor, s: Tensor) -> Tensor:
    return at.beta_dot * e1 - at.alpha_alpha_dot * at.gaussian.root(at.gaussian.root_transpose(s))


def _denoised_from_0(at: At, e0: Tensor) -> Tensor:
    if at.mean1 is None:
        return (at.x - at.alpha * e0) / at.beta
    # At t = 0 the state says nothing of x1 when the ends are independent: its mean is the answer. The quotient, which
    # is not used there, must stay finite: its derivative would be NaN in spite of `where`.
    nothing = torch.as_tensor(at.beta == 0, device=at.x.device)
    value = (at.x - at.alpha * e0) / torch.where(nothing, torch.ones_like(at.beta), at.beta)
    return torch.where(nothing, at.mean1.to(value), value)


RULES: tuple[Rule, ...] = (
    # --- any path with a latent term gamma z
    Rule("score", ("noise",), _latent, lambda at, n: -n / at.gamma),
    Rule("noise", ("score",), _latent, lambda at, s: -at.gamma * s),
    Rule("mean_rate", (), _static, lambda at: torch.zeros_like(at.x)),
    Rule("velocity", ("mean_rate", "score"), _latent, lambda at, v, s: v - at.gamma_gamma_dot * s),
    Rule("mean_rate", ("velocity", "score"), _latent, lambda at, b, s: b + at.gamma_gamma_dot * s),
    # --- no latent term: mean rate and velocity are the same field
    Rule("velocity", ("mean_rate",), _no_latent, lambda at, v: v),
    Rule("mean_rate", ("velocity",), _no_latent, lambda at, b: b),
    # --- one-sided: the base's noise is the latent term; the velocity alone gives everything if it is Gaussian
    Rule("endpoint0", ("noise",), _one_sided, lambda at, n: at.base.color(n)),
    Rule("noise", ("endpoint0",), _one_sided, lambda at, e0: at.base.whiten(e0)),
    Rule(
        "score",
        ("noise",),
        _gaussian_base,
        lambda at, n: -at.gaussian.inverse_root_transpose(n) / at.alpha,
    ),
    Rule("noise", ("score",), _gaussian_base, lambda at, s: -at.alpha * at.gaussian.root_transpose(s)),
    # Variance-preserving paths have alpha' infinite at t = 1, where these two are still finite.
    Rule("score", ("velocity",), _steep, _steep_score),
    Rule("velocity", ("denoised", "score"), _steep, _steep_velocity),
    # --- spatially linear: positions and rates of the ends
    Rule("endpoint0", ("velocity",), _mixing_plain, lambda at, b: at.unmix.x0_x * at.x + at.unmix.x0_v * b),
    Rule("denoised", ("velocity",), _mixing_plain, lambda at, b: at.unmix.x1_x * at.x + at.unmix.x1_v * b),
    Rule(
        "endpoint0",
        ("mean_rate", "noise"),
        _mixing_latent,
        lambda at, v, n: at.unmix.x0_x * (at.x - at.gamma * n) + at.unmix.x0_v * v,
    ),
    Rule(
        "denoised",
        ("mean_rate", "noise"),
        _mixing_latent,
        lambda at, v, n: at.unmix.x1_x * (at.x - at.gamma * n) + at.unmix.x1_v * v,
    ),
    Rule(
        "mean_rate",
        ("endpoint0", "denoised"),
        _linear_two_sided,
        lambda at, e0, e1: at.alpha_dot * e0 + at.beta_dot * e1,
    ),
    Rule(
        "velocity",
        ("endpoint0", "denoised"),
        _one_sided,
        lambda at, e0, e1: at.alpha_dot * e0 + at.beta_dot * e1,
    ),
    Rule(
        "noise",
        ("endpoint0", "denoised"),
        _linear_latent,
        lambda at, e0, e1: (at.x - at.alpha * e0 - at.beta * e1) / at.gamma,
    ),
    Rule("denoised", ("endpoint0",), _determined_ends, _denoised_from_0),
    Rule("endpoint0", ("denoised",), _determined_ends, lambda at, e1: (at.x - at.beta * e1) / at.alpha),
    Rule(
        "denoised",
        ("endpoint0", "noise"),
        _latent_dividing_by(lambda path, t: path.beta(t)),
        lambda at, e0, n: (at.x - at.alpha * e0 - at.gamma * n) / at.beta,
    ),
    Rule(
        "endpoint0",
        ("denoised", "noise"),
        _latent_dividing_by(lambda path, t: path.alpha(t)),
        lambda at, e1, n: (at.x - at.beta * e1 - at.gamma * n) / at.alpha,
    ),
    # One end point with a rate: wherever the coefficient of what is left does not vanish inside.
    Rule(
        "denoised",
        ("mean_rate", "endpoint0"),
        _latent_dividing_by(lambda path, t: path.beta_dot(t)),
        lambda at, v, e0: (v - at.alpha_dot * e0) / at.beta_dot,
    ),
    Rule(
        "endpoint0",
        ("mean_rate", "denoised"),
        _latent_dividing_by(lambda path, t: path.alpha_dot(t)),
        lambda at, v, e1: (v - at.beta_dot * e1) / at.alpha_dot,
    ),
    Rule("denoised", ("velocity", "endpoint0"), _latent_dividing_by(_det1), _denoised_from_flow),
    Rule("endpoint0", ("velocity", "denoised"), _latent_dividing_by(_det0), _endpoint0_from_flow),
    # --- mirror: the only unknown is the noise, or the point it was added to
    Rule("denoised", ("noise",), _static, lambda at, n: at.x - at.gamma * n),
    Rule("noise", ("denoised",), _static, lambda at, e1: (at.x - e1) / at.gamma),
    Rule("denoised", ("endpoint0",), _static, lambda at, e0: e0),
    Rule("endpoint0", ("denoised",), _static, lambda at, e1: e1),
)


def fold(path: Path, steps: Sequence[Rule], known: Sequence[str], t: Tensor) -> dict[str, Tensor] | None:
    """All quantities that ``steps`` yield, as combinations of the state and of what is known, at times ``t (n,)``.

    Every relation is linear. Where it also acts on each entry alike (no base, or a centred one with the same spread in
    every entry), its coefficients can be read off by applying it to unit vectors, at all times of a run at once: a
    sampler then needs one operation per term, however long the chain of rules.

    Returns:
        Quantity -> coefficients of the state and of ``known`` in order, ``(n, 1 + K)`` float64. A row is not finite at
        a time where a rule must see the states themselves. None where a rule mixes entries or adds a constant.
    """
    mixes = path.base is not None and (path.base.shared_scale is None or not path.base.is_centred)
    if mixes or path.basis is not None:
        return None
    own, *units = torch.eye(1 + len(known), dtype=torch.float64)[:, None].expand(-1, len(t), -1)
    at = At(path, own, t.double())
    values = dict(zip(known, units, strict=True))
    for rule in steps:
        values[rule.target] = rule.formula(at, *(values[need] for need in rule.needs))
    # At an end a coefficient may be infinite, and a rule may then know better (the mean of x1 at t = 0).
    whole = torch.stack([*values.values()]).isfinite().all(0).all(1, keepdim=True)
    return {name: value.where(whole, torch.nan) for name, value in values.items()}


def plan(path: Path, known: Iterable[str], target: str) -> tuple[Rule, ...] | None:
    """Rules to apply in order so that ``target`` follows from ``known``; None if no chain leads there.

    Breadth first: the shortest chain wins, then the order of the table.
    """
    have = set(known)
    via: dict[str, Rule] = {}
    while target not in have:
        fresh = {
            rule.target: rule
            for rule in reversed(RULES)
            # Whether it holds is asked last: of some paths that takes coefficients at hundreds of times.
            if rule.target not in have and have.issuperset(rule.needs) and rule.holds(path)
        }
        if not fresh:
            return None
        via.update(fresh)
        have.update(fresh)
    steps: list[Rule] = []
    _collect(target, via, steps)
    return tuple(steps)


def _collect(target: str, via: dict[str, Rule], steps: list[Rule]) -> None:
    rule = via.get(target)
    if rule is None or rule in steps:
        return
    for need in rule.needs:
        _collect(need, via, steps)
    steps.append(rule)


@lru_cache(maxsize=256)
def _chain(path: Path, known: tuple[str, ...], want: tuple[str, ...]) -> tuple[Rule, ...]:
    """Rules to apply in order so that every wanted quantity follows."""
    steps: list[Rule] = []
    for quantity in want:
        route = plan(path, known, quantity)
        if route is None:
            raise explain(path, known, quantity)
        steps += [rule for rule in route if rule not in steps]
    return tuple(steps)


def derive(
    path: Path, known: Mapping[str, Tensor], want: Sequence[str], x: Tensor, t: Tensor
) -> dict[str, Tensor]:
    """Wanted quantities from the values of others at the same states and times, by the path's relations.

    Args:
        path: The interpolant.
        known: Quantity -> value ``(B, *D)``.
        want: Quantities.
        x: States ``(B, *D)``.
        t: Times, 0-d or ``(B,)``.

    Raises:
        NotIdentifiableError: If one does not follow.
    """
    steps = _chain(path, tuple(known), tuple(want))
    at = At(path, x, t)
    inside = {name: at.enter(value) for name, value in known.items()}
    for rule in steps:
        inside[rule.target] = rule.formula(at, *(inside[need] for need in rule.needs))
    return {name: known[name] if name in known else at.leave(inside[name]) for name in want}


def explain(path: Path, known: Iterable[str], target: str) -> NotIdentifiableError:
    """The refusal: why ``target`` does not follow, and what to learn instead."""
    have = ", ".join(sorted(known))
    name = type(path).__name__
    what = f"{target} does not follow from {have} on the path {name}"
    if path.base is not None and not path.base.is_gaussian and (target == "score" or have == "score"):
        why = (
            f"its base {path.base} is not Gaussian, so the score is no multiple of the mean noise (Tweedie's formula "
            "does not hold)"
        )
        cure = (
            "Learn velocity, denoised or noise, and for an SDE the score beside it, e.g. LearnedFields(path, "
            "denoised=..., score=...); eps = 0 (the ODE) needs no score."
        )
        return NotIdentifiableError(f"Fields: {what}: {why}. {cure}")
    if target in ("score", "noise") and path.envelope.is_zero:
        why = (
            "it has no latent noise (gamma = 0) and its base is not Gaussian by construction, "
            "so the velocity says nothing of the density"
        )
        cure = (
            "Use an envelope with gamma > 0 and learn the noise too, or a one-sided path if rho0 is Gaussian; "
            "eps = 0 (the ODE) works as it is."
        )
    elif target in ("score", "noise"):
        why = "rho0 is not Gaussian by construction, so velocity and score are independent fields"
        cure = "Learn the noise (or score) beside it, e.g. LearnedFields(path, velocity=..., noise=...)."
    elif target in ("endpoint0", "denoised") and not _mixing(path):
        why = "position and rate do not determine both end points there"
        cure = f"Learn it directly: LearnedFields(path, ..., {target}=...)."
    else:
        why = "one field is not enough on a two-sided path"
        cure = "Learn two of: velocity or mean_rate, score or noise, endpoint0, denoised."
    return NotIdentifiableError(f"Fields: {what}: {why}. {cure}")
