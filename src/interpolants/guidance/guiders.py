"""Rules of guidance other than the linear one: APG, CFG-Zero*, autoguidance, and CFG++ as a schedule of strengths.

Letters as in ``guidance.classifier_free``; ``D = E[x1|x_t]``, ``v`` the velocity, ``Delta = D_c - D_u``.

None of these rules samples the tilt ``p_c^w p_u^(1 - w)``. For that see :class:`~interpolants.guidance.FeynmanKac`.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.fields.conversions import derive, plan
from interpolants.fields.protocol import Combined, Fields, Weights
from interpolants.foundations.checks import number
from interpolants.foundations.clock import ROUNDING
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import expand_like, sum_event
from interpolants.guidance.classifier_free import (
    Branches,
    ClassifierFree,
    Guider,
    Strength,
    Target,
    taken_apart,
)
from interpolants.guidance.experts import check_path
from interpolants.paths.from_gaussian import gaussian_path
from interpolants.paths.path import Path, SpatiallyLinearPath


class APG(Guider):
    """Adaptive projected guidance: the part of the difference along the clean estimate is damped, which saturates.

    ``D = D_c + (w - 1) (Delta_orth + eta Delta_par)`` with ``Delta_par = (Delta.c) c/|c|^2``, ``c = D_c - centre``, and
    ``Delta`` shortened to ``radius`` before. Products run over one row. ``eta = 1`` with no radius is the linear rule.

    The other fields follow from D by the relations of the path. These are affine with one factor for all entries, so
    each field has its own difference projected on c. Projecting the velocity on itself is another method.

    Args:
        fields: As in :class:`Guider`, on a one-sided path from a Gaussian base of one scale.
        strength: As in :class:`Guider`.
        interval: As in :class:`Guider`.
        eta: Fraction of the parallel part, >= 0.
        radius: Largest ``|Delta|`` in the units of the states, over all entries of a row; None for no limit.
        centre: Origin of the parallel direction, a number or ``(*D)``: the mean of the data. 0 is right for
            standardised data; for pixels in [0, 1] the parallel part of 0 would be brightness.

    Raises:
        InvalidInputError: If the path is another, or a setting is negative or not finite.

    Source: Sadat et al. (2024), arXiv:2410.02416, algorithm 1, in our signs. Its momentum is ``APGMomentum``.
    """

    needs = ("denoised",)

    def __init__(
        self,
        fields: Fields,
        strength: Strength | Tensor = 2.0,
        interval: tuple[float, float] = (0.0, 1.0),
        *,
        eta: float = 0.0,
        radius: float | None = None,
        centre: float | Tensor = 0.0,
    ) -> None:
        super().__init__(fields, strength, interval)
        check_scalar_path("APG", fields.path)
        self.eta = number("APG", "eta", eta, at_least=0)
        self.radius = None if radius is None else number("APG", "radius", radius, above=0)
        self.centre = centre

    def merge(self, pair: Branches, weight: float | Tensor, quantities: Sequence[str]) -> dict[str, Tensor]:
        """The conditional quantities, shifted by the projected difference."""
        return self.projected(pair, weight, quantities, {})

    def projected(
        self, pair: Branches, weight: float | Tensor, quantities: Sequence[str], push: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """As :meth:`merge`, with something added to the differences of some quantities first."""
        names = {*quantities, "denoised"}
        differences = {name: pair.given[name] - pair.without[name] for name in names}
        differences |= {name: differences[name] + push[name] for name in names if name in push}
        strong = _widened(weight, pair.x) - 1
        if self.radius is not None:
            size = torch.linalg.vector_norm(differences["denoised"].flatten(1), dim=1)
            strong = strong * expand_like((self.radius / _no_zero(size)).clamp_max(1.0), pair.x)
        centre = self.centre.to(pair.x) if isinstance(self.centre, Tensor) else self.centre
        along = pair.given["denoised"] - centre
        squared = _no_zero(sum_event(along.square()))
        shifted = {}
        for name in quantities:
            parallel = expand_like(sum_event(differences[name] * along) / squared, along) * along
            shifted[name] = pair.given[name] + strong * (differences[name] - (1 - self.eta) * parallel)
        return shifted


class ZeroStar(Guider):
    """CFG-Zero*: the unconditional velocity is first scaled to fit the conditional one best.

    ``v = s v_u + w (v_c - s v_u)`` with ``s = (v_c.v_u)/|v_u|^2`` of each row, so ``s v_u`` is the projection of v_c on
    v_u and never longer than v_c. Where ``v_u = k v_c`` the result is v_c for every w and k. The other fields follow
    from v by the relations of the path. A velocity contains a drift along x, so s depends on the path.

    Args:
        fields: As in :class:`Guider`.
        strength: As in :class:`Guider`.
        interval: As in :class:`Guider`.
        zero_until: Time before which states stay where they are, the authors' "zero init"; 0, the default, leaves it
            out. It moves the samples of exact models off their distribution. For the ODE alone.

    Raises:
        InvalidInputError: As :class:`Guider`; in a run, if ``zero_until`` is set and the solver uses other quantities.

    Source: Fan et al. (2025), arXiv:2503.18886.
    """

    needs = ("velocity",)

    def __init__(
        self,
        fields: Fields,
        strength: Strength | Tensor = 2.0,
        interval: tuple[float, float] = (0.0, 1.0),
        *,
        zero_until: float = 0.0,
    ) -> None:
        super().__init__(fields, strength, interval)
        self.zero_until = number("ZeroStar", "zero_until", zero_until, at_least=0, below=1)

    def provides(self, quantity: str) -> bool:
        """Whether it follows from the velocity."""
        follows = self.path is not None and plan(self.path, ("velocity",), quantity) is not None
        return quantity == "velocity" or (follows and self.inner.provides(quantity))

    def evaluate(
        self,
        x: Tensor,
        t: Tensor,
        want: Sequence[str],  # prose: keep
        cond: Any = None,
    ) -> dict[str, Tensor]:
        """The target quantities, guided; no velocity before ``zero_until``."""
        if not self.zero_until:
            return super().evaluate(x, t, want, cond)
        if tuple(want) != ("velocity",):
            rule = "zero_until needs an ODE solver that uses the velocity alone"
            raise invalid("ZeroStar", rule, ", ".join(want), "Use eps=0 and e.g. method='euler'.")
        value = super().evaluate(x, t, want, cond)["velocity"]
        resting = expand_like((t < self.zero_until - ROUNDING).expand(x.shape[0]), x)
        return {"velocity": value.masked_fill(resting, 0.0)}

    def combined(self, names: Sequence[str], weights: Weights, times: Sequence[Tensor] = ()) -> Combined:
        """The weighted sum; with ``zero_until`` at rest before it, also where w is 1."""
        return (Fields if self.zero_until else Guider).combined(self, names, weights, times)

    def merge(self, pair: Branches, weight: float | Tensor, quantities: Sequence[str]) -> dict[str, Tensor]:
        """The conditional quantities, shifted by what the velocity is moved."""
        c, u = pair.given["velocity"], pair.without["velocity"]
        scale = expand_like(sum_event(c * u) / _no_zero(sum_event(u.square())), u)
        push = (_widened(weight, pair.x) - 1) * (c - scale * u)
        shifted = changes(self.path, "velocity", push, quantities, pair.x, pair.t)
        return {name: pair.given[name] + shifted[name] for name in quantities}


class Autoguided(ClassifierFree):
    """Autoguidance: a model is shifted away from a weaker model of the same distribution, ``f_weak + w (f - f_weak)``.

    It sharpens where both models make the same kind of error and the weaker one a larger error: an earlier state of the
    same training, or one with dropout. It distorts the distribution too. ``w = 1`` is the model
    itself, with its bits.

    Args:
        fields: The model.
        weak: The weaker model, on the same path and in the same units, with the same conditions.
        strength: As in :class:`Guider`.
        interval: As in :class:`Guider`.

    Raises:
        InvalidInputError: If the two have other paths, or one is guided already.

    Source: Karras et al. (2024), arXiv:2406.02507.
    """

    def __init__(
        self,
        fields: Fields,
        weak: Fields,
        strength: Strength | Tensor = 2.0,
        interval: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        super().__init__(fields, strength, interval)
        if isinstance(weak, Guider):
            raise invalid("Autoguided", "the weak model must not be guided", type(weak).__name__)
        if fields.path is None:
            raise invalid("Autoguided", "fields must have a path", "none")
        rule = "both models must be on one path"
        check_path("Autoguided", fields.path, weak.path, rule, "Move one by fields.on_path(weak, path).")
        self.weak = weak

    @property
    def networks(self) -> list[Any]:
        """The networks of both models."""
        return [*self.inner.networks, *self.weak.networks]

    @property
    def knows_latent_apart(self) -> bool:
        """Whether both models know mean rate and noise apart."""
        return self.inner.knows_latent_apart and self.weak.knows_latent_apart

    def provides(self, quantity: str) -> bool:
        """Whether both models provide it."""
        return self.inner.provides(quantity) and self.weak.provides(quantity)

    def through(self, change: Any) -> "Autoguided":
        """The same change of both models with other networks."""
        result = super().through(change)
        result.weak = self.weak.through(change)
        return result

    def _target(self, cond: Any) -> Target:
        target = taken_apart(cond)
        if target.negative is not None:
            remedy = "The weak model takes the index of the other branch."
            raise invalid("Autoguided", "the weak model excludes a negative condition", "negative", remedy)
        return target

    def baseline(self, x: Tensor, t: Tensor, quantities: Sequence[str], target: Target) -> dict[str, Tensor]:
        """Quantities of the weak model."""
        return self.weak.evaluate(x, t, quantities, target.cond)

    def branches(
        self, x: Tensor, t: Tensor, quantities: Sequence[str], target: Target
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Quantities of the weak model and of the model, one call each."""
        return self.baseline(x, t, quantities, target), self.inner.evaluate(x, t, quantities, target.cond)


