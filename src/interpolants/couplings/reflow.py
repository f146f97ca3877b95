"""Reflow coupling: every start point is paired with the end point of its flow trajectory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.couplings.pairs import Cond, Pairs, check_pairing
from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid


@dataclass(frozen=True)
class Reflow(Checked):
    """Pairs ``(x0, X_1(x0))``, or ``(X_0(x1), x1)``, of a flow that was learnt before.

    The pairs have the marginals of the flow and a deterministic relation. A path trained on them keeps the map and
    straightens the way, since chords of a flow meet less often than independent ones. A call runs the flow on the whole
    batch: to train on, make the pairs once and store them (``methods.Rectification`` does).

    Raises:
        InvalidInputError: If ``flow`` is no function.

    Source: Liu, Gong & Liu (2022), arXiv:2209.03003.
    """

    flow: Callable[..., Tensor]
    """Carries states over: ``flow(x) -> y`` of the same shape, or ``flow(x, cond)`` where there are conditions."""
    reverse: bool = False
    """Whether ``flow`` runs down from t = 1, so that ``x1`` is kept and the starts are made."""

    def check_settings(self) -> None:
        """Refuse what cannot be called."""
        if not callable(self.flow):
            raise asked.invalid("flow must be callable as flow(x)", type(self.flow).__name__)

    def pair(
        self,
        x0: Tensor,
        x1: Tensor,
        *,
        generator: torch.Generator | None = None,
        cond0: Cond = None,
        cond1: Cond = None,
    ) -> Pairs:
        """Keep one side and let the flow make the other.

        Args:
            x0: Base samples, (N, *D).
            x1: Data samples, (N, *D); their values are not used, unless ``reverse``.
            generator: Unused; every coupling takes one.
            cond0: Conditions of ``x0``, N rows each.
            cond1: Conditions of ``x1``, N rows each. The flow is run with the conditions of the side that is kept, or
                else with those of the other: an unconditional base is independent of them.

        Returns:
            Pairs of N rows with one condition for both ends; the index of the made side is -1.

        Raises:
            InvalidInputError: If the sizes differ, or the flow returns another shape or values that are not finite.
        """
        check_pairing("Reflow", x0, x1, cond0, cond1, equal=True, distances=False)
        kept, cond = (x1, cond1 if cond1 is not None else cond0) if self.reverse else (x0, cond0)
        cond = cond1 if cond is None else cond
        made = _checked(self.flow(kept) if cond is None else self.flow(kept, cond), kept)
        rows = torch.arange(len(kept), device=kept.device)
        none = torch.full_like(rows, -1)
        if self.reverse:
            return Pairs(made, kept, cond, cond, none, rows)
        return Pairs(kept, made, cond, cond, rows, none)


def _checked(made: Any, kept: Tensor) -> Tensor:
    if not isinstance(made, Tensor) or made.shape != kept.shape:
        shown = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
        raise invalid("Reflow", f"the flow must return shape {tuple(kept.shape)}", shown)
    if not bool(made.isfinite().all()):
        raise invalid("Reflow", "the flow must return finite states", "nan or inf", "Use more steps.")
    return made.detach()
