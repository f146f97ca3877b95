"""Classifier-free guidance: extrapolation from the unconditional through the conditional field.

Letters: ``w`` strength, ``f_c`` a field given the condition, ``f_u`` the same field without one.

The sum ``f_u + w (f_c - f_u)`` has weights that add up to one, so every relation between the fields of a path, all of
them affine, holds for the guided ones too: velocity, score, noise and denoised stay consistent whatever w is.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor

from interpolants.fields.protocol import Combined, Fields, Weights
from interpolants.fields.wrapped import WrappedFields
from interpolants.foundations.checks import number, one_of
from interpolants.foundations.clock import ROUNDING, number_of
from interpolants.foundations.errors import NotIdentifiableError, invalid
from interpolants.foundations.ops import expand_like
from interpolants.foundations.registry import build
from interpolants.foundations.types import Condition
from interpolants.nets.embeddings import null_condition

Strength: TypeAlias = float | Callable[[Tensor], Tensor]
# Rules that ``guide`` knows by name, with the ids of their cards.
RULES = {"linear": "classifier_free", "apg": "apg", "zero_star": "zero_star"}

# Names in a condition that carries a strength for each sample; networks use label, vector and field.
_GUIDED, _STRENGTH, _NEGATIVE = "guided", "strength", "negative"


class Guided(NamedTuple):
    """Fields to sample from, and the condition to sample them with."""

    fields: "Guider"
    cond: Condition


class Guider(WrappedFields):
    """Fields made from two branches by a rule: the target fields c and others u to move away from; abstract.

    c are the inner fields given the condition. u are, as a rule, the same ones without it, in one call of the network
    on twice the rows. A subclass writes :meth:`merge`, and names in ``needs`` what it asks of both branches.

    ``w = 1`` is c alone, at the price of one branch and with the bits of a run without guidance.

    Args:
        fields: Fields that know the condition and its absence, e.g. from training with ``drop_condition``.
        strength: w: a number, or a function of the times ``t`` (0-d or ``(B,)``) -> a tensor of that shape. For one
            per sample see :func:`with_strength`.
        interval: Times between which there is guidance, in [0, 1]; w is 1 outside.

    Raises:
        InvalidInputError: If the strength is not finite, the interval not within [0, 1], or the fields are guided.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    # Whether w = 0 is u alone.
    is_linear: ClassVar[bool] = False

    def __init__(
        self,
        fields: Fields,
        strength: Strength | Tensor = 2.0,
        interval: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        name = type(self).__name__
        if isinstance(fields, Guider):
            rule = "the fields must not be guided already: strengths of two rules multiply"
            remedy = "For a product of several factors take guidance.FeynmanKac."
            raise invalid(name, rule, type(fields).__name__, remedy)
        if isinstance(strength, Tensor) and strength.ndim:
            remedy = "For one per sample pass cond=with_strength(cond, strength): it must follow the rows."
            rule = "strength must be a number or a function of t"
            raise invalid(name, rule, f"a tensor {tuple(strength.shape)}", remedy)
        if not callable(strength):
            number(name, "strength", strength)
        first, last = interval
        if not 0 <= first <= last <= 1:
            raise invalid(name, "interval must satisfy 0 <= first <= last <= 1", tuple(interval))
        super().__init__(fields)
        self.strength: Strength = strength if callable(strength) else float(strength)
        self.interval = (float(first), float(last))

    def density_caveat(self, cond: Condition) -> str:
        """The flow's density is not that of the tilt."""
        own = taken_apart(cond).strength
        if self.strength == 1.0 if own is None else bool((own == 1).all()):
            return ""
        return (
            f"the density is that of the flow of {type(self).__name__}, not of the tilt p_c^w p_u^(1 - w); "
            "guidance.FeynmanKac samples the tilt"
        )

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The quantities under guidance, by the rule.

        Args:
            x: States, ``(B, *D)``.
            t: Times, 0-d or ``(B,)``.
            want: Names of quantities.
            cond: The condition, or what :func:`with_strength` or :func:`with_negative` made of it.

        Raises:
            InvalidInputError: If there is no condition to guide by.
            NotIdentifiableError: If a quantity follows neither with nor without guidance.
        """
        if cond is None:
            self._check_follows(x, t, want)
        target = self._target(cond)
        weight = self._weight(t, target.strength)
        if isinstance(weight, float) and weight == 1.0:
            return self.inner.evaluate(x, t, want, target.cond)
        if isinstance(weight, float) and weight == 0.0 and self.is_linear:
            return self.baseline(x, t, want, target)
        needed = (*want, *(name for name in self.needs if name not in want))
        without, conditional = self.branches(x, t, needed, target)
        return self.merge(Branches(without, conditional, x, t), weight, want)

    def combined(self, names: Sequence[str], weights: Weights, times: Sequence[Tensor] = ()) -> Combined:
        """The weighted sum; where w is 1 that of the inner fields, in their own way and so with their bits."""
        alone, guided = self.inner.combined(names, weights, times), super().combined(names, weights, times)

        def sum_at(x: Tensor, t: Tensor, cond: Condition) -> Tensor:
            target = self._target(cond)
            weight = self._weight(t, target.strength)
            if isinstance(weight, float) and weight == 1.0:
                return alone(x, t, target.cond)
            return guided(x, t, cond)

        return sum_at

    def baseline(
        self, x: Tensor, t: Tensor, quantities: Sequence[str], target: "Target"
    ) -> dict[str, Tensor]:
        """Quantities of u alone."""
        return self.inner.evaluate(x, t, quantities, target.without)

    def branches(
        self, x: Tensor, t: Tensor, quantities: Sequence[str], target: "Target"
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Quantities of u and of c."""
        return without_and_given(self.inner, x, t, quantities, target.cond, target.without)

    @abstractmethod
    def merge(self, pair: "Branches", weight: float | Tensor, quantities: Sequence[str]) -> dict[str, Tensor]:
        """The guided quantities from those of both branches.

        Args:
            pair: The branches, with the quantities of ``quantities`` and ``needs``.
            weight: w, a number or ``()`` or ``(B,)``.
            quantities: Names of quantities.
        """

    def _check_follows(self, x: Tensor, t: Tensor, quantities: Sequence[str]) -> None:
        """Name the quantity that is missing; samplers evaluate it without a condition for that."""
        for name in quantities:
            if not self.provides(name):
                if not self.inner.provides(name):
                    self.inner.evaluate(x, t, (name,))  # raises, and says what to learn
                raise NotIdentifiableError(
                    f"{type(self).__name__}: the rule changes {', '.join(self.needs)}, and on the path "
                    f"{type(self.path).__name__} {name} does not follow from that. Use eps=0, or the linear rule."
                )

    def _target(self, cond: Condition) -> "Target":
        target = taken_apart(cond)
        if target.cond is None:
            raise invalid(type(self).__name__, "a condition is needed to guide by", "None", "Pass cond=.")
        return target

    def _weight(self, t: Tensor, own: Tensor | None) -> float | Tensor:
        """The strength at these times: a number for the whole batch, or a tensor ``()`` or ``(B,)``."""
        # A step that begins on an end of the interval counts as inside.
        first, last = self.interval[0] - ROUNDING, self.interval[1] + ROUNDING
        # Read back on the CPU only; elsewhere the read would stall the queue.
        readable = t.ndim == 0 and t.is_cpu
        if readable and not first <= number_of(t) <= last:
            return 1.0
        wanted: float | Tensor = self.strength(t) if callable(self.strength) else self.strength
        wanted = wanted if own is None else expand_like(own, t)
        if readable:
            return _read_back(type(self).__name__, wanted, t)
        if self.interval == (0.0, 1.0):
            return wanted
        # Numbers in the precision of the times: beside each other torch takes them in its default type.
        inside = wanted if isinstance(wanted, Tensor) else t.new_full((), wanted)
        return torch.where((t >= first) & (t <= last), inside, 1.0)


class ClassifierFree(Guider):
    """Guided fields ``f_u + w (f_c - f_u)``, for every quantity, in one call of the network on twice the rows.

    ``w = 1`` is the conditional distribution, ``w = 0`` the unconditional one, ``w > 1`` guides. Outside ``interval``
    w is 1. Where w is 0 or 1 for the whole batch only one of the two fields is evaluated. For other w these are in
    general not the fields of any one distribution of x_t, so the ODE and the SDE give different distributions.

    Args:
        fields: As in :class:`Guider`.
        strength: As in :class:`Guider`.
        interval: As in :class:`Guider`.

    Raises:
        InvalidInputError: As :class:`Guider`.

    Source: Ho & Salimans (2022), arXiv:2207.12598 (their w is ours less one); the interval, there of noise levels, is
    from Kynkäänniemi et al. (2024), arXiv:2404.07724.
    """

    is_linear = True

    @property
    def knows_latent_apart(self) -> bool:
        """As the inner fields: mean rate and noise are guided alike."""
        return self.inner.knows_latent_apart

    def merge(self, pair: "Branches", weight: float | Tensor, quantities: Sequence[str]) -> dict[str, Tensor]:
        """The same weighted sum for each quantity."""
        return {name: _between(pair.without[name], pair.given[name], weight) for name in quantities}


class Branches(NamedTuple):
    """Quantities of u and of c by name, each ``(B, *D)``, with the states and times that they are at."""

    without: dict[str, Tensor]
    given: dict[str, Tensor]
    x: Tensor
    t: Tensor


class Target(NamedTuple):
    """A condition taken apart: what to guide to, one strength per row, and what to move away from."""

    cond: Condition
    strength: Tensor | None
    negative: Condition

    @property
    def without(self) -> Condition:
        """The condition of u."""
        return null_condition(self.cond) if self.negative is None else self.negative


def without_and_given(
    fields: Fields,
    x: Tensor,
    t: Tensor,
    want: Sequence[str],
    cond: Condition,
    without: Condition = None,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Quantities without the condition, and given it, each ``(B, *D)``, by one call on twice the rows.

    Args:
        fields: Fields that know the condition and its absence.
        x: States, ``(B, *D)``.
        t: Times, 0-d or ``(B,)``.
        want: Names of quantities.
        cond: The condition, one row per sample.
        without: Condition in place of the null one, one row per sample.
    """
    without = null_condition(cond) if without is None else without
    times = t if t.ndim == 0 else torch.cat([t, t])
    both = fields.evaluate(torch.cat([x, x]), times, want, _stacked(without, cond))
    rows = x.shape[0]
    return {name: value[:rows] for name, value in both.items()}, {
        name: value[rows:] for name, value in both.items()
    }


def with_strength(cond: Condition, strength: Tensor) -> Condition:
    """A condition that carries a strength for each sample, which wins over that of the fields.

    Args:
        cond: The condition, one row per sample.
        strength: w of each sample, ``(B,)``, finite.

    Raises:
        InvalidInputError: If the strengths are not one finite number per row.
    """
    readable = not torch.compiler.is_compiling()  # a graph that is traced holds no values yet
    off = readable and not bool(strength.isfinite().all())
    if strength.ndim != 1 or not strength.is_floating_point() or off:
        found = f"{strength.dtype} {tuple(strength.shape)}"
        raise invalid("with_strength", "strength must be (B,), floating point and finite", found)
    return {**_carrying(cond), _STRENGTH: strength}


def with_negative(cond: Condition, negative: Condition) -> Condition:
    """A condition with a negative one, to guide away from in place of the null condition.

    Args:
        cond: The condition, one row per sample.
        negative: Of the same form, one row per sample.
    """
    return {**_carrying(cond), _NEGATIVE: negative}


def guide(
    fields: Fields,
    cond: Condition,
    strength: Strength | Tensor = 2.0,
    interval: tuple[float, float] = (0.0, 1.0),
    *,
    rule: str = "linear",
    negative: Condition = None,
    **settings: Any,
) -> Guided:
    """Guided fields with the condition to sample them with, whatever kind of strength is given.

    Args:
        fields: As in :class:`Guider`.
        cond: The condition, one row per sample.
        strength: A number, a function of t, or one number per sample ``(B,)``.
        interval: As in :class:`Guider`.
        rule: ``"linear"`` (:class:`ClassifierFree`), ``"apg"`` or ``"zero_star"``.
        negative: A condition to guide away from, one row per sample, in place of the null condition.
        settings: Settings of the rule.

    Raises:
        InvalidInputError: If the rule or a setting is unknown; as :class:`Guider` and :func:`with_strength`.
    """
    cond = cond if negative is None else with_negative(cond, negative)
    own = isinstance(strength, Tensor) and bool(strength.ndim)
    arguments = {"fields": fields, "strength": 1.0 if own else strength, "interval": interval, **settings}
    guided = build("guidance", RULES[one_of("guide", "rule", rule, RULES)], **arguments)
    return Guided(guided, with_strength(cond, strength) if isinstance(strength, Tensor) and own else cond)


def _carrying(cond: Condition) -> dict[str, Any]:
    """A condition as a dict that can carry more."""
    return cond if isinstance(cond, dict) and _GUIDED in cond else {_GUIDED: cond}


def taken_apart(cond: Condition) -> Target:
    """The parts of a condition that carries a strength or a negative one."""
    if isinstance(cond, dict) and _GUIDED in cond:
        return Target(cond[_GUIDED], cond.get(_STRENGTH), cond.get(_NEGATIVE))
    return Target(cond, None, None)


def _stacked(first: Condition, second: Condition) -> Condition:
    """The rows of the first condition, then those of the second, part by part."""
    if first is None:
        return None
    if isinstance(first, dict):
        return {name: _stacked(part, second[name]) for name, part in first.items()}
    if isinstance(first, tuple | list):
        return type(first)(_stacked(a, b) for a, b in zip(first, second, strict=True))
    return torch.cat([first, second])


def _read_back(caller: str, weight: float | Tensor, t: Tensor) -> float | Tensor:
    """One strength as a finite number; strengths per row are unchanged."""
    if isinstance(weight, Tensor) and weight.ndim:
        return weight
    if not math.isfinite(weight):
        when = f"{float(weight)} at t={number_of(t):.6g}"
        raise invalid(caller, "strength must be finite at all times", when)
    return float(weight)


def _between(without: Tensor, given: Tensor, weight: float | Tensor) -> Tensor:
    if isinstance(weight, float):
        return torch.lerp(without, given, weight)
    return torch.lerp(without, given, expand_like(weight.to(given), given))