class CFGPlusPlus:
    """Strengths of CFG++ on a grid, for the linear rule with ``method="ddim"``; a schedule, not a rule.

    ::

        grid = time_grid(50)
        schedule = CFGPlusPlus(path, grid, 0.6)
        sample(ClassifierFree(fields, schedule), x, cond=labels, method="ddim", time_grid=grid)

    CFG++ steps with the guided estimate and the noise of the other branch, ``x' = beta' (D_u + lambda Delta) + alpha'
    e_u``. That is DDIM with the linear rule at ``w = lambda beta'/(beta' - alpha' beta/alpha)``: lambda at both
    ends, in between the larger the shorter the steps. So at fixed lambda the samples depend on the number of steps and
    have no limit: their spread goes to 0.

    Args:
        path: A one-sided path from a Gaussian base of one scale.
        grid: The times of the run, increasing, ``(n + 1,)``.
        weight: lambda; the authors' lie in [0, 1].

    Raises:
        InvalidInputError: If the path is another, the times do not increase, or lambda is not finite.

    Source: Chung et al. (2024), arXiv:2406.08070; the identity is ours.
    """

    # Times that the sampler's clock rounded to single precision still belong to their step.
    _SLACK: ClassVar[float] = 1e-6

    def __init__(self, path: Path, grid: Any, weight: float = 0.6) -> None:
        result = check_scalar_path("CFGPlusPlus", path)
        number("CFGPlusPlus", "weight", weight)
        times = torch.as_tensor(grid, dtype=torch.float64).flatten()
        if len(times) < 2 or not bool((times.diff() > 0).all()):
            raise invalid("CFGPlusPlus", "grid must be increasing times", grid, "It runs from t = 0 to 1.")
        alpha, beta = result.alpha(times), result.beta(times)
        carried = alpha[1:] * beta[:-1] / alpha[:-1]
        self.times, self.strengths = times[:-1], weight * beta[1:] / (beta[1:] - carried)

    def __call__(self, t: Tensor) -> Tensor:
        """The strength of the step that starts at ``t``, of the shape of t.

        Raises:
            InvalidInputError: If no step starts there.
        """
        at = t.detach().double().cpu()
        index = torch.searchsorted(self.times, at + self._SLACK) - 1
        if bool(((index < 0) | ((self.times[index.clamp_min(0)] - at).abs() > self._SLACK)).any()):
            remedy = "Sample by method='ddim' on the grid of the schedule."
            raise invalid("CFGPlusPlus", "t must be the start of a step", at, remedy)
        return self.strengths[index].to(t)


