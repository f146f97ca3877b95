"""Tables and figures of the multimarginal study, and the study itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from studies.common import Results, Study, markdown, shown
from studies.drawing import HUES, figure, label, save
from studies.multimarginal import experiment

_SHOWN = (
    "one model, optimal pairs",
    "one model, independent, by its map",
    "linear, optimal pairs",
    "both windows",
)


def table(results: Results) -> str:
    """Maps between three densities, and windows of time that were left out."""
    parts = [f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error over seeds.\n"]
    for task in ("shapes", "digits"):
        names = {"W2": 3, "W2 worst": 3, "W2 floor": 3, "cost": 2} | (
            {"accuracy": 3} if task == "digits" else {}
        )
        rows = [
            [way, *(shown(results.values(f"{task}: {way}", name), digits) for name, digits in names.items())]
            for way in experiment.WAYS
        ]
        head = ["", "sliced W2, mean of 6 maps", "worst map", "two true sets", "kinetic energy"]
        parts += [f"**{task}**\n", markdown([*head, "accuracy"][: len(names) + 1], rows)]
    held = range(1, results.settings["windows"] - 1)
    for name, title, digits in (("energy", "energy distance", 4), ("W2", "sliced W2", 3)):
        rows = [
            [method, *(shown(results.values(f"series, window {k}: {method}", name), digits) for k in held)]
            for method in experiment.SERIES
        ]
        parts += [
            f"**series, {title} to the window left out**\n",
            markdown(["", *(f"window {k}" for k in held)], rows),
        ]
    return "\n".join(parts)


def figures(results: Results, folder: Path) -> None:
    """The nine panels of shapes, correspondents of digits, and the series in two genes' plane."""
    seed = results.seeds[0]
    stored = results.arrays("shapes: one model, edges", seed)
    if stored:
        _grid(stored, folder / "shapes.png")
    stored = results.arrays("digits: one model, edges", seed)
    if stored:
        _digits(stored, folder / "digits.png")
    middle = results.settings["windows"] // 2
    by = {m: results.arrays(f"series, window {middle}: {m}", seed) for m in _SHOWN}
    if all(by.values()):
        _series(by, folder / "series.png")


def _grid(stored: Mapping[str, Any], path: Path) -> None:
    made = figure(620, 620)
    axes = made.subplots(3, 3, sharex=True, sharey=True)
    names = ("moons", "rings", "eight Gaussians")
    for i in range(3):
        for j in range(3):
            x = stored[f"{i}{j}"]
            axes[i][j].scatter(x[:, 0], x[:, 1], s=3, color=HUES[0] if i == j else HUES[1], linewidths=0)
            axes[i][j].set(aspect="equal", xlim=(-3, 3), ylim=(-3, 3))
            title = f"to {names[j]}" if i == 0 else ""
            label(axes[i][j], title=title, x="x1" if i == 2 else "", y=f"from {names[i]}" if j == 0 else "")
    save(made, path, dpi=100)


def _digits(stored: Mapping[str, Any], path: Path) -> None:
    made = figure(760, 130)
    axes = made.subplots(1, 3)
    for i in range(3):
        columns = [stored[f"{i}{i}"][:8, 0]] + [stored[f"{i}{j}"][:8, 0] for j in range(3) if j != i]
        framed = [np.pad(column, ((0, 0), (0, 1), (0, 1)), constant_values=1) for column in columns]
        page = np.concatenate([np.concatenate(list(column), 1) for column in framed])
        axes[i].imshow(page, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
        axes[i].set_axis_off()
        to = [experiment.DIGITS[j] for j in range(3) if j != i]
        axes[i].set_title(f"{experiment.DIGITS[i]}, and its {to[0]} and {to[1]}", fontsize=9)
    save(made, path, dpi=100)


def _series(by: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    made = figure(960, 270)
    truth = by[_SHOWN[0]]["truth"]
    centre = truth.mean(0)
    plane = np.linalg.svd(truth - centre, full_matrices=False)[2][:2].T
    for axes, name in zip(made.subplots(1, 4, sharex=True, sharey=True), _SHOWN, strict=True):
        axes.scatter(*((truth - centre) @ plane).T, s=10, color="#999999", linewidths=0, label="left out")
        axes.scatter(
            *((by[name]["made"] - centre) @ plane).T, s=6, color=HUES[1], linewidths=0, label="predicted"
        )
        label(axes, title=name, x="first component", y="second component" if name == _SHOWN[0] else "")
    axes.legend(frameon=False, fontsize=7)
    save(made, path, dpi=110)


STUDY = Study(
    name="multimarginal",
    settings=experiment.SETTINGS,
    cases=experiment.cases,
    measure=experiment.measure,
    table=table,
    figures=figures,
)
