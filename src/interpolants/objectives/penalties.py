"""Penalties: residuals of equations that a field should satisfy, added to a loss.

A penalty draws its own states and times, so that it goes with any loss, any sampler of times and any batch. It gives
one number per state, which the training loop weights and adds to the loss.

Source: Deveney et al. (2023), arXiv:2311.15996 (residual of the density); Lai et al. (2023), arXiv:2210.04296 (of the
score); Horvat & Pfister (2024), arXiv:2402.03845, for what conservativity does and does not give.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import torch
from annotated_types import Interval
from torch import Generator, Tensor, nn

from interpolants.fields.continuity import DIVERGENCES, Trace, continuity_residual, score_residual
from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.derivatives import random_signs, skew_product
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, NonNegative, OneOf, Real, Share
from interpolants.foundations.ops import expand_like, sum_event, time_dtype
from interpolants.foundations.types import Condition, Field, take_rows
from interpolants.nets.potential import check_smooth
from interpolants.paths.path import Path


class Points(NamedTuple):
    """Collocation points of an equation: states ``(n, *D)``, times ``(n,)`` and their conditions."""

    x: Tensor
    t: Tensor
    cond: Condition


@dataclass(frozen=True)
class Penalty(Checked, ABC):
    """A per-state penalty of a field, called with end points of the path; abstract.

    States are draws of the interpolant at stratified times, so that the equation is asked for where the samples go.
    A share of them may come from a box instead, uniformly: out there it says where the field has seen no data, at the
    price of accuracy where there are some.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    path: Path
    """The interpolant."""
    weight: NonNegative = 0.1
    """Factor in the total loss; 0 leaves the term out."""
    points: Count | None = None
    """Number of states per step; one per row of the batch when None."""
    box: tuple[Real, Real] | None = None
    """Lower and upper bound of all entries of states in the box; must enclose the data."""
    box_share: Share = 0.0
    """Share of the states from the box."""
    margin: Annotated[float, Interval(ge=0, lt=0.5)] = 1e-3
    """Distance kept from both ends of time."""

    name: ClassVar[str]
    # Formula of the penalty, in plain text.
    formula: ClassVar[str] = ""

    def check_settings(self) -> None:
        """Refuse a box without a share, and one that is none."""
        if (self.box is None) != (self.box_share == 0):
            remedy = "For example, set box=(-3.5, 3.5), box_share=0.5."
            raise asked.invalid("box and box_share go together", (self.box, self.box_share), remedy)
        if self.box is not None and not self.box[0] < self.box[1]:
            raise asked.invalid("box must be a low and a high value", self.box)

    @property
    @abstractmethod
    def of(self) -> str:
        """The quantity whose network it is called with."""

    @abstractmethod
    def at(self, field: Field, points: Points, generator: Generator | None) -> Tensor:
        """The penalty at given states, ``(n,)``."""

    def __call__(
        self,
        field: Field,
        *,
        x0: Tensor | None = None,
        x1: Tensor,
        cond: Condition = None,
        generator: Generator | None = None,
    ) -> Tensor:
        """The penalty, without its weight, at fresh states: ``(n,)``; ends as in ``path.sample``."""
        if isinstance(field, nn.Module):
            check_smooth(field, type(self).__name__)
        return self.at(field, self.draw(x0, x1, cond, generator), generator)

    def draw(self, x0: Tensor | None, x1: Tensor, cond: Condition, generator: Generator | None) -> Points:
        """States at stratified times, some of them from the box."""
        n = len(x1) if self.points is None else self.points
        rows = torch.arange(n, device=x1.device) % len(x1)
        jitter = torch.rand(n, generator=generator, device=x1.device, dtype=time_dtype(x1))
        t = self.margin + (1 - 2 * self.margin) * (torch.arange(n, device=x1.device) + jitter) / n
        start = None if x0 is None else x0[rows]
        x = self.path.sample(x0=start, x1=x1[rows], t=t, generator=generator).x_t
        if self.box is not None:
            x = self._with_box(x, x1, self.box, generator)
        return Points(x, t, take_rows(cond, rows))

    def _with_box(
        self, x: Tensor, x1: Tensor, box: tuple[float, float], generator: Generator | None
    ) -> Tensor:
        low, high = box
        # Values are read on the CPU only: on an accelerator the read would stall the queue.
        if x1.is_cpu and (float(x1.min()) < low or float(x1.max()) > high):
            found = f"[{low:g}, {high:g}] for data in [{float(x1.min()):.3g}, {float(x1.max()):.3g}]"
            raise invalid(type(self).__name__, "the box must cover the data", found, "Widen it.")
        uniform = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        # Evenly spread over the rows, which are in the order of time.
        chosen = (torch.arange(len(x), device=x.device) * self.box_share) % 1 >= 1 - self.box_share
        return torch.where(expand_like(chosen, x), low + (high - low) * uniform, x)


