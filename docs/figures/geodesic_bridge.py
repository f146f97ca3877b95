"""Draw ``docs/images/geodesic_bridge.png``, print its tables: ``python docs/figures/geodesic_bridge.py``; minutes."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interpolants import Bridge, GeodesicBridge
from interpolants.data import load_airport_positions, load_airport_winds
from interpolants.framework.figures import Figure
from interpolants.methods.questions.globe import globe_panel
from interpolants.problems import GlobeCaps
from interpolants.reports.draw import save
from interpolants.spaces import LatitudeLongitude, Product, Reals, Space, Sphere

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


def _split(x: Tensor, seed: int, test: int) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    return x[order[test:]], x[order[:test]]


def on_globe(x: Tensor) -> Tensor:
    """Unit vectors of latitudes and longitudes."""
    return PLACES.encode(x.double())


def on_cylinder(x: Tensor) -> Tensor:
    """Cosine and sine of a direction, and the speed in standard deviations of all winds."""
    angle = x[:, 0].double().deg2rad()
    return torch.stack([angle.cos(), angle.sin(), (x[:, 1].double() - 2.2) / 0.5], -1)


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


def globe_scores(
    x: Tensor, test: Tensor, seed: int, region: Callable[[Tensor], Tensor]
) -> tuple[Rows, dict[str, Tensor]]:
    """Scores of each method on places, and samples."""
    area = PLACES.log_volume(test).mean()
    bridges = {
        "`GeodesicBridge`": fitted(GeodesicBridge, x, seed, space={"0, 1": "sphere"}),
        "`Bridge` in degrees": fitted(Bridge, x, seed, path="one_sided_linear"),
    }
    n = min(MOST, len(test))
    samples = {
        name: torch.as_tensor(bridge.sample(n, seed=seed)).double() for name, bridge in bridges.items()
    }
    scores: Rows = {}
    for name, rows in {**samples, "training rows": x[:n]}.items():
        outside = (rows[:, 0].abs() > 90) | (rows[:, 1] < -180) | (rows[:, 1] >= 180)
        scores[name] = {
            "energy distance": energy_distance(Sphere(2), on_globe(rows), on_globe(test)),
            "off the map, %": 100 * float(outside.double().mean()),
            "near, %": 100 * float(region(on_globe(rows)).double().mean()),
        }
    scores["test rows"] = {"near, %": 100 * float(region(on_globe(test)).double().mean())}
    for name, bridge in bridges.items():
        scores[name]["nats"] = float(torch.as_tensor(bridge.log_prob(test)).double().mean() - area)
    scores["20 von Mises-Fisher caps"] = {"nats": mixture(on_globe(x), on_globe(test))}
    return scores, samples


def wind_scores(x: Tensor, test: Tensor, seed: int) -> Rows:
    """Scores of each method on winds."""
    bridges = {
        "`GeodesicBridge`": fitted(GeodesicBridge, x, seed, space={"0": "circle"}),
        "`Bridge` in degrees": fitted(Bridge, x, seed, path="one_sided_linear"),
    }
    samples = {
        name: torch.as_tensor(bridge.sample(MOST * 5, seed=seed)).double() for name, bridge in bridges.items()
    }
    space, scores = Product([Sphere(1), Reals(1)]), {}
    for name, rows in {**samples, "training rows": x[: MOST * 5]}.items():
        north = torch.minimum(rows[:, 0].remainder(360), 360 - rows[:, 0].remainder(360)) < 5
        outside = (rows[:, 0] < 0) | (rows[:, 0] >= 360)
        scores[name] = {
            "energy distance": energy_distance(space, on_cylinder(rows[:MOST]), on_cylinder(test)),
            "off the map, %": 100 * float(outside.double().mean()),
            "near, %": 100 * float(north.double().mean()),
        }
    for name, bridge in bridges.items():
        scores[name]["nats"] = float(torch.as_tensor(bridge.log_prob(test)).double().mean())
    return scores


def near_pole(points: Tensor) -> Tensor:
    """Points within .15 radians of the north pole."""
    return points[:, 2] > math.cos(0.15)


def near_date_line(points: Tensor) -> Tensor:
    """Points within 15 degrees of longitude of the date line."""
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


def main() -> None:
    """Print the tables and draw the figure."""
    results = [globe_scores(*caps(seed), seed, near_pole) for seed in range(SEEDS)]
    table("five caps; near: within .15 of the pole", [scores for scores, _ in results])
    results = [globe_scores(*airports(seed), seed, near_date_line) for seed in range(SEEDS)]
    table("airports; near: within 15 degrees of the date line", [scores for scores, _ in results])
    train, test = airports(0)
    sets = {"airports": test, **{name.strip("`"): rows for name, rows in results[0][1].items()}}
    facing = on_globe(train).mean(0, keepdim=True) + torch.tensor([[-0.35, -0.2, 0.15]], dtype=torch.float64)
    panels = [
        globe_panel(
            title.replace("`", ""), on_globe(rows), facing, hue="muted" if title == "airports" else k - 1
        )
        for k, (title, rows) in enumerate(sets.items())
    ]
    save([Figure(name="geodesic_bridge", panels=tuple(panels), width=960, height=350)], IMAGES, dpi=120)
    table(
        "winds; near: within 5 degrees of north", [wind_scores(*winds(seed), seed) for seed in range(SEEDS)]
    )


if __name__ == "__main__":
    main()
