"""Tests and measurements on a GPU, in one command: tests, peers, networks, optimal transport, and waits of the host.

``make gpu`` writes the page. ``--device cpu`` with ``--quick`` runs the same code without one, and measures nothing.
"""

import functools
import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.overhead import machine
from benchmarks.peers.page import BEGIN, END

ROOT = Path(__file__).parents[1]
NO_GPU = "gpu: PyTorch sees no GPU local, and nothing was run."
# What makes the host wait: the names that the profiler gives to reads of a value and to waits of CUDA's runtime.
WAITS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::equal")
CUDA_WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
WAYS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bf16": {"precision": "bf16"},
    "float32, compiled": {"compile": True},
    "bf16, compiled": {"precision": "bf16", "compile": True},
}


def run(
    *,
    device: str = "cuda",
    quick: bool = False,
    only: str = "tests,networks,transport,waits,peers",
    write: Path | None = None,
    report: Callable[[str], None],
) -> None:
    """Run the tests marked gpu and all measurements on a GPU, and --write a page; one line where there is no GPU."""
    if device == "cuda" and not torch.cuda.is_available():
        report(NO_GPU)
        return
    parts = only.split(",")
    if unknown := [name for name in parts if name not in (*PARTS, "peers")]:
        raise SystemExit(f"gpu: --only must name {', '.join((*PARTS, 'peers'))}, got {unknown[0]!r}")
    bench = OnDevice(torch.device(device), quick)
    lines: list[str] = []

    def said(text: str) -> None:
        lines.append(text)
        report(text)

    said(f"# On a GPU\n\n`make gpu` writes this page. Measured on: {bench.name}; {machine()}.\n")
    for name in parts:
        if name in PARTS:
            for text in PARTS[name](bench):
                said(text)
    if write is not None:
        write.write_text("\n".join([*lines, "## Compared with published libraries\n", BEGIN, END, ""]))
    if "peers" in parts:
        bench.peers(write)


