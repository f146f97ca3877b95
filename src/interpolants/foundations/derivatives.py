"""Derivatives row by row: gradients of scalars, Jacobians and divergences of fields.

Every function here takes rows ``(B, *D)`` that do not mix, so that the gradient of a sum over the batch is each row's
own gradient. With gradients on, results can be differentiated once more (a loss of derivatives is trained by it); with
gradients off they carry no graph.

Two ways to a divergence. Reverse mode: one sweep per output entry (``v^T J``), the cheaper kind per sweep on a CPU.
Forward mode: tangents of all entries pushed through at once (``J e_i`` under ``vmap``), the cheaper kind when entries
are many. Hutchinson's estimate needs one reverse sweep per probe: ``div b = E[v^T J v]`` for random signs v.

Source: Hutchinson (1989); Grathwohl et al. (2019), arXiv:1810.01367.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import one_of
from interpolants.foundations.ops import sum_event

Scalar = Callable[..., Tensor]
Velocity = Callable[[Tensor], Tensor]
MODES = ("auto", "reverse", "forward")
# Below this many entries a loop of reverse sweeps beats pushing all tangents forward (measured on a CPU).
_FEW = 8
# Rows times tangents that are pushed forward at once: bounds the memory, not the result. Each push evaluates the field
# itself once more, so that many small states go together as long as their numbers do not exceed the second bound.
_TANGENT_ROWS, _MOST_TANGENT_ROWS, _MOST_TANGENT_NUMBERS = 8192, 2**16, 2**22


# --- scalars ------------------------------------------------------------------------------------------------


def value_and_gradient(function: Scalar, *points: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The value ``(B,)`` of a scalar function and its gradient in each argument, of the argument's shape.

    Works with gradients off, under inference mode, and inside the transforms of ``torch.func``.

    Args:
        function: ``f(*points) -> (B,)``; row i depends on row i of each argument alone.
        points: Where, e.g. states ``(B, *D)`` and times ``(B,)``.
    """
    if _is_transformed(points[0]):
        return _functional(function, points)
    keep = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():
        leaves = tuple(_leaf(point, keep) for point in points)
        with _once_or_plain(once=not keep and len(points) == 1):
            value = function(*leaves)
        slopes = tuple(
            _slope(value, leaf, torch.ones_like(value), retain=True, keep=keep) for leaf in leaves[:-1]
        )
        last = _slope(value, leaves[-1], torch.ones_like(value), retain=keep, keep=keep)
    return (value if keep else value.detach()), (*slopes, last)


def gradient(function: Scalar, x: Tensor) -> Tensor:
    """The gradient ``(B, *D)`` of a scalar function ``f(x) -> (B,)``."""
    return value_and_gradient(function, x)[1][0]


# --- fields -------------------------------------------------------------------------------------------------


def divergence(
    field: Velocity, x: Tensor, *, probes: int = 0, generator: Generator | None = None, mode: str = "auto"
) -> tuple[Tensor, Tensor]:
    """A field ``(B, *D)`` and its divergence ``(B,)``, exact or as the mean over random signs.

    Args:
        field: Function of the state alone, rows independent of each other.
        x: States ``(B, *D)``.
        probes: Number of random sign probes; 0 takes the divergence exactly, at the price of one sweep per entry.
        generator: Source of the probes, on the device of ``x``.
        mode: As in :func:`exact_divergence`.
    """
    if not probes:
        return exact_divergence(field, x, mode=mode)
    value, columns = probed_divergence(field, x, random_signs(x, probes, generator))
    return value, columns.mean(1)


def random_signs(x: Tensor, count: int, generator: Generator | None = None) -> list[Tensor]:
    """``count`` tensors like ``x`` of independent signs."""
    draws = (torch.randint(0, 2, x.shape, generator=generator, device=x.device) for _ in range(count))
    return [draw.to(x.dtype) * 2 - 1 for draw in draws]


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
    one_of("divergence", "mode", mode, MODES)
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
    point, value = _with_graph(velocity, x, once=not keep and len(probes) == 1)
    columns = []
    for k, probe in enumerate(probes):
        last = k == len(probes) - 1
        slope = _slope(value, point, probe, retain=keep or not last, keep=keep)
        columns.append(sum_event(slope * probe))
    return (value if keep else value.detach()), torch.stack(columns, 1)


