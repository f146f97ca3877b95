"""What forecasts of states share: the roles of pairs, and ensembles from the members at each lag."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.checks import whole
from interpolants.framework.answers import Ensemble
from interpolants.framework.role import Role


def pair_roles() -> tuple[Role, Role]:
    """States now, and row by row what became of them."""
    later = Role(name="later", like="now", about="what became of each state one lag later")
    return Role(name="now", about="states now"), later


def check_sizes(who: str, members: int, steps: int) -> None:
    """Refuse sizes of an ensemble.

    Raises:
        InvalidInputError: If one is not a whole number >= 1.
    """
    whole(who, "members", members, at_least=1)
    whole(who, "steps", steps, at_least=1)


def ensemble_of(lags: Sequence[Tensor], **more: Any) -> Ensemble:
    """An ensemble from the members ``(B, M, *D)`` at each lag; a single lag has no axis of time.

    Args:
        lags: Members at lag 1, 2, ...
        more: Further fields of the ensemble.
    """
    axes = range(lags[0].ndim - 2)
    features = ("feature",) if len(axes) == 1 else tuple(f"axis{k}" for k in axes)
    if len(lags) == 1:
        return Ensemble(x=lags[0], dims=features, **more)
    times = torch.arange(1, len(lags) + 1, dtype=torch.float64)
    return Ensemble(x=torch.stack(list(lags), 2), dims=("time", *features), times=times, **more)
