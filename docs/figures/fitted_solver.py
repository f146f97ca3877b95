"""Draw ``docs/images/fitted_solver.png``, print its tables: ``python docs/figures/fitted_solver.py``.

The fields are exact ones of a mixture of three Gaussians; only solvers are fitted. One minute of one core.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from interpolants.dynamics import FittedSolver, best_grid, choose_grid, fit_solver, sample
from interpolants.dynamics.optimised_grid import standard_grids
from interpolants.fields import Fields, on_path
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.paths import VP, OneSidedLinear, OneSidedTrigonometric
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"
SEEDS, PAIRS, NEW = (0, 1, 2), 2000, 4000
PATHS = {"vp": VP(), "trigonometric": OneSidedTrigonometric(), "linear": OneSidedLinear()}
PER_STEP = {"euler": 1, "midpoint": 2, "heun": 2, "dpmpp_2m": 1, "unipc2": 1, "unipc3": 1}
Errors = tuple[float, float]


def model() -> Fields:
    """The exact fields of a mixture on the path of a variance-preserving diffusion."""
    mixture = GaussianMixture(
        torch.tensor([0.5, 0.3, 0.2]).double(),
        torch.tensor([[2.0, 0.0], [-1.0, 1.5], [-0.5, -1.5]]).double(),
        torch.tensor([0.25, 0.4, 0.15]).double().square(),
    )
    path = VP()
    return GaussianMixtureBridge(path.base, mixture).fields(path)


def starts(n: int, seed: int) -> Tensor:
    """Start points, different for every seed."""
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed)).double()


def errors(
    fields: Fields, x: Tensor, end: Tensor, method: str | FittedSolver, grid: object = "auto"
) -> Errors:
    """Root mean square and median distance of end points."""
    distance = (sample(fields, x, method=method, time_grid=grid).x - end).norm(dim=1)
    return float(distance.square().mean().sqrt()), float(distance.median())


def by_path(x: Tensor) -> Iterator[tuple[str, str, int, Errors]]:
    """Named solvers with even steps, on three paths."""
    for name, path in PATHS.items():
        fields = on_path(model(), path)
        end = sample(fields, x, method="rk4", n_steps=400).x
        for method in ("euler", "midpoint"):
            for n in (4, 8, 16):
                grid = np.linspace(0, 1, n // PER_STEP[method] + 1)
                yield name, method, n, errors(fields, x, end, method, grid)


def solvers(seed: int, n: int) -> dict[str, Errors]:
    """All ways of ``n`` evaluations on the linear path, on new start points."""
    fields, x, pairs = on_path(model(), PATHS["linear"]), starts(NEW, 100 + seed), starts(PAIRS, seed)
    end = sample(fields, x, method="rk4", n_steps=400).x
    results: dict[str, Errors] = {}
    for name, per_step in PER_STEP.items():
        steps = n // per_step
        standard = [
            errors(fields, x, end, name, grid) for grid in standard_grids(fields, steps, name).values()
        ]
        results[f"{name}, best standard grid"] = min(standard)
    optimised = choose_grid(fields, pairs[:500], n // 2, method="midpoint")
    results["midpoint, `optimise_grid`"] = errors(fields, x, end, "midpoint", optimised.grids["made"])
    descended = best_grid(fields, pairs[:1000], n // 2, method="midpoint")
    results["midpoint, descended grid of `best_grid`"] = errors(
        fields, x, end, "midpoint", descended.grids["descended"]
    )
    results["`fit_solver`"] = errors(fields, x, end, fit_solver(fields, pairs, n, seed=seed))
    return results


def interval(values: list[float]) -> str:
    """Smallest and largest value over the seeds."""
    low, high = f"{min(values):.2g}", f"{max(values):.2g}"
    return low if low == high else f"{low} to {high}"


def main() -> None:
    """Print both tables, and draw them."""
    paths = list(by_path(starts(NEW, 50)))
    print("| path | solver | 4 | 8 | 16 |\n| --- | --- | ---: | ---: | ---: |")
    for name in PATHS:
        for method in ("euler", "midpoint"):
            row = [f"{e[0]:.3f} ({e[1]:.3f})" for p, m, _, e in paths if (p, m) == (name, method)]
            print(f"| `{name}` | `{method}` | " + " | ".join(row) + " |")
    table = {n: [solvers(seed, n) for seed in SEEDS] for n in (4, 8)}
    print("\n| solver | 4: rms | 4: median | 8: rms | 8: median |\n| --- | ---: | ---: | ---: | ---: |")
    for name in table[4][0]:
        row = [interval([results[name][k] for results in table[n]]) for n in (4, 8) for k in (0, 1)]
        print(f"| {name} | " + " | ".join(row) + " |")
    save([_figure(paths, table)], IMAGES, dpi=100)


def _figure(paths: list[tuple[str, str, int, Errors]], table: dict[int, list[dict[str, Errors]]]) -> Figure:
    lines = []
    for hue, name in enumerate(PATHS):
        rows = [(n, e[1]) for p, m, n, e in paths if (p, m) == (name, "midpoint")]
        x, y = (np.array(part, dtype=float) for part in zip(*rows, strict=True))
        lines.append(Series(mark="line", arrays={"x": x, "y": y}, name=name, hue=hue))
    first = Panel(
        series=tuple(lines),
        title="one model on three paths, midpoint",
        x=Axis(label="evaluations"),
        y=Axis(label="median error of end points", scale="log", low=1e-3, high=1.0),
        legend="below",
    )
    names = {
        "midpoint, best standard grid": "midpoint",
        "unipc2, best standard grid": "unipc2",
        "`fit_solver`": "fitted",
    }
    lines = []
    for hue, (name, label) in enumerate(names.items()):
        mean = [float(np.mean([results[name][1] for results in table[n]])) for n in (4, 8)]
        lines.append(
            Series(
                mark="line", arrays={"x": np.array([4.0, 8.0]), "y": np.array(mean)}, name=label, hue=hue + 3
            )
        )
    second = Panel(
        series=tuple(lines),
        title="fitted and named solvers, linear path",
        x=Axis(label="evaluations"),
        y=Axis(label="median error of end points", scale="log", low=1e-3, high=1.0),
        legend="below",
    )
    return Figure(name="fitted_solver", panels=(first, second), columns=2, width=1000, height=380)


if __name__ == "__main__":
    main()
