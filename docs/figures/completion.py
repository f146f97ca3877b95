"""Draw ``docs/images/completion.png``, print its table: ``python docs/figures/completion.py``. Nothing is trained."""

from pathlib import Path

import torch
from torch import Tensor

from interpolants.fields.protocol import Fields
from interpolants.foundations.gaussian import Gaussian
from interpolants.framework.figures import Axis, Figure, Panel, Series, curve
from interpolants.guidance.cyclic import Coordinates, CyclicOneWay, Job, RePaint
from interpolants.paths import VP
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"
N, SEED, ROWS = 48, slice(18, 30), 2000
RULES: dict[str, RePaint | CyclicOneWay] = {
    "RePaint, once": RePaint(resamples=1),
    "RePaint, 5 times": RePaint(resamples=5),
    "RePaint, 20 times": RePaint(resamples=20),
    "one-way, 0 cycles": CyclicOneWay(cycles=0, paste=False),
    "one-way, 1 cycle": CyclicOneWay(cycles=1, paste=False),
    "one-way, 10 cycles": CyclicOneWay(cycles=10, paste=False),
    "one-way, 20 cycles": CyclicOneWay(cycles=20, paste=False),
    "one-way, 10 cycles, noised": CyclicOneWay(cycles=10, track="noised", paste=False),
}
SHOWN = ("RePaint, once", "RePaint, 20 times", "one-way, 0 cycles", "one-way, 10 cycles")

_HEAD = (
    "| rule | rough: mean error | spread | seed | smooth: mean error | spread | seed |\n" + "| --- " * 7 + "|"
)


def covariance(smooth: bool) -> Tensor:
    """A rough exponential field, or a smooth one with a little noise."""
    place = torch.arange(N).double()
    apart = (place[:, None] - place).abs()
    if smooth:
        return 0.9 * torch.exp(-((apart / 6) ** 2) / 2) + 0.09 * torch.eye(N)
    return 0.9 * torch.exp(-apart / 6) + 0.001 * torch.eye(N)


class Problem:
    """One row of a Gaussian field, of which the middle is known."""

    def __init__(self, covariance: Tensor) -> None:
        self.covariance = covariance
        target = GaussianMixture(torch.ones(1).double(), torch.zeros(1, N).double(), covariance[None])
        self.fields: Fields = GaussianMixtureBridge(Gaussian(), target).fields(VP())
        source = torch.Generator().manual_seed(0)
        self.row = torch.linalg.cholesky(covariance) @ torch.randn(N, generator=source).double()
        self.free = torch.tensor([k for k in range(N) if not SEED.start <= k < SEED.stop])
        across = covariance[self.free][:, SEED]
        weights = torch.linalg.solve(covariance[SEED, SEED], across.T).T
        self.mean = weights @ self.row[SEED]
        self.spread = (covariance[self.free][:, self.free] - weights @ across.T).diagonal().sqrt()

    def job(self, fields: Fields | None = None, coordinates: Coordinates | None = None) -> Job:
        """Many rows with the same middle."""
        mask = torch.zeros(ROWS, N).double()
        mask[:, SEED] = 1
        x = torch.where(mask > 0, self.row, torch.nan)
        return Job(fields or self.fields, x, mask, seed=1, coordinates=coordinates or Coordinates())

    def whitened(self, rule: RePaint | CyclicOneWay) -> Tensor:
        """Rows completed in units without correlations, as a bridge of tables has them."""
        values, vectors = torch.linalg.eigh(self.covariance)
        root, inverse = ((vectors * values**power) @ vectors.T for power in (0.5, -0.5))
        white = GaussianMixture(
            torch.ones(1).double(), torch.zeros(1, N).double(), torch.eye(N)[None].double()
        )
        fields = GaussianMixtureBridge(Gaussian(), white).fields(VP())
        coordinates = Coordinates(lambda u: u @ root, lambda v: v @ inverse, self.covariance)
        return coordinates.of_state(rule.complete(self.job(fields, coordinates)).x)

    def judged(self, x: Tensor) -> tuple[float, float, float]:
        """Relative error of the mean, spread next to the seed over the true one, error of the seed."""
        found = x[:, self.free]
        near = [k for k, place in enumerate(self.free.tolist()) if place in (SEED.start - 1, SEED.stop)]
        error = (found.mean(0) - self.mean).norm() / self.mean.norm()
        moved = (x[:, SEED] - self.row[SEED]).square().mean().sqrt()
        return float(error), float((found.std(0) / self.spread)[near].mean()), float(moved)


def main() -> None:
    """Print the table of both fields and draw the rough one."""
    problems = {"rough": Problem(covariance(False)), "smooth": Problem(covariance(True))}
    print(_HEAD)
    drawn = {}
    for name, rule in RULES.items():
        cells = []
        for kind, problem in problems.items():
            x = rule.complete(problem.job()).x
            drawn[kind, name] = x
            cells += ["{:.2f} | {:.2f} | {:.2f}".format(*problem.judged(x))]
        print(f"| {name} | {' | '.join(cells)} |")
    cells = [
        "{:.2f} | {:.2f} | {:.2f}".format(*p.judged(p.whitened(RePaint(resamples=1))))
        for p in problems.values()
    ]
    print(f"| RePaint, once, whitened units | {' | '.join(cells)} |")
    panels = tuple(_panel(problems["rough"], name, drawn["rough", name]) for name in SHOWN)
    save(
        [Figure(name="completion", panels=panels, width=1125, height=320, legend_columns=4)], IMAGES, dpi=100
    )


def _panel(problem: Problem, name: str, x: Tensor) -> Panel:
    place, mean, spread = torch.arange(N), x.mean(0), x.std(0)
    series = []
    for side in (slice(0, SEED.start), slice(SEED.start, None)):
        low, high = (problem.mean[side] + k * problem.spread[side] for k in (-2, 2))
        exact = {"x": problem.free[side], "low": low, "high": high}
        series.append(Series(mark="band", arrays=exact, name="exact, 2 sd", hue="muted"))
    series += [curve(place, mean, "mean", 1)]
    series += [curve(place, mean + k * spread, "2 sd", 1, dash=":") for k in (-2, 2)]
    series += [curve(place[SEED], problem.row[SEED], "known", size=2.5)]
    y = Axis(label="value", low=-2.3, high=2.8)
    return Panel(series=tuple(series), title=name, x=Axis(label="place"), y=y)


if __name__ == "__main__":
    main()
