"""Directed graphs of cause and effect between named variables, without cycles."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from typing import Annotated, Any, Protocol, Self, runtime_checkable

from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.kinds import Check
from interpolants.foundations.records import record

_WHO = "CausalGraph"
# Words of an arrow, and what parts statements.
_ARROW, _AND = re.compile(r"\s*->\s*"), re.compile(r"[;,\n]")


@runtime_checkable
class HasEdges(Protocol):
    """A directed graph of another library, such as ``networkx.DiGraph``."""

    nodes: Any
    edges: Any

    def is_directed(self) -> bool:
        """Whether edges have a direction."""
        ...


@record("causal_graph")
@dataclass(frozen=True)
class CausalGraph:
    """Named variables and which of them cause which; checked to have no cycle.

    Attributes:
        names: The variables.
        edges: Pairs ``(cause, effect)`` of names.
        order: Places of the variables in a topological order: causes before their effects.

    Raises:
        InvalidInputError: If a name is empty or comes twice, an edge names an unknown variable or comes twice, or there
            is a cycle.
    """

    names: tuple[str, ...]
    edges: tuple[tuple[str, str], ...] = ()
    order: tuple[int, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        names, edges = tuple(self.names), tuple((str(a), str(b)) for a, b in self.edges)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "edges", edges)
        _check_names(names)
        _check_edges(names, edges)
        object.__setattr__(self, "order", self._sorted())

    @classmethod
    def of(cls, graph: Any) -> Self:
        """A graph from what users have.

        Args:
            graph: Text such as ``"angle -> shadow, light -> shadow; wind"`` (variables in the order in which they
                come); ``{"names": [...], "adjacency": A}`` with ``A[i][j] = 1`` where i causes j; a mapping from each
                variable to the list of its causes; a list of pairs; a directed graph of networkx; or a ``CausalGraph``.

        Raises:
            InvalidInputError: If it is none of these, or no graph without cycles.
        """
        if isinstance(graph, cls):
            return graph
        if isinstance(graph, str):
            return cls._of_text(graph)
        if isinstance(graph, Mapping):
            return cls._of_matrix(graph) if "adjacency" in graph else cls._of_causes(graph)
        if isinstance(graph, HasEdges):
            return cls._of_networkx(graph)
        if isinstance(graph, Sequence) and all(isinstance(e, Sequence) and len(e) == 2 for e in graph):
            return cls(_unique(name for edge in graph for name in edge), tuple((a, b) for a, b in graph))
        remedy = 'For example, pass graph="thickness -> intensity", or a networkx.DiGraph.'
        raise invalid(_WHO, "graph must be text, pairs, a table or a directed graph", repr(graph), remedy)

    @classmethod
    def _of_text(cls, text: str) -> Self:
        chains = [_ARROW.split(part.strip()) for part in _AND.split(text) if part.strip()]
        edges = [pair for chain in chains for pair in pairwise(chain)]
        return cls(_unique(name.strip() for chain in chains for name in chain), tuple(edges))

    @classmethod
    def _of_causes(cls, causes: Mapping[str, Sequence[str]]) -> Self:
        edges = tuple((str(cause), str(name)) for name, found in causes.items() for cause in found)
        return cls(tuple(map(str, causes)), edges)

    @classmethod
    def _of_networkx(cls, graph: HasEdges) -> Self:
        if not graph.is_directed():
            raise invalid(_WHO, "edges must have a direction", type(graph).__name__, "Use a DiGraph.")
        edges = tuple((str(edge[0]), str(edge[1])) for edge in graph.edges)
        return cls(tuple(str(name) for name in graph.nodes), edges)

    @classmethod
    def _of_matrix(cls, table: Mapping[str, Any]) -> Self:
        rows = [list(row) for row in table["adjacency"]]
        names = tuple(map(str, table.get("names", range(len(rows)))))
        if len(rows) != len(names) or any(len(row) != len(names) for row in rows):
            rule = f"adjacency must be square with a row for each of the {len(names)} variables"
            raise invalid(_WHO, rule, [len(row) for row in rows])
        for row in rows:
            for entry in row:
                if entry not in (0, 1):
                    raise invalid(_WHO, "entries of adjacency must be 0 or 1", entry)
        found = [
            (a, b) for a, row in zip(names, rows, strict=True) for b, e in zip(names, row, strict=True) if e
        ]
        return cls(names, tuple(found))

    @classmethod
    def words(cls, graph: Any) -> str:
        """The text of a graph: of text itself, once it is checked; else as :attr:`text`, but edges alone of pairs."""
        found = cls.of(graph)
        pairs = isinstance(graph, Sequence) and not isinstance(graph, str)
        edges = ", ".join(f"{a} -> {b}" for a, b in found.edges)
        return graph if isinstance(graph, str) else edges if pairs else found.text

    @property
    def text(self) -> str:
        """The graph in words that :meth:`of` reads: variables in their order, then edges."""
        return "; ".join([*self.names, *(f"{a} -> {b}" for a, b in self.edges)])

    def place(self, name: str) -> int:
        """Place of a variable.

        Raises:
            InvalidInputError: If there is none of that name.
        """
        if name not in self.names:
            rule = f"the variable must be one of {', '.join(self.names)}"
            raise invalid(_WHO, rule, repr(name), nearest(str(name), self.names))
        return self.names.index(name)

    def parents(self, name: str) -> tuple[str, ...]:
        """Direct causes of a variable, in the order of the variables."""
        self.place(name)
        return tuple(cause for cause in self.names if (cause, name) in self.edges)

    def descendants(self, name: str) -> tuple[str, ...]:
        """All that a variable causes, directly or not, in the order of the variables."""
        found = {self.names[self.place(name)]}
        for place in self.order:
            if found & set(self.parents(self.names[place])):
                found.add(self.names[place])
        return tuple(one for one in self.names if one in found and one != name)

    def _sorted(self) -> tuple[int, ...]:
        """Places in topological order, by name order among what is free."""
        left, done = list(self.names), []
        while left:
            free = [name for name in left if not any(a in left for a, b in self.edges if b == name)]
            if not free:
                remedy = "A cause may not be an effect of its own effects: leave out an edge."
                raise invalid(_WHO, "the graph must have no cycle", _cycle(left, self.edges), remedy)
            done.append(free[0])
            left.remove(free[0])
        return tuple(self.names.index(name) for name in done)


def _words(who: str, graph: Any) -> str:
    return CausalGraph.words(graph)


# As a setting: whatever `CausalGraph.of` takes, which becomes text.
Graph = Annotated[Any, Check(_words, "text | pairs | table | directed graph")]


def tells_order(text: str) -> bool:
    """Whether words of a graph tell the order of its variables on purpose: all of them before any edge, or one chain.

    In ``"a -> c, b -> c"`` they come as a, c, b, which nobody has in mind who has columns a, b and c.
    """
    parts = [part.strip() for part in _AND.split(text) if part.strip()]
    alone = list(takewhile(lambda part: "->" not in part, parts))
    return len(parts) == 1 or len(_unique(alone)) == len(CausalGraph.of(text).names)


def _unique(names: Iterable[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(str, names)))


def _check_names(names: tuple[str, ...]) -> None:
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise invalid(_WHO, "graph must have at least one variable, and every variable a name", names)
    if len(set(names)) < len(names):
        raise invalid(_WHO, "variables must have different names", names)
    for name in names:
        if "->" in name or _AND.search(name) or "=" in name:
            raise invalid(_WHO, "names must be free of '->', '=', ',' and ';'", repr(name))


def _check_edges(names: tuple[str, ...], edges: tuple[tuple[str, str], ...]) -> None:
    for cause, effect in edges:
        for name in (cause, effect):
            if name not in names:
                rule = f"edges must join variables of {', '.join(names)}"
                raise invalid(_WHO, rule, repr(name), nearest(name, names))
        if cause == effect:
            raise invalid(_WHO, "a variable must not cause itself", f"{cause} -> {effect}")
    if len(set(edges)) < len(edges):
        raise invalid(_WHO, "every edge must come once", edges)


def _cycle(left: Sequence[str], edges: Sequence[tuple[str, str]]) -> str:
    """A cycle among variables that all have causes among them."""
    trail = [left[0]]
    while trail[-1] not in trail[:-1]:
        trail.append(next(a for a, b in edges if b == trail[-1] and a in left))
    found = trail[trail.index(trail[-1]) :]
    return " -> ".join(reversed(found))
