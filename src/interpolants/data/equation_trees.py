"""Equations as trees: read from text or sympy, evaluated on arrays, written in Polish notation.

A system of d equations ``u1' = ..., ..., ud' = ...`` is a tuple of d trees. Inner nodes are operators, leaves are
states ``u1, u2, ...``, whole numbers, floats, and ``?`` for a number that is not known. A name that is no state stands
for such a number too, and keeps its name, so that a formula with parameters is a tree like any other.
"""

import ast
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from interpolants.foundations.errors import invalid, nearest

BINARY, UNARY = ("add", "sub", "mul", "div"), ("neg", "inv", "sin", "cos", "square")
WHOLE, FLOAT, UNKNOWN = "whole", "float", "?"
DEEPEST, LARGEST_WHOLE = 40, 10
_STATE = re.compile(r"u([1-9]\d?)")
_SIGNS = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"}
Ends = tuple["Tree", ...]


@dataclass(frozen=True)
class Tree:
    """One right side.

    Attributes:
        label: An operator, ``"u1"``, ``"whole"``, ``"float"``, ``"?"``, or the name of a parameter.
        parts: Its operands.
        value: Of a number.
    """

    label: str
    parts: tuple["Tree", ...] = ()
    value: float = 0.0

    @classmethod
    def number(cls, value: float) -> Self:
        """A float leaf of a number >= 0, or its negative."""
        leaf = cls(FLOAT, value=abs(float(value)))
        return cls("neg", (leaf,)) if value < 0 else leaf

    @classmethod
    def of_sympy(cls, expression: Any, states: Sequence[str]) -> Self:
        """From a sympy expression; whole numbers up to 10 stay whole, other numbers are floats.

        Args:
            expression: The expression.
            states: Names of the states, which become ``u1, u2, ...``.

        Raises:
            InvalidInputError: For a function or power that trees have not.
        """
        return cls.of_text(str(expression), states)

    @classmethod
    def of_text(cls, text: str, states: Sequence[str] = ()) -> Self:
        """From a formula such as ``"10.0*(u2 - u1)"``, as it is written: nothing is simplified, nothing is executed.

        Args:
            text: ``+ - * /``, powers with whole exponents, ``sin``, ``cos``, and the operators by name.
            states: Names that stand for ``u1, u2, ...``; these themselves are known too.

        Raises:
            InvalidInputError: For text that is no such formula; the part is named.
        """
        try:
            parsed = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise invalid("equation", "it must be a formula", repr(text[:80]), str(error)) from error
        found = _Reader({name: f"u{i + 1}" for i, name in enumerate(states)}).tree(parsed, text)
        return cls(found.label, found.parts, found.value)

    # --- walks

    def leaves(self) -> Iterator["Tree"]:
        """Its leaves, from left to right."""
        for part in self.parts:
            yield from part.leaves()
        if not self.parts:
            yield self

    @property
    def depth(self) -> int:
        """Longest way to a leaf; a leaf has 1."""
        return 1 + max((part.depth for part in self.parts), default=0)

    @property
    def numbers(self) -> list[float]:
        """Values of the float leaves, from left to right."""
        return [leaf.value for leaf in self.leaves() if leaf.label == FLOAT]

    @property
    def states(self) -> set[int]:
        """Numbers of the states in it: 1, 2, ..."""
        return {int(m[1]) for leaf in self.leaves() if (m := _STATE.fullmatch(leaf.label))}

    @property
    def parameters(self) -> list[str]:
        """Names that are no states, each once, from left to right."""
        names = (leaf.label for leaf in self.leaves() if leaf.label not in (WHOLE, FLOAT, UNKNOWN))
        return [*dict.fromkeys(name for name in names if not _STATE.fullmatch(name))]

    def changed(self, leaf: Callable[["Tree"], "Tree"]) -> "Tree":
        """The same with its leaves changed."""
        if not self.parts:
            return leaf(self)
        return replace(self, parts=tuple(part.changed(leaf) for part in self.parts))

    def with_parameters(self, values: Mapping[str, float]) -> "Tree":
        """Parameters replaced by floats."""
        return self.changed(lambda leaf: Tree.number(values[leaf.label]) if leaf.label in values else leaf)

    def with_numbers(self, values: Iterator[Any]) -> "Tree":
        """The values of float leaves replaced, from left to right; a column ``(P, 1)`` has one a row."""
        return self.changed(lambda leaf: replace(leaf, value=next(values)) if leaf.label == FLOAT else leaf)

    def skeleton(self) -> "Tree":
        """The same with ``?`` for every float and parameter."""
        named = set(self.parameters)
        return self.changed(
            lambda leaf: Tree(UNKNOWN) if leaf.label == FLOAT or leaf.label in named else leaf
        )

    def terms(self) -> list["Tree"]:
        """The terms of a sum, their signs with them."""
        if self.label not in ("add", "sub"):
            return [self]
        first, second = self.parts
        rest = second.terms()
        return first.terms() + (rest if self.label == "add" else [_negative(term) for term in rest])

    @classmethod
    def sum_of(cls, terms: Sequence["Tree"]) -> "Tree":
        """A sum of terms; zero without one."""
        if not terms:
            return cls(WHOLE, value=0)
        found = terms[0]
        for term in terms[1:]:
            minus = term.label == "neg"
            found = cls("sub" if minus else "add", (found, term.parts[0] if minus else term))
        return found

    # --- values

    def at(self, u: Sequence[Any], parameters: Mapping[str, Any] | None = None) -> Any:
        """Its value on arrays of NumPy or tensors.

        Args:
            u: Values of u1, u2, ...
            parameters: Values of names that are no states.

        Raises:
            InvalidInputError: If a number is not known.
        """
        if self.parts:
            return _calculated(self.label, [part.at(u, parameters) for part in self.parts])
        if self.label in (WHOLE, FLOAT):
            return self.value
        if state := _STATE.fullmatch(self.label):
            return u[int(state[1]) - 1]
        if parameters is None or self.label not in parameters:
            raise invalid(
                "equation", "every parameter must have a value", repr(self.label), "Pass their values."
            )
        return parameters[self.label]

    def sympy(self) -> Any:
        """The expression in sympy, with symbols u1, u2, ...; sympy simplifies what it always does."""
        import sympy

        if self.label == WHOLE:
            return sympy.Integer(int(self.value))
        if self.label == FLOAT:
            return sympy.Float(self.value)
        if not self.parts:
            return sympy.Symbol("c" if self.label == UNKNOWN else self.label)
        parts = [part.sympy() for part in self.parts]
        return (
            getattr(sympy, self.label)(*parts)
            if self.label in ("sin", "cos")
            else _OPERATE[self.label](*parts)
        )

    def __str__(self) -> str:
        return _shown(self)[0]


