"""A U-Net of a million parameters on digits: a training step with averaged weights, and sampling."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import mse_loss

from benchmarks.peers.bench import Bench, Case, Item, Work, several
from benchmarks.peers.items.training import adam
from benchmarks.peers.nets import PlainUNet, digits, twin
from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.devices import default_device
from interpolants.objectives import JointLoss, VelocityLoss
from interpolants.paths import OneSidedLinear
from interpolants.training.engine import fit
from interpolants.training.settings import TrainSettings

_BF16 = "bf16, channels last"


def items(bench: Bench) -> Iterator[Item]:
    """Training, then sampling."""
    net = PlainUNet()
    yield _training(bench, net, bench.size(256, 8), bench.size(4, 1))
    yield _sampling(bench, net.eval().requires_grad_(False), bench.size(64, 8), bench.size(50, 2))


def _training(bench: Bench, net: PlainUNet, batch: int, steps: int) -> Item:
    cases = [
        Case(
            "bare: float32 on one stored batch, no averages",
            several(_step(net, batch, stored=True), steps),
            "bare",
        ),
        Case("by hand, float32", several(_step(net, batch), steps), "hand"),
        Case("by hand", several(_step(net, batch, bf16=True, last=True), steps), "hand", kind=_BF16),
        Case("ours, float32", _ours(net, batch, steps), "ours", 1.03),
        Case("ours", _ours(net, batch, steps, last=True, precision="bf16"), "ours", kind=_BF16),
    ]
    if not bench.quick:
        hand = _step(net, batch, bf16=True, last=True, compiled=True)
        cases.append(Case("by hand, compiled", several(hand, steps), "hand", kind=_BF16))
        best = _ours(net, batch, steps, last=True, precision="bf16", compile=True)
        cases.append(Case("ours, compiled", best, "ours", 0.71, _BF16))
    return Item(
        f"Training step of a U-Net on digits, batch {batch} (unit: {steps} steps)", cases, bursts=False
    )


def _channels_last(net: nn.Module) -> nn.Module:
    out: nn.Module = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return out


def _step(
    net: PlainUNet,
    batch: int,
    *,
    stored: bool = False,
    bf16: bool = False,
    last: bool = False,
    compiled: bool = False,
) -> Work:
    own: nn.Module = _channels_last(twin(net)) if last else twin(net)
    optimizer, images = adam(own), digits()
    live = [p.detach() for p in own.parameters()]
    average = [p.clone() for p in live]
    called: Callable[..., Tensor] = torch.compile(own, fullgraph=True) if compiled else own

    def draw() -> tuple[Tensor, Tensor, Tensor]:
        x1 = images[torch.randint(len(images), (batch,))]
        x0, t = torch.randn_like(x1), torch.rand(batch)
        return torch.lerp(x0, x1, t[:, None, None, None]), t, x1 - x0

    kept = draw()

    def step() -> None:
        x_t, t, target = kept if stored else draw()
        with torch.autocast(default_device().type, torch.bfloat16, enabled=bf16):
            out = called(x_t, t)
        optimizer.zero_grad()
        mse_loss(out.float(), target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if not stored:
            torch._foreach_lerp_(average, live, 1e-3)

    return step


def _ours(net: PlainUNet, batch: int, steps: int, *, last: bool = False, **options: Any) -> Work:
    path, images = OneSidedLinear(), digits()
    own: nn.Module = _channels_last(twin(net)) if last else twin(net)
    loss = JointLoss([VelocityLoss(path)])
    settings = TrainSettings(
        steps=steps, batch_size=batch, log_every=1000, checkpoint_every=0, clip_norm=None, **options
    )

    def batches(step: int, generator: Generator, rank: int, world: int) -> dict[str, Tensor]:
        rows = torch.randint(len(images), (batch,), generator=generator)
        return {"x1": images[rows], "t": torch.rand(batch, generator=generator)}

    def losses(modules: Any, drawn: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        return loss(modules, x1=drawn["x1"], t=drawn["t"], generator=generator)

    return lambda: fit(own, losses, batches, settings, progress=False)


def _sampling(bench: Bench, net: PlainUNet, batch: int, steps: int) -> Item:
    x = torch.randn(batch, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    last = _channels_last(twin(net))

    def bare() -> None:
        t = torch.tensor(0.3)
        with torch.inference_mode():
            for _ in range(steps):
                net(x, t)

    def ours(net: Any, *, bf16: bool = False) -> Work:
        fields = LearnedFields(OneSidedLinear(), velocity=net)

        def work() -> Tensor:
            with torch.autocast(default_device().type, torch.bfloat16, enabled=bf16):
                return sample(fields, x, method="euler", n_steps=steps, time_grid="uniform").x

        return work

    cases = [
        Case(f"bare: {steps} forwards in float32", bare, "bare"),
        Case("by hand, float32", lambda: _euler(net, x, steps), "hand"),
        Case("by hand", lambda: _euler(last, x, steps, bf16=True), "hand", kind=_BF16),
        Case("ours, float32", ours(net), "ours", 1.03),
        Case("ours", ours(last, bf16=True), "ours", kind=_BF16),
    ]
    if not bench.quick:
        compiled: Any = torch.compile(_channels_last(twin(net)), fullgraph=True)
        hand = lambda: _euler(compiled, x, steps, bf16=True)  # noqa: E731
        cases.append(Case("by hand, compiled", hand, "hand", kind=_BF16))
        cases.append(Case("ours, compiled", ours(compiled, bf16=True), "ours", 0.61, _BF16))
    if solvers := bench.peer("flow_matching.solver"):
        solver = solvers.ODESolver(velocity_model=lambda x, t: net(x, t))
        cases.append(
            Case("flow_matching", lambda: solver.sample(x_init=x, step_size=1 / steps, method="euler"))
        )
    return Item(f"Sampling {batch} digits with a U-Net, Euler, {steps} steps", cases)


def _euler(net: Callable[[Tensor, Tensor], Tensor], x: Tensor, steps: int, *, bf16: bool = False) -> Tensor:
    with torch.inference_mode(), torch.autocast(default_device().type, torch.bfloat16, enabled=bf16):
        x = x.clone()
        for t in torch.linspace(0, 1, steps + 1)[:-1].unbind():
            x.add_(net(x, t), alpha=1 / steps)
    return x
