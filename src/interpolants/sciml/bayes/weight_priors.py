"""Priors over the weights of a network that can be fitted: draws with gradients, and what a posterior needs of them.

Letters: ``u`` standard normal numbers, one for each weight; ``w`` weights; a *part* is the weights or the biases of one
layer, of size n_l; ``s_l`` standard deviation of a part.
"""

from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from interpolants.foundations.randomness import generator as seeded
from interpolants.sciml.bayes.nets.weight_vectors import WeightVectors


class GaussianPrior(nn.Module):
    """``w = s_l u``: one standard deviation for each part. With ``fitted=False`` all are 1."""

    def __init__(self, net: WeightVectors, *, fitted: bool = True) -> None:
        super().__init__()
        self.net = net
        raw = torch.full((len(net.sizes),), _raw(1.0), dtype=torch.float64)
        self.raw = nn.Parameter(raw, requires_grad=fitted)

    def spreads(self) -> Tensor:
        """Standard deviations of the parts."""
        return functional.softplus(self.raw)

    def scales(self, count: int, generator: Generator) -> Tensor:
        """Standard deviations of the parts of some networks, ``(count, parts)``."""
        return self.spreads().expand(count, -1)

    def weights(self, u: Tensor, scales: Tensor) -> Tensor:
        """``w (B, P)`` of ``u (B, P)``."""
        return u * self.net.spread(scales)

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Weights of some networks, ``(count, P)``, with a gradient."""
        u = torch.randn(count, self.net.count, dtype=torch.float64, generator=generator)
        return self.weights(u, self.scales(count, generator))

    def resampled(self, u: Tensor, scales: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Scales given the weights, and u that belongs to the same weights; unchanged here."""
        return u, scales


class HierarchicalPrior(GaussianPrior):
    """``s_l^2 ~ InverseGamma(alpha_l, beta_l)`` anew for every network: heavier tails than one Gaussian has.

    Given weights the scales have a posterior of the same kind, from which they are drawn exactly.
    """

    def __init__(self, net: WeightVectors) -> None:
        super().__init__(net)
        del self.raw
        parts = len(net.sizes)
        self.alpha_raw = nn.Parameter(torch.full((parts,), _raw(3.0), dtype=torch.float64))
        self.beta_raw = nn.Parameter(torch.full((parts,), _raw(2.0), dtype=torch.float64))

    def shape_and_rate(self) -> tuple[Tensor, Tensor]:
        """Alpha and beta of the parts; alpha > 1, so that the mean variance is finite."""
        return 1 + functional.softplus(self.alpha_raw), functional.softplus(self.beta_raw)

    def spreads(self) -> Tensor:
        """Roots of the mean variances of the parts."""
        alpha, beta = self.shape_and_rate()
        return (beta / (alpha - 1)).sqrt()

    def scales(self, count: int, generator: Generator) -> Tensor:
        """Drawn for every network, not once for a batch: that would be no sample of the marginal prior."""
        alpha, beta = self.shape_and_rate()
        gamma = torch._standard_gamma(alpha.expand(count, -1).contiguous(), generator=generator)
        return (beta / gamma.clamp_min(1e-12)).sqrt()

    def resampled(self, u: Tensor, scales: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """``s_l^2 | w ~ InverseGamma(alpha + n_l / 2, beta + |w_l|^2 / 2)``."""
        alpha, beta = (x.detach() for x in self.shape_and_rate())
        w = self.weights(u, scales)
        parts = torch.split(w, self.net.sizes, 1)
        squares = torch.stack([part.square().sum(1) for part in parts], 1)
        shape = (alpha + torch.tensor(self.net.sizes) / 2).expand_as(squares).contiguous()
        fresh = ((beta + squares / 2) / torch._standard_gamma(shape, generator=generator)).sqrt()
        return w / self.net.spread(fresh), fresh


class FlowPrior(GaussianPrior):
    """Planar flows of the whole vector: ``w <- w + v tanh(a . w + c)`` with ``a . v > -1``, after the scales.

    Args:
        net: The network.
        flows: Number of flows.
        seed: Seed of their first directions.

    Source: Rezende & Mohamed (2015), arXiv:1505.05770.
    """

    def __init__(self, net: WeightVectors, flows: int = 4, seed: int = 0) -> None:
        super().__init__(net)
        source = seeded(seed, "planar flows")
        small = 0.01 * torch.randn(2, flows, net.count, dtype=torch.float64, generator=source)
        self.along, self.push = nn.Parameter(small[0]), nn.Parameter(small[1])
        self.shift = nn.Parameter(torch.zeros(flows, dtype=torch.float64))

    def weights(self, u: Tensor, scales: Tensor) -> Tensor:
        """One flow after the other."""
        w = super().weights(u, scales)
        for along, push, shift in zip(self.along, self.push, self.shift, strict=True):
            w = w + _invertible(push, along) * torch.tanh(w @ along + shift)[:, None]
        return w


def _invertible(push: Tensor, along: Tensor) -> Tensor:
    """The push with its part along the direction changed so that their product exceeds -1."""
    product = push @ along
    found: Tensor = push + (functional.softplus(product) - 1 - product) * along / along.square().sum()
    return found


def _raw(value: float) -> float:
    """Argument of softplus that gives a value."""
    return float(torch.tensor(value, dtype=torch.float64).expm1().log())


def make_prior(kind: str, net: WeightVectors, seed: int) -> GaussianPrior:
    """A prior of a family by its name."""
    made: dict[str, Any] = {
        "gaussian": lambda: GaussianPrior(net),
        "standard": lambda: GaussianPrior(net, fitted=False),
        "hierarchical": lambda: HierarchicalPrior(net),
        "flow": lambda: FlowPrior(net, seed=seed),
    }
    found: GaussianPrior = made[kind]()
    return found
