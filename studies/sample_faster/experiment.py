"""Which way to sample faster: quality against seconds and evaluations, on two sets of images.

Handwritten digits, 8 x 8, and Fashion-MNIST, 28 x 28. Every way learns from the same rows with the same U-Net and as
many steps of training as it is given here; early exit needs a transformer, and stands beside its own in full. Samples
are compared with test images by Fréchet distances, in the features of a classifier that no sampler was trained on, and
in 20 principal components. Seconds are of one process: the machine may be busy.
"""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from interpolants.foundations.tell import FitWarning
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel
from interpolants.framework.seeds import MARKERS, Results, Stated, markdown
from studies.common import Study
from studies.sample_faster.judge import DIGITS, FASHION, distances, images, judge
from studies.sample_faster.systems import EXIT, FEW, FITTED, MAP, ONCE, STRAIGHT, SYSTEMS, Budget

Settings = Mapping[str, Any]
SEEDS = (0, 1, 2)  # what a whole table has
_FIRST = 64


def _own(
    rows: int,
    steps: int,
    batch: int,
    judged: int,
    n: int,
    net: Settings,
    transformer: Settings,
    grid: Sequence[int],
) -> dict[str, Any]:
    """Settings of one data set; further trainings are shares of that of the base."""
    unet = {"kind": "unet", "blocks": 1, "attention": [], **net}
    layers = {"kind": "image_transformer", "attention_heads": 2, **transformer}
    return {
        "rows": rows, "steps": steps, "batch": batch, "judge": judged, "n": n, "pairs": 20, "net": unet,
        "few": {"steps": max(steps // 16, 3), "batch": 4 * batch, "micro": batch},
        "grid": {"rows": min(n, 128), "cells": grid[0]},
        "transformer": layers, "exits": {"steps": max(steps // 4, 3), "trial": grid[1]},
    }  # fmt: skip


_SMALL, _FAR = {"channels": 16, "multipliers": [1, 2, 2]}, {"channels": 8, "multipliers": [1, 2, 4]}
_TINY, _FLAT = {"channels": 4, "multipliers": [1, 2, 2]}, {"patch": 4, "width": 8, "depth": 3}
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {DIGITS: _own(200, 6, 16, 10, 32, _TINY, _FLAT, (4, 4)),
              FASHION: _own(200, 3, 8, 5, 24, _TINY, {**_FLAT, "patch": 7}, (4, 2))},
    "laptop": {DIGITS: _own(1437, 1600, 64, 1500, 1000, _SMALL, {"patch": 2, "width": 32, "depth": 6}, (24, 64)),
               FASHION: _own(4000, 1600, 64, 1500, 500, _FAR, {"patch": 4, "width": 48, "depth": 6}, (24, 64))},
    "full": {DIGITS: _own(1437, 20_000, 128, 4000, 1437, {**_SMALL, "channels": 32},
                          {"patch": 1, "width": 64, "depth": 8}, (48, 128)),
             FASHION: _own(60_000, 40_000, 128, 10_000, 2000, {**_FAR, "channels": 16},
                           {"patch": 2, "width": 64, "depth": 8}, (48, 128))},
}  # fmt: skip


def cases(settings: Settings) -> Sequence[str]:
    """Every way on every data set."""
    return [f"{data}: {system}" for data in (DIGITS, FASHION) for system in SYSTEMS]


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """Train one way, and draw by all its samplers."""
    data, _, system = case.partition(": ")
    own = settings[data]
    values, timed = _known(data, own) if system == ONCE else {}, []
    begun = time.process_time()
    with warnings.catch_warnings():
        for kind in (FitWarning, FitWarning):
            warnings.simplefilter("ignore", kind)  # it is what is being measured
        for row in SYSTEMS[system](Budget(data, seed, own)):
            values[f"{row.name}, training"] = time.process_time() - begun
            row.make(min(_FIRST, own["n"]), seed)  # what a model does once is not a price of its samples
            begun = time.process_time()
            x = row.make(own["n"], seed)
            values[f"{row.name}, seconds"] = (time.process_time() - begun) * 1000 / own["n"]
            values[f"{row.name}, evaluations"] = row.evaluations
            found = distances(x, data, own["rows"], own["judge"])
            values |= {f"{row.name}, {name}": value for name, value in found.items()}
            timed += [f"{row.name}, training", f"{row.name}, seconds"]
            begun = time.process_time()
    return measured(values, timed=timed)


def _known(data: str, own: Settings) -> dict[str, float]:
    """The floor: real rows in place of samples; and how well the classifier reads."""
    real = images(data, own["rows"])
    floor = distances(real.train[: own["n"]], data, own["rows"], own["judge"])
    seen = judge(data, own["rows"], own["judge"]).accuracy(real.test, real.test_labels)
    return {**{f"real rows, {name}": value for name, value in floor.items()}, "accuracy": seen}


# --- table and figures ---------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """One table a data set, and what is missing."""
    text = results.head
    for data in (DIGITS, FASHION):
        text += f"\n{data[0].upper()}{data[1:]}\n\n"
        rows = [row for case in _cases(results, data) for row in _rows(results, case)]
        text += markdown(_HEAD, [*rows, *_floor(results, data)]) if rows else "Not measured.\n"
    return text + "\n" + _missing(results)


_HEAD = ["sampler", "trained beside the base", "evaluations", "seconds for 1000", "distance, classifier",
         "distance, components"]  # fmt: skip
_BESIDE = {
    ONCE: "–",
    FEW: "some steps",
    FITTED: "some steps; a map as many steps",
    STRAIGHT: "instead of it",
    MAP: "instead of it",
    EXIT: "instead of it",
}


def _cases(results: Results, data: str) -> list[str]:
    return [case for case in cases(results.settings) if case in results.cases and case.startswith(data)]


def _samplers(results: Results, case: str) -> list[str]:
    """Names of the samplers of a case."""
    ending = ", evaluations"
    return [name.removesuffix(ending) for name in results.names(case) if name.endswith(ending)]


def _rows(results: Results, case: str) -> list[list[str]]:
    best = _front(results, case.partition(":")[0])
    found = []
    for name in _samplers(results, case):
        label = f"**{name}**" if (case, name) in best else name
        calls = f"{results.mean(case, f'{name}, evaluations'):.0f}"
        numbers = [results.shown(case, f"{name}, {what}", 2) for what in ("seconds", "judge", "components")]
        found.append([label, _BESIDE[case.partition(": ")[2]], calls, *numbers])
    return found


def _front(results: Results, data: str) -> set[tuple[str, str]]:
    """Samplers that none is better than at their seconds, or faster than at their distance."""
    points = [
        (results.mean(case, f"{name}, seconds"), results.mean(case, f"{name}, judge"), (case, name))
        for case in _cases(results, data)
        for name in _samplers(results, case)
    ]
    best, found = float("inf"), set()
    for _, distance, who in sorted(points):
        if distance < best:
            best = distance
            found.add(who)
    return found


def _floor(results: Results, data: str) -> list[list[str]]:
    case = f"{data}: {ONCE}"
    numbers = [results.shown(case, f"real rows, {what}", 2) for what in ("judge", "components")]
    return [["real rows", "–", "–", "–", *numbers]] if case in results.cases else []


def _missing(results: Results) -> str:
    """What a whole table has and this one has not."""
    gaps = []
    for case in cases(results.settings):
        there = {seed for seed in SEEDS if results.only(seed).names(case)}
        absent = [str(seed) for seed in SEEDS if seed not in there]
        if absent:
            gaps.append(f"{case} (seeds {', '.join(absent)})")
    return (
        f"Not measured: {'; '.join(gaps)}.\n" if gaps else "Nothing is missing: three seeds of every way.\n"
    )


def figures(results: Results) -> list[Figure]:
    """Distance against seconds, a curve for every way."""
    panels = tuple(_panel(results, data) for data in (DIGITS, FASHION) if _cases(results, data))
    if not panels:
        return []
    return [
        Figure(name="sample_faster", panels=panels, width=620 * len(panels), height=460, legend_columns=5)
    ]


# Ways in the figure: their name, the system, and how names of their samplers begin and end.
_CURVES = (
    ("DDIM", ONCE, lambda name: name.startswith("DDIM") and "," not in name),
    ("midpoint", ONCE, lambda name: name.startswith("midpoint") and "," not in name),
    ("2M", ONCE, lambda name: name.startswith("2M") and "," not in name),
    ("2M, grid and more", ONCE, lambda name: name.startswith("2M") and "," in name),
    ("DDIM, propagation or shift", ONCE, lambda name: name.startswith("DDIM") and "," in name),
    ("few steps trained by MMD", FEW, lambda name: name.endswith("MMD")),
    ("base moved, fitted solver", FITTED, lambda name: name.startswith("base moved, fitted")),
    ("flow map of the base", FITTED, lambda name: name.startswith("flow map")),
    ("straight, Euler", STRAIGHT, lambda name: name.startswith("straight, Euler")),
    ("rectified, Euler", STRAIGHT, lambda name: name.startswith("rectified, Euler")),
    ("flow map", MAP, lambda name: True),
    ("transformer, early exit", EXIT, lambda name: True),
)


def _panel(results: Results, data: str) -> Panel:
    series = []
    for hue, (label, system, belongs) in enumerate(_CURVES):
        case = f"{data}: {system}"
        names = [name for name in _samplers(results, case) if belongs(name)] if case in results.cases else []
        names.sort(key=lambda name: results.mean(case, f"{name}, seconds"))
        if names:
            x = [results.mean(case, f"{name}, seconds") for name in names]
            loose = system == ONCE and "," in names[0]  # samplers of one price: no curve
            dash = "" if loose else ":" if system == EXIT else "-" if hue < len(MARKERS) else "--"
            series.append(
                results.curve(x, [(case, f"{name}, judge") for name in names], label, hue, dash=dash)
            )
    y = Axis(label="Fréchet distance, classifier", scale="log", grid=True)
    x_axis = Axis(label="seconds for 1000 images", scale="log")
    return Panel(series=tuple(series), title=data, x=x_axis, y=y)


# What came out otherwise than hoped for.
_KNOWN = {
    "digits_grid.distance < even": "undecided",
    "digits_shift.distance < plain": "fails",
    "digits_mmd.components < 0.1 ddim": "fails",
    "digits_mmd.distance < midpoint": "fails",
    "digits_map_of_base.distance < 1.3 ddim": "fails",  # its teacher was trained to predict the noise
    "digits_map_of_base.distance < map": "fails",
    "digits_exit.distance < 1.2 full": "fails",
    "digits_exit.distance < static": "undecided",
    "fashion_grid.distance < even": "fails",  # even steps, the default of 2M, are the best of the grids
    "fashion_unipc_5.distance < ddim_10": "undecided",
    "fashion_refreshed.distance < held": "undecided",
    "fashion_shift.distance < plain": "undecided",
    "fashion_mmd.components < 0.1 ddim": "undecided",
    "fashion_mmd.distance < midpoint": "fails",
    "fashion_mmd_midpoint.distance < 0.5 untrained": "undecided",
    "fashion_exit.distance < 1.2 full": "fails",
    "fashion_exit.distance < static": "fails",
}


def _claims(data: str) -> tuple[Stated, ...]:
    def distance(system: str, name: str, what: str = "judge") -> tuple[str, str]:
        return f"{data}: {system}", f"{name}, {what}"

    few = [distance(FEW, name, "components") for name in ("DDIM 2, MMD", "DDIM 2")]
    exits = [distance(EXIT, f"transformer, DDIM 20, {rule}") for rule in ("relative", "full", "static 4")]
    found = (
        Stated(f"{data}_2m.distance < ddim", distance(ONCE, "2M 10"), distance(ONCE, "DDIM 10")),
        Stated(f"{data}_grid.distance < even", distance(ONCE, "2M 10, grid"), distance(ONCE, "2M 10")),
        Stated(f"{data}_unipc_5.distance < ddim_10", distance(ONCE, "UniPC-3 5"), distance(ONCE, "DDIM 10")),
        Stated(f"{data}_refreshed.distance < held", distance(ONCE, "DDIM 20, propagation, refreshed"),
               distance(ONCE, "DDIM 10"), "trivial"),
        Stated(f"{data}_shift.distance < plain", distance(ONCE, "DDIM 10, shift"), distance(ONCE, "DDIM 10")),
        Stated(f"{data}_mmd.components < 0.1 ddim", *few),
        Stated(f"{data}_mmd.distance < midpoint", distance(FEW, "DDIM 2, MMD"), distance(FEW, "midpoint 1"),
               "trivial"),
        Stated(f"{data}_mmd_midpoint.distance < 0.5 untrained", distance(FEW, "midpoint 1, MMD"),
               distance(FEW, "midpoint 1")),
        Stated(f"{data}_solver.distance < 0.5 midpoint", distance(FITTED, "base moved, fitted solver 4"),
               distance(FITTED, "base moved, midpoint 2")),
        Stated(f"{data}_map_of_base.distance < 1.3 ddim", distance(FITTED, "flow map of the base 1"),
               distance(ONCE, "DDIM 50")),
        Stated(f"{data}_map_of_base.distance < map", distance(FITTED, "flow map of the base 1"),
               distance(MAP, "flow map 1")),
        Stated(f"{data}_rectified.distance < straight", distance(STRAIGHT, "rectified, Euler 1"),
               distance(STRAIGHT, "straight, Euler 1")),
        Stated(f"{data}_exit.distance < 1.2 full", exits[0], exits[1]),
        Stated(f"{data}_exit.distance < static", exits[0], exits[2], "trivial"),
    )  # fmt: skip
    return tuple(replace(one, expected=_KNOWN.get(one.says, "holds")) for one in found)


CLAIMS = (*_claims(DIGITS), *_claims(FASHION))

STUDY = Study("sample_faster", SETTINGS, cases, measure, table, figures, CLAIMS)