_OPERATE: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "inv": lambda a: 1 / a,
    "square": lambda a: a * a,
}


def _calculated(label: str, parts: Sequence[Any]) -> Any:
    if label not in ("sin", "cos"):
        return _OPERATE[label](*parts)
    if isinstance(parts[0], Tensor):
        return torch.sin(parts[0]) if label == "sin" else torch.cos(parts[0])
    return np.sin(parts[0]) if label == "sin" else np.cos(parts[0])


def _negative(tree: Tree) -> Tree:
    return tree.parts[0] if tree.label == "neg" else Tree("neg", (tree,))


# --- texts ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Reader:
    """Reads Python's syntax of formulas, without running it."""

    states: Mapping[str, str]

    def tree(self, node: ast.expr, text: str, depth: int = 1) -> Tree:
        if depth > DEEPEST:
            raise invalid("equation", f"it must be at most {DEEPEST} levels deep", repr(text[:80]))
        if isinstance(node, ast.Constant):
            return _constant(node.value, text)
        if isinstance(node, ast.Name):
            return Tree(self.states.get(node.id, node.id))
        power = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)
        label = "" if power else _operator(node, text)
        parts = tuple(self.tree(part, text, depth + 1) for part in _operands(node))
        return _power(parts[0], parts[1], text) if power else Tree(label, parts)


def _operands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    return [node.operand] if isinstance(node, ast.UnaryOp) else list(getattr(node, "args", ()))


