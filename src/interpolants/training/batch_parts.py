"""Parts of a batch: rows of every tensor in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from interpolants.foundations.errors import invalid


@dataclass
class _Cutter:
    first: int
    count: int
    rows: int
    found: bool = False

    def cut(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            if value.ndim and len(value) == self.rows:
                self.found = True
                return value[self.first : self.first + self.count]
            return value
        if isinstance(value, Mapping):
            return {key: self.cut(part) for key, part in value.items()}
        if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
            return type(value)(map(self.cut, value))
        return value


def part_of(batch: Any, number: int, parts: int, rows: int) -> Any:
    """One of equal parts of a batch: of tensors with so many rows their share, of all else the same.

    Args:
        batch: A tensor, or mappings and lists of such.
        number: Which part, from 0.
        parts: How many.
        rows: Rows of the batch.

    Raises:
        InvalidInputError: If nothing in the batch has these rows.
    """
    if parts == 1:
        return batch
    size = rows // parts
    cutter = _Cutter(number * size, size, rows)
    found = cutter.cut(batch)
    if not cutter.found:
        rule = f"a batch that is cut into parts must have tensors of {rows} rows"
        remedy = "Leave shares and accumulate as they are by default."
        raise invalid("fit", rule, type(batch).__name__, remedy)
    return found
