"""One contract for the times that a user's function is called with: ``t (B,)``, one per row of ``x (B, *D)``.

Solvers with fixed steps know one time for all rows, adaptive ones a time per row, and training draws one per row. A
function written for one number breaks under the others, or broadcasts silently where the rows are as many as the
columns. So users' functions are always called with ``(B,)``, and looked at on their first call: the answer in a row
must depend on the time of that row alone. The library's own networks take one number too, which saves them work.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.foundations.calls import uncompiled
from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.ops import batch_time

# Results that differ by more than this fraction of the largest entry do not differ by rounding only.
_ROUNDING = 1e-3
_RULE = "the function must take one time per row, t of shape (B,)"
_REMEDY = "Widen it to the rows of x: t[:, None] for vectors, t.reshape(-1, 1, 1, 1) for images."
_MISTAKES = (TypeError, ValueError, RuntimeError, IndexError)
_checked: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()
_seen: set[tuple[Any, ...]] = set()  # functions among what was checked while training


class TakesOneTime:
    """Base of what may be called with one number for all rows, ``t ()``, as well as with one per row."""


class RowTimes(TakesOneTime, nn.Module):
    """A user's ``f(x, t, ...)``, called with ``t (B,)`` whatever the solver has.

    Args:
        who: Name of the caller, used in error messages.
        function: What is called.
    """

    def __init__(self, who: str, function: Callable[..., Any]) -> None:
        super().__init__()
        self.who, self.function = who, function
        self._is_new = not (isinstance(function, nn.Module) and function in _checked)

    def forward(self, x: Tensor, t: Tensor, *more: Any) -> Any:
        """The function's answer; the first time with more than one row it is checked.

        Raises:
            InvalidInputError: If the function wants another shape of t, or mixes the times of the rows.
        """
        times = t.expand(x.shape[0]).clone() if t.ndim == 0 else t
        if not self._is_new:
            return self.function(x, times, *more)
        answer = checked_call(self.who, self.function, x, times, *more)
        self._is_new = not _can_compare(x, answer)
        return answer


def bare(net: nn.Module, x: Tensor, t: Tensor) -> tuple[Any, Tensor]:
    """Return the network whose parts are called, and the times in the shape that it accepts."""
    if not isinstance(net, RowTimes):
        return net, t
    return net.function, t.expand(x.shape[0]).clone() if t.ndim == 0 else t


def by_row(who: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """What may be called with one time or with one per row, whatever the function takes."""
    return function if takes_one_time(function) else RowTimes(who, function)


def ask(net: nn.Module, x: Tensor, t: Tensor | float, *more: Any) -> Any:
    """``net(x, t, ...)``, with ``t (B,)`` for a user's network."""
    if isinstance(net, TakesOneTime):
        return net(x, t, *more)
    times = batch_time(t, x).clone()
    known = net in _checked or torch.compiler.is_compiling()
    return net(x, times, *more) if known else checked_call(type(net).__name__, net, x, times, *more)


def takes_one_time(function: Any) -> bool:
    """Whether it is of the library, under ``torch.compile`` or several processes too."""
    inner = uncompiled(function)
    inner = getattr(inner, "module", inner) if isinstance(inner, nn.Module) else inner
    return isinstance(inner, TakesOneTime)


def check_row_times(who: str, function: Callable[..., Any], x: Tensor, t: Tensor, *more: Any) -> None:
    """Check a function at rows ``x (B, *D)`` and times ``t (B,)`` once; later calls cost nothing.

    Raises:
        InvalidInputError: As :class:`RowTimes`.
    """
    known = function in _checked if isinstance(function, nn.Module) else _key(function) in _seen
    if known or takes_one_time(function) or x.shape[0] < 2:
        return
    with _quiet(function, x.device):
        checked_call(who, function, x, t, *more)
    if not isinstance(function, nn.Module):
        _seen.add(_key(function))


