"""Types and protocols shared by the layers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import invalid

# A condition travels untouched from the user to the network: a tensor whose rows belong to the samples
# (labels, vectors, fields), a dict or tuple of such tensors, or None.
Condition = Any


class Field(Protocol):
    """A function of state and time: ``x (B, *D)``, ``t`` 0-d or ``(B,)`` -> ``(B, *D)`` unless it says otherwise."""

    def __call__(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """Evaluate at the states ``x`` and times ``t``."""
        ...


# A field of a user, which may do without a condition.
FieldLike: TypeAlias = Field | Callable[[Tensor, Tensor], Tensor]


@runtime_checkable
class Distribution(Protocol):
    """A distribution that can be sampled; a distribution with a density also has ``log_prob``."""

    @property
    def event_shape(self) -> Sequence[int]:
        """Shape of one sample."""
        ...

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw n samples, ``(n, *event_shape)``."""
        ...


def parts_of(cond: Condition) -> Iterator[Tensor]:
    """The tensors of a condition."""
    if isinstance(cond, Tensor):
        yield cond
    elif isinstance(cond, dict | tuple | list):
        for part in cond.values() if isinstance(cond, dict) else cond:
            yield from parts_of(part)


def check_rows(who: str, cond: Condition, rows: int, owner: str = "sample", name: str = "cond") -> None:
    """Check that conditions have one row per sample."""
    for part in parts_of(cond):
        if part.ndim == 0 or part.shape[0] != rows:
            found = part.shape[0] if part.ndim else "a single number"
            raise invalid(who, f"{name} must have one row per {owner}, {rows}", found)


def take_rows(cond: Condition, rows: Any) -> Condition:
    """Select rows of a condition (a tensor, a dict or tuple of tensors, named or plain, or None) by slice or index."""
    if cond is None:
        return None
    if isinstance(cond, dict):
        return {name: take_rows(part, rows) for name, part in cond.items()}
    if isinstance(cond, tuple | list):
        return _like(cond, (take_rows(part, rows) for part in cond))
    return cond[rows]


def join_rows(parts: Sequence[Condition]) -> Condition:
    """Concatenate conditions of the same kind."""
    first = parts[0]
    if first is None:
        return None
    if isinstance(first, dict):
        return {name: join_rows([part[name] for part in parts]) for name in first}
    if isinstance(first, tuple | list):
        return _like(first, (join_rows(members) for members in zip(*parts, strict=True)))
    return torch.cat([*parts])


def _like(like: Any, parts: Iterable[Any]) -> Any:
    """A list or a tuple, plain or named."""
    make = getattr(type(like), "_make", type(like))
    return make(parts)
