"""Optimal transport between two batches: what a training step would wait for."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers.bench import Bench, Case, Item, Work
from benchmarks.peers.nets import points
from interpolants.couplings import MinibatchOT, Pairs

_REGULARISATION = {2: 0.05, 64: 1.0}
# The ratio to scipy that we aim at, by dimension and batch.
_GOALS = {(2, 1024): 0.45, (64, 1024): 0.60}


def items(bench: Bench) -> Iterator[Item]:
    """2-D and 64-D, two sizes of the batch."""
    for dim in (2, 64):
        for batch in (256, 1024):
            yield _item(bench, dim, bench.size(batch, batch // 16))


def _item(bench: Bench, dim: int, batch: int) -> Item:
    from scipy.optimize import linear_sum_assignment

    source = torch.Generator().manual_seed(0)
    x0, x1 = torch.randn(batch, dim, generator=source), points(batch, dim, source)

    def scipy() -> Any:
        return linear_sum_assignment(squared_distances(x0, x1).numpy())[1]

    def reduced() -> Any:
        return linear_sum_assignment(_reduced(squared_distances(x0, x1)).numpy())[1]

    cases = [
        Case("scipy, linear_sum_assignment", scipy, "bare"),
        Case("by hand, scipy on costs reduced by Sinkhorn steps", reduced, "hand"),
        Case("ours", _ours(x0, x1, "exact"), "ours", _GOALS.get((dim, batch))),
    ]
    if dim <= 8 and bench.peer("ot"):
        goal = 0.03 if batch >= 1024 else None
        cases.append(Case("ours", _ours(x0, x1, "fast"), "ours", goal, "approximate"))
    cases += _peers(bench, x0, x1)
    title = f"Optimal transport of a batch of {batch:,} in {dim}-D (excess: 0 optimal, 1 independent)"
    return Item(title, cases, columns={"excess": _excess(cases, x0, x1)})


def _ours(x0: Tensor, x1: Tensor, method: Any) -> Work:
    coupling = MinibatchOT(method=method)
    return lambda: coupling.pair(x0, x1)


def _excess(cases: list[Case], x0: Tensor, x1: Tensor) -> dict[str, str]:
    """How far the pairs of each case lie from the best ones, where it gives pairs."""
    best = cases[0].work()
    assert isinstance(best, np.ndarray)
    found: dict[str, str] = {}

    def cost(start: Tensor, end: Tensor) -> float:
        return (start.double() - end.double()).square().sum(1).mean().item()

    least, independent = cost(x0, x1[best]), cost(x0, x1)
    for case in cases:
        pairs = case.work()
        if isinstance(pairs, Pairs):
            found[case.title] = f"{(cost(pairs.x0, pairs.x1) - least) / (independent - least):.4f}"
        elif isinstance(pairs, np.ndarray) and pairs.shape == best.shape:
            found[case.title] = f"{(cost(x0, x1[pairs]) - least) / (independent - least):.4f}"
    return found


def squared_distances(x0: Tensor, x1: Tensor) -> Tensor:
    """``|x0_i - x1_j|^2`` by one product."""
    costs = torch.addmm(x1.square().sum(1)[None], x0, x1.T, alpha=-2.0)
    return costs.add_(x0.square().sum(1)[:, None]).clamp_(min=0)


def _reduced(costs: Tensor) -> Tensor:
    """Costs less a number for each row and each column, from a few Sinkhorn steps at falling regularisation."""
    n, level, least = len(costs), float(costs.max()), 0.01 * float(costs.mean())
    f, g, log_n = torch.zeros(n), torch.zeros(n), float(np.log(n))
    while level > least:
        f = -level * (torch.logsumexp((g[None] - costs) / level, 1) - log_n)
        g = -level * (torch.logsumexp((f[:, None] - costs) / level, 0) - log_n)
        level *= 0.5
    return costs - f[:, None] - g[None]


def _peers(bench: Bench, x0: Tensor, x1: Tensor) -> Iterator[Case]:
    dim = x0.shape[1]
    regularisation, entropic = _REGULARISATION[dim], "entropic plan"
    if ot := bench.peer("ot"):
        yield Case("POT, network simplex", _simplex(ot, x0, x1))
        if dim <= 8:  # in 64-D its log form takes seconds, and its partitions are poor
            yield Case("POT", _pot_sinkhorn(ot, x0, x1, regularisation), kind=entropic)
            for plans in (16, 64):
                name = f"POT, binary space partitions, {plans} plans"
                yield Case(name, _partitions(ot, x0, x1, plans), kind="approximate")
    if matching := bench.peer("torchcfm.optimal_transport"):
        exact = matching.OTPlanSampler(method="exact", warn=False)
        yield Case("torchcfm, pairs drawn with replacement", lambda: exact.sample_plan(x0, x1))
        sampler = matching.OTPlanSampler(method="sinkhorn", reg=regularisation, warn=False)
        yield Case("torchcfm", _quiet(lambda: sampler.sample_plan(x0, x1)), kind=entropic)
    if delta := bench.peer("deltaflow.utils.ot"):
        yield Case("torchdeltaflow", lambda: delta.batch_ot_permutation(x0, x1))
    if lap := bench.peer("lap"):
        yield Case("lapx", lambda: lap.lapjv(squared_distances(x0, x1).double().numpy())[1])
    if geomloss := bench.peer("geomloss.ot"):
        value = lambda: geomloss.solve_sample(x0, x1, reg=regularisation, max_iter=100).value  # noqa: E731
        yield Case("geomloss", value, kind=entropic)


def _simplex(ot: Any, x0: Tensor, x1: Tensor) -> Work:
    weights = np.full(len(x0), 1 / len(x0))
    return lambda: ot.emd(weights, weights, squared_distances(x0, x1).double().numpy(), numItermax=10_000_000)


def _pot_sinkhorn(ot: Any, x0: Tensor, x1: Tensor, regularisation: float) -> Work:
    weights = np.full(len(x0), 1 / len(x0))
    return _quiet(
        lambda: ot.sinkhorn(weights, weights, squared_distances(x0, x1).double().numpy(), regularisation)
    )


def _partitions(ot: Any, x0: Tensor, x1: Tensor, plans: int) -> Work:
    return lambda: ot.compute_bspot_bijection(x0.double().numpy(), x1.double().numpy(), n_plans=plans)[1]


def _quiet(work: Work) -> Work:
    """Without the warnings of a method that did not converge."""

    def silent() -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work()

    return silent
