"""Equations as tokens: trees in Polish notation, numbers by a code of three tokens, and the grammar of both.

A float is a sign, a mantissa of three digits ``N100 ... N999`` (``N000`` for zero) and an exponent ``E-10 ... E10``:
``value = sign * mantissa * 10^exponent``, ``10.0`` is ``+ N100 E-1``. Rounding to three digits moves a number by at
most half a percent. Whole numbers up to 10 are single tokens, so that ``10`` and ``10.0`` are different texts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from interpolants.data.equation_trees import (
    BINARY,
    DEEPEST,
    FLOAT,
    LARGEST_WHOLE,
    UNARY,
    UNKNOWN,
    WHOLE,
    Ends,
    Tree,
)
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import InvalidInputError, invalid, nearest

PAD, BEGIN, END, SEPARATOR = "<pad>", "<begin>", "<end>", "|"
PLUS, MINUS = "+", "-"
LARGEST, SMALLEST, FARTHEST = 9.99e12, 1e-8, 10


class InvalidEquationError(InvalidInputError):
    """Tokens that are no system of equations."""


def rounded(value: float, who: str = "equation") -> float:
    """A number rounded to three digits, as tokens hold it.

    Raises:
        InvalidInputError: If it is not finite, above 9.99e12, or below 1e-8 and not zero.
    """
    sign, mantissa, exponent = float_parts(value, who)
    return _value(sign, mantissa, exponent)


def float_parts(value: float, who: str = "equation") -> tuple[str, int, int]:
    """Sign, mantissa of three digits, and exponent of a number; see `rounded`."""
    size = abs(value)
    if not math.isfinite(value) or (size and not SMALLEST <= size <= LARGEST):
        rule = f"constants must be 0, or between {SMALLEST:g} and {LARGEST:g} in size"
        raise invalid(who, rule, value, "Choose other units.")
    if not size:
        return PLUS, 0, 0
    digits, exponent = f"{size:.2e}".split("e")
    return (MINUS if value < 0 else PLUS), int(digits.replace(".", "")), int(exponent) - 2


def _value(sign: str, mantissa: int, exponent: int) -> float:
    found = float(f"{mantissa}e{exponent}")  # read by Python: 2.67 is the double nearest to it
    return -found if sign == MINUS else found


@dataclass(frozen=True)
class EquationTokens(Checked):
    """Vocabulary for systems of up to so many states."""

    states: Annotated[int, Interval(ge=1, le=99)] = 3
    """Largest number of states."""
    longest: Annotated[int, Ge(2)] = 150
    """Most tokens of a system, ``<end>`` among them."""

    @cached_property
    def words(self) -> tuple[str, ...]:
        """All tokens, in the order of their codes."""
        numbers = [str(n) for n in range(LARGEST_WHOLE + 1)]
        leaves = [*(f"u{i + 1}" for i in range(self.states)), *numbers, UNKNOWN]
        mantissas = ["N000", *(f"N{m}" for m in range(100, 1000))]
        exponents = [f"E{e}" for e in range(-FARTHEST, FARTHEST + 1)]
        ends = [PAD, BEGIN, END, SEPARATOR]
        return (*ends, *BINARY, *UNARY, *leaves, PLUS, MINUS, *mantissas, *exponents)

    @cached_property
    def code(self) -> dict[str, int]:
        """Word -> code."""
        return {word: i for i, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    # --- writing

    def encode(self, system: Sequence[Tree]) -> list[int]:
        """Codes of a system, ``<end>`` last.

        Raises:
            InvalidInputError: If it has too many states, is too deep or too long, or holds a number out of range.
        """
        if len(system) > self.states:
            raise invalid("equation", f"the system must have at most {self.states} states", len(system))
        words: list[str] = []
        for tree in system:
            words += [SEPARATOR] if words else []
            self._write(tree, words, 1)
        if len(words) >= self.longest:
            rule = f"a system must have fewer than {self.longest} tokens"
            raise invalid("equation", rule, len(words), "Write it shorter, or raise longest.")
        return [self.code[word] for word in (*words, END)]

    def _write(self, tree: Tree, words: list[str], depth: int) -> None:
        if depth > DEEPEST:
            raise invalid("equation", f"it must be at most {DEEPEST} levels deep", "a deeper one")
        if tree.label == FLOAT:
            sign, mantissa, exponent = float_parts(tree.value)
            words += [sign, f"N{mantissa:03d}", f"E{exponent}"]
            return
        word = str(int(tree.value)) if tree.label == WHOLE else tree.label
        if word not in self.code:
            raise invalid(
                "equation",
                "every token must be in the vocabulary",
                repr(word),
                nearest(word, self.words[4:40]),
            )
        words.append(word)
        for part in tree.parts:
            self._write(part, words, depth + 1)

    # --- reading

    def decode(self, codes: Sequence[int]) -> Ends:
        """The system that codes stand for, up to ``<end>``.

        Raises:
            InvalidEquationError: If they are no system: an operand is missing, or one is left over.
        """
        words = [self.words[code] for code in codes]
        words = words[: words.index(END)] if END in words else words
        found: list[Tree] = []
        at = 0
        while not found or at < len(words):
            if found:
                if words[at] != SEPARATOR:
                    raise _broken(f"{words[at]!r} after a whole equation, token {at + 1}")
                at += 1
            tree, at = self._read(words, at, 1)
            found.append(tree)
        return tuple(found)

    def _read(self, words: list[str], at: int, depth: int) -> tuple[Tree, int]:
        if at >= len(words):
            raise _broken("an operand is missing at the end")
        if depth > DEEPEST:
            raise _broken(f"more than {DEEPEST} levels")
        word = words[at]
        if word in (PLUS, MINUS):
            return self._number(words, at)
        count = 2 if word in BINARY else 1 if word in UNARY else 0
        if not count:
            return _leaf(word, at), at + 1
        parts, at = [], at + 1
        for _ in range(count):
            part, at = self._read(words, at, depth + 1)
            parts.append(part)
        return Tree(word, tuple(parts)), at

    def _number(self, words: list[str], at: int) -> tuple[Tree, int]:
        parts = words[at : at + 3]
        if len(parts) < 3 or parts[1][0] != "N" or parts[2][0] != "E":
            raise _broken(f"{' '.join(parts)!r} is no float, token {at + 1}")
        return Tree.number(_value(parts[0], int(parts[1][1:]), int(parts[2][1:]))), at + 3

    def is_valid(self, codes: Sequence[int]) -> bool:
        """Whether codes are a system."""
        try:
            self.decode(codes)
        except InvalidEquationError:
            return False
        return True

    def padded(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Rows of codes as ``(N, L)`` int64, padded by ``<pad>``."""
        found = torch.full((len(rows), max(map(len, rows))), self.code[PAD], dtype=torch.long)
        for row, codes in zip(found, rows, strict=True):
            row[: len(codes)] = torch.tensor(codes)
        return found