def check_scalar_path(caller: str, path: Path | None) -> SpatiallyLinearPath:
    """A one-sided path on which the fields' differences are multiples of each other.

    Raises:
        InvalidInputError: If it is another.
    """
    if path is None or not path.is_one_sided:
        remedy = "Use the linear rule or zero_star there."
        raise invalid(caller, "the rule needs E[x1|x_t] on a one-sided path", type(path).__name__, remedy)
    result, base = gaussian_path(caller, path)
    if base.shared_scale is None:
        rule = "the base must have one scale for all entries"
        raise invalid(caller, rule, repr(base), "Use the linear rule there.")
    return result


def changes(
    path: Path | None, name: str, change: Tensor, quantities: Sequence[str], x: Tensor, t: Tensor
) -> dict[str, Tensor]:
    """Changes of quantities that follow from that of one of them: relations are affine, so states cancel."""
    if tuple(quantities) == (name,):
        return {name: change}
    assert path is not None
    at = t.clamp(path.margin, 1 - path.margin)  # as samplers evaluate relations
    shifted, still = (
        derive(path, {name: value}, quantities, x, at) for value in (change, torch.zeros_like(change))
    )
    return {quantity: shifted[quantity] - still[quantity] for quantity in quantities}


def _widened(weight: float | Tensor, x: Tensor) -> float | Tensor:
    return expand_like(weight.to(x), x) if isinstance(weight, Tensor) else weight


def _no_zero(value: Tensor) -> Tensor:
    return value.clamp_min(torch.finfo(value.dtype).tiny)
