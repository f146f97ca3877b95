"""Several Markov chains over the weights of a regression (preconditioned Crank-Nicolson); predicts a mixture."""

from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.framework.answers import Predictive
from interpolants.framework.capabilities import capability, verb
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from rooms.parts import lines

verb("r_hat")
THIN = 10


class Chains(Method):
    """``y = x w + e``, prior ``w ~ N(0, I)``, known noise.

    Args:
        chains: Number of chains.
        steps: Steps of each.
        keep: States kept of each, every tenth of the last ones.
        beta: Size of a proposal.
        noise: Standard deviation of e.
    """

    chains: int = 4
    steps: int = 2000
    keep: int = 50
    beta: float = 0.15
    noise: float = 0.3

    def roles(self) -> tuple[Role, ...]:
        return Role(name="x"), Role(name="y")

    def learn(self, data: dict[str, Any], run: Run) -> Any:
        x, y = data["x"].double(), data["y"].double()[:, 0]

        def log_likelihood(w: Tensor) -> Tensor:
            return -0.5 * ((y - (w[:, None] * x).sum(-1)) / self.noise).square().sum(-1)

        def start(g: Generator) -> Any:
            w = torch.randn(self.chains, x.shape[1], dtype=torch.float64, generator=g)
            return {"w": w, "value": log_likelihood(w), "kept": w.new_zeros(self.keep, *w.shape)}

        def step(s: Any, k: int, g: Generator) -> Any:
            fresh = torch.randn(s["w"].shape, dtype=torch.float64, generator=g)
            proposal = (1 - self.beta**2) ** 0.5 * s["w"] + self.beta * fresh
            value = log_likelihood(proposal)
            chance = torch.rand(self.chains, dtype=torch.float64, generator=g)
            taken = chance.log() < value - s["value"]
            w, kept, left = torch.where(taken[:, None], proposal, s["w"]), s["kept"], self.steps - k
            if left % THIN == 0 and left < THIN * self.keep:
                kept = kept.index_copy(0, torch.tensor([left // THIN]), w[None])
            return {"w": w, "value": torch.where(taken, value, s["value"]), "kept": kept}

        return run.loop("chains", start, step, self.steps, every=200)

    @capability(like="y", blocks=True)
    def predict(self, x: Tensor) -> Predictive:
        """A Gaussian for each state that was kept, mixed."""
        loc = (self.state["kept"].flatten(0, 1)[:, None] * x.double()).sum(-1)[..., None]
        return Predictive(loc=loc, scale=torch.full_like(loc, self.noise))

    @capability()
    def r_hat(self) -> Tensor:
        """Spread between chains over that within, per weight."""
        kept = self.state["kept"]
        within = kept.var(0).mean(0)
        return ((within + kept.mean(0).var(0)) / within).sqrt()


def quick() -> tuple[Chains, dict[str, Any]]:
    data = lines(60)
    return Chains(steps=300, keep=10), {"x": data["x"], "y": data["y"]}
