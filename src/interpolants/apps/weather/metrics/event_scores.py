"""Scores of events: Brier score and log loss of probabilities from an ensemble, critical success index of areas."""

import math

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.metrics.crps import check_members, score_estimate
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
    p, o = _events("brier_score", events, happened)
    return score_estimate(brier_of_cases(p, o, fair=fair), "Brier score")


def log_loss(events: ArrayLike, happened: ArrayLike) -> Estimate:
    """Log loss ``-ln p`` of what happened, p from the k of M members with the event: ``(k + 1/2) / (M + 1)``.

    That estimate (of Jeffreys' prior) is never 0 or 1: a plain share would make the loss infinite where an event came
    that no member had. The loss depends on M, so compare ensembles of one size.

    Args:
        events: Which members have the event, ``(B, M, *D)``, truth values or 0 and 1.
        happened: Where it came, ``(B, *D)``.

    Returns:
        The mean in nats over coordinates and cases, with its error over the B cases, taken as independent.

    Raises:
        InvalidInputError: If shapes do not fit, or values are no truth values.

    Source: Good (1952).
    """
    return score_estimate(log_loss_of_cases(*_events("log_loss", events, happened)), "log loss")


def critical_success_index(forecast: ArrayLike, happened: ArrayLike) -> Estimate:
    """``hits / (hits + misses + false alarms)`` over all entries: 1 for a perfect forecast, 0 without a hit.

    Entries where the event neither came nor was forecast do not count, so that a dry day is no success. Entries that
    were not seen are NaN in either, and are left out.

    Args:
        forecast: Whether the event was forecast, ``(B, *D)``, truth values, 0 and 1, or NaN.
        happened: Whether it came, ``(B, *D)``.

    Returns:
        The index of all cases together, its error by the delta method over the B cases, NaN for a single one.

    Raises:
        InvalidInputError: If shapes differ, values are no truth values, or the event neither came nor was forecast.

    Source: Donaldson, Dyer & Kraus (1975), where it is the threat score.
    """
    who = "critical_success_index"
    f, o = (torch.as_tensor(x).double() for x in (forecast, happened))
    if f.shape != o.shape or f.ndim < 1:
        raise invalid(
            who, "forecast and happened must have one shape", f"{tuple(f.shape)} and {tuple(o.shape)}"
        )
    seen = f.isfinite() & o.isfinite()
    for name, x in (("forecast", f[seen]), ("happened", o[seen])):
        if not bool(((x == 0) | (x == 1)).all()):
            raise invalid(who, f"{name} must be truth values", "other numbers", "Compare: x > limit.")
    hits, either = ((one & seen).reshape(len(f), -1).sum(1).double() for one in ((f * o) == 1, (f + o) >= 1))
    if not float(either.sum()):
        raise invalid(who, "the event must come or be forecast somewhere", "nowhere", "Use a lower limit.")
    ratio, n = float(hits.sum() / either.sum()), len(f)
    error = float((hits - ratio * either).std() / either.mean()) / n**0.5 if n > 1 else math.nan
    return Estimate(ratio, error, n, "critical success index")


def brier_of_cases(events: Tensor, happened: Tensor, *, fair: bool) -> Tensor:
    """The score of each case: ``(B, M, *D)``, ``(B, *D)`` float64 -> ``(B,)``.

    Raises:
        InvalidInputError: If a single member is to be scored fairly.
    """
    members = events.shape[1]
    check_members("brier_score", members, fair=fair)
    p = events.mean(1)
    score = (p - happened).square()
    if fair:
        score = score - p * (1 - p) / (members - 1)
    return score.reshape(len(score), -1).mean(1)


def log_loss_of_cases(events: Tensor, happened: Tensor) -> Tensor:
    """The loss of each case: ``(B, M, *D)``, ``(B, *D)`` float64 -> ``(B,)``."""
    p = (events.sum(1) + 0.5) / (events.shape[1] + 1)
    loss = -torch.where(happened > 0, p.log(), (1 - p).log())
    return loss.reshape(len(loss), -1).mean(1)


def _events(who: str, events: ArrayLike, happened: ArrayLike) -> tuple[Tensor, Tensor]:
    """Check truth values of members and of what happened: float64, in their shapes.

    Raises:
        InvalidInputError: If shapes do not fit, or values are no truth values.
    """
    p = one_sample(who, "events", _numbers(events), flat=False)
    o = one_sample(who, "happened", _numbers(happened), flat=False)
    for name, x in (("events", p), ("happened", o)):
        if not bool(((x == 0) | (x == 1)).all()):
            raise invalid(who, f"{name} must be truth values", "other numbers", "Compare: x > limit.")
    if p.ndim < 2 or (p.shape[0], *p.shape[2:]) != tuple(o.shape):
        rule = f"events must have shape (B, M, *D) with happened (B, *D) = {tuple(o.shape)}"
        raise invalid(who, rule, tuple(p.shape))
    return p, o


def _numbers(x: ArrayLike) -> ArrayLike:
    return torch.as_tensor(x).double()
