"""One optimizer step of a velocity in 2-D: data, noise, times, loss, gradients and Adam."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import mse_loss

from benchmarks.peers.bench import Bench, Case, Item, Work, several
from benchmarks.peers.nets import PlainMLP, RepeatedTime, checkerboard, twin
from interpolants.foundations.devices import default_device
from interpolants.objectives import JointLoss, VelocityLoss
from interpolants.paths import OneSidedLinear
from interpolants.training.engine import fit
from interpolants.training.settings import TrainSettings

# Steps to a unit of work: enough that starting a run of ours does not count as part of a step.
STEPS = {256: 100, 4096: 15}
# What we aim at, by batch: float32 and bf16. At 256 rows bf16 does not pay.
GOALS: dict[int, tuple[float, float | None]] = {256: (1.06, None), 4096: (1.03, 0.55)}
Data = Callable[[], Tensor]


def items(bench: Bench) -> Iterator[Item]:
    """A small batch, where launches cost, and a large one, where arithmetic does."""
    for batch in (256, 4096):
        yield _item(bench, batch)


def _item(bench: Bench, batch: int) -> Item:
    steps = bench.size(STEPS[batch], 2)
    batch_goal, batch = GOALS[batch], bench.size(batch, 16)
    pool, net = checkerboard(200_000, torch.Generator().manual_seed(0)), PlainMLP(2)

    def data() -> Tensor:
        return pool[torch.randint(len(pool), (batch,))]

    cases = [
        Case(
            "bare: forward, backward, fused Adam on one stored batch",
            several(_bare(net, data), steps),
            "bare",
        ),
        Case("by hand, fused Adam", several(_by_hand(net, data), steps), "hand"),
        Case("by hand, fused Adam", several(_by_hand(net, data, bf16=True), steps), "hand", kind="bf16"),
        Case("ours", ours(net, pool, batch, steps), "ours", batch_goal[0]),
        Case("ours, with clipping and averaged weights", ours(net, pool, batch, steps, plain=False), "ours"),
        Case("ours", ours(net, pool, batch, steps, precision="bf16"), "ours", batch_goal[1], "bf16"),
    ]
    if not bench.quick:
        compiled = ours(net, pool, batch, steps, compile=True)
        cases.append(Case("ours, compiled", compiled, "ours"))
    cases += [Case(name, several(step, steps)) for name, step in _peers(bench, net, data)]
    return Item(f"Training step, MLP 4x256 in 2-D, batch {batch:,} (unit: {steps} steps)", cases)


def ours(net: PlainMLP, pool: Tensor, batch: int, steps: int, *, plain: bool = True, **options: Any) -> Work:
    """Our loop, by default without gradient clipping and averaged weights, which no peer has."""
    path, net = OneSidedLinear(), twin(net)
    loss = JointLoss([VelocityLoss(path)])
    if plain:
        options |= {"clip_norm": None, "ema": None}
    settings = TrainSettings(steps=steps, batch_size=batch, log_every=1000, checkpoint_every=0, **options)

    def batches(step: int, generator: Generator, rank: int, world: int) -> dict[str, Tensor]:
        rows = torch.randint(len(pool), (batch,), generator=generator)
        return {"x1": pool[rows], "t": torch.rand(batch, generator=generator)}

    def losses(modules: Any, drawn: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        return loss(modules, x1=drawn["x1"], t=drawn["t"], generator=generator)

    return lambda: fit(net, losses, batches, settings, progress=False)


def adam(net: nn.Module, *, fused: bool = True) -> torch.optim.Adam:
    """Adam as everybody sets it; a peer's own recipe takes the default form."""
    return torch.optim.Adam(net.parameters(), lr=1e-3, fused=True if fused else None)


def _bare(net: PlainMLP, data: Data) -> Work:
    net = twin(net)
    optimizer, x1 = adam(net), data()
    x0, t = torch.randn_like(x1), torch.rand(len(x1))
    x_t, target = torch.lerp(x0, x1, t[:, None]), x1 - x0

    def step() -> None:
        loss = mse_loss(net(x_t, t), target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _by_hand(net: PlainMLP, data: Data, *, bf16: bool = False) -> Work:
    net = twin(net)
    optimizer = adam(net)

    def step() -> None:
        x1 = data()
        x0, t = torch.randn_like(x1), torch.rand(len(x1))
        with torch.autocast(default_device().type, torch.bfloat16, enabled=bf16):
            out = net(torch.lerp(x0, x1, t[:, None]), t)
        loss = mse_loss(out.float(), x1 - x0)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _peers(bench: Bench, net: PlainMLP, data: Data) -> Iterator[tuple[str, Work]]:
    """Each peer's own loss in the loop of its examples: the default Adam."""

    def step_of(loss_of: Callable[[Any, Tensor], Tensor], net: nn.Module, *, fused: bool = False) -> Work:
        optimizer = adam(net, fused=fused)

        def step() -> None:
            optimizer.zero_grad()
            loss_of(net, data()).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        return step

    if matching := bench.peer("torchcfm.conditional_flow_matching"):
        matcher = matching.ConditionalFlowMatcher(sigma=0.0)

        def torchcfm(net: Any, x1: Tensor) -> Tensor:
            t, x_t, target = matcher.sample_location_and_conditional_flow(torch.randn_like(x1), x1)
            return torch.mean((net(x_t, t) - target) ** 2)

        yield "torchcfm", step_of(torchcfm, twin(net))
        yield "torchcfm, with fused Adam", step_of(torchcfm, twin(net), fused=True)
    if (paths := bench.peer("flow_matching.path")) and (
        schedulers := bench.peer("flow_matching.path.scheduler")
    ):
        affine = paths.AffineProbPath(scheduler=schedulers.CondOTScheduler())

        def flow_matching(net: Any, x1: Tensor) -> Tensor:
            drawn = affine.sample(t=torch.rand(len(x1)), x_0=torch.randn_like(x1), x_1=x1)
            return torch.pow(net(drawn.x_t, drawn.t) - drawn.dx_t, 2).mean()

        yield "flow_matching", step_of(flow_matching, twin(net))
        yield "flow_matching, with fused Adam", step_of(flow_matching, twin(net), fused=True)
    if (denoise := bench.peer("azula.denoise")) and (noise := bench.peer("azula.noise")):
        denoiser = denoise.SimpleDenoiser(twin(net), noise.RectifiedSchedule())
        yield "azula", step_of(lambda model, x1: model.loss(x1, torch.rand(len(x1))), denoiser)
    if delta := bench.peer("deltaflow.losses"):
        loss = delta.FlowMatchingLoss()
        yield "torchdeltaflow", step_of(lambda model, x1: loss(model, x1), twin(net))
    if transport := bench.checkout("SiT", "transport"):
        linear = transport.create_transport("Linear", "velocity")
        yield (
            "SiT",
            step_of(lambda model, x1: linear.training_losses(model, x1, {})["loss"].mean(), twin(net)),
        )
    if official := bench.checkout("stochastic-interpolants", "interflow.stochastic_interpolant"):
        interpolant = official.Interpolant(path="one-sided-linear", gamma_type=None)
        shared = official.make_loss(method="shared", interpolant=interpolant, loss_type="one-sided-b")

        def interflow(net: Any, x1: Tensor) -> Tensor:
            value: Tensor = shared(net, torch.randn_like(x1), x1, torch.rand(len(x1)), interpolant)
            return value

        yield "stochastic-interpolants", step_of(interflow, RepeatedTime(twin(net)))
