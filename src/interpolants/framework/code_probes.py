"""Outputs of user-defined code at fixed points, by which a resumed fit detects changed code.

Files hold no code, and a function may change behind the same name. A fit with ``out=`` therefore keeps what the code in
its settings answers at probe points, like a saved method.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from inspect import isfunction
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.foundations.randomness import generator
from interpolants.foundations.trees import code_in

_ROWS = 3
_RTOL, _ATOL = 1e-5, 1e-8
# Packages whose classes are not user-defined code.
_OTHERS = ("builtins", "interpolants", "torch", "numpy", "typing", "abc")


def code_answers(settings: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Tensor]:
    """Outputs of the code in the settings of a method, by position; code that cannot be called is omitted.

    Args:
        settings: The settings.
        data: Values of the roles, whose shapes are those of the probe points.
    """
    found = {}
    for place, code in code_in(settings):
        answer = _answer(code, data)
        if answer is not None:
            found[place] = answer
    return found


def changed_code(now: Mapping[str, Tensor], before: Mapping[str, Any]) -> list[str]:
    """Places of the code whose answers are others than before."""
    return [place for place, answer in now.items() if place in before and not _same(answer, before[place])]


def _same(now: Tensor, before: Any) -> bool:
    fits = isinstance(before, Tensor) and before.shape == now.shape
    return fits and torch.allclose(now, before.to(now), rtol=_RTOL, atol=_ATOL, equal_nan=True)


def _answer(code: Any, data: Mapping[str, Any]) -> Tensor | None:
    """Output of a function, or of the methods of an object; None if nothing can be called."""
    found = [_answered(asked, data) for asked in _functions(code)]
    numbers = [answer for answer in found if answer is not None]
    return torch.cat(numbers) if numbers else None


def _functions(code: Any) -> list[Callable[..., Any]]:
    """The code itself, or the public methods that a user-defined class defines, such as those of a path."""
    if isinstance(code, nn.Module):  # a copy: no buffer or lazy layer of the user's module changes
        return [copy.deepcopy(code).eval()]
    if callable(code):
        return [code]
    own = [cls for cls in type(code).__mro__ if cls.__module__.partition(".")[0] not in _OTHERS]
    names = {name for cls in own for name, value in vars(cls).items() if isfunction(value)}
    return [getattr(code, name) for name in sorted(names) if not name.startswith("_")]


def _answered(asked: Callable[..., Any], data: Mapping[str, Any]) -> Tensor | None:
    """Output of a function at the first arguments that it accepts; None if it accepts none, or is random."""
    for arguments in _arguments(data):
        first = _called(asked, arguments)
        if first is not None:
            again = _called(asked, arguments)
            return first if again is not None and _same(again, first) else None
    return None


def _called(code: Any, arguments: tuple[Any, ...]) -> Tensor | None:
    try:
        with torch.no_grad(), torch.random.fork_rng([]):
            torch.manual_seed(0)
            answer = code(*(a.clone() if isinstance(a, Tensor) else a for a in arguments))
    except Exception:  # noqa: BLE001  # user-defined code, which does not accept these arguments
        return None
    parts = list(answer) if isinstance(answer, tuple | list) else [answer]
    numbers = [part for part in parts if isinstance(part, Tensor | float | int)]
    if not numbers or len(numbers) < len(parts):
        return None
    return torch.cat([torch.as_tensor(part).detach().cpu().double().flatten() for part in numbers])


def _arguments(data: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Arguments that functions of a path, couplings and networks take."""
    source = generator(0, "probe of code")
    t = torch.linspace(0.125, 0.875, _ROWS)
    rows = {
        name: x for name, x in data.items() if isinstance(x, Tensor) and x.is_floating_point() and x.ndim > 1
    }
    shape = tuple(next(iter(rows.values())).shape[1:]) if rows else (1,)
    x, y = (torch.randn(_ROWS, *shape, generator=source) for _ in range(2))
    cond = data.get("cond")
    told = cond[:_ROWS] if isinstance(cond, Tensor) and len(cond) >= _ROWS else None
    if told is not None:
        yield x, t, told
    yield x, t
    yield x, t, None
    yield t.reshape(-1, *[1] * len(shape)), x, y
    yield x, y, t
    yield (t,)
    yield (x,)
    yield x, y
