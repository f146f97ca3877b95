"""Draw ``docs/images/work_precision.png`` and print its numbers: ``python docs/figures/work_precision.py``.

Exact fields: nothing is trained. About two minutes on one core. ``--grids`` prints the table of default grids instead;
three minutes, with Fashion-MNIST (``apt-get install dataset-fashion-mnist``).
"""

import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from interpolants.data import load
from interpolants.dynamics import optimise_grid, sample
from interpolants.fields import LearnedFields
from interpolants.foundations.gaussian import Gaussian
from interpolants.framework.figures import Axis, Figure, Panel, across, curve
from interpolants.paths import VP, Linear, OneSidedLinear, OneSidedTrigonometric, VariancePreserving
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.reports.draw import save
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


def settings() -> Sequence[tuple[str, Run, Tensor]]:
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
    steps = [name for name in SOLVERS if get_solver(name).kind != "multistep"]
    x = Axis(label="evaluations", scale="log", ticks=BUDGETS)
    y = Axis(label="RMS distance from the exact flow", scale="log", low=1e-6, high=5)
    panels = []
    for title, run, right in settings():
        series = [across(1e-4, "", dash="-")]
        for name in SOLVERS:
            found = errors(run, right, name)
            print(f"{title:32s} {name:16s}", *(f"{error:8.1e}" for error in found))
            single = name in steps  # two symbols: there are more solvers than hues
            look = {"dash": "--", "symbol": "s"} if single else {"dash": "-", "symbol": "o"}
            hue = SOLVERS.index(name) - (0 if single else len(steps))
            series.append(curve(BUDGETS, found, name, hue, size=4, **look))
        panels.append(Panel(series=tuple(series), title=title, x=x, y=y))
    return Figure(name="work_precision", panels=tuple(panels), width=1200, height=440, legend_columns=5)


PATHS = {
    "one_sided_linear": OneSidedLinear(),
    "one_sided_trigonometric": ONE_SIDED,
    "variance_preserving": VariancePreserving(),
    "vp": VP(),
}
MEMORY = ("dpmpp_2m", "dpmpp_3m", "exponential_ab2", "exponential_ab3", "unipc2", "unipc3")


def targets() -> dict[str, list[GaussianMixture]]:
    """Four mixtures, and Gaussians with mean and covariance of pictures, in units of their standard deviation."""
    settings = ((3, 2, 1.0, 0), (5, 2, 3.0, 1), (5, 8, 0.5, 3), (5, 8, 2.0, 2))
    distributions = {
        "mixtures": [GaussianMixture.random(n, d, width, seed=seed) for n, d, width, seed in settings]
    }
    for name, rows in (("digits", 1437), ("fashion_mnist", 4000)):
        x = load(name, "train").x[:rows].double().flatten(1)
        x = (x - x.mean()) / x.std()
        variances, axes = torch.linalg.eigh(torch.cov(x.T))
        mean = x.mean(0) @ axes  # the flow from white noise commutes with rotations
        distributions[name] = [
            GaussianMixture(torch.ones(1, dtype=F64), mean[None], variances.clamp_min(1e-6)[None])
        ]
    return distributions


def default_grids(evaluations: int = 10) -> None:
    """Print root mean square distances from the exact flow: on the default grid, and in brackets on even steps."""
    solvers = ("euler", "midpoint", *MEMORY)
    print("| path | data |", " | ".join(f"`{name}`" for name in solvers), "|")
    for path_name, path in PATHS.items():
        for data, mixtures in targets().items():
            cells = []
            for method in solvers:
                n_steps = evaluations // get_solver(method).nfe_per_step
                log_errors = {"auto": [], "uniform": []}
                for mixture in mixtures:
                    d = mixture.dim
                    fields = GaussianMixtureBridge(Gaussian((d,)), mixture).fields(path)
                    x = torch.randn(200, d, dtype=F64, generator=torch.Generator().manual_seed(0))
                    right = sample(fields, x, method="rk4", n_steps=500, time_grid="cosine").x
                    for grid, values in log_errors.items():
                        x1 = sample(fields, x, method=method, n_steps=n_steps, time_grid=grid).x
                        values.append((x1 - right).square().mean().log() / 2)
                auto, even = (f"{torch.stack(values).mean().exp():.3f}" for values in log_errors.values())
                cells.append(auto if auto == even else f"{auto} ({even})")
            print(f"| `{path_name}` | {data} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    if "--grids" in sys.argv:
        default_grids()
    else:
        save([work_precision()], IMAGES, dpi=100)
