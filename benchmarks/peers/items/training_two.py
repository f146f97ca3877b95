"""One optimizer step of velocity and noise, ``gamma = sqrt(2 t (1 - t))``: two networks, or one with two heads."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import mse_loss

from benchmarks.peers.bench import Bench, Case, Item, Work, several
from benchmarks.peers.items.training import Data, adam
from benchmarks.peers.nets import PlainMLP, RepeatedTime, checkerboard, twin
from interpolants.objectives import JointLoss, NoiseLoss, VelocityLoss
from interpolants.paths import BrownianEnvelope, Linear
from interpolants.training.engine import fit
from interpolants.training.settings import TrainSettings


def items(bench: Bench) -> Iterator[Item]:
    """A batch of 4,096."""
    batch, steps = bench.size(4096, 16), bench.size(15, 2)
    pool, net = checkerboard(200_000, torch.Generator().manual_seed(0)), PlainMLP(2)

    def data() -> Tensor:
        return pool[torch.randint(len(pool), (batch,))]

    cases = [
        Case("bare: two networks on one stored batch", several(_bare(_Two(net), data), steps), "bare"),
        Case("bare", several(_bare(_Heads(), data), steps), "hand", kind="one trunk with two heads"),
        Case("by hand, two networks", several(_by_hand(_Two(net), data), steps), "hand"),
        Case("ours, two networks", _ours(_Two(net), pool, batch, steps), "ours", 1.03),
        Case("ours", _ours(_Heads(), pool, batch, steps), "ours", 0.52, "one trunk with two heads"),
        *(Case(name, several(step, steps)) for name, step in _peers(bench, net, data)),
    ]
    yield Item(f"Training step of velocity and noise in 2-D, batch {batch:,} (unit: {steps} steps)", cases)


class _Two(nn.Module):
    """Two networks, side by side as ``(B, 2, D)``."""

    def __init__(self, net: PlainMLP) -> None:
        super().__init__()
        self.velocity, self.noise = twin(net), twin(net)

    def forward(self, x: Tensor, t: Tensor, cond: object = None) -> Tensor:
        return torch.stack([self.velocity(x, t), self.noise(x, t)], 1)


class _Heads(nn.Module):
    """One network with two heads, ``(B, 2, D)``."""

    def __init__(self) -> None:
        super().__init__()
        self.net = PlainMLP(2, out=4)

    def forward(self, x: Tensor, t: Tensor, cond: object = None) -> Tensor:
        out: Tensor = self.net(x, t).unflatten(1, (2, 2))
        return out


def _drawn(x1: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """State, time, and what the two heads are to predict."""
    x0, z, t = torch.randn_like(x1), torch.randn_like(x1), torch.rand(len(x1)) * 0.998 + 0.001
    at = t[:, None]
    gamma = (2 * at * (1 - at)).sqrt()
    rate = (1 - 2 * at) / gamma
    return torch.lerp(x0, x1, at) + gamma * z, t, torch.stack([x1 - x0 + rate * z, z], 1)


def _bare(net: nn.Module, data: Data) -> Work:
    optimizer = adam(net)
    x_t, t, target = _drawn(data())

    def step() -> None:
        loss = mse_loss(net(x_t, t), target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _by_hand(net: nn.Module, data: Data) -> Work:
    optimizer = adam(net)

    def step() -> None:
        x_t, t, target = _drawn(data())
        loss = mse_loss(net(x_t, t), target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _ours(net: nn.Module, pool: Tensor, batch: int, steps: int) -> Work:
    path = Linear(envelope=BrownianEnvelope(scale=2.0))
    loss = JointLoss([VelocityLoss(path, antithetic=False), NoiseLoss(path, antithetic=False)])
    settings = TrainSettings(
        steps=steps, batch_size=batch, log_every=1000, checkpoint_every=0, clip_norm=None, ema=None
    )

    def batches(step: int, generator: Generator, rank: int, world: int) -> dict[str, Tensor]:
        rows = torch.randint(len(pool), (batch,), generator=generator)
        t = torch.rand(batch, generator=generator) * 0.998 + 0.001
        return {"x0": torch.randn(batch, 2, generator=generator), "x1": pool[rows], "t": t}

    def losses(modules: Any, drawn: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        return loss(modules, **drawn, generator=generator)

    return lambda: fit(net, losses, batches, settings, progress=False)


def _peers(bench: Bench, net: PlainMLP, data: Data) -> Iterator[tuple[str, Work]]:
    if matching := bench.peer("torchcfm.conditional_flow_matching"):
        yield "torchcfm, [SF]2M losses, independent pairs", _torchcfm(matching, net, data)
    if official := bench.checkout("stochastic-interpolants", "interflow.stochastic_interpolant"):
        yield "stochastic-interpolants, v and eta", _interflow(official, net, data, ("v", "eta"))
        yield (
            "stochastic-interpolants, b and s, in antithetic pairs",
            _interflow(official, net, data, ("b", "s")),
        )


def _torchcfm(matching: Any, net: PlainMLP, data: Data) -> Work:
    matcher = matching.SchrodingerBridgeConditionalFlowMatcher(sigma=math.sqrt(2.0))
    draw = matching.ConditionalFlowMatcher.sample_location_and_conditional_flow  # without its transport plan
    nets = nn.ModuleList([twin(net), twin(net)])
    optimizer = adam(nets, fused=False)

    def step() -> None:
        optimizer.zero_grad()
        x1 = data()
        t, x_t, target, eps = draw(matcher, torch.randn_like(x1), x1, return_noise=True)
        weight = matcher.compute_lambda(t)[:, None]
        velocity, score = (net(x_t, t) for net in nets)
        loss = torch.mean((velocity - target) ** 2) + torch.mean((weight * score + eps) ** 2)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _interflow(official: Any, net: PlainMLP, data: Data, kinds: tuple[str, str]) -> Work:
    interpolant = official.Interpolant(
        path="linear",
        gamma_type=None,
        gamma=lambda t: torch.sqrt(2 * t * (1 - t)),
        gamma_dot=lambda t: (1 - 2 * t) / torch.sqrt(2 * t * (1 - t)),
        gg_dot=lambda t: 1 - 2 * t,
    )
    nets = [RepeatedTime(twin(net)) for _ in kinds]
    losses = [official.make_loss(method="shared", interpolant=interpolant, loss_type=kind) for kind in kinds]
    optimizers = [adam(net, fused=False) for net in nets]

    def step() -> None:
        x1 = data()
        x0, t = torch.randn_like(x1), torch.rand(len(x1))
        for net, loss, optimizer in zip(nets, losses, optimizers, strict=True):
            optimizer.zero_grad()
            loss(net, x0, x1, t, interpolant).backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), float("inf"))
            optimizer.step()

    return step
