"""Sampling by Euler-Maruyama: 200 steps, velocity and score from two networks, constant eps."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers.bench import Bench, Case, Item, Work
from benchmarks.peers.items.ode import INFERENCE, as_denoiser, as_inference
from benchmarks.peers.nets import PlainMLP, RepeatedTime
from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.paths import BrownianEnvelope, Linear, OneSidedLinear

EPS = 0.5
_ONE = "one network: the score follows from it"


def items(bench: Bench) -> Iterator[Item]:
    """2-D and 64-D."""
    for dim in (2, 64):
        yield item(bench, dim, bench.size(2000, 64), bench.size(200, 4))


def item(bench: Bench, dim: int, count: int, steps: int) -> Item:
    """So many points and steps."""
    velocity, score = (_tame(PlainMLP(dim)) for _ in range(2))
    x = torch.randn(count, dim, generator=torch.Generator().manual_seed(0))
    joined = PlainMLP.joined(x)
    two = LearnedFields(Linear(envelope=BrownianEnvelope(scale=2.0)), velocity=velocity, score=score)
    one = LearnedFields(OneSidedLinear(), velocity=velocity)

    def bare() -> None:
        with torch.inference_mode():
            for _ in range(steps):
                velocity.net(joined)
                score.net(joined)

    def ours(fields: LearnedFields, *, capped: bool) -> Tensor:
        return sample(
            fields,
            x,
            eps=EPS,
            method="euler_maruyama",
            n_steps=steps,
            seed=0,
            time_grid="uniform",
            cap_noise=capped,
        ).x

    cases = [
        Case(f"bare: {steps} forwards of both networks", bare, "bare"),
        Case("by hand, noise in place", lambda: _by_hand(velocity, score, x, steps), "hand"),
        Case("ours", lambda: ours(two, capped=False), "ours", 1.03),
        Case("ours", as_inference(lambda: ours(two, capped=False)), "ours", 1.03, INFERENCE),
        Case("ours", lambda: ours(one, capped=True), "ours", kind=_ONE),
        *_peers(bench, velocity, score, x, steps),
    ]
    return Item(f"Sampling, Euler-Maruyama, {count:,} points in {dim}-D, {steps} steps", cases)


def _tame(net: PlainMLP) -> PlainMLP:
    """Untrained drifts, made small."""
    last = net.net[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.mul_(0.1)
    return net.eval().requires_grad_(False)


def _by_hand(velocity: nn.Module, score: nn.Module, x: Tensor, steps: int) -> Tensor:
    h = 1 / steps
    with torch.inference_mode():
        x, z = x.clone(), torch.empty_like(x)
        for t in torch.linspace(0, 1, steps + 1)[:-1].unbind():
            drift = velocity(x, t).add_(score(x, t), alpha=EPS)
            x.add_(drift, alpha=h).add_(z.normal_(), alpha=math.sqrt(2 * EPS * h))
    return x


def _peers(bench: Bench, velocity: PlainMLP, score: PlainMLP, x: Tensor, steps: int) -> Iterator[Case]:
    if torchsde := bench.peer("torchsde"):
        yield Case("torchsde", _torchsde(torchsde, velocity, score, x, steps))
    if official := bench.checkout("stochastic-interpolants", "interflow.stochastic_interpolant"):
        yield Case("stochastic-interpolants", _interflow(official, velocity, score, x, steps))
    if transport := bench.checkout("SiT", "transport"):
        yield Case("SiT", _sit(transport, velocity, x, steps), kind=_ONE)
    if azula := bench.peer("azula.sample"):
        ito = azula.ItoSampler(as_denoiser(bench, velocity), steps=steps, silent=True)
        yield Case("azula", lambda: ito(x), kind=_ONE)


def _torchsde(torchsde: Any, velocity: nn.Module, score: nn.Module, x: Tensor, steps: int) -> Work:
    class Equation(nn.Module):
        noise_type, sde_type = "diagonal", "ito"

        def f(self, t: Tensor, y: Tensor) -> Tensor:
            drift: Tensor = velocity(y, t) + EPS * score(y, t)
            return drift

        def g(self, t: Tensor, y: Tensor) -> Tensor:
            return torch.full_like(y, math.sqrt(2 * EPS))

    def work() -> Tensor:
        with torch.no_grad():
            path: Tensor = torchsde.sdeint(
                Equation(), x, torch.tensor([0.0, 1.0]), method="euler", dt=1 / steps
            )
            return path[-1]

    return work


def _interflow(official: Any, velocity: PlainMLP, score: PlainMLP, x: Tensor, steps: int) -> Work:
    """Their own Euler-Maruyama step in a loop; their rollout keeps more than the end."""
    nets = RepeatedTime(velocity), RepeatedTime(score)
    integrator = official.SDEIntegrator(
        b=nets[0], s=nets[1], eps=torch.tensor(EPS), interpolant=None, n_save=1, n_step=steps + 1
    )

    def work() -> Tensor:
        with torch.no_grad():
            state = x
            integrator.dt = integrator.dt.to(state)
            for t in integrator.ts[:-1]:
                state = integrator.step_forward(state, t.to(state).unsqueeze(0))
            return state

    return work


def _sit(transport: Any, velocity: nn.Module, x: Tensor, steps: int) -> Work:
    linear = transport.create_transport("Linear", "velocity")
    run = transport.Sampler(linear).sample_sde(
        sampling_method="Euler",
        diffusion_form="sigma",
        diffusion_norm=EPS,
        last_step=None,
        num_steps=steps + 1,
    )

    def work() -> Tensor:
        with torch.no_grad():
            path: Tensor = run(x, lambda x, t: velocity(x, t))
            return path[-1]

    return work
