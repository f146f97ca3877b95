"""The learning rate as a pure function of the step, so that resuming needs no schedule state."""

import math

from interpolants.training.settings import TrainSettings


def learning_rate(settings: TrainSettings, step: int) -> float:
    """Learning rate of step ``step`` = 1, 2, ..., ``settings.steps``.

    With w warm-up steps and N steps in all, ``k = step - 1 - w`` counts updates after the warm-up:
    ``lr step / w`` while ``step <= w``; then ``lr``, ``lr (1 + cos(pi k / (N - w))) / 2`` or
    ``lr gamma^floor(k / every)``. After each step in ``settings.restarts`` the cosine schedule begins anew, warm-up
    included, and ends at the next or at N.

    Source: Loshchilov & Hutter (2017), arXiv:1608.03983, for restarts.
    """
    begin = max((end for end in settings.restarts if end < step), default=0)
    last = min(end for end in (*settings.restarts, max(settings.steps, step)) if end >= step) - begin
    step -= begin
    after = step - 1 - settings.warmup
    if after < 0:
        return settings.lr * step / settings.warmup
    if settings.schedule == "cosine":
        return settings.lr * 0.5 * (1 + math.cos(math.pi * after / max(1, last - settings.warmup)))
    if settings.schedule == "step":
        return float(settings.lr * settings.gamma ** (after // settings.every))
    return settings.lr
