"""What several rooms share: a plain network, two moons, lines with noise."""

import torch
from torch import Tensor, nn

from interpolants.foundations.randomness import BLOCK, by_block, generator
from interpolants.foundations.remembered import Remembered


class ToyNet(Remembered, id="toy_net"):
    """A multilayer perceptron of its features alone, ``(..., inputs) -> (..., outputs)``."""

    def __init__(self, inputs: int, outputs: int, seed: int = 0, width: int = 16) -> None:
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.body = nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, outputs))
        self.float()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def noise(n: int, width: int, seed: int, first: int = 0) -> Tensor:
    """Standard normal rows; row i depends on (seed, i) only."""
    return by_block(
        lambda g: torch.randn(BLOCK, width, generator=g, dtype=torch.float32),
        seed,
        ("toy noise",),
        first=first,
        count=n,
    )


def moons(n: int = 200) -> Tensor:
    """Two moons, ``(n, 2)``."""
    g = generator(0, "toy moons")
    angle, up = torch.pi * torch.rand(n, generator=g), torch.arange(n) % 2 == 0
    upper = torch.stack([angle.cos(), angle.sin()], 1)
    lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], 1)
    return torch.where(up[:, None], upper, lower) + 0.08 * torch.randn(n, 2, generator=g)


WEIGHTS = torch.tensor([1.0, -2.0, 0.0, 0.5], dtype=torch.float64)


def lines(n: int = 120, groups: int = 1) -> dict[str, Tensor]:
    """Linear regression with noise 0.3, weights of each group about `WEIGHTS`: x ``(n, 4)``, y ``(n, 1)``, groups."""
    g = generator(0, "toy lines")
    x = torch.randn(n, 4, dtype=torch.float64, generator=g)
    own = WEIGHTS + (0.5 if groups > 1 else 0.0) * torch.randn(groups, 4, dtype=torch.float64, generator=g)
    group = torch.arange(n) % groups
    y = (x * own[group]).sum(1) + 0.3 * torch.randn(n, dtype=torch.float64, generator=g)
    return {"x": x, "y": y[:, None], "groups": group}
