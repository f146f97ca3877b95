"""Training steps, sampling and likelihood against the bare network (an MLP 4x256 on two-dimensional states)."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.timing import Row, Stopwatch, compare, table
from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.gaussian import Gaussian
from interpolants.likelihood import log_prob
from interpolants.nets import MLP
from interpolants.objectives import JointLoss, VelocityLoss
from interpolants.paths import OneSidedLinear
from interpolants.training.engine import fit
from interpolants.training.settings import TrainSettings

# Steps per unit of work: enough that starting a run does not count as part of a step.
_STEPS = {4096: 40, 256: 300}


def run(*, rounds: int = 7, report: Callable[[str], None]) -> None:
    """Measure overheads over the bare network, beside peers that are installed."""
    report(f"Measured on: {machine()}. Ratios are to the first row of each table.\n")
    for title, measure in (
        ("Training step, MLP 4x256, batch 4,096 (unit: 40 steps)", lambda: training(4096, rounds)),
        ("Training step, MLP 4x256, batch 256 (unit: 300 steps)", lambda: training(256, rounds)),
        ("Sampling, MLP 4x256, 4,096 points, 100 evaluations", lambda: sampling(4096, rounds)),
        ("Sampling, MLP 4x256, 64 points, 100 evaluations", lambda: sampling(64, rounds)),
        ("Log-likelihood, 1,000 points in 2-D, midpoint", lambda: likelihood(rounds)),
    ):
        report(table(title, measure()))


def training(batch: int, rounds: int) -> list[Row]:
    """One optimizer step: our loop with everything that it does, against forward, backward and fused Adam."""
    path, steps = OneSidedLinear(), _STEPS[batch]
    data = torch.randn(50_000, 2, generator=torch.Generator().manual_seed(0))
    watch = Stopwatch()
    floor_net = watch.on(MLP(2, width=256, depth=4))
    optimizer = torch.optim.Adam(floor_net.parameters(), lr=1e-3, fused=True)
    drawn = path.sample(x1=data[:batch], t=torch.rand(batch), generator=torch.Generator().manual_seed(1))

    def floor() -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            loss = (floor_net(drawn.x_t, drawn.t) - drawn.x_dot).square().sum(1).mean()
            loss.backward()
            optimizer.step()

    plain = {"clip_norm": None, "ema": None}
    cases: dict[str, Callable[[], object]] = {
        "floor: forward, backward, fused Adam on one stored batch": floor,
        "ours: the loop with batches, noise, path and loss": _loop(path, data, batch, watch, plain),
        "ours, with gradient clipping and EMA": _loop(path, data, batch, watch, {}),
        **_peer_steps(data, batch, watch),
    }
    with watch.on_methods((Tensor, "backward"), (torch.optim.Adam, "step")):
        return compare(cases, rounds=rounds, repeats=1, watch=watch)


def _loop(
    path: OneSidedLinear, data: Tensor, batch: int, watch: Stopwatch, options: dict[str, Any]
) -> Callable[[], object]:
    net, loss = watch.on(MLP(2, width=256, depth=4)), JointLoss([VelocityLoss(path)])
    settings = TrainSettings(
        steps=_STEPS[batch], batch_size=batch, log_every=1000, checkpoint_every=0, **options
    )

    def batches(step: int, generator: torch.Generator, rank: int, world: int) -> dict[str, Tensor]:
        rows = torch.randint(len(data), (batch,), generator=generator)
        return {"x1": data[rows], "t": torch.rand(batch, generator=generator)}

    def losses(modules: Any, drawn: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        return loss(modules, x1=drawn["x1"], t=drawn["t"], generator=generator)

    return lambda: fit(net, losses, batches, settings, progress=False)


def _peer_steps(data: Tensor, batch: int, watch: Stopwatch) -> dict[str, Callable[[], object]]:
    """Peers' own training steps, with the same network and fused Adam, where they are installed."""
    cases: dict[str, Callable[[], object]] = {}
    try:
        from torchcfm.conditional_flow_matching import ConditionalFlowMatcher
    except ImportError:
        return cases
    net = watch.on(MLP(2, width=256, depth=4))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    matcher = ConditionalFlowMatcher(sigma=0.0)

    def torchcfm_steps() -> None:
        for _ in range(_STEPS[batch]):
            x1 = data[torch.randint(len(data), (batch,))]
            t, x_t, target = matcher.sample_location_and_conditional_flow(torch.randn_like(x1), x1)
            loss = (net(x_t, t) - target).square().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    cases["torchcfm, with fused Adam"] = torchcfm_steps
    return cases


