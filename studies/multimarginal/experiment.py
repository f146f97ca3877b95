"""Multimarginal interpolants in three tasks.

* ``shapes``: three densities in the plane, every map between them, by one model or by one bridge per pair, with the
  same number of training steps in all;
* ``digits``: the same for threes, fives and eights, judged by a classifier too;
* ``series``: gene expression in five windows of time, the middle ones left out one by one and predicted half-way along
  the edge between their neighbours, or half-way between cells and where the model carries them.
"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import combinations, permutations
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from interpolants.couplings import MinibatchOT
from interpolants.data import load
from interpolants.foundations.randomness import generator as seeded
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, cloud, strips
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.generative.multimarginal.multimarginal import Multimarginal
from interpolants.metrics import energy_distance, sliced_wasserstein
from interpolants.problems import EightGaussians, Moons, Rings
from studies.common import Study

_SHARED = {"batch_size": 256, "n_steps": 40, "windows": 5}
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {**_SHARED, "steps": 60, "width": 32, "n": 200},
    "laptop": {**_SHARED, "steps": 3000, "width": 128, "n": 2000},
    "full": {**_SHARED, "steps": 30_000, "width": 256, "n": 5000},
}
WAYS = ("one model, edges", "one model, barycentre", "a bridge per pair")
DIGITS = (3, 5, 8)
SERIES = (
    "one model, independent",
    "one model, independent, by its map",
    "one model, optimal pairs",
    "one model, optimal pairs, by its map",
    "window before",
    "window after",
    "both windows",
    "linear, random pairs",
    "linear, optimal pairs",
)


def cases(settings: Mapping[str, Any]) -> list[str]:
    """Tasks and methods."""
    both = [f"{task}: {way}" for task in ("shapes", "digits") for way in WAYS]
    held = range(1, settings["windows"] - 1)
    return both + [f"series, window {k}: {method}" for k in held for method in SERIES]


def measure(case: str, seed: int, settings: Mapping[str, Any]) -> Answered:
    """One case."""
    task, _, method = case.partition(": ")
    if task.startswith("series"):
        return series(int(task.rpartition(" ")[2]), method, seed, settings)
    return all_to_all(task, method, seed, settings)


def make(settings: Mapping[str, Any], seed: int, steps: int, **options: Any) -> Multimarginal:
    """A model of the study's size."""
    train = {"steps": steps, "batch_size": settings["batch_size"], "lr": 2e-3, "ema": 0.995}
    net = {"kind": "mlp", "width": settings["width"], "depth": 3}
    return Multimarginal(net=net, seed=seed, **train, **options)


# --- every map between three densities ---------------------------------------------------------------------


def all_to_all(task: str, way: str, seed: int, settings: Mapping[str, Any]) -> Answered:
    """Distances of carried samples to their target, over the six maps, and what the maps cost."""
    train, test, others = sets(task, seed, settings["n"])
    pairs = list(combinations(range(3), 2))
    how: dict[str, Any] = {"method": "heun", "n_steps": settings["n_steps"]}
    if way == "a bridge per pair":
        bridges = bridge_per_pair(task, seed, settings)
        costs = [bridges[pair].cost() for pair in pairs]
        made = {pair: bridges[pair].transport(test[pair[0]], **how) for pair in pairs}
        made |= {(j, i): bridges[i, j].transport(test[j], reverse=True, **how) for i, j in pairs}
    else:
        bridge = one_model(task, seed, _frozen(settings))
        route = "straight" if way.endswith("edges") else "barycentre"
        costs = [bridge.cost(i, j, route) for i, j in pairs]
        made = {
            (i, j): bridge.transport(test[i], source=i, target=j, route=route, **how)
            for i, j in permutations(range(3), 2)
        }
    w2 = [_w2(y, others[j], seed) for (_, j), y in made.items()]
    real = train if task == "digits" else test
    floor = [_w2(a, b, seed) for a, b in zip(real, others, strict=True)]
    values = {"W2": sum(w2) / 6, "W2 worst": max(w2), "W2 floor": sum(floor) / 3, "cost": sum(costs) / 3}
    if task == "digits":
        values["accuracy"] = sum(share_of(y, DIGITS[j]) for (_, j), y in made.items()) / 6
    arrays = {f"{i}{j}": y[:300].numpy() for (i, j), y in made.items()}
    return measured(values, arrays | {f"{i}{i}": x[:300].numpy() for i, x in enumerate(test)})


@lru_cache(maxsize=1)
def one_model(task: str, seed: int, settings: tuple[tuple[str, Any], ...]) -> Multimarginal:
    """All three densities at once."""
    table = dict(settings)
    return make(table, seed, table["steps"], densities=3).fit(*sets(task, seed, table["n"]).train)