def _operator(node: ast.expr, text: str) -> str:
    """The operator of a node of Python's syntax.

    Raises:
        InvalidInputError: If trees have no such operator, or not with so many operands.
    """
    found, count = "", len(_operands(node))
    if isinstance(node, ast.BinOp):
        found = _SIGNS.get(type(node.op), "")
    elif isinstance(node, ast.UnaryOp):
        found = "neg" if isinstance(node.op, ast.USub) else ""
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        found = node.func.id
    if found not in (BINARY if count == 2 else UNARY if count == 1 else ()):
        known = f"The operators are + - * / **, {', '.join((*BINARY, *UNARY))}."
        remedy = nearest(found, (*BINARY, *UNARY)) if found else known
        raise invalid(
            "equation",
            "every operator must be one of the supported operators",
            repr(ast.unparse(node)[:60]),
            remedy or known,
        )
    return found


def _constant(value: object, text: str) -> Tree:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise invalid("equation", "its constants must be numbers", repr(value), f"In {text[:60]!r}.")
    whole = isinstance(value, int) and value <= LARGEST_WHOLE
    return Tree(WHOLE if whole else FLOAT, value=value if whole else float(value))


def _power(base: Tree, exponent: Tree, text: str) -> Tree:
    """Squares and products for whole exponents."""
    down = exponent.label == "neg"
    size = exponent.parts[0] if down else exponent
    if size.label != WHOLE or size.value < 1:
        raise invalid("equation", "exponents must be whole numbers up to 10 and not 0", repr(text[:80]))
    found = _powers(base, int(size.value))
    return Tree("inv", (found,)) if down else found


def _powers(base: Tree, n: int) -> Tree:
    if n == 1:
        return base
    even = Tree("square", (_powers(base, n // 2),))
    return Tree("mul", (even, base)) if n % 2 else even


_RANK = {"add": 1, "sub": 1, "neg": 2, "mul": 3, "div": 3}
_SIGN = {"add": " + ", "sub": " - ", "mul": "*", "div": "/"}


def _shown(tree: Tree) -> tuple[str, int]:
    """A tree as text that reads back as the same tree, and how strongly it binds."""
    if not tree.parts:
        return _leaf(tree), 9
    if tree.label in ("sin", "cos", "inv", "square"):
        inner = _shown(tree.parts[0])
        return (f"{_bound(inner, 9)}**2", 5) if tree.label == "square" else (f"{tree.label}({inner[0]})", 9)
    rank = _RANK[tree.label]
    if tree.label == "neg":
        return f"-{_bound(_shown(tree.parts[0]), 5)}", rank  # Python reads -a*b as (-a)*b
    left, right = (_shown(part) for part in tree.parts)
    return f"{_bound(left, rank)}{_SIGN[tree.label]}{_bound(right, rank + 1)}", rank


def _bound(shown: tuple[str, int], least: int) -> str:
    return shown[0] if shown[1] >= least else f"({shown[0]})"


def _leaf(tree: Tree) -> str:
    if tree.label == UNKNOWN:
        return "c"
    if tree.label in (WHOLE, FLOAT):
        return str(int(tree.value)) if tree.label == WHOLE else repr(float(tree.value))
    return tree.label


def read_system(equations: Any, states: Sequence[str] = ()) -> Ends:
    """A system from text, ``"u2 | -u1"``, from a list of texts, sympy expressions or trees, one for each state.

    Raises:
        InvalidInputError: If one is no formula, or names a state that the system has not, or for a list of systems.
    """
    parts = equations.split("|") if isinstance(equations, str) else list(equations)
    if any(isinstance(one, str) and "|" in one for one in parts):
        rule = "equations must be one system: a text with '|', or a list with one equation per state"
        got = f"a list of {len(parts)} {'systems' if len(parts) > 1 else 'system'}"
        raise invalid("equation", rule, got, "Pass an item of the list, e.g. read_system(texts[0]).")
    trees = tuple(one if isinstance(one, Tree) else Tree.of_text(str(one), states) for one in parts)
    strange = sorted({k for tree in trees for k in tree.states if k > len(trees)})
    if strange or not trees:
        rule = f"a system of {len(trees)} equations must have states u1 ... u{len(trees)}"
        raise invalid(
            "equation", rule, f"u{strange[0]}" if strange else "none", "Pass one equation per state."
        )
    return trees


def shown_system(trees: Sequence[Tree]) -> str:
    """A system as text, ``"u2 | -u1"``, which `read_system` reads back."""
    return " | ".join(map(str, trees))
