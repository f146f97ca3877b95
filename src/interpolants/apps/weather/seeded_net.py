"""Network that is told a set of forecasts: whatever their order, the answer has one distribution.

Letters: B rows, K seeds, C variables, G axes of the grid, E features, W width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.apps.weather.nets.grid_convolution import CONVOLUTIONS, GridBlock
from interpolants.fields.preconditioned import Preconditioned
from interpolants.foundations.checks import whole
from interpolants.foundations.remembered import Remembered
from interpolants.foundations.row_times import ask
from interpolants.foundations.types import Condition
from interpolants.nets.build import named_net
from interpolants.nets.net import materialise
from interpolants.objectives.joint import Weight
from interpolants.paths.path import Path


class SeedEncoder(Remembered, id="seed_encoder"):
    """``mean_k phi(v_k, v_mean)`` beside ``v_mean``: features of a set, the same for any order of its members.

    phi is a stack of gated convolutions on the grid, so that features may hold products of neighbouring differences:
    mean and spread of each point alone would lose which seed was high where.

    Args:
        variables: C.
        edges: What lies beyond each axis of the grid.
        features: E.
        blocks: Convolutions of phi, with dilations 1, 2, 4.
        seed: Seed of the initial weights.

    Source: Zaheer et al. (2017), arXiv:1703.06114, for functions of sets.
    """

    def __init__(
        self, variables: int, edges: Sequence[str], *, features: int = 16, blocks: int = 2, seed: int = 0
    ) -> None:
        super().__init__()
        (
            whole("SeedEncoder", "features", features, at_least=1),
            whole("SeedEncoder", "blocks", blocks, at_least=1),
        )
        convolution = CONVOLUTIONS[len(edges)]
        with torch.device("meta"):
            self.input = convolution(2 * variables, features, 1)
            self.blocks = nn.ModuleList(GridBlock(features, 0, edges, 2 ** (k % 3)) for k in range(blocks))
            self.output = convolution(features, features, 1)
        self.channels = features + variables
        materialise(self, seed)

    def forward(self, seeds: Tensor) -> Tensor:
        """Features ``(B, E + C, *G)`` of seeds ``(B, K, C, *G)``."""
        mean = seeds.mean(1, keepdim=True)
        h = self.input(torch.cat([seeds, mean.expand_as(seeds)], 2).flatten(0, 1))
        total = torch.zeros_like(h)
        for block in self.blocks:
            h, skip = block(h)
            total = total + skip
        features = self.output(total).unflatten(0, seeds.shape[:2]).mean(1)
        return torch.cat([features, mean[:, 0]], 1)


class SeededNet(Remembered, id="seeded_net"):
    """``net(x, t, field)`` whose field is made of seeds and, where it changes over the year, their climatology.

    Args:
        net: Name, table or network that takes fields of ``told`` channels.
        shape: ``(C, *G)``.
        edges: What lies beyond each axis of the grid.
        encoder: Settings of :class:`SeedEncoder`.
        seasonal: Whether fields of the mean climatology are told too.
        seed: Seed of the initial weights.
        path: The path, for a network of another quantity than the velocity: it is preconditioned.
        head: That quantity.
    """

    def __init__(
        self,
        net: Any,
        shape: Sequence[int],
        edges: Sequence[str],
        encoder: Mapping[str, int],
        *,
        seasonal: bool = False,
        seed: int = 0,
        path: Path | None = None,
        head: str = "velocity",
    ) -> None:
        super().__init__()
        self.encoder = SeedEncoder(shape[0], edges, **{"seed": seed, **encoder}).float()
        told = self.encoder.channels + (shape[0] if seasonal else 0)
        made = named_net(
            net, tuple(shape), who="EnsembleEmulator", seed=seed, cond_channels=told, **_edges(net, edges)
        )
        made = made if isinstance(net, nn.Module) else made.float()
        self.net: nn.Module = made if path is None else Preconditioned(made, path, (head,), 1.0)

    @property
    def weight(self) -> Weight:
        """How much a row counts in a loss, where the network inside is preconditioned."""
        inner: Any = self.net
        weight: Weight = inner.weight
        return weight

    def told(self, seeds: Tensor, season: Tensor | None = None) -> Tensor:
        """What the network is told: ``(B, T, *G)`` of seeds ``(B, K, C, *G)`` and seasonal means ``(B, C, *G)``."""
        found: Tensor = self.encoder(seeds)
        return found if season is None else torch.cat([found, season], 1)

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """The network's output ``(B, C, *G)``, for a condition ``{"seeds": ..., "season": ...}``."""
        output: Tensor = ask(self.net, x, t, self.told(cond["seeds"], cond.get("season")))
        return output


def _edges(net: Any, edges: Sequence[str]) -> dict[str, Any]:
    """The edges, for a network that asks for them and whose table does not say."""
    kind = net if isinstance(net, str) else net.get("kind") if isinstance(net, Mapping) else ""
    return {"edges": tuple(edges)} if kind == "grid_convolution" else {}
