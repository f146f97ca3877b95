"""The networks and data of all items: plain modules ``net(x, t)`` that every library can call."""

import copy
import functools
import itertools
import math
from typing import TypeVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from interpolants.data import load_digits
from interpolants.foundations.devices import default_device

N = TypeVar("N", bound=nn.Module)


class PlainMLP(nn.Module):
    """``(B, D)`` and times ``()`` or ``(B,)`` -> ``(B, out)``; the time is one more entry of the input."""

    def __init__(self, dim: int, *, width: int = 256, depth: int = 4, out: int | None = None) -> None:
        super().__init__()
        sizes = [dim + 1] + [width] * depth
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.SiLU()]
        self.net = nn.Sequential(*layers, nn.Linear(width, out or dim))

    def forward(self, x: Tensor, t: Tensor, cond: object = None) -> Tensor:
        """The network; it takes no condition."""
        column = t.expand(x.shape[0], 1) if t.ndim == 0 else t.reshape(-1, 1).expand(x.shape[0], 1)
        out: Tensor = self.net(torch.cat([x, column], 1))
        return out

    @staticmethod
    def joined(x: Tensor) -> Tensor:
        """What goes into ``net``: states beside the time 0.3."""
        return torch.cat([x, torch.full((len(x), 1), 0.3)], 1)


class RepeatedTime(nn.Module):
    """The network for codes that hand over a time of shape ``(1,)``, under vmap too."""

    def __init__(self, net: PlainMLP) -> None:
        super().__init__()
        self.inner = net

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The network."""
        out: Tensor = self.inner.net(torch.cat([x, t.repeat(x.shape[0]).unsqueeze(1)], 1))
        return out


class TimeFirst(nn.Module):
    """The network for codes that call ``f(t, x)``."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.model = net

    def forward(self, t: Tensor, x: Tensor, *args: object, **options: object) -> Tensor:
        """The network."""
        out: Tensor = self.model(x, t)
        return out


class _Block(nn.Module):
    def __init__(self, inside: int, outside: int, embedding: int) -> None:
        super().__init__()
        self.norm0, self.conv0 = nn.GroupNorm(8, inside), nn.Conv2d(inside, outside, 3, padding=1)
        self.norm1, self.conv1 = nn.GroupNorm(8, outside), nn.Conv2d(outside, outside, 3, padding=1)
        self.time = nn.Linear(embedding, outside)
        self.skip = nn.Conv2d(inside, outside, 1) if inside != outside else nn.Identity()

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.conv0(functional.silu(self.norm0(x))) + self.time(e)[:, :, None, None]
        out: Tensor = self.conv1(functional.silu(self.norm1(h))) + self.skip(x)
        return out


class PlainUNet(nn.Module):
    """About a million parameters for images 1x8x8, with levels of 8x8 and 4x4."""

    def __init__(self, channels: int = 48, embedding: int = 128) -> None:
        super().__init__()
        c = channels
        self.frequencies = nn.Buffer(torch.exp(torch.linspace(0, math.log(1000.0), 32)))
        self.time = nn.Sequential(
            nn.Linear(64, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.enter = nn.Conv2d(1, c, 3, padding=1)
        self.high = _Block(c, c, embedding)
        self.down = nn.Conv2d(c, 2 * c, 3, stride=2, padding=1)
        self.low, self.middle = _Block(2 * c, 2 * c, embedding), _Block(2 * c, 2 * c, embedding)
        self.low_back, self.up = _Block(4 * c, 2 * c, embedding), nn.Conv2d(2 * c, c, 3, padding=1)
        self.high_back = _Block(2 * c, c, embedding)
        self.norm, self.leave = nn.GroupNorm(8, c), nn.Conv2d(c, 1, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor, cond: object = None) -> Tensor:
        """``(B, 1, 8, 8)`` and times ``()`` or ``(B,)`` -> ``(B, 1, 8, 8)``."""
        angle = t.reshape(-1, 1) * self.frequencies
        e = self.time(torch.cat([angle.sin(), angle.cos()], 1).to(x.dtype))
        e = e.expand(x.shape[0], -1)
        high = self.high(self.enter(x), e)
        low = self.low(self.down(high), e)
        h = self.low_back(torch.cat([self.middle(low, e), low], 1), e)
        h = self.up(functional.interpolate(h, scale_factor=2.0, mode="nearest"))
        h = self.high_back(torch.cat([h, high], 1), e)
        out: Tensor = self.leave(functional.silu(self.norm(h)))
        return out


def twin(net: N) -> N:
    """A network of the same weights."""
    return copy.deepcopy(net)


def checkerboard(count: int, generator: Generator) -> Tensor:
    """Points on the dark squares of a 4x4 checkerboard over [-2, 2]^2."""
    x = torch.rand(count, 2, generator=generator) * 4 - 2
    shift = torch.remainder(torch.floor(x[:, 0]), 2.0)
    k = torch.floor((x[:, 1] + 2) / 2)
    return torch.stack([x[:, 0], torch.remainder(x[:, 1], 1.0) + 2 * k - 2 + shift], 1)


@functools.cache
def digits() -> Tensor:
    """Handwritten digits, ``(N, 1, 8, 8)``."""
    return load_digits(dequantise=True).x.float().reshape(-1, 1, 8, 8).to(default_device())


def points(count: int, dim: int, generator: Generator) -> Tensor:
    """Data in 2-D (the checkerboard) or 64-D (digits)."""
    if dim == 2:
        return checkerboard(count, generator)
    images = digits().flatten(1)
    return images[torch.randint(len(images), (count,), generator=generator)]


@functools.cache
def trained(dim: int, steps: int) -> PlainMLP:
    """A velocity for the linear path from a Gaussian, so that flows are like those of use."""
    source = torch.Generator().manual_seed(0)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        net = PlainMLP(dim)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 5e-4 * (1 + math.cos(math.pi * step / steps))
        x1 = points(1024, dim, source)
        x0, t = torch.randn(x1.shape, generator=source), torch.rand(len(x1), 1, generator=source)
        loss = functional.mse_loss(net(torch.lerp(x0, x1, t), t[:, 0]), x1 - x0)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return net.eval().requires_grad_(False)
