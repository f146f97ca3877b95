"""Growth of errors at the ends of a path: quantities that determine the others, but not stably.

A network learns a quantity with an error ``d`` that does not vanish at the ends. A relation of the path multiplies this
error by a coefficient ``c(t)``. If ``c`` grows like ``1/t`` or faster at an end, the error of the velocity is not
integrable, and samples are wrong however small ``d`` is. For ``endpoint0`` and ``noise`` on
``x_t = (1 - t) x0 + t x1 + gamma z``

``E[x1|x] = (x - (1 - t) E[x0|x] - gamma E[z|x]) / t``.

A rate of ``1/sqrt(t)``, that of gamma' in a Brownian envelope, is integrable. The mean noise must follow with bounded
coefficients. The coefficient ``1/gamma`` of the score in every SDE is harmless: samplers lower eps near the ends.

Source: derived here from :func:`interpolants.fields.conversions.fold`.
"""

import copy
from collections.abc import Sequence

import torch

from interpolants.fields.conversions import fold, plan
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.tell import SettingWarning, tell
from interpolants.paths.path import Path

# Distances from an end between which the power of a coefficient is measured, and coefficients that count as zero.
_NEAR, _NEARER, _ZERO = 1e-3, 1e-5, 1e-6
# Powers of 1/t above which errors count as growing: between 1/2 (that of gamma') and 1 for the velocity, between 0 and
# 1/2 for the noise.
_LIMITS = {"velocity": 0.75, "noise": 0.25}


def growing_errors(path: Path, known: Sequence[str], target: str) -> dict[str, tuple[int, ...]]:
    """Learnt quantities whose errors grow without bound in ``target``, with the ends (0, 1) at which they do.

    Args:
        path: The interpolant.
        known: Learnt quantities.
        target: ``"velocity"``, whose errors must be integrable in time, or ``"noise"``, whose errors must be bounded.

    Returns:
        Quantity -> ends; empty where the target was learnt, does not follow, or has another rate in each coordinate.
    """
    steps = plan(path, known, target)
    if not steps:
        return {}
    away = torch.tensor([_NEAR, _NEARER], dtype=torch.float64)
    rows = fold(_with_plain_base(path), steps, known, torch.cat([away, 1 - away]))
    if rows is None:
        return {}
    sizes = rows[target][:, 1:].abs().nan_to_num(0.0).clamp_min(_ZERO).log10().reshape(2, 2, -1)
    powers = (sizes[:, 1] - sizes[:, 0]) / torch.log10(away[0] / away[1])
    grows = (powers > _LIMITS[target]).T.tolist()
    ends = {name: tuple(end for end in (0, 1) if at[end]) for name, at in zip(known, grows, strict=True)}
    return {name: at for name, at in ends.items() if at}


def warn_of_growing_errors(who: str, path: Path, heads: Sequence[str], *, instead: str) -> None:
    """Warn if samples cannot be right, since errors of the quantities to learn grow without bound.

    On a one-sided path only errors that grow at t = 0 count. The flow towards the data draws states together at t = 1,
    so that the ODE from the base is right. SDEs, reverse runs and log densities are not, and warn by themselves.

    Args:
        who: Name of the caller, used in error messages.
        path: The interpolant.
        heads: Quantities to learn.
        instead: Remedy, as a sentence.

    Warns:
        SettingWarning: If they do.
    """
    velocity, noise = (growing_errors(path, heads, target) for target in ("velocity", "noise"))
    if path.is_one_sided:
        velocity, noise = {name: (0,) for name, ends in velocity.items() if 0 in ends}, {}
    if not (found := velocity or noise):
        return
    listed = ", ".join(f"{name} at t = {' and '.join(map(str, ends))}" for name, ends in found.items())
    words = (
        f"{who}: heads={list(heads)} multiply errors of the network without bound on the path {type(path).__name__} "
        f"({listed}). Samples {'' if velocity else 'of SDEs (eps > 0) '}will be wrong by up to orders of magnitude. "
        f"{instead}"
    )
    tell(SettingWarning, words)


def _with_plain_base(path: Path) -> Path:
    """The path from a standard base, whose coefficients have the same rates in time."""
    base = path.base
    if base is None or not base.is_gaussian or (base.shared_scale is not None and base.is_centred):
        return path
    found = copy.copy(path)
    object.__setattr__(found, "base", Gaussian())
    return found