def jacobian(field: Velocity, x: Tensor) -> tuple[Tensor, Tensor]:
    """A field ``(B, *D)`` and its Jacobian ``(B, N, N)`` in the N flattened entries, row i the gradient of entry i."""
    keep = torch.is_grad_enabled()
    point, value = _with_graph(field, x)
    units = _units(value)
    rows = []
    for i, unit in enumerate(units):
        slope = _slope(value, point, unit.expand_as(value), retain=keep or i < len(units) - 1, keep=keep)
        rows.append(slope.reshape(x.shape[0], -1))
    return (value if keep else value.detach()), torch.stack(rows, 1)


def skew_product(field: Velocity, x: Tensor, direction: Tensor) -> Tensor:
    """``(J - J^T) v``, zero for every v just where the field is a gradient; ``v (B, *D)`` -> ``(B, *D)``.

    One sweep for ``J^T v``, and for ``J v`` the derivative in w of the linear map ``w -> J^T w``.
    """
    keep = torch.is_grad_enabled()
    point, value = _with_graph(field, x)
    with torch.enable_grad():
        dual = torch.zeros_like(value).requires_grad_(True)
        pulled = _slope(value, point, dual, retain=True, keep=True)
        pushed = _slope(pulled, dual, direction, retain=True, keep=keep)
    return pushed - _slope(value, point, direction, retain=keep, keep=keep)


# --- sweeps -------------------------------------------------------------------------------------------------


def _by_reverse(velocity: Velocity, x: Tensor) -> tuple[Tensor, Tensor]:
    keep = torch.is_grad_enabled()
    point, value = _with_graph(velocity, x)
    units = _units(value)
    total = x.new_zeros(x.shape[0])
    for i, unit in enumerate(units):
        again = keep or i < len(units) - 1
        slope = _slope(value, point, unit.expand_as(value), retain=again, keep=keep)
        total = total + slope.reshape(x.shape[0], -1)[:, i]
    return (value, total) if keep else (value.detach(), total)


def _by_forward(velocity: Velocity, x: Tensor) -> tuple[Tensor, Tensor]:
    rows = x.shape[0]

    def entry(tangent: Tensor) -> Tensor:
        pushed: Tensor = torch.func.jvp(velocity, (x,), (tangent.expand_as(x).contiguous(),))[1]
        return sum_event(pushed * tangent)

    most = min(_MOST_TANGENT_ROWS, _MOST_TANGENT_NUMBERS // x[0].numel())
    at_once = max(1, max(_TANGENT_ROWS, most) // rows)
    with _once_or_plain(once=False):
        total: Tensor = torch.func.vmap(entry, chunk_size=at_once)(_units(x)).sum(0)
    return velocity(x), total


def _units(like: Tensor) -> Tensor:
    """Unit vectors of one row, ``(N, 1, *D)``: rows do not mix, so one of them in every row serves all rows at once."""
    size = like[0].numel()
    return torch.eye(size, dtype=like.dtype, device=like.device).reshape(size, 1, *like.shape[1:])


def _slope(value: Tensor, point: Tensor, direction: Tensor, *, retain: bool, keep: bool) -> Tensor:
    """``direction^T J``, also where the value does not depend on the point."""
    if not value.requires_grad:
        return torch.zeros_like(point)
    slope: Tensor
    (slope,) = torch.autograd.grad(
        value, point, direction, retain_graph=retain, create_graph=keep, materialize_grads=True
    )
    return slope


def _with_graph(velocity: Velocity, x: Tensor, *, once: bool = False) -> tuple[Tensor, Tensor]:
    with torch.enable_grad(), _once_or_plain(once=once):
        point = _leaf(x, keep=True)
        return point, velocity(point)


def _once_or_plain(*, once: bool) -> AbstractContextManager[Any]:
    """A graph for one sweep may be that of a compiled network; through any other PyTorch sweeps only if it is plain."""
    if once or "torch._dynamo" not in sys.modules or torch.compiler.is_compiling():
        return nullcontext()
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


def _leaf(point: Tensor, keep: bool) -> Tensor:
    """Return the point itself if its graph must continue, else a copy to differentiate with respect to."""
    if keep and point.requires_grad:
        return point
    # Tensors made in inference mode cannot be differentiated; a copy can.
    return (point.clone() if point.is_inference() else point.detach()).requires_grad_(True)


def _is_transformed(x: Tensor) -> bool:
    """Whether we are inside a transform of ``torch.func``, where only its own gradients work."""
    try:
        x.new_empty(0).requires_grad_(True)
    except RuntimeError:
        return True
    return False


def _functional(function: Scalar, points: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    def total(*arguments: Tensor) -> tuple[Tensor, Tensor]:
        value = function(*arguments)
        return value.sum(), value

    everything: Any = torch.func.grad_and_value(total, argnums=tuple(range(len(points))), has_aux=True)
    slopes, (_, value) = everything(*points)
    return value, slopes