def checked_call(who: str, function: Callable[..., Any], x: Tensor, t: Tensor, *more: Any) -> Any:
    """The answer at ``x (B, *D)`` and ``t (B,)``, and a check of what the function makes of the times."""
    before = (x.detach().clone(), t.detach().clone())
    try:
        answer = function(x, t, *more)
    except _MISTAKES as error:
        if not isinstance(error, InvalidInputError) and (shape := _wanted(function, x, t, more)):
            raise invalid(who, _RULE, f"one that takes t of shape {shape}", _REMEDY) from error
        raise
    if _can_compare(x, answer):
        if any(
            bool((old != new.detach()).logical_and(old == old).any())
            for old, new in zip(before, (x, t), strict=True)
        ):
            rule = "the function must not change x or t in place"
            raise invalid(who, rule, "one that does", "Write t = 2 * t, not t *= 2.")
        with _quiet(function, x.device):
            _check_rows(who, function, x, t, more)
        if isinstance(function, nn.Module):
            _checked.add(function)
    return answer


def _check_rows(who: str, function: Callable[..., Any], x: Tensor, t: Tensor, more: tuple[Any, ...]) -> None:
    """Check that the result of a function in the other rows does not depend on the time of the first row."""
    point = x.detach().clone()
    if x.requires_grad:
        point.requires_grad_()
    moved = t.detach().clone()
    moved[0] += torch.where(moved[0] < 0.5, 0.37, -0.37)
    before, after = (function(point, time, *more).detach()[1:] for time in (t.detach().clone(), moved))
    if not _differ(before, after) or _differ(before, function(point, t.detach().clone(), *more).detach()[1:]):
        return  # the last: a function that draws at random cannot be judged
    found = "an answer in one row that depends on the time of another"
    if x.shape[0] in x.shape[1:]:
        found += f"; with {x.shape[0]} rows, x * t multiplies the columns of {tuple(x.shape)} by the times"
    raise invalid(who, "row i of the answer must depend on t[i] alone", found, _REMEDY)


def _differ(one: Tensor, other: Tensor) -> bool:
    both = one.isfinite() & other.isfinite()
    gap = (one - other).abs()[both]
    return bool((gap > _ROUNDING * one[both].abs().max()).any()) if gap.numel() else False


def _wanted(function: Callable[..., Any], x: Tensor, t: Tensor, more: tuple[Any, ...]) -> str:
    """A shape of t with which the function runs, where it is another than ``(B,)``."""
    for shape, times in (("()", t[0]), ("(B, 1)", t[:, None])):
        try:
            function(x, times, *more)
        except _MISTAKES:
            continue
        return shape
    return ""


def _can_compare(x: Tensor, answer: Any) -> bool:
    """Whether there are rows to compare, and values that may be read: not inside ``vmap`` or a compiled graph."""
    if torch.compiler.is_compiling() or x.shape[0] < 2 or not isinstance(answer, Tensor):
        return False
    if answer.shape[:1] != x.shape[:1] or answer.is_complex():
        return False
    try:
        return not bool(answer.detach().isnan().all())
    except RuntimeError:  # vmap gives no values away
        return False


@contextmanager
def _quiet(function: Any, device: torch.device) -> Iterator[None]:
    """Networks evaluate, without dropout and statistics of the batch, and restore the state of the random numbers."""
    modules = [*function.modules()] if isinstance(function, nn.Module) else []
    learning = [module for module in modules if module.training]
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        for module in learning:
            module.training = False
            stack.callback(setattr, module, "training", True)
        yield


def _key(function: Any) -> tuple[Any, ...]:
    """What stands for a function: lambdas and methods are made anew for every step, around the same networks."""
    inner = getattr(function, "__func__", function)
    inside = [cell.cell_contents for cell in getattr(inner, "__closure__", None) or ()]
    names = [getattr(function, "__self__", None), *(part for part in inside if callable(part))]
    return getattr(inner, "__code__", id(inner)), *map(id, names)
