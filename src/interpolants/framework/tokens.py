"""Tokens as a kind of role: texts, or integers; of equal length unless the role allows others."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.data.alphabet import BLANK, END, STAR, Alphabet, pad_ends
from interpolants.data.arrays import Container
from interpolants.data.arrays import Kind as Given
from interpolants.data.bundled import Dataset
from interpolants.foundations.errors import invalid
from interpolants.framework.role import Reading, Role

# Types for which PyTorch has no comparisons.
_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)


class Tokens:
    """Sequences over a finite alphabet: codes ``(N, L)`` int64; a single text or ``(L,)`` is one row.

    The alphabet is that of the role, of the data set, or of the text itself, and is kept in ``Given.columns``; numbers
    may come without one. With ``gaps`` the code after the last symbol, in texts ``"_"``, means "not seen". Rows of a
    ``padded`` role may have different lengths, and are filled up with -1; its gaps, in texts ``"*"``, have any length.
    """

    has_rows = True

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[Tensor, Given]:
        """Read a string, strings of equal length, arrays of integers, or a data set with symbols."""
        symbols = tuple(role.names if reading.before is None else reading.before.columns)
        if isinstance(value, Dataset) and (found := value.info.symbols):
            if symbols and symbols != found:
                rule = f"symbols must be those of the data, {''.join(found)!r}"
                raise invalid(reading.who, rule, repr("".join(symbols)), "Remove them.")
            value, symbols = value.x, found
        texts = _texts(value)
        if texts is None:
            return _numbers(value.x if isinstance(value, Dataset) else value, symbols, role, reading)
        # A single text of a fit stands for many rows, so nothing is returned as a single one.
        flat = isinstance(value, str) and reading.before is not None
        alphabet = _alphabet(texts, symbols, role, reading)
        codes = _encode(texts, alphabet, role, reading.who)
        return codes, Given("text", "int64", columns=alphabet.symbols, flat=flat)


def _texts(value: Any) -> list[str] | None:
    """Strings, whatever holds them; None for numbers."""
    if isinstance(value, str):
        return [value]
    if getattr(getattr(value, "dtype", None), "kind", "") in "OUT" and hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple) and value and all(isinstance(part, str) for part in value):
        return list(value)
    return None


def _encode(texts: list[str], alphabet: Alphabet, role: Role, caller: str) -> Tensor:
    """Texts as codes ``(N, L)``, with the sign of a gap where the role has gaps."""
    if role.padded:
        return alphabet.encode_padded(texts, blank=STAR if role.gaps else None, caller=caller)
    return alphabet.encode_rows(texts, blank=BLANK if role.gaps else None, who=caller)


def _alphabet(texts: list[str], symbols: tuple[str, ...], role: Role, reading: Reading) -> Alphabet:
    if not all(texts) and not (role.padded and reading.before is not None):
        empty = f"'' in row {next(k for k, text in enumerate(texts) if not text)}"
        raise invalid(reading.who, f"{role.name} must not be empty", empty, "Remove the row.")
    if symbols:
        return Alphabet(symbols)
    if reading.before is not None:
        remedy = "Pass symbols= when you make it, or fit it to text."
        raise invalid(reading.who, "text needs a method that knows its symbols", "one without", remedy)
    return Alphabet.of("".join(texts))


def _numbers(value: Any, symbols: tuple[str, ...], role: Role, reading: Reading) -> tuple[Tensor, Given]:
    names = list(getattr(value, "columns", ()))
    if names != list(range(len(names))):
        rule = f"{role.name} are known by their places, and a table must have no names of columns"
        remedy = "Pass table.to_numpy(), with the columns in one order always."
        raise invalid(reading.who, rule, ", ".join(map(str, names[:5])), remedy)
    plain = getattr(value, "to_numpy", lambda: _of_lists(value, role, reading))()
    x = plain.detach() if isinstance(plain, Tensor) else _as_tensor(plain, role, reading)
    x = x.long() if x.dtype in _UNSIGNED else x
    if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool or x.ndim not in (1, 2):
        got = f"{x.dtype} of shape {tuple(x.shape)}"
        raise invalid(reading.who, f"{role.name} must be integers, (N, L) or (N,), or text", got)
    _check_numbers(x, len(symbols), role, reading)
    flat = x.ndim == 1 and reading.before is not None
    return (x[None] if x.ndim == 1 else x).long(), _given(value, x, symbols, flat=flat)


def _check_numbers(x: Tensor, size: int, role: Role, reading: Reading) -> None:
    """Raise an error unless numbers of tokens are within ``size`` symbols, if there are any, with ends as allowed."""
    if role.padded and x.ndim == 2 and len(x):
        _check_ends(x, role, reading)
    elif x.numel() == 0 or int(x.min()) < 0:
        received = "none" if x.numel() == 0 else int(x.min())
        raise invalid(reading.who, f"{role.name} must be >= 0 and not empty", received)
    highest = size - 1 + role.gaps
    if size and x.numel() and int(x.max()) > highest:
        raise invalid(reading.who, f"{role.name} must be 0 ... {highest}", int(x.max()))


def _of_lists(value: Any, role: Role, reading: Reading) -> Any:
    """Lists or arrays of tokens, of any lengths, as one tensor; one list of numbers is unchanged."""
    listed = role.padded and isinstance(value, list | tuple) and len(value)
    if not listed or not all(isinstance(row, list | tuple | np.ndarray | Tensor) for row in value):
        return value
    rows = [
        _as_tensor(row, role, reading) if len(row) else torch.zeros(0, dtype=torch.int64) for row in value
    ]
    for k, row in enumerate(rows):
        if row.ndim != 1 or row.is_floating_point() or row.is_complex() or row.dtype == torch.bool:
            received = f"{row.dtype} of shape {tuple(row.shape)} in row {k}"
            raise invalid(reading.who, f"each row of {role.name} must be integers (L,)", received)
    return pad_ends([row.long() for row in rows])


def _check_ends(x: Tensor, role: Role, reading: Reading) -> None:
    """Raise an error for rows with tokens behind their end, and for empty rows in a fit."""
    ended = x == END
    wrong = ((x < END) | (ended[:, :-1] & ~ended[:, 1:]).any(1, keepdim=True)).any(1)
    if bool(wrong.any()):
        k = int(wrong.nonzero()[0])
        rule = f"{role.name} must be >= 0, with -1 behind the last token only"
        raise invalid(reading.who, rule, f"{x[k].tolist()[:8]} in row {k}")
    empty = ended.all(1)
    if reading.before is None and bool(empty.any()):
        row = f"none in row {int(empty.nonzero()[0])}"
        raise invalid(reading.who, f"{role.name} must not be empty", row, "Remove the row.")


def _as_tensor(plain: Any, role: Role, reading: Reading) -> Tensor:
    try:
        x = np.array(plain)
        return torch.as_tensor(x.astype(x.dtype.newbyteorder("="), copy=False))
    except (TypeError, ValueError, RuntimeError) as error:
        rows = "lists of any lengths" if role.padded else "rows of equal length"
        rule = f"{role.name} must be integers in {rows}, or text"
        raise invalid(reading.who, rule, type(plain).__name__, str(error)) from error


def _given(value: Any, x: Tensor, symbols: tuple[str, ...], *, flat: bool) -> Given:
    if isinstance(value, Tensor):
        return Given("torch", x.dtype, x.device, symbols, flat)
    container: Container = "list" if isinstance(value, list | tuple) else "numpy"
    return Given(container, str(x.dtype).removeprefix("torch."), None, symbols, flat)
