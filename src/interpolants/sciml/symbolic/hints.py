"""Rough guesses of equations: numbers hidden, and one term of them deleted or added."""

from collections.abc import Sequence

import torch
from torch import Generator

from interpolants.data.equation_trees import UNKNOWN, Ends, Tree

HINTS = ("skeleton", "known", "deleted", "added", "none")


def skeletons(system: Sequence[Tree]) -> Ends:
    """The equations with ``?`` for their numbers."""
    return tuple(tree.skeleton() for tree in system)


def hidden(system: Sequence[Tree], *, numbers: bool) -> Ends:
    """A guess of a user's: names that are no states become ``?``, and numbers too where they are to be hidden."""
    if numbers:
        return skeletons(system)
    return tuple(_without_names(tree) for tree in system)


def _without_names(tree: Tree) -> Tree:
    own = set(tree.parameters)
    return tree.changed(lambda leaf: Tree(UNKNOWN) if leaf.label in own else leaf)


def without_a_term(system: Sequence[Tree], source: Generator) -> Ends:
    """One term of one equation that has several is left out; unchanged where none has."""
    able = [k for k, tree in enumerate(system) if len(tree.terms()) > 1]
    if not able:
        return tuple(system)
    k = able[_any(len(able), source)]
    terms = system[k].terms()
    del terms[_any(len(terms), source)]
    return _with(system, k, Tree.sum_of(terms))


def with_a_term(system: Sequence[Tree], source: Generator) -> Ends:
    """One equation gets a further term: an unknown number times a state, or a product of two."""
    k, product = _any(len(system), source), _any(2, source)
    term = Tree(f"u{_any(len(system), source) + 1}")
    if product:
        term = Tree("mul", (term, Tree(f"u{_any(len(system), source) + 1}")))
    return _with(system, k, Tree("add", (system[k], Tree("mul", (Tree(UNKNOWN), term)))))


def hint_of(kind: str, system: Sequence[Tree], source: Generator) -> Ends:
    """A guess of one of the kinds ``HINTS`` but ``"none"``."""
    if kind == "known":
        return tuple(system)
    plain = skeletons(system)
    if kind == "deleted":
        return without_a_term(plain, source)
    return with_a_term(plain, source) if kind == "added" else plain


def rough(kind: str, system: Sequence[Tree], share: float, source: Generator) -> Ends:
    """A guess for training: of a kind, and each with a probability ``share`` with a term less, or a term more."""
    found = hint_of(kind, system, source)
    draw = float(torch.rand((), generator=source, dtype=torch.float64))
    if draw < share:
        return without_a_term(found, source)
    return with_a_term(found, source) if draw < 2 * share else found


def _with(system: Sequence[Tree], k: int, tree: Tree) -> Ends:
    return tuple(tree if i == k else one for i, one in enumerate(system))


def _any(n: int, source: Generator) -> int:
    return int(torch.randint(n, (), generator=source))
