"""Counterfactual states of a conditional flow: abduction of the noise behind a state, then prediction from it.

Letters: B rows, x states at t = 1, X0 the noise at t = 0, c and c' conditions before and after an intervention.
"""

from typing import Any, Literal, get_args

from torch import Tensor

from interpolants.dynamics.renoise import invert, renoise
from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import one_of
from interpolants.foundations.types import Condition
from interpolants.methods.parts.start_points import draw_base

Way = Literal["invert", "renoise", "fresh"]


def counterfactual_states(
    fields: Fields,
    x: Tensor,
    before: Condition,
    after: Condition,
    *,
    abduction: Way = "invert",
    seed: int = 0,
    **how: Any,
) -> Tensor:
    """States ``(B, *D)`` that x would have been, had its condition been another.

    Abduction: the flow with the condition as it is, from x at t = 1 back to X0 at t = 0. Prediction: the flow with the
    other condition from X0 to t = 1. Both run the same fields. If ``x | c ~ N(B c, S)`` the flow takes ``x - B c`` to
    noise whatever c is, so that the answer is ``B c' + (x - B c)``.

    Args:
        fields: Fields of a one-sided path, which know the condition.
        x: States at t = 1.
        before: The condition as it is.
        after: The condition after the intervention.
        abduction: ``"invert"``; ``"renoise"`` takes X0 from the noising process, and ``"fresh"`` draws it: both give
            fresh draws, no counterfactuals, and stand here as controls.
        seed: Seed of the controls' noise.
        how: ``method``, ``n_steps`` of :func:`~interpolants.dynamics.sample.sample`.

    Source: Komanduri et al. (2024), arXiv:2404.17735, algorithm 2; inversion by the flow after Song, Meng & Ermon
    (2021), arXiv:2010.02502.
    """
    one_of("counterfactual_states", "abduction", abduction, get_args(Way))
    if abduction == "invert":
        noise = invert(fields, x, 0.0, cond=before, **how)
    elif abduction == "renoise":
        noise = renoise(fields.path, x, 1.0, 0.0, seed=seed)
    else:
        assert fields.path is not None
        noise = draw_base(fields.path.base, tuple(x.shape[1:]), len(x), seed, 0).to(x)
    return sample(fields, noise, cond=after, **how).x
