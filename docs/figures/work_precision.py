"""Draw ``docs/images/work_precision.png`` and print its numbers: ``python docs/figures/work_precision.py``.

Exact fields: nothing is trained. About two minutes on one core.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from interpolants.dynamics import optimise_grid, sample
from interpolants.fields import LearnedFields
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths import Linear, OneSidedTrigonometric
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.solvers import available, get_solver

IMAGES = Path(__file__).parents[1] / "images"
F64 = torch.float64
BUDGETS = (4, 8, 12, 20, 40, 60, 100, 160)
FOUR = GaussianMixture(
    torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=F64),
    torch.tensor([[1.5, 0.0], [-1.0, 1.0], [0.0, -1.5], [1.0, 1.5]], dtype=F64),
    torch.tensor([0.01, 0.04, 0.09, 0.02], dtype=F64),
)
ONE_SIDED = OneSidedTrigonometric()
# Signal over noise e^-5 at the first time, noise of 0.02 at the last.
FIRST, LAST = ONE_SIDED.time_at_log_snr(torch.tensor([-10.0, 2 * math.log(50)], dtype=F64)).tolist()
SOLVERS = [
    name for kind in ("ode", "multistep") for name in available(kind) if name not in ("dopri5", "tsit5")
]
COLOURS = dict(zip(SOLVERS, ("#9aa3ad", "#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#f0c040", "#009e73", "#66c2a5",
                             "#cc79a7", "#000000"), strict=False))  # fmt: skip
Run = Callable[[str, int], Tensor]


def normal(n: int, seed: int) -> Tensor:
    """Standard normal rows in the plane."""
    return torch.randn(n, 2, dtype=F64, generator=torch.Generator().manual_seed(seed))


def errors(run: Run, right: Tensor, method: str) -> list[float]:
    """Root mean square distance from the exact flow at its end, by budget; NaN where a step costs more."""
    stages = get_solver(method).nfe_per_step
    return [
        float((run(method, n // stages) - right).square().mean().sqrt()) if n >= stages else math.nan
        for n in BUDGETS
    ]


def panels() -> Sequence[tuple[str, Run, Tensor]]:
    """Title, runs and exact ends of each panel."""
    x, pilot = normal(200, 0), normal(100, 9)
    inside = {"start": FIRST, "stop": LAST}
    one = GaussianMixtureBridge(Gaussian((2,)), FOUR).fields(ONE_SIDED)
    right = sample(one, x, method="rk4", n_steps=800, time_grid="log_snr", **inside).x

    def even(method: str, n: int) -> Tensor:
        return sample(one, x, method=method, n_steps=n, time_grid="log_snr", **inside).x

    def optimised(method: str, n: int) -> Tensor:
        return sample(
            one, x, method=method, time_grid=optimise_grid(one, pilot, n, method=method, **inside)
        ).x

    start = GaussianMixture(
        torch.tensor([0.5, 0.5], dtype=F64),
        torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=F64),
        torch.tensor([0.1, 0.2], dtype=F64),
    )
    bridge = GaussianMixtureBridge(start, FOUR).fields(Linear())
    both = LearnedFields(Linear(), mean_rate=bridge.mean_rate, noise=bridge.noise)
    x0 = start.sample(200, generator=torch.Generator().manual_seed(0))
    end = sample(bridge, x0, method="dopri5", rtol=1e-10, atol=1e-10).x
    return (
        ("From noise, even in log SNR", even, right),
        ("From noise, optimised grid", optimised, right),
        ("Between two sets, 'auto' grid", partial(_between, both, x0), end),
    )


def _between(fields: LearnedFields, x0: Tensor, method: str, n: int) -> Tensor:
    return sample(fields, x0, method=method, n_steps=n).x


def work_precision() -> Figure:
    """Error over evaluations for every solver with fixed steps."""
    figure = Figure(figsize=(13.5, 4.6), layout="constrained")
    for axes, (title, run, right) in zip(figure.subplots(1, 3, sharey=True), panels(), strict=True):
        for name in SOLVERS:
            found = errors(run, right, name)
            print(f"{title:32s} {name:16s}", *(f"{error:8.1e}" for error in found))
            style = "-" if get_solver(name).kind == "multistep" else "--"
            axes.plot(BUDGETS, found, style, color=COLOURS[name], marker="o", markersize=3, label=name)
        axes.axhline(1e-4, color="#9aa3ad", linewidth=0.8)
        axes.set(title=title, xlabel="evaluations", xscale="log", yscale="log", ylim=(1e-6, 5))
        axes.set_xticks(BUDGETS, [str(n) for n in BUDGETS])
        axes.minorticks_off()
    figure.axes[0].set_ylabel("RMS distance from the exact flow")
    figure.axes[0].legend(frameon=False, fontsize=8, ncols=2, loc="lower left")
    return figure


if __name__ == "__main__":
    work_precision().savefig(IMAGES / "work_precision.png", dpi=90)