@dataclass(frozen=True)
class OnDevice:
    """A device, and whether to do little job on it.

    Attributes:
        device: The device.
        quick: Small sizes and nothing compiled: shows that everything runs, not how fast.
    """

    device: torch.device
    quick: bool = False

    @property
    def name(self) -> str:
        """The device for people."""
        if self.device.type != "cuda":
            return str(self.device)
        return f"{torch.cuda.get_device_name(self.device)}, CUDA {torch.version.cuda}"

    def wait(self) -> None:
        """Wait until the device has completed its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, job: Callable[[], object], rounds: int = 5) -> float:
        """Seconds of the fastest round, after one that warms up."""
        times = []
        for _ in range(2 if self.quick else rounds + 1):
            self.wait()
            begun = time.perf_counter()
            job()
            self.wait()
            times.append(time.perf_counter() - begun)
        return min(times[1:])

    def peers(self, page: Path | None) -> None:
        """``make bench-peers`` on the device, into the page."""
        arguments = [
            f"DEVICE={self.device}",
            *(["QUICK=1"] if self.quick else []),
            *([f"PAGE={page}"] if page else []),
        ]
        subprocess.run(["make", "-C", str(ROOT), "bench-peers", *arguments], check=True)


# --- tests


def tests(bench: OnDevice) -> Iterator[str]:
    """The tests marked gpu."""
    paths = os.pathsep.join(str(ROOT / part) for part in ("src", "", "tests"))
    env = os.environ | {"INTERPOLANTS_TEST_DEVICE": bench.device.type, "PYTHONPATH": paths}
    chosen = ["-k", "bridge"] if bench.quick else []
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", "-rf", *chosen, "tests"]
    completed = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    failed = re.findall(r"^FAILED (\S+)", completed.stdout, re.MULTILINE)
    last = completed.stdout.strip().splitlines()[-1] if completed.stdout.strip() else completed.stderr[-500:]
    yield f"## Tests\n\n`pytest -m gpu`: {last.strip('= ')}\n"
    yield "".join(f"* `{name}`\n" for name in failed)


# --- networks


def _networks(bench: OnDevice) -> dict[str, Callable[[], nn.Module]]:
    from interpolants.nets import UNet
    from interpolants.nets.image_transformer import ImageTransformer

    if bench.quick:
        return {
            "U-Net": lambda: UNet((1, 8, 8), channels=8),
            "transformer": lambda: ImageTransformer((1, 8, 8), width=16, depth=2, patch=4),
        }
    return {
        "U-Net": lambda: UNet((3, 32, 32), channels=64),
        "transformer": lambda: ImageTransformer((3, 32, 32), width=256, depth=8, patch=4),
    }


def networks(bench: OnDevice) -> Iterator[str]:
    """Training steps and samples of a U-Net and a transformer: float32 and bf16, plain and compiled."""
    yield "## Networks\n"
    yield "Error: largest difference of the samples from those of the same weights on the CPU in float32, relative.\n"
    heads = ("network", "form", "ms per training step", "ms per evaluation", "error of samples", "peak, MiB")
    yield _head(heads)
    for name, make in _networks(bench).items():
        for form, settings in WAYS.items():
            if not (bench.quick and settings.get("compile")):
                yield _network_row(bench, name, make, form, settings)


def _network_row(
    bench: OnDevice, name: str, make: Callable[[], nn.Module], form: str, settings: dict[str, Any]
) -> str:
    size, steps, batch = _image_shape(bench), 2 if bench.quick else 50, 4 if bench.quick else 128
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(bench.device)
        torch.compiler.reset()
    images = torch.randn(4 * batch, *size, generator=_source(1)).to(bench.device)
    step = bench.seconds(lambda: trained(make().to(bench.device), images, batch, steps, settings), 2) / steps
    net = stirred(make()).eval().requires_grad_(False)
    x = torch.randn(batch, *size, generator=_source(2))
    expected = sampled(net, x, "cpu", "fp32")
    net = net.to(bench.device)
    if settings.get("compile"):
        net.compile()
    x, precision = x.to(bench.device), settings.get("precision", "fp32")
    result = sampled(net, x, bench.device.type, precision).float().cpu()
    seconds = bench.seconds(lambda: sampled(net, x, bench.device.type, precision)) / EVALUATIONS
    error = float((result - expected).abs().max() / expected.abs().max())
    peak = torch.cuda.max_memory_allocated(bench.device) / 2**20 if bench.device.type == "cuda" else 0.0
    return f"| {name} | {form} | {1e3 * step:.2f} | {1e3 * seconds:.2f} | {error:.1e} | {peak:,.0f} |"


EVALUATIONS = 10


def _image_shape(bench: OnDevice) -> tuple[int, int, int]:
    return (1, 8, 8) if bench.quick else (3, 32, 32)


def _source(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stirred(net: nn.Module) -> nn.Module:
    """The network with weights that are all at job: the last layers of new ones are zero."""
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.02 * torch.randn(p.shape, generator=_source(3)))
    return net


def trained(net: nn.Module, images: Tensor, batch: int, steps: int, settings: dict[str, Any]) -> nn.Module:
    """A network after some steps of the library's training loop, by the velocity loss."""
    from interpolants.objectives import JointLoss, VelocityLoss
    from interpolants.paths import OneSidedLinear
    from interpolants.training import TrainSettings, fit

    loss = JointLoss([VelocityLoss(OneSidedLinear())])

    def batches(step: int, generator: torch.Generator, rank: int, world_size: int) -> dict[str, Tensor]:
        rows = torch.randint(len(images), (batch,), generator=generator)
        t = torch.rand(batch, generator=generator)
        return {"x1": images[rows.to(images.device)], "t": t.to(images.device)}

    def losses(modules: Any, samples: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        return loss(modules, x1=samples["x1"], t=samples["t"], generator=generator)

    quiet = TrainSettings(steps=steps, batch_size=batch, log_every=10**6, checkpoint_every=0, **settings)
    fit(net, losses, batches, quiet, progress=False)
    return net


def sampled(net: nn.Module, x: Tensor, device: str, precision: str) -> Tensor:
    """Samples by Euler steps of the library's sampler."""
    from interpolants.dynamics import sample
    from interpolants.fields import LearnedFields
    from interpolants.paths import OneSidedLinear

    fields = LearnedFields(OneSidedLinear(), velocity=net)
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        return sample(fields, x, method="euler", n_steps=EVALUATIONS).x


# --- optimal transport


def transport(bench: OnDevice) -> Iterator[str]:
    """Exact and Sinkhorn pairings of two batches, on the device and on the CPU."""
    from interpolants.couplings import MinibatchOT, Sinkhorn

    yield "\n## Optimal transport between two batches in 64-D\n"
    yield _head(("coupling", "rows", "ms", "ms on the CPU", "difference"))
    sizes = (32,) if bench.quick else (256, 1024, 4096)
    for rows in sizes:
        x0, x1 = (torch.randn(rows, 64, generator=_source(seed)) + 2 * seed for seed in (0, 1))
        away = x0.to(bench.device), x1.to(bench.device)
        exact, entropic = MinibatchOT(method="exact"), Sinkhorn()
        costs = [_cost(exact.pair(*pair)) for pair in (away, (x0, x1))]
        difference = abs(costs[0] - costs[1]) / costs[1]
        yield _transport_row(bench, "exact", rows, exact.pair, away, (x0, x1), difference)
        plans = [entropic.plan(*pair).plan.cpu() for pair in (away, (x0, x1))]
        difference = float((plans[0] - plans[1]).abs().sum())
        yield _transport_row(bench, "Sinkhorn", rows, entropic.plan, away, (x0, x1), difference)
    yield "\nThe difference is that of the costs, relative, and for Sinkhorn the sum over the entries of the plans.\n"


def _cost(pairs: Any) -> float:
    return float((pairs.x0.double() - pairs.x1.double()).square().sum(1).mean())


def _transport_row(
    bench: OnDevice,
    name: str,
    rows: int,
    job: Callable[..., object],
    away: tuple[Tensor, Tensor],
    local: tuple[Tensor, Tensor],
    difference: float,
) -> str:
    on_device, on_cpu = (1e3 * bench.seconds(functools.partial(job, *pair), 2) for pair in (away, local))
    return f"| {name} | {rows:,} | {on_device:.1f} | {on_cpu:.1f} | {difference:.1e} |"


# --- waits


def waits(bench: OnDevice) -> Iterator[str]:
    """Number of waits of the host for the device per step, by the profiler."""
    from interpolants.nets import MLP

    yield "\n## Waits of the host\n"
    yield "Per step, from the profiler: the difference between a run of 60 steps and one of 10, divided by 50.\n"
    yield _head(("work", "reads of a value", "waits of CUDA's runtime"))
    images = torch.randn(256, 2, generator=_source(1)).to(bench.device)
    net = MLP(2, width=32, depth=2).to(bench.device)
    jobs: dict[str, Callable[[int], object]] = {
        "training step": lambda n: trained(net, images, 64, n, {}),
        "training step, bf16": lambda n: trained(net, images, 64, n, {"precision": "bf16"}),
        "step of the ODE sampler": lambda n: _steps_of_sampler(net, images, n),
        "step of the SDE sampler": lambda n: _steps_of_sampler(net, images, n, eps=0.5, seed=0),
    }
    for name, job in jobs.items():
        long, short = (host_waits(functools.partial(job, n)) for n in (60, 10))
        cells = " | ".join(f"{(a - b) / 50:.2f}" for a, b in zip(long, short, strict=True))
        yield f"| {name} | {cells} |"


def _steps_of_sampler(net: nn.Module, x: Tensor, n: int, **options: Any) -> object:
    from interpolants.dynamics import sample
    from interpolants.fields import LearnedFields
    from interpolants.paths import OneSidedLinear

    fields = LearnedFields(OneSidedLinear(), velocity=net)
    return sample(fields, x, n_steps=n, method="euler", **options)


def host_waits(job: Callable[[], object]) -> tuple[int, int]:
    """Reads of a value by the host in some job, and waits of CUDA's runtime."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiled:
        job()
    counts = {event.key: event.count for event in profiled.key_averages()}
    reads = sum(counts.get(name, 0) for name in WAITS)
    return reads, sum(counts.get(name, 0) for name in CUDA_WAITS)


def _head(heads: tuple[str, ...]) -> str:
    rules = itertools.chain(["---"] * 2, ["---:"] * (len(heads) - 2))
    return f"| {' | '.join(heads)} |\n| {' | '.join(rules)} |"


PARTS: dict[str, Callable[[OnDevice], Iterator[str]]] = {
    "tests": tests,
    "networks": networks,
    "transport": transport,
    "waits": waits,
}
