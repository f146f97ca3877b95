"""Adaptive projected guidance with the memory of earlier steps that the authors give it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor

from interpolants.dynamics.modifiers import Modifier, Work
from interpolants.fields.protocol import Fields
from interpolants.foundations.checked import Checked
from interpolants.foundations.clock import ROUNDING
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import expand_like
from interpolants.foundations.types import Condition
from interpolants.guidance.classifier_free import Branches
from interpolants.guidance.guiders import APG, changes


@dataclass(frozen=True)
class APGMomentum(Checked, Modifier):
    """:class:`~interpolants.guidance.APG` with a running difference, ``Delta <- Delta + momentum Delta_before``.

    ``Delta_before`` is the running difference of the last guided step, before the threshold, in units of
    ``E[x1|x_t]``.
    It is updated at the first evaluation of each step and never between stages. At t = 1, where the state is the data
    point, it is 0. Each chunk of a run starts without memory. The report has ``updates``, the number per row.

    The fields are those of ``APG``, and it comes first among the modifiers::

        sample(APG(fields, 3.0), x, cond=labels, modifiers=APGMomentum(-0.5))

    Raises:
        InvalidInputError: If the setting is out of range; in a run, if the fields are others.

    Source: Sadat et al. (2024), arXiv:2410.02416, algorithm 1.
    """

    momentum: Annotated[float, Interval(gt=-1, lt=1)] = -0.5
    """Factor of the difference of earlier steps; the authors' is negative. 0 changes nothing."""

    def why_not(self, model: object) -> str:
        """Return why the fields are not those of projected guidance."""
        return "" if isinstance(model, APG) else "it continues the differences of guidance.APG"

    def begin(self, x: Tensor, index: int, times: Tensor) -> Work:  # prose: keep
        """Start on a chunk, without memory."""
        return Work() if self.momentum == 0 else _Running(self.momentum, x)


class _Running(Work):
    """The running difference of one chunk."""

    def __init__(self, momentum: float, x: Tensor) -> None:
        self.momentum, self.updates = momentum, torch.zeros(len(x), dtype=torch.long)
        self.before: Tensor | None = None
        self.current: Tensor | None = None

    def evaluate(
        self,
        inner: Fields,
        x: Tensor,
        t: Tensor,
        want: Sequence[str],  # prose: keep
        cond: Condition,
    ) -> dict[str, Tensor]:
        if not isinstance(inner, APG):
            remedy = "Name it first."
            raise invalid("APGMomentum", "it must be the first modifier", type(inner).__name__, remedy)
        return _Remembering(inner, self).evaluate(x, t, want, cond)

    def push(self, pair: Branches, names: Sequence[str], fields: Fields) -> dict[str, Tensor]:
        """Contributions of earlier steps to the differences of some quantities."""
        difference = pair.given["denoised"] - pair.without["denoised"]
        past = None if self.before is None else self.momentum * self.before
        if self.current is None:
            self.current = (difference if past is None else difference + past).detach()
            self.updates += 1
        if past is None:
            return {}
        inside = (pair.t < 1 - ROUNDING).expand(len(past))
        return changes(
            fields.path, "denoised", past * expand_like(inside.to(past), past), names, pair.x, pair.t
        )

    def after(self, x: Tensor, t: Tensor, fields: Fields) -> Tensor:
        """The states, unchanged; the next evaluation starts a step."""
        self.before = self.before if self.current is None else self.current
        self.current = None
        return x

    def report(self) -> dict[str, Tensor]:
        return {"updates": self.updates}


class _Remembering(APG):
    """Projected guidance whose differences contain those of earlier steps."""

    def __init__(self, rule: APG, memory: _Running) -> None:
        vars(self).update(vars(rule))
        self.memory = memory

    def merge(self, pair: Branches, weight: float | Tensor, quantities: Sequence[str]) -> dict[str, Tensor]:
        names = tuple(dict.fromkeys((*quantities, "denoised")))
        return self.projected(pair, weight, quantities, self.memory.push(pair, names, self.inner))
