"""A sample is the same to the bit in any batch and process, for networks of widths 1 to 300."""

import random
from pathlib import Path

import torch
from torch import nn

from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import generator
from interpolants.likelihood import log_prob
from interpolants.nets import MLP
from interpolants.paths import Linear
from torture.children import forked
from torture.rows import Row

ROWS = 200
WAYS = {
    "fixed": {"method": "rk4", "n_steps": 2},
    "adaptive": {"method": "dopri5", "rtol": 1e-4, "atol": 1e-4},
    "sde": {"eps": 0.5, "n_steps": 4, "seed": 11},
}


def worn(net: nn.Module, seed: int = 3) -> nn.Module:
    """All weights moved by noise, as training leaves them: a new network's last layer is zero and hides the rest."""
    source = generator(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            spread = 0.3 / max(1, parameter[0].numel()) ** 0.5
            parameter.add_(spread * torch.randn(parameter.shape, generator=source))
    return net


class Own(nn.Module):
    """A user's network: other activations, a normalisation, and the time as one more column."""

    def __init__(self, width: int) -> None:
        super().__init__()
        middle = [nn.GELU(), nn.LayerNorm(width), nn.Linear(width, width), nn.Mish()]
        self.net = nn.Sequential(nn.Linear(3, width), *middle, nn.Linear(width, 4))

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Two heads."""
        return self.net(torch.cat([x, t.expand(len(x))[:, None].to(x)], 1)).unflatten(1, (2, 2))


def fields_of(kind: str, width: int) -> LearnedFields:
    """Fields of a network whose layers have all been moved."""
    net = worn(MLP(2, width=width, depth=3, heads=2) if kind == "mlp" else Own(width))
    return LearnedFields(Linear(), joint=net, heads=("velocity", "noise"))


def answer(fields: LearnedFields, x: torch.Tensor, way: str, first: int) -> torch.Tensor:
    """Samples, or log densities, of some rows of the job."""
    if way == "log_prob":
        return log_prob(fields, x, Gaussian((2,)), first_index=first, method="heun", n_steps=3).log_prob
    return sample(fields, x, first_index=first, **WAYS[way]).x


def same(fields: LearnedFields, x: torch.Tensor, way: str, size: int, first: int, last: int) -> bool:
    """Whether rows in batches of a size are those of the whole."""
    pieces = [(i, min(i + size, last)) for i in range(first, last, size)]
    parts = [answer(fields, x[a:b], way, a) for a, b in pieces]
    return torch.equal(torch.cat(parts), answer(fields, x, way, 0)[first:last])


def attack(scale: float, work: Path) -> Row:
    """Widths 1 to 300, two kinds of networks, four ways, batches of five sizes; every tenth in a process of its own."""
    row, rng, before = (
        Row("bits over widths 1-300, batches and processes"),
        random.Random(0),
        torch.get_num_threads(),
    )
    torch.set_num_threads(1)
    widths = list(range(1, 301))
    rng.shuffle(widths)
    for number, width in enumerate(widths[: max(5, round(300 * scale))]):
        x = torch.randn(ROWS, 2, generator=generator(width))
        for way in (*WAYS, "log_prob"):
            kind, size = rng.choice(["mlp", "own"]), rng.choice([1, 7, 33, 64, 100])
            first = rng.randrange(60)
            last = min(ROWS, first + 6 * size)
            good = same(fields_of(kind, width), x, way, size, first, last)
            row.count(harm="" if good else f"{kind} of width {width}, {way}, batches of {size} from {first}")
        if number % 10 == 0:
            row.count(harm="" if _in_a_process(work, width, x) else f"width {width} in another process")
    torch.set_num_threads(before)
    return row


def _in_a_process(work: Path, width: int, x: torch.Tensor) -> bool:
    def half() -> None:
        torch.save(answer(fields_of("own", width), x[101:], "adaptive", 101), work / "half.pt")

    forked(half, work)
    return torch.equal(torch.load(work / "half.pt"), answer(fields_of("own", width), x, "adaptive", 0)[101:])
