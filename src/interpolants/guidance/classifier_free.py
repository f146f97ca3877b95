"""Classifier-free guidance: extrapolation from the unconditional through the conditional field.

Letters: ``w`` strength, ``f_c`` a field given the condition, ``f_u`` the same field without one.

The sum ``f_u + w (f_c - f_u)`` has weights that add up to one, so every relation between the fields of a path, all of
them affine, holds for the guided ones too: velocity, score, noise and denoised stay consistent whatever w is.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from interpolants.fields.protocol import Fields
from interpolants.fields.wrapped import WrappedFields
from interpolants.foundations.checks import number
from interpolants.foundations.clock import ROUNDING, number_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import expand_like
from interpolants.foundations.types import Condition
from interpolants.nets.embeddings import null_condition

Strength: TypeAlias = float | Callable[[Tensor], Tensor]

# Names in a condition that carries a strength for each sample; networks use label, vector and field.
_GUIDED, _STRENGTH = "guided", "strength"


class Guided(NamedTuple):
    """Fields to sample from, and the condition to sample them with."""

    fields: "ClassifierFree"
    cond: Condition


class ClassifierFree(WrappedFields):
    """Guided fields ``f_u + w (f_c - f_u)``, for every quantity, in one call of the network on twice the rows.

    ``w = 1`` is the conditional distribution, ``w = 0`` the unconditional one, ``w > 1`` guides. Outside ``interval``
    w is 1. Where w is 0 or 1 for the whole batch only one of the two fields is evaluated. For other w these are in
    general not the fields of any one distribution of x_t, so the ODE and the SDE give different distributions.

    Args:
        fields: Fields that know the condition and its absence, e.g. from training with ``drop_condition``.
        strength: w: a number, or a function of the times ``t`` (0-d or ``(B,)``) -> a tensor of that shape. For one
            per sample see :func:`with_strength`.
        interval: Times between which there is guidance, in [0, 1]; time 0 is the base.

    Raises:
        InvalidInputError: If the strength is not finite, or the interval not within [0, 1].

    Source: Ho & Salimans (2022), arXiv:2207.12598 (their w is ours less one); the interval, there of noise levels, is
    from Kynkäänniemi et al. (2024), arXiv:2404.07724.
    """

    def __init__(
        self,
        fields: Fields,
        strength: Strength | Tensor = 2.0,
        interval: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        if isinstance(strength, Tensor) and strength.ndim:
            remedy = "For one per sample pass cond=with_strength(cond, strength): it must follow the rows."
            rule = "strength must be a number or a function of t"
            raise invalid("ClassifierFree", rule, f"a tensor {tuple(strength.shape)}", remedy)
        if not callable(strength):
            number("ClassifierFree", "strength", strength)
        first, last = interval
        if not 0 <= first <= last <= 1:
            raise invalid("ClassifierFree", "interval must satisfy 0 <= first <= last <= 1", tuple(interval))
        super().__init__(fields)
        self.strength: Strength = strength if callable(strength) else float(strength)
        self.interval = (float(first), float(last))

    @property
    def knows_latent_apart(self) -> bool:
        """As the inner fields: mean rate and noise are guided alike."""
        return self.inner.knows_latent_apart

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The wanted quantities, guided.

        Args:
            x: States, ``(B, *D)``.
            t: Times, 0-d or ``(B,)``.
            want: Names of quantities.
            cond: The condition, or what :func:`with_strength` made of it.

        Raises:
            InvalidInputError: If there is no condition to guide by.
        """
        cond, own = _apart(cond)
        weight = self._weight(t, own)
        if isinstance(weight, float) and weight in (0.0, 1.0):
            return self.inner.evaluate(x, t, want, cond if weight else null_condition(cond))
        without, given = without_and_given(self.inner, x, t, want, cond)
        return {name: _between(without[name], given[name], weight) for name in want}

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
            number = not isinstance(wanted, Tensor) or wanted.ndim == 0
            return float(wanted) if number else wanted
        if self.interval == (0.0, 1.0):
            return wanted
        # Numbers in the precision of the times: beside each other torch takes them in its default type.
        inside = wanted if isinstance(wanted, Tensor) else t.new_full((), wanted)
        return torch.where((t >= first) & (t <= last), inside, 1.0)


def without_and_given(
    fields: Fields, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Quantities without the condition, and given it, each ``(B, *D)``, by one call on twice the rows.

    Args:
        fields: Fields that know the condition and its absence.
        x: States, ``(B, *D)``.
        t: Times, 0-d or ``(B,)``.
        want: Names of quantities.
        cond: The condition, one row per sample.
    """
    times = t if t.ndim == 0 else torch.cat([t, t])
    both = fields.evaluate(torch.cat([x, x]), times, want, _stacked(null_condition(cond), cond))
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
    return {_GUIDED: cond, _STRENGTH: strength}


def guide(
    fields: Fields,
    cond: Condition,
    strength: Strength | Tensor = 2.0,
    interval: tuple[float, float] = (0.0, 1.0),
) -> Guided:
    """Guided fields with the condition to sample them with, whatever kind of strength is given.

    Args:
        fields: As in :class:`ClassifierFree`.
        cond: The condition, one row per sample.
        strength: A number, a function of t, or one number per sample ``(B,)``.
        interval: As in :class:`ClassifierFree`.

    Raises:
        InvalidInputError: As :class:`ClassifierFree` and :func:`with_strength`.
    """
    if isinstance(strength, Tensor) and strength.ndim:
        return Guided(ClassifierFree(fields, 1.0, interval), with_strength(cond, strength))
    return Guided(ClassifierFree(fields, strength, interval), cond)


def _apart(cond: Condition) -> tuple[Condition, Tensor | None]:
    own = None
    if isinstance(cond, dict) and _GUIDED in cond:
        cond, own = cond[_GUIDED], cond[_STRENGTH]
    if cond is None:
        raise invalid("ClassifierFree", "a condition is needed to guide by", "None", "Pass cond=.")
    return cond, own


def _stacked(first: Condition, second: Condition) -> Condition:
    """The rows of the first condition, then those of the second, part by part."""
    if first is None:
        return None
    if isinstance(first, dict):
        return {name: _stacked(part, second[name]) for name, part in first.items()}
    if isinstance(first, tuple | list):
        return type(first)(_stacked(a, b) for a, b in zip(first, second, strict=True))
    return torch.cat([first, second])


def _between(without: Tensor, given: Tensor, weight: float | Tensor) -> Tensor:
    if isinstance(weight, float):
        return torch.lerp(without, given, weight)
    return torch.lerp(without, given, expand_like(weight.to(given), given))