def _broken(found: str) -> InvalidEquationError:
    return InvalidEquationError(f"equation: tokens must be whole trees in Polish notation; got {found}.")


def _leaf(word: str, at: int) -> Tree:
    if word.isdigit():
        return Tree(WHOLE, value=int(word))
    if word in (PAD, BEGIN, SEPARATOR) or word[0] in "NE":
        raise _broken(f"{word!r} where an operand is due, token {at + 1}")
    return Tree(word)


# --- grammar -------------------------------------------------------------------------------------------------

_OPERAND, _MANTISSA, _EXPONENT, _DONE = range(4)


class Grammar:
    """Which tokens may come next, for many rows at once: what is chosen among them ends as a valid system.

    Args:
        tokens: The vocabulary.
        equations: Number of equations of each row, ``(B,)``.
        unknown: Whether ``?`` may stand for a number.
    """

    def __init__(self, tokens: EquationTokens, equations: Tensor, *, unknown: bool = False) -> None:
        self.tokens, self.left = tokens, equations.clone()
        rows = len(equations)
        self.open = torch.ones(rows, dtype=torch.long)
        self.mode = torch.zeros(rows, dtype=torch.long)
        self.room = torch.full((rows,), tokens.longest, dtype=torch.long)
        self._kinds(unknown)

    def _kinds(self, unknown: bool) -> None:
        """Change of open operands by token, and the tokens of each mode."""
        words, code = self.tokens.words, self.tokens.code
        self.change = torch.full((len(words),), -1, dtype=torch.long)
        for word in (*BINARY, *UNARY, PLUS, MINUS):
            self.change[code[word]] = 1 if word in BINARY else 0
        kind = torch.full((len(words),), _OPERAND)
        kind[[code[w] for w in words if w[0] == "N"]] = _MANTISSA
        kind[[code[w] for w in words if w[0] == "E"]] = _EXPONENT
        kind[: code[SEPARATOR] + 1] = _DONE
        if not unknown:
            kind[code[UNKNOWN]] = _DONE
        self.kind = kind
        self.state = torch.tensor([int(w[1:]) if w[0] == "u" else 0 for w in words])
        self.total = self.left.clone()
        self.cost = torch.ones(len(words), dtype=torch.long)  # tokens that a choice needs at least
        self.cost[[code[PLUS], code[MINUS]]] = 3

    def allowed(self) -> Tensor:
        """Truth values ``(B, V)``; a row that has ended allows ``<pad>`` alone."""
        known = self.kind[None] == self.mode[:, None]
        # After the choice every open operand needs a token, every equation that is left two, and <end> one.
        least = self.cost + (self.open[:, None] + self.change).clamp_min(0) + 2 * (self.left[:, None] - 1) + 1
        fits = least <= self.room[:, None]
        found = known & (fits | (self.mode[:, None] != _OPERAND)) & (self.state <= self.total[:, None])
        ends = (self.mode == _OPERAND) & (self.open == 0)
        found[ends] = False
        code = self.tokens.code
        found[:, code[SEPARATOR]] = ends & (self.left > 1)
        found[:, code[END]] = ends & (self.left == 1)
        found[:, code[PAD]] = self.mode == _DONE
        return found

    def choose(self, codes: Tensor) -> None:
        """Append the next token to each row, ``(B,)``."""
        code, live = self.tokens.code, self.mode != _DONE
        sign = (codes == code[PLUS]) | (codes == code[MINUS])
        ends = (codes == code[SEPARATOR]) | (codes == code[END])
        closes = self.mode == _EXPONENT
        plain = (self.mode == _OPERAND) & ~sign & ~ends
        self.open += torch.where(plain, self.change[codes], 0) - (closes & live).long()
        advanced = torch.where(sign, _MANTISSA, torch.where(self.mode == _MANTISSA, _EXPONENT, _OPERAND))
        self.mode = torch.where(live, torch.where(codes == code[END], _DONE, advanced), self.mode)
        self.left -= (codes == code[SEPARATOR]).long()
        self.open = torch.where(codes == code[SEPARATOR], 1, self.open)
        self.room -= 1

    def take(self, rows: Tensor) -> None:
        """Go on with copies of these rows, ``(B,)``, in place of all: what a search keeps."""
        self.left, self.open, self.mode = self.left[rows], self.open[rows], self.mode[rows]
        self.room, self.total = self.room[rows], self.total[rows]

    @property
    def done(self) -> bool:
        """Whether every row has ended."""
        return bool((self.mode == _DONE).all())
