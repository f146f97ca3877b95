"""One step of the light Schroedinger bridge: 500 components in 2-D, batch 128; see ``light_sb`` for whole fits."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor, nn

from benchmarks.peers.bench import Bench, Case, Item, Work, several
from benchmarks.peers.items.training import adam
from benchmarks.peers.nets import checkerboard
from interpolants.generative.schrodinger.couplings.light_model import Coordinates, Model
from interpolants.generative.schrodinger.couplings.light_search import Adam, batch_gradient

EPS, BATCH, DIM, STEPS = 0.1, 128, 2, 100


def items(bench: Bench) -> Iterator[Item]:
    """The step that the authors' notebooks make, on the same data."""
    k, steps = bench.size(500, 10), bench.size(STEPS, 2)
    pool = checkerboard(100_000, torch.Generator().manual_seed(0))
    source = torch.Generator().manual_seed(1)
    mixture = _Mixture(pool[:k])
    cases = [
        Case(
            "bare: loss as two products, one stored batch",
            several(_step(mixture, pool, source, stored=True), steps),
            "bare",
        ),
        Case(
            "by hand, loss as two products", several(_step(_Mixture(pool[:k]), pool, source), steps), "hand"
        ),
    ]
    if not bench.quick:
        compiled = _step(_Mixture(pool[:k]), pool, source, compiled=True)
        cases.append(Case("by hand, compiled", several(compiled, steps), "hand"))
    cases.append(Case("ours, float64", _ours(pool, k, steps, source), "ours", 0.50))
    if official := bench.checkout("LightSB", "src.light_sb"):
        cases.append(Case("LightSB, the authors' step", several(_official(official, pool, k, source), steps)))
    title = (
        f"Step of the light Schroedinger bridge, {k} components in 2-D, batch {BATCH} (unit: {steps} steps)"
    )
    yield Item(title, cases)


def _drawn(pool: Tensor, source: Generator) -> tuple[Tensor, Tensor]:
    rows = torch.randint(len(pool), (BATCH,), generator=source)
    return torch.randn(BATCH, DIM, generator=source), pool[rows]


class _Mixture(nn.Module):
    """The objective of the source, both quadratic forms written as products with the features (x x, x)."""

    def __init__(self, centres: Tensor) -> None:
        super().__init__()
        k = len(centres)
        self.log_alpha = nn.Parameter(EPS * torch.full((k,), -math.log(k)))
        self.centres = nn.Parameter(centres.clone())
        self.log_slopes = nn.Parameter(torch.full((k, DIM), math.log(0.1)))

    def forward(self, x0: Tensor, x1: Tensor) -> Tensor:
        slopes, log_alpha, r = self.log_slopes.exp(), self.log_alpha / EPS, self.centres
        precision = 1 / (EPS * slopes)
        normal = (r * r * precision).sum(1) + (self.log_slopes + math.log(2 * math.pi * EPS)).sum(1)
        weights1 = torch.cat([-0.5 * precision, r * precision], 1).T
        weights0 = torch.cat([slopes * (0.5 / EPS), r / EPS], 1).T
        features0, features1 = torch.cat([x0 * x0, x0], 1), torch.cat([x1 * x1, x1], 1)
        log_v = torch.addmm(log_alpha - 0.5 * normal, features1, weights1).logsumexp(1)
        log_c = torch.addmm(log_alpha, features0, weights0).logsumexp(1)
        return (log_c - log_v).mean()


def _step(
    mixture: _Mixture, pool: Tensor, source: Generator, *, stored: bool = False, compiled: bool = False
) -> Work:
    optimizer, kept = adam(mixture), _drawn(pool, source)
    loss_of: Any = torch.compile(mixture, fullgraph=True) if compiled else mixture

    def step() -> None:
        loss = loss_of(*(kept if stored else _drawn(pool, source)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _ours(pool: Tensor, k: int, steps: int, source: Generator) -> Work:
    """The step of ``method="adam"``, in float64 as fits are made; its gradients are written out, without a graph."""
    data = pool.double()

    def work() -> None:
        slopes = torch.full((k, DIM), 0.1, dtype=torch.float64)
        log_alpha = torch.full((k,), -math.log(k), dtype=torch.float64)
        point = Coordinates.of(Model(log_alpha, data[:k].clone(), slopes))
        optimizer = Adam(point.flat, 1e-3, steps)
        rows = torch.randint(len(data), (steps, BATCH), generator=source)
        starts = torch.randn(steps, BATCH, DIM, generator=source, dtype=torch.float64)
        for row, x0 in zip(rows, starts, strict=True):
            optimizer.step(batch_gradient(point, x0, data[row], EPS))

    return work


def _official(official: Any, pool: Tensor, k: int, source: Generator) -> Work:
    model = official.LightSB(
        dim=DIM, n_potentials=k, epsilon=EPS, sampling_batch_size=BATCH, is_diagonal=True
    )
    model.init_r_by_samples(pool[:k])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        x0, x1 = _drawn(pool, source)
        loss = (-model.get_log_potential(x1) + model.get_log_C(x0)).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=float("inf"))
        optimizer.step()

    return step
