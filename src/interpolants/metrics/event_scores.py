"""Scores of events: the Brier score of probabilities that an ensemble gives."""

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.metrics.crps import score_estimate
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.samples import ArrayLike, one_sample


def brier_score(events: ArrayLike, happened: ArrayLike, *, fair: bool = True) -> Estimate:
    """Brier score ``(p - o)^2``, p the share of members with the event, o whether it came; over coordinates and cases.

    Args:
        events: Which members have the event, ``(B, M, *D)``, truth values or 0 and 1.
        happened: Where it came, ``(B, *D)``.
        fair: Take ``p (1 - p) / (M - 1)`` away, the bias of a finite ensemble; needs M >= 2.

    Returns:
        The mean, with its error over the B cases, taken as independent.

    Raises:
        InvalidInputError: If shapes do not fit, or values are no truth values.

    Source: Brier (1950); fair form: Ferro (2014).
    """
    p = one_sample("brier_score", "events", _numbers(events), flat=False)
    o = one_sample("brier_score", "happened", _numbers(happened), flat=False)
    for name, x in (("events", p), ("happened", o)):
        if not bool(((x == 0) | (x == 1)).all()):
            raise invalid(
                "brier_score", f"{name} must be truth values", "other numbers", "Compare: x > limit."
            )
    if p.ndim < 2 or (p.shape[0], *p.shape[2:]) != tuple(o.shape):
        rule = f"events must have shape (B, M, *D) with happened (B, *D) = {tuple(o.shape)}"
        raise invalid("brier_score", rule, tuple(p.shape))
    return score_estimate(brier_of_cases(p, o, fair=fair), "Brier score")


def brier_of_cases(events: Tensor, happened: Tensor, *, fair: bool) -> Tensor:
    """The score of each case: ``(B, M, *D)``, ``(B, *D)`` float64 -> ``(B,)``.

    Raises:
        InvalidInputError: If a single member is to be scored fairly.
    """
    members = events.shape[1]
    if fair and members < 2:
        raise invalid("brier_score", "the fair form needs at least two members", members)
    p = events.mean(1)
    score = (p - happened).square()
    if fair:
        score = score - p * (1 - p) / (members - 1)
    return score.flatten(1).mean(1)


def _numbers(x: ArrayLike) -> ArrayLike:
    return torch.as_tensor(x).double()
