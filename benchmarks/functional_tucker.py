"""Seconds and memory of a functional Tucker fit against the number of entries, beside the exact Gaussian process.

Every entry has coordinates of its own, which is the dearest case: as many places in each chain as entries.
"""

import statistics
import time
from collections.abc import Callable, Iterator

import torch

from benchmarks.overhead import machine
from interpolants.foundations.trees import pack
from interpolants.methods.rivals.exact_gp import ExactGP
from interpolants.sciml.gp.functional_tucker import FunctionalTucker

SIZES = (1000, 2000, 4000, 8000)
# Rounds of a fit that is timed, and steps of the exact process; its matrices allow no more than so many entries here.
_SWEEPS, _STEPS, _LARGEST_EXACT = 5, 1, 4000


def run(*, rounds: int = 7, report: Callable[[str], None]) -> None:
    """Time functional Tucker and the exact process for each size, with the growth from 1,000 to 8,000 entries."""
    report(f"Measured on: {machine()}. Median of {rounds}, seconds of processor time.\n")
    report("| entries | one round of all factors | a step of the exact process | the fitted model |")
    report("| ---: | ---: | ---: | ---: |")
    found = {n: list(_row(n, rounds)) for n in SIZES}
    for n, (ours, exact, memory) in found.items():
        other = f"{exact:.3f} s" if exact else "-"
        report(f"| {n} | {ours:.3f} s | {other} | {memory:.1f} MiB |")
    growth = [found[8000][i] / found[1000][i] for i in (0, 2)]
    report(f"\nFrom 1,000 to 8,000 entries time grows {growth[0]:.1f} times, memory {growth[1]:.1f} times.")


def _row(n: int, rounds: int) -> Iterator[float]:
    points, values = data(n)
    model = FunctionalTucker([2, 3, 3], starts=1, sweeps=_SWEEPS, stop=0.0)
    trial = 10  # rounds of its one start
    yield _median(lambda: model.clone().fit(points, values), rounds) / (_SWEEPS + trial)
    one = ExactGP(steps=_STEPS)
    yield _median(lambda: one.clone().fit(points, values), rounds) if n <= _LARGEST_EXACT else 0.0
    tensors: dict[str, torch.Tensor] = {}
    pack(model.clone().set_params(sweeps=1).fit(points, values).state, tensors)
    yield sum(x.numel() * x.element_size() for x in tensors.values()) / 2**20


def data(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Entries of a smooth function of three coordinates, with noise."""
    source = torch.Generator().manual_seed(0)
    x = torch.rand(n, 3, dtype=torch.float64, generator=source)
    noise = 0.1 * torch.randn(n, dtype=torch.float64, generator=source)
    return x, torch.sin(5 * x[:, 0]) * torch.cos(7 * x[:, 1]) * (1 + x[:, 2]) + noise


def _median(work: Callable[[], object], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return statistics.median(seconds)
