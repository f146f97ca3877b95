"""Checks of residuals that users write: rows apart from each other, and slopes that autograd sees."""

from collections.abc import Callable, Iterable, Mapping
from itertools import product

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid

# Steps of differences; one of them must agree, since a residual may be steep, or computed in float32.
_STEPS = (1e-3, 1e-5)
# How far two slopes may be apart: relative to the larger one, and to the size of the residual.
_RELATIVE, _ABSOLUTE = 0.02, 1e-3

Residual = Callable[[Mapping[str, Tensor]], Tensor]


def check_slopes(who: str, residual: Residual, values: Tensor, names: Iterable[str]) -> None:
    """Check that a residual is local and differentiable in u, at values near those given and at some of size one.

    What was detached, or went through NumPy, has the right values and no slope: a training that follows the slopes then
    ends somewhere else. Where the residual is not finite nothing is said.

    Args:
        who: Name of the caller, used in error messages.
        residual: The residual as a function of u and its derivatives by name, each ``(N, C)``.
        values: Typical values of u at some points, ``(N, C)`` float64, N >= 2.
        names: The derivatives that the residual reads, ``""`` for the value.

    Raises:
        InvalidInputError: If it does not read u, a row depends on u at another point, or a slope is not that of the
            values.
    """
    known = sorted({*names, ""})
    for near in (values.detach().double(), torch.zeros_like(values, dtype=torch.float64)):
        parts = {name: _spread(near, k) for k, name in enumerate(known)}
        with torch.enable_grad():
            leaves = {name: value.requires_grad_(True) for name, value in parts.items()}
            out = residual(leaves)
        for name, column in product(known, range(values.shape[1])) if bool(out.isfinite().all()) else ():
            _check_one(who, residual, leaves, out, name, column)
        if not out.requires_grad:
            raise invalid(who, "residual must read u or its derivatives", "one without")


def _spread(values: Tensor, k: int) -> Tensor:
    """Values of derivative k: near those of u, or of size one, and no two the same, so that none is at a kink."""
    place = torch.arange(values.numel(), dtype=torch.float64).reshape(values.shape)
    wave = torch.cos(1.7 * place + 2.3 * k + 0.4)
    small = 0.05 if bool(values.any()) and not k else 1.0
    return values * (1 + 0.05 * wave) + small * wave


def _check_one(
    who: str, residual: Residual, leaves: Mapping[str, Tensor], out: Tensor, name: str, column: int
) -> None:
    """Move u or a derivative at the first point, and compare."""
    own, told = out[0].sum(), f"u({name!r})" if name else "u()"
    slope = 0.0
    if own.requires_grad:
        (found,) = torch.autograd.grad(own, leaves[name], retain_graph=True, allow_unused=True)
        slope = 0.0 if found is None else float(found[0, column])
    size, differences = float(out.detach().abs().max()), []
    for step in _STEPS:
        ends = [_moved(residual, leaves, name, column, sign * step) for sign in (1, -1)]
        if float((ends[0] - ends[1])[1:].abs().max()) > 1e-6 * size + 1e-12:
            remedy = "Do without means, sums or gradients over the points."
            rule = "each row of the residual must depend on u at its own point alone"
            raise invalid(who, rule, f"another row that changes with {told} of the first", remedy)
        differences.append(float((ends[0] - ends[1])[0].sum()) / (2 * step))
    if not any(_agree(slope, one, size) for one in differences):
        remedy = "Compute it from u in torch, without detach(), .data, .item() or NumPy."
        rule = f"autograd must see how the residual depends on {told}"
        raise invalid(who, rule, f"the slope {slope:.3g}, and {differences[-1]:.3g} by differences", remedy)


def _moved(residual: Residual, leaves: Mapping[str, Tensor], name: str, column: int, step: float) -> Tensor:
    parts = {key: value.detach().clone() for key, value in leaves.items()}
    parts[name][0, column] += step
    with torch.no_grad():
        return residual(parts).detach().double()


def _agree(slope: float, difference: float, size: float) -> bool:
    return abs(slope - difference) <= _RELATIVE * max(abs(slope), abs(difference)) + _ABSOLUTE * size