@dataclass(frozen=True)
class FokkerPlanckResidual(Penalty):
    """``E R^2`` for the residual ``R = du/dt + div b + b . grad u`` of a learnt log density u and its own velocity b.

    It vanishes just where the density that the network states is that of the flow it defines; then flow, SDEs of any
    noise level and ``exp(u)`` are one distribution. On a one-sided path b follows from u and R is the residual of the
    Fokker-Planck equation. Denoising leaves u free up to a function of time, which this fixes.
    """

    divergence: Annotated[str, OneOf(lambda: DIVERGENCES)] = "auto"
    """``"auto"``: exact up to 10 entries."""
    probes: Count = 2
    """Random signs per state; from two on ``R^2`` is estimated without bias."""

    name: ClassVar[str] = "fokker_planck"
    formula: ClassVar[str] = "|∂u/∂t + b·∇u + div b|²"

    @property
    def of(self) -> str:
        """``"log_density"``."""
        return "log_density"

    def at(
        self,
        field: Field,
        points: Points,
        generator: Generator | None = None,
        *,
        beside: Mapping[str, Field] | None = None,
    ) -> Tensor:
        """``R^2`` at given states; ``beside`` holds the other fields that a two-sided path needs."""
        trace = Trace(self.divergence, self.probes)
        found = continuity_residual(
            self.path, field, *points, beside=beside, trace=trace, generator=generator
        )
        return found.square


@dataclass(frozen=True)
class ScoreFokkerPlanckResidual(Penalty):
    """``E |ds/dt + grad(div b + b . s)|^2 / D``: the same equation for a free score, which need not be a gradient."""

    quantity: str = "score"
    """What the network is: ``"score"``, ``"noise"``, ``"velocity"`` ...; the score follows."""
    divergence: Annotated[str, OneOf(lambda: DIVERGENCES)] = "auto"
    """As for the density."""
    probes: Count = 2
    """As for the density; the square is biased upwards by the variance of the estimate."""

    name: ClassVar[str] = "score_fokker_planck"

    @property
    def of(self) -> str:
        """The network's quantity."""
        return self.quantity

    def at(self, field: Field, points: Points, generator: Generator | None = None) -> Tensor:
        """The squared residual per entry at given states."""
        trace = Trace(self.divergence, self.probes)
        found = score_residual(self.path, field, *points, of=self.quantity, trace=trace, generator=generator)
        return sum_event(found.square()) / found[0].numel()


@dataclass(frozen=True)
class ConservativityPenalty(Penalty):
    """``E |(J - J^T) v|^2 / D`` with random signs v: the squared skew part of a field's Jacobian, per entry.

    Zero for gradients. It does not make a field right: a conservative field can be wrong, and one that is not can give
    exact samples. What it buys is a Jacobian that can be trusted.
    """

    quantity: str = "score"
    """What the network is."""

    name: ClassVar[str] = "conservativity"
    formula: ClassVar[str] = "|(J - J') v|² / D, random signs v"

    @property
    def of(self) -> str:
        """The network's quantity."""
        return self.quantity

    def at(self, field: Field, points: Points, generator: Generator | None = None) -> Tensor:
        """One probe per state."""
        (v,) = random_signs(points.x, 1, generator)
        skew = skew_product(lambda y: field(y, points.t, points.cond), points.x, v)
        return sum_event(skew.square()) / points.x[0].numel()


def check_penalties(penalties: Sequence[Penalty], heads: Sequence[str], who: str) -> None:
    """Refuse penalties of a quantity that is not the one that is learnt.

    Raises:
        InvalidInputError: If a penalty asks for another network.
    """
    for penalty in penalties:
        if tuple(heads) != (penalty.of,):
            rule = f"{type(penalty).__name__} goes with a network of {penalty.of} alone"
            remedy = f"Learn ({penalty.of!r},)."
            if penalty.of == "log_density":
                remedy += " For a score without a potential take ScoreFokkerPlanckResidual."
            raise invalid(who, rule, tuple(heads), remedy)
