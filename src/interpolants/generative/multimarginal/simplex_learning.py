"""Learning the conditional means of K densities over the whole simplex: network, batches and loss.

Letters: as in :mod:`interpolants.generative.multimarginal.multimarginal`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.couplings.paired import Paired
from interpolants.foundations.ops import expand_like, sum_event
from interpolants.foundations.remembered import Remembered
from interpolants.generative.multimarginal.routes import latent_variance
from interpolants.nets.build import choose_net
from interpolants.nets.embeddings import FourierTime


class SimplexNet(Remembered, id="simplex_net"):
    """A network of (x, t, condition) as one of (x, alpha): alpha and its Fourier features are the condition.

    Args:
        net: As in :func:`interpolants.nets.build.choose_net`, by name or table.
        shape: Event shape.
        size: K.
        heads: Number of outputs.
        features: Fourier features of each entry of alpha, even.
        seed: Seed of the weights.
        shift: What the network's input and its means count from, in data units: one number, or one for each column.
        scale: Unit of its means, likewise, > 0.
        noise: Standard deviation of latent noise that is in its input too, in data units.
    """

    def __init__(
        self,
        net: Any,
        shape: tuple[int, ...],
        size: int,
        heads: int,
        features: int = 8,
        seed: int = 0,
        *,
        shift: Sequence[float] = (0.0,),
        scale: Sequence[float] = (1.0,),
        noise: float = 0.0,
    ) -> None:
        super().__init__()
        self.size, self.shift, self.scale, self.noise = size, tuple(shift), tuple(scale), noise
        self.features = FourierTime(features, high=4.0)
        settings = {"kind": net} if isinstance(net, str) else dict(net)
        like = torch.zeros(1, size * (1 + features))
        self.net = choose_net({"time_features": 0, **settings}, shape, heads, like, seed, who="Multimarginal")

    def forward(self, x: Tensor, alpha: Tensor) -> Tensor:
        """``x (B, *D)``, ``alpha (B, K)`` -> ``(B, H, *D)``, all in data units."""
        known = torch.cat([alpha, self.features(alpha).to(alpha.dtype).flatten(1)], 1)
        shift, scale = torch.tensor([self.shift, self.scale], dtype=torch.float64, device=x.device)
        seen = (x.double() - shift) / (scale.square() + self.noise**2).sqrt()
        heads: Tensor = self.net(seen.to(x), alpha.new_zeros(()), known)
        means, noise = heads[:, : self.size], heads[:, self.size :]
        return torch.cat([(means.double() * scale + shift).to(x), noise], 1)


class SimplexBatches:
    """The batch of a step: one row of every density, coupled in a chain, and a point of the simplex.

    Args:
        densities: K sample sets ``(N_k, *D)``.
        size: Rows per step, over all processes.
        coupling: Pairs each density with the next one.
        edge_share: Share of the points that lie on a random edge.
    """

    def __init__(self, densities: Sequence[Tensor], size: int, coupling: Any, edge_share: float) -> None:
        self.densities, self.size = list(densities), size
        self.coupling, self.edge_share = coupling, edge_share

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> dict[str, Tensor]:
        """The share of this process: ``ends (B, K, *D)`` and ``alpha (B, K)``."""
        ends = self.ends(max(1, self.size // world), generator)
        alpha = simplex_points(len(ends), len(self.densities), self.edge_share, generator)
        return {"ends": ends, "alpha": alpha.to(ends)}

    def ends(self, rows: int, generator: Generator) -> Tensor:
        """Coupled rows of all densities, ``(B, K, *D)``."""
        if isinstance(self.coupling, Paired):
            pick = torch.randint(len(self.densities[0]), (rows,), generator=generator)
            return torch.stack([x[pick] for x in self.densities], 1)
        drawn = [x[torch.randint(len(x), (rows,), generator=generator)] for x in self.densities]
        chain = drawn[:1]
        for fresh in drawn[1:]:
            pairs = self.coupling.pair(chain[-1], fresh, generator=generator)
            chain = [*(x[pairs.index0] for x in chain), pairs.x1]
        return torch.stack(chain, 1)


def simplex_points(n: int, size: int, edge_share: float, generator: Generator | None) -> Tensor:
    """Points ``(n, K)``: uniform on the simplex, or with chance ``edge_share`` uniform on one of its edges."""
    inside = -torch.rand(n, size, generator=generator).clamp_min(1e-30).log()
    inside = inside / inside.sum(1, keepdim=True)
    pair = torch.rand(n, size, generator=generator).argsort(1)[:, :2]
    u = torch.rand(n, 1, generator=generator)
    edge = torch.zeros(n, size).scatter_(1, pair, torch.cat([u, 1 - u], 1))
    on_edge = torch.rand(n, 1, generator=generator) < edge_share
    return torch.where(on_edge, edge, inside)


def blend(alpha: Tensor, ends: Tensor, scale: float = 0.0, z: Tensor | None = None) -> Tensor:
    """``x_alpha = sum_k alpha_k x_k + gamma z``; ``alpha (B, K)``, ``ends (B, K, *D)`` -> ``(B, *D)``."""
    mean = torch.einsum("bk,bk...->b...", alpha.to(ends), ends)
    if not scale:
        return mean
    assert z is not None
    return mean + expand_like(latent_variance(alpha, scale).sqrt().to(ends), mean) * z


class SimplexLoss:
    """``|g_k - x_k|^2`` for every density, and ``|eta - z|^2`` with latent noise; per sample and by name.

    Args:
        scale: a of the latent noise.
        units: Size of each column, or of all: errors are counted in these. No minimiser changes.
    """

    def __init__(self, scale: float, units: Sequence[float] = (1.0,)) -> None:
        self.scale, self.units = scale, tuple(units)

    def __call__(self, net: Any, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Losses ``(B,)`` of a batch."""
        ends, alpha = batch["ends"], batch["alpha"]
        z = torch.randn(ends[:, 0].shape, dtype=ends.dtype, device=ends.device, generator=generator)
        heads = net(blend(alpha, ends, self.scale, z), alpha)
        off = (heads[:, : ends.shape[1]] - ends) / torch.tensor(
            self.units, dtype=ends.dtype, device=ends.device
        )
        losses = {f"g{k}": sum_event(off[:, k].square()) for k in range(ends.shape[1])}
        return losses | ({"noise": sum_event((heads[:, -1] - z).square())} if self.scale else {})