def bridge_per_pair(
    task: str, seed: int, settings: Mapping[str, Any]
) -> dict[tuple[int, int], Multimarginal]:
    """Three models of two densities, a third of the steps each."""
    train = sets(task, seed, settings["n"]).train
    return {
        (i, j): make(settings, seed, max(1, settings["steps"] // 3)).fit(train[i], train[j])
        for i, j in combinations(range(3), 2)
    }


class Sets(NamedTuple):
    """Samples of each density: to learn from, to carry, and to compare with."""

    train: list[Tensor]
    test: list[Tensor]
    others: list[Tensor]


def sets(task: str, seed: int, n: int) -> Sets:
    """Three shapes in the plane with unit spread, or three digits; held-out digits are carried and compared with."""
    if task == "digits":
        parts = []
        for split in ("train", "test"):
            data = load("digits", split, dequantise=True)
            assert data.labels is not None
            parts.append([data.x[data.labels == k] for k in DIGITS])
        return Sets(parts[0], parts[1], parts[1])
    distributions = (Moons(), Rings(), EightGaussians())
    draws = [
        [
            distribution.sample(size, generator=seeded(seed, k, which)).float()
            for k, distribution in enumerate(distributions)
        ]
        for which, size in enumerate((20_000, n, n))
    ]
    spread = [x.std() for x in draws[0]]
    centre = [x.mean(0) for x in draws[0]]
    return Sets(*([(x - m) / s for x, m, s in zip(part, centre, spread, strict=True)] for part in draws))


# --- a snapshot left out --------------------------------------------------------------------------------------


def series(held: int, method: str, seed: int, settings: Mapping[str, Any]) -> Answered:
    """Predict the distribution of one window of time from the others."""
    windows = snapshots(settings["windows"])
    truth, before, after = windows[held], windows[held - 1], windows[held + 1]
    noise = seeded(seed, 9)
    if method.startswith("one model"):
        bridge = without(held, "optimal" in method, seed, _frozen(settings))
        edge: dict[str, Any] = {"source": held - 1, "target": held, "method": "heun"}
        edge["n_steps"] = settings["n_steps"]
        if method.endswith("map"):
            there = bridge.transport(before, **edge)
            back = bridge.transport(after, reverse=True, **edge)
            made = torch.cat([(before + there) / 2, (back + after) / 2])
        else:  # half of the predictions come from either side
            first = bridge.transport(before, stop=0.5, **edge)
            made = torch.cat([first, bridge.transport(after, reverse=True, start=0.5, **edge)])
    elif method.startswith("linear"):
        pairs = _pairs(before, after, method.endswith("optimal pairs"), noise)
        made = pairs.mean(1)
    else:
        made = {"window before": before, "window after": after, "both windows": torch.cat([before, after])}[
            method
        ]
    energy = energy_distance(made, truth)
    values = {"energy": energy.value, "energy error": energy.error, "W2": _w2(made, truth, seed)}
    half = torch.randperm(len(truth), generator=noise)
    values["W2 floor"] = _w2(truth[half[::2]], truth[half[1::2]], seed)
    return measured(values, {"made": made.numpy(), "truth": truth.numpy()})


@lru_cache(maxsize=1)
def without(held: int, optimal: bool, seed: int, settings: tuple[tuple[str, Any], ...]) -> Multimarginal:
    """One model of all windows but one."""
    table = dict(settings)
    rest = [x for k, x in enumerate(snapshots(table["windows"])) if k != held]
    coupling = "minibatch_ot" if optimal else "independent"
    options = {"coupling": coupling, "densities": len(rest)}
    return make(table, seed, table["steps"] // 2, **options).fit(*rest)


def snapshots(count: int) -> list[Tensor]:
    """Cells of four simulated runs, gathered in windows of equal length in time."""
    data = load("krumsiek11", "all", labels="time")
    assert data.labels is not None
    window = data.labels * count // 160
    return [data.x[window == k] for k in range(count)]


def _pairs(x: Tensor, y: Tensor, optimal: bool, generator: torch.Generator) -> Tensor:
    n = min(len(x), len(y))
    x, y = (
        x[torch.randperm(len(x), generator=generator)[:n]],
        y[torch.randperm(len(y), generator=generator)[:n]],
    )
    if optimal:
        found = MinibatchOT().pair(x, y, generator=generator)
        x, y = found.x0, found.x1
    return torch.stack([x, y], 1)


def _w2(x: Tensor, y: Tensor, seed: int) -> float:
    return sliced_wasserstein(x, y, generator=seeded(seed, 5)).value


def _frozen(settings: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(settings.items())


def share_of(x: Tensor, digit: int) -> float:
    """Share of images that a classifier of real ones takes for that digit."""
    return judge().accuracy(x, torch.full((len(x),), digit)).value


@lru_cache(maxsize=1)
def judge() -> Any:
    """The classifier of real digits."""
    from interpolants.metrics.label_classifier import LabelClassifier

    data = load("digits", "train", dequantise=True)
    assert data.labels is not None
    return LabelClassifier(data.x, data.labels)


# --- table and figures ---------------------------------------------------------------------------------------


_SHOWN = (
    "one model, optimal pairs",
    "one model, independent, by its map",
    "linear, optimal pairs",
    "both windows",
)


def table(results: Results) -> str:
    """Maps between three densities, and windows of time that were left out."""
    parts = [results.head]
    for task in ("shapes", "digits"):
        names = {"W2": 3, "W2 worst": 3, "W2 floor": 3, "cost": 2}
        names |= {"accuracy": 3} if task == "digits" else {}
        rows = results.rows({way: f"{task}: {way}" for way in WAYS}, names)
        head = ["", "sliced W2, mean of 6 maps", "worst map", "two true sets", "kinetic energy"]
        parts += [f"**{task}**\n", markdown([*head, "accuracy"][: len(names) + 1], rows)]
    held = range(1, results.settings["windows"] - 1)
    for name, title, digits in (("energy", "energy distance", 4), ("W2", "sliced W2", 3)):
        rows = [
            [method, *(results.shown(f"series, window {k}: {method}", name, digits) for k in held)]
            for method in SERIES
        ]
        parts.append(f"**series, {title} to the window left out**\n")
        parts.append(markdown(["", *(f"window {k}" for k in held)], rows))
    return "\n".join(parts)


def figures(results: Results) -> list[Figure]:
    """The nine panels of shapes, correspondents of digits, and the series in two genes' plane."""
    seed, made = results.seeds[0], []
    for task, draw in (("shapes", _shapes), ("digits", _digits)):
        stored = results.arrays(f"{task}: one model, edges", seed)
        made += [draw(stored)] if stored else []
    middle = results.settings["windows"] // 2
    by = {m: results.arrays(f"series, window {middle}: {m}", seed) for m in _SHOWN}
    return [*made, *([_series(by)] if all(by.values()) else [])]


def _shapes(stored: Mapping[str, Any]) -> Figure:
    names, panels = ("moons", "rings", "eight Gaussians"), []
    for i in range(3):
        for j in range(3):
            x = Axis(label="x1" if i == 2 else "", low=-3, high=3)
            y = Axis(label=f"from {names[i]}" if j == 0 else "", low=-3, high=3)
            title, series = f"to {names[j]}" if i == 0 else "", (cloud(stored[f"{i}{j}"], hue=int(i != j)),)
            panels.append(Panel(series=series, title=title, x=x, y=y, equal=True))
    return Figure(name="shapes", panels=tuple(panels), columns=3, width=620, height=620)


def _digits(stored: Mapping[str, Any]) -> Figure:
    panels = []
    for i in range(3):
        others = [j for j in range(3) if j != i]
        rows = [stored[f"{i}{j}"][:8, 0] for j in (i, *others)]
        one, two = (DIGITS[j] for j in others)
        panels.append(strips(rows, title=f"{DIGITS[i]}, and its {one} and {two}"))
    return Figure(name="digits", panels=tuple(panels), width=760, height=130)


def _series(by: Mapping[str, Mapping[str, Any]]) -> Figure:
    truth, panels = by[_SHOWN[0]]["truth"], []
    centre = truth.mean(0)
    plane = np.linalg.svd(truth - centre, full_matrices=False)[2][:2].T
    for name in _SHOWN:
        left_out = cloud((truth - centre) @ plane, "left out", "muted", size=10, alpha=0.6)
        predicted = cloud((by[name]["made"] - centre) @ plane, "predicted", 1, size=6)
        first = name == _SHOWN[0]
        axes = {"x": Axis(label="first component"), "y": Axis(label="second component" if first else "")}
        panels.append(Panel(series=(left_out, predicted), title=name, legend="best" if first else "", **axes))
    return Figure(name="series", panels=tuple(panels), width=960, height=270)


CLAIMS = (
    Stated("one_model.digits < pairs", ("digits: one model, edges", "W2"), ("digits: a bridge per pair", "W2")),
    Stated("one_model.shapes < pairs", ("shapes: one model, edges", "W2"), ("shapes: a bridge per pair", "W2"),
           expected="fails"),
    *(
        Stated(
            f"left_out_{k}.energy < means", (f"series, window {k}: one model, optimal pairs", "energy"),
            (f"series, window {k}: linear, optimal pairs", "energy"), "trivial", expected="fails",
        )
        for k in (1, 2, 3)
    ),
)  # fmt: skip

STUDY = Study("multimarginal", SETTINGS, cases, measure, table, figures, CLAIMS)
