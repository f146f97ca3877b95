"""How far samples lie from the exact flow, by the number of evaluations: ours and the solvers of torchdiffeq."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.peers.bench import Bench, Listing
from benchmarks.peers.items.ode import by_hand
from benchmarks.peers.nets import trained, twin
from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.paths import OneSidedLinear
from interpolants.solvers.registry import available, get_solver
from interpolants.solvers.tableau import RungeKutta

BUDGETS = (8, 16, 32, 64, 128)
TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5)
_ADAPTIVE = ("dopri5", "tsit5")


def items(bench: Bench) -> Iterator[Listing]:
    """Fixed steps at equal evaluations, and adaptive ones at equal tolerances."""
    net = trained(2, bench.size(1000, 5))
    x = torch.randn(bench.size(2000, 32), 2, generator=torch.Generator().manual_seed(2))
    exact = by_hand(twin(net).double(), x.double(), "rk4", bench.size(1000, 50))
    fields = LearnedFields(OneSidedLinear(), velocity=net)

    def error(samples: Tensor) -> str:
        return f"{(samples.double() - exact).square().sum(1).mean().sqrt().item():.1e}"

    rows: list[tuple[str, ...]] = []
    for method in (*available("ode"), *available("multistep")):
        if method in _ADAPTIVE:
            continue
        stages = _stages(method)
        cells = [
            error(sample(fields, x, method=method, n_steps=budget // stages, time_grid="uniform").x)
            for budget in BUDGETS
        ]
        rows.append((f"ours, {method}", *cells))
    rows += [(f"torchdiffeq, {name}", *map(error, found)) for name, found in _fixed(bench, net, x)]
    heads = ("solver", *(f"{budget} evaluations" for budget in BUDGETS))
    yield Listing(f"Root mean square error of {len(x):,} samples in 2-D, uniform steps", heads, rows)
    rows = []
    for method in _ADAPTIVE:
        found = [sample(fields, x, method=method, rtol=tol, atol=tol) for tol in TOLERANCES]
        cells = [f"{error(s.x)} ({torch.as_tensor(s.nfe).double().mean().item():.0f})" for s in found]
        rows.append((f"ours, {method}, steps of its own for each sample", *cells))
    for name, runs in _adaptive(bench, net, x):
        rows.append((f"torchdiffeq, {name}", *(f"{error(y)} ({nfe})" for y, nfe in runs)))
    heads = ("solver", *(f"rtol = atol = {tol:g}" for tol in TOLERANCES))
    yield Listing("The same for adaptive steps, and mean evaluations of a sample", heads, rows)


def _stages(method: str) -> int:
    solver = get_solver(method)
    return solver.tableau.needed if isinstance(solver, RungeKutta) else 1


def _fixed(bench: Bench, net: Callable[..., Tensor], x: Tensor) -> Iterator[tuple[str, list[Tensor]]]:
    diffeq = bench.peer("torchdiffeq")
    if not diffeq:
        return
    ends = torch.tensor([0.0, 1.0])
    for name, stages in (("euler", 1), ("midpoint", 2), ("heun2", 2), ("rk4", 4)):
        with torch.no_grad():
            yield (
                name,
                [
                    diffeq.odeint(
                        lambda t, y: net(y, t), x, ends, method=name, options={"step_size": stages / budget}
                    )[-1]
                    for budget in BUDGETS
                ],
            )


def _adaptive(
    bench: Bench, net: Callable[..., Tensor], x: Tensor
) -> Iterator[tuple[str, list[tuple[Tensor, int]]]]:
    diffeq = bench.peer("torchdiffeq")
    if not diffeq:
        return
    count = [0]

    def counted(t: Tensor, y: Tensor) -> Tensor:
        count[0] += 1
        return net(y, t)

    for name in ("dopri5", "bosh3", "dopri8"):
        runs: list[tuple[Tensor, int]] = []
        for tol in TOLERANCES:
            count[0] = 0
            with torch.no_grad():
                path = diffeq.odeint(counted, x, torch.tensor([0.0, 1.0]), method=name, rtol=tol, atol=tol)
            runs.append((path[-1], count[0]))
        yield name, runs
