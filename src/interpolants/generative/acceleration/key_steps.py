"""Key steps of encoder propagation: the steps of a run at which the encoder is asked, from any way to name them.

Source of the presets: Li et al. (2024), arXiv:2312.09608, and its published code.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from torch import Tensor

from interpolants.foundations.checks import is_whole, one_of, whole
from interpolants.foundations.errors import invalid

# Indices in increasing order, a distance, the name of a preset or "auto", or a function from the number of steps.
Keys: TypeAlias = int | str | Sequence[int] | Callable[[int], Sequence[int]]

AUTO = "auto"
_WHO = "EncoderPropagation"
_REMEDY = "For example, use keys=5 for every fifth step, or keys=[0, 5, 10]."


def _first_stage(n: int) -> list[int]:
    return [k for k in range(n) if k < 10 or k > 85 or k % 5 == 0]


def _second_stage(n: int) -> list[int]:
    return [k for k in range(n) if k < 20 or k > 40 or k % 2 == 0]


def _progressive(n: int) -> list[int]:
    """Triangular numbers: ever larger distances."""
    return [k for k in range(n) if math.isqrt(9 + 8 * k) ** 2 == 9 + 8 * k or k == 0]


# By name: the keys, and the one number of steps for which they were published; None for any.
PRESETS: dict[str, tuple[Callable[[int], Sequence[int]], int | None]] = {
    "stable_diffusion": (lambda n: [0, 1, 2, 3, 5, 10, 15, 25, 35], 50),
    "deepfloyd_1": (_first_stage, 100),
    "deepfloyd_2": (_second_stage, 50),
    "progressive": (_progressive, None),
}


def check_keys(who: str, keys: Any) -> Any:
    """Keys as they are, unless no number of steps makes keys of them.

    Raises:
        InvalidInputError: Likewise.
    """
    if isinstance(keys, str):
        one_of(who, "keys", keys, [AUTO, *PRESETS])
    elif is_whole(keys):
        whole(who, "keys", keys, at_least=1)
    elif not callable(keys):
        _checked(keys, None)
    return keys


def key_steps(keys: Keys, n: int) -> list[int]:
    """The key steps of a run of ``n`` steps, numbered from 0.

    Args:
        keys: As in ``EncoderPropagation``, but for ``"auto"``.
        n: Number of steps.

    Raises:
        InvalidInputError: If they do not begin with 0, do not increase, or are no steps of the run.
    """
    if isinstance(keys, str):
        preset, steps = PRESETS[keys]
        if steps is not None and n != steps:
            rule = f"keys={keys!r} were published for {steps} steps"
            raise invalid(_WHO, rule, f"{n} steps", f"Use n_steps={steps}, or other keys.")
        return _checked(preset(n), n)
    if callable(keys):
        return _checked(keys(n), n)
    if is_whole(keys):  # NumPy's too
        return list(range(0, n, int(keys)))  # type: ignore[arg-type]
    return _checked(keys, n)


def _checked(keys: object, n: int | None) -> list[int]:
    listed = keys.tolist() if isinstance(keys, Tensor) else keys
    if not isinstance(listed, Sequence) or not all(is_whole(k) for k in listed):
        rule = "keys must be a distance, whole numbers, a name, or a function that gives whole numbers"
        raise invalid(_WHO, rule, listed, _REMEDY)
    found = [int(k) for k in listed]
    if not found or found[0] != 0:
        raise invalid(_WHO, "keys must begin with step 0, where nothing is there to reuse", found, _REMEDY)
    if any(later <= k for k, later in pairwise(found)):
        raise invalid(_WHO, "keys must be strictly increasing", found, _REMEDY)
    if n is not None and found[-1] >= n:
        raise invalid(_WHO, f"keys must be steps of the run, 0 ... {n - 1}", found[-1], _REMEDY)
    return found


def keys_by_change(change: Tensor, budget: int) -> list[int]:
    """Keys between which equal amounts of change lie.

    Args:
        change: From step j to step j + 1, ``(n - 1,)`` >= 0, for a run of n steps.
        budget: Number of keys, 1 ... n.

    Raises:
        InvalidInputError: If the budget is no number of steps.
    """
    n = len(change) + 1
    whole(_WHO, "budget", budget, at_least=1)
    if budget > n:
        raise invalid(_WHO, f"budget must be at most the number of steps, {n}", budget)
    # Nowhere quite zero: else all keys could fall together.
    rate = change.double() + 1e-9 * change.double().mean() + 1e-12
    passed = torch.cat([rate.new_zeros(1), rate.cumsum(0)])
    goals = passed[-1] * torch.arange(budget, dtype=torch.float64) / budget
    found = torch.searchsorted(passed, goals * (1 - 1e-12)).tolist()  # reached up to rounding is reached
    for k in range(1, budget):
        found[k] = max(found[k], found[k - 1] + 1)
    for k in range(budget - 1, -1, -1):  # those pushed beyond the end go back
        found[k] = min(found[k], n - budget + k)
    return found