def sampling(batch: int, rounds: int) -> list[Row]:
    """A hundred evaluations: our ODE and SDE samplers against as many bare forwards."""
    watch = Stopwatch()
    net = watch.on(MLP(2, width=256, depth=4)).eval().requires_grad_(False)
    fields = LearnedFields(OneSidedLinear(), velocity=net)
    x = torch.randn(batch, 2, generator=torch.Generator().manual_seed(0))
    t = torch.tensor(0.5)

    def floor() -> None:
        with torch.inference_mode():
            for _ in range(100):
                net(x, t)

    def chunked_floor() -> None:
        with torch.inference_mode():
            for _ in range(100):
                for part in x.split(512):
                    net(part, t)

    def inferred() -> None:
        with torch.inference_mode():
            sample(fields, x, n_steps=50)

    cases: dict[str, Callable[[], object]] = {
        "floor: 100 bare forwards": floor,
        "floor in chunks of 512": chunked_floor,
        "ours: ODE, heun, 50 steps": lambda: sample(fields, x, n_steps=50, method="heun"),
        "ours: ODE, midpoint, 50 steps": lambda: sample(fields, x, n_steps=50),
        "ours: the same in inference mode": inferred,
        "ours: ODE, rk4, 25 steps": lambda: sample(fields, x, n_steps=25, method="rk4"),
        "ours: SDE, Euler-Maruyama, 100 steps": lambda: sample(fields, x, eps=1.0, seed=0, method="euler"),
        "ours: SDE, stochastic Heun, 50 steps": lambda: sample(fields, x, eps=1.0, seed=0, n_steps=50),
        **_peer_sampling(net, x),
    }
    return compare(cases, rounds=rounds, repeats=1 if batch > 1000 else 5, watch=watch)


def _peer_sampling(net: nn.Module, x: Tensor) -> dict[str, Callable[[], object]]:
    cases: dict[str, Callable[[], object]] = {}
    try:
        from torchdiffeq import odeint
    except ImportError:
        return cases
    times = torch.linspace(0, 1, 51)

    def torchdiffeq_midpoint() -> None:
        with torch.inference_mode():
            odeint(lambda t, y: net(y, t), x, times, method="midpoint")

    cases["torchdiffeq, midpoint, 50 steps"] = torchdiffeq_midpoint
    return cases


def likelihood(rounds: int) -> list[Row]:
    """Log-likelihood of 1,000 points in 2-D, midpoint with 100 evaluations, against (1 + 2) forwards for each."""
    net = MLP(2, width=256, depth=4).eval().requires_grad_(False)
    fields, base = LearnedFields(OneSidedLinear(), velocity=net), Gaussian((2,))
    x = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
    t = torch.tensor(0.5)

    def floor() -> None:
        with torch.inference_mode():
            for _ in range(300):
                net(x, t)

    def ours(**options: Any) -> Callable[[], object]:
        return lambda: log_prob(fields, x, base, method="midpoint", n_steps=50, **options)

    cases = {
        "floor: 300 bare forwards": floor,
        "ours: exact divergence": ours(),
        "ours: one Hutchinson probe (floor: 200 forwards)": ours(divergence="hutchinson"),
    }
    return compare(cases, rounds=rounds, repeats=1)


def machine() -> str:
    """What the figures were measured on."""
    import platform

    from interpolants.foundations.memory import malloc_is_tuned

    allocator = "glibc, tuned" if malloc_is_tuned() else "default"
    return (
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"Python {platform.python_version()}, allocator {allocator}, {time.strftime('%Y-%m-%d')}"
    )
