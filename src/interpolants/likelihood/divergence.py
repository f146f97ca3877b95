"""The divergence of a velocity together with the velocity itself, exact or by random probes.

Two ways to the same number. Reverse mode: one sweep per output entry (``v^T J``), the cheaper kind per sweep on a CPU.
Forward mode: tangents of all entries pushed through at once (``J e_i`` under ``vmap``), the cheaper kind when entries
are many. Hutchinson's estimate needs one reverse sweep per probe: ``div b = E[v^T J v]`` for random signs v.

Source: Hutchinson (1989); Grathwohl et al. (2019), arXiv:1810.01367.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid, nearest

Velocity = Callable[[Tensor], Tensor]
MODES = ("auto", "reverse", "forward")
# Below this many entries a loop of reverse sweeps beats pushing all tangents forward (measured on a CPU).
_FEW = 8
# Rows times tangents that are pushed forward at once: bounds the memory, not the result.
_MOST_TANGENT_ROWS = 8192


def exact_divergence(velocity: Velocity, x: Tensor, *, mode: str = "auto") -> tuple[Tensor, Tensor]:
    """The velocity ``(B, *D)`` and its exact divergence ``(B,)``, for any event shape.

    Args:
        velocity: Function of the state alone, rows independent of each other.
        x: States ``(B, *D)``.
        mode: ``"reverse"``, ``"forward"`` or ``"auto"``: reverse up to 8 entries, forward beyond, and reverse again
            where an operation of the field has no forward mode.

    Raises:
        InvalidInputError: If the mode is unknown.
    """
    if mode not in MODES:
        raise invalid(
            "divergence", f"mode must be one of {', '.join(MODES)}", repr(mode), nearest(mode, MODES)
        )
    size = x[0].numel()
    if mode == "reverse" or (mode == "auto" and size <= _FEW):
        return _by_reverse(velocity, x)
    if mode == "forward":
        return _by_forward(velocity, x)
    try:
        return _by_forward(velocity, x)
    except RuntimeError:  # torch's word for a missing rule; a fault of the field itself shows again below
        return _by_reverse(velocity, x)


def probed_divergence(velocity: Velocity, x: Tensor, probes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The velocity ``(B, *D)`` and ``v^T J v`` for each probe ``(B, K)``.

    Args:
        velocity: Function of the state alone, rows independent of each other.
        x: States ``(B, *D)``.
        probes: K tensors like ``x`` with independent entries of mean 0 and variance 1, signs for least variance.
    """
    keep = torch.is_grad_enabled()
    point, value = _with_graph(velocity, x)
    columns = []
    for k, probe in enumerate(probes):
        last = k == len(probes) - 1
        slope = _slope(value, point, probe, retain=keep or not last, keep=keep)
        columns.append((slope * probe).reshape(x.shape[0], -1).sum(1))
    return (value if keep else value.detach()), torch.stack(columns, 1)


def _by_reverse(velocity: Velocity, x: Tensor) -> tuple[Tensor, Tensor]:
    keep = torch.is_grad_enabled()
    point, value = _with_graph(velocity, x)
    size = x[0].numel()
    # Rows do not mix, so one sweep with the same unit vector in every row gives each row its own gradient.
    units = torch.eye(size, dtype=value.dtype, device=x.device).reshape(size, 1, *x.shape[1:])
    total = x.new_zeros(x.shape[0])
    for i, unit in enumerate(units):
        again = keep or i < size - 1
        slope = _slope(value, point, unit.expand_as(value), retain=again, keep=keep)
        total = total + slope.reshape(x.shape[0], -1)[:, i]
    return (value, total) if keep else (value.detach(), total)


def _by_forward(velocity: Velocity, x: Tensor) -> tuple[Tensor, Tensor]:
    size, rows = x[0].numel(), x.shape[0]
    basis = torch.eye(size, dtype=x.dtype, device=x.device).reshape(size, 1, *x.shape[1:])

    def entry(tangent: Tensor) -> Tensor:
        pushed: Tensor = torch.func.jvp(velocity, (x,), (tangent.expand_as(x).contiguous(),))[1]
        return (pushed * tangent).reshape(rows, -1).sum(1)

    at_once = max(1, _MOST_TANGENT_ROWS // rows)
    divergence: Tensor = torch.func.vmap(entry, chunk_size=at_once)(basis).sum(0)
    return velocity(x), divergence


def _slope(value: Tensor, point: Tensor, direction: Tensor, *, retain: bool, keep: bool) -> Tensor:
    """``direction^T J``, also where the velocity does not depend on the state."""
    if not value.requires_grad:
        return torch.zeros_like(point)
    slope: Tensor
    (slope,) = torch.autograd.grad(
        value, point, direction, retain_graph=retain, create_graph=keep, materialize_grads=True
    )
    return slope


def _with_graph(velocity: Velocity, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        point = x if x.requires_grad else x.detach().requires_grad_(True)
        return point, velocity(point)
