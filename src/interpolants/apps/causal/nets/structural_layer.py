"""Structural causal models with additive noise on blocks of numbers: solved, intervened on, and taken apart again.

Letters: B rows, n variables, d numbers of each, u exogenous and z causal values ``(B, n, d)``, f mechanisms.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from interpolants.apps.causal.causal_graph import CausalGraph
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.remembered import Remembered
from interpolants.nets.perceptron import Perceptron

# The mechanism of a variable: its name and the values of its causes ``(B, p, d)`` -> ``(B, d)``.
Mechanism: TypeAlias = Callable[[str, Tensor], Tensor]


def solve_structure(graph: CausalGraph, mechanism: Mechanism, u: Tensor) -> Tensor:
    """``z_i = f_i(z_causes) + u_i`` in topological order, so that an effect goes on over any number of edges.

    Args:
        graph: The graph of n variables.
        mechanism: f; asked only for variables with causes.
        u: Exogenous values ``(B, n, d)``.

    Returns:
        Causal values ``(B, n, d)``.

    Source: Pearl (2009), Causality, chapter 7; Komanduri et al. (2024), arXiv:2404.17735, equation 3.
    """
    z = _columns(graph, u)
    for place in graph.order:
        if causes := graph.parents(graph.names[place]):
            z[place] = mechanism(graph.names[place], _causes(graph, causes, z)) + z[place]
    return torch.stack(z, 1)


def exogenous(graph: CausalGraph, mechanism: Mechanism, z: Tensor) -> Tensor:
    """``u_i = z_i - f_i(z_causes)``, the inverse of :func:`solve_structure`; its volume is 1."""
    values = _columns(graph, z)
    found = list(values)
    for place, name in enumerate(graph.names):
        if causes := graph.parents(name):
            found[place] = values[place] - mechanism(name, _causes(graph, causes, values))
    return torch.stack(found, 1)


def intervene(graph: CausalGraph, mechanism: Mechanism, z: Tensor, to: Tensor) -> Tensor:
    """What z would have been had some variables been set: abduction of u, action, and prediction of the descendants.

    Variables that are neither set nor descend from one that is are returned to the bit.

    Args:
        graph: The graph of n variables.
        mechanism: f.
        z: Causal values ``(B, n, d)`` as they are.
        to: Values to set, ``(B, n, d)``; NaN where a row leaves a variable alone.

    Returns:
        Causal values ``(B, n, d)`` after it.

    Source: Pearl (2009), Causality, theorem 7.1.7; Komanduri et al. (2024), arXiv:2404.17735, algorithm 2.
    """
    u, wanted = _columns(graph, exogenous(graph, mechanism, z)), _columns(graph, to)
    values = _columns(graph, z)
    changed = [torch.zeros(len(z), 1, dtype=torch.bool, device=z.device)] * len(graph.names)
    for place in graph.order:
        causes = graph.parents(graph.names[place])
        moved = torch.stack([changed[graph.place(c)] for c in causes]).any(0) if causes else changed[place]
        if bool(moved.any()):
            predicted = mechanism(graph.names[place], _causes(graph, causes, values)) + u[place]
            values[place] = torch.where(moved, predicted, values[place])
        is_set = ~wanted[place].isnan()
        values[place] = torch.where(is_set, wanted[place], values[place])
        changed[place] = moved | is_set.any(1, keepdim=True)
    return torch.stack(values, 1)


def _columns(graph: CausalGraph, x: Tensor) -> list[Tensor]:
    if x.ndim != 3 or x.shape[1] != len(graph.names):
        rule = f"values must have shape (B, {len(graph.names)}, d), a block for each variable"
        raise invalid("structural model", rule, tuple(x.shape))
    return list(x.unbind(1))


def _causes(graph: CausalGraph, causes: Sequence[str], values: Sequence[Tensor]) -> Tensor:
    return torch.stack([values[graph.place(cause)] for cause in causes], 1)


class StructuralLayer(Remembered, id="structural_layer"):
    """A structural causal model whose mechanisms are perceptrons, one for each variable with causes.

    Args:
        graph: The graph, in any form that :meth:`CausalGraph.of` reads.
        block: d, numbers of each variable.
        hidden: Widths of the hidden layers of a mechanism.
        seed: Seed of the initial weights.

    Raises:
        InvalidInputError: If the graph has a cycle, or a number is out of range.

    Source: Komanduri et al. (2024), arXiv:2404.17735, section 4.1. Theirs gives a mechanism the exogenous values of
    its causes, so that effects end after one edge.
    """

    def __init__(
        self, graph: Any, block: int = 1, *, hidden: Sequence[int] = (32, 32), seed: int = 0
    ) -> None:
        super().__init__()
        self.graph, self.block = CausalGraph.of(graph), whole("StructuralLayer", "block", block, at_least=1)
        caused = [name for name in self.graph.names if self.graph.parents(name)]
        self.mechanisms = nn.ModuleDict(
            {
                str(self.graph.place(name)): Perceptron(
                    len(self.graph.parents(name)) * block, block, hidden, activation="silu", seed=seed + k
                )
                for k, name in enumerate(caused)
            }
        )

    def mechanism(self, name: str, causes: Tensor) -> Tensor:
        """``f_name(causes)``, ``(B, p, d)`` -> ``(B, d)``."""
        found: Tensor = self.mechanisms[str(self.graph.place(name))](causes.flatten(1))
        return found

    def forward(self, u: Tensor) -> Tensor:
        """Causal values of exogenous ones, ``(B, n, d)``."""
        return solve_structure(self.graph, self.mechanism, u)

    def abduct(self, z: Tensor) -> Tensor:
        """Exogenous values behind causal ones, ``(B, n, d)``."""
        return exogenous(self.graph, self.mechanism, z)

    def do(self, z: Tensor, to: Mapping[str, Any] | Tensor) -> Tensor:
        """Causal values after an intervention, ``(B, n, d)``.

        Args:
            z: Causal values as they are.
            to: Name -> value, a number or ``(B,)``; or ``(B, n, d)`` with NaN where nothing is set.

        Raises:
            InvalidInputError: If a name is none of the graph.
        """
        return intervene(self.graph, self.mechanism, z, to if isinstance(to, Tensor) else self._wide(z, to))

    def _wide(self, z: Tensor, to: Mapping[str, Any]) -> Tensor:
        wide = torch.full_like(z, float("nan"))
        for name, value in to.items():
            wide[:, self.graph.place(name)] = torch.as_tensor(value).to(z).reshape(-1, 1)
        return wide
