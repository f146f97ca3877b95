"""Table and figures of the study of noise on thin data, and the study itself."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from studies.common import Results, Study, markdown, mean_and_error, shown
from studies.drawing import HUES, MARKS, figure, label, legend, save
from studies.singular import experiment
from studies.singular.experiment import CURVE_TRUE, DIGITS_TRUE, name

_WORDS = {"learnt": "s learnt", "fixed": "s fixed", "one draw": "s learnt, bound of one draw"}


def table(results: Results) -> str:
    """Distances by noise on the data; codimensions; digits; ratios that the claims are about."""
    text = f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error.\n\n"
    head = ["curve in space, noise on the data", "W1 to the law", "distance from the curve", "s"]
    rows = [
        _row(results, "curve", way, level, ("W1", "off the curve", "s"))
        for way, level in _all(results, "curve")
    ]
    rows.append(["true draws", shown(results.values(CURVE_TRUE, "W1")), "0", ""])
    text += markdown(head, rows)
    slopes = _slopes(results)
    if slopes:
        text += "\n" + markdown(["codimension from log-likelihoods", "slope"], slopes)
    rows = [_row(results, "digits", way, level, ("energy", "s"), 4) for way, level in _all(results, "digits")]
    rows.append(["training images", shown(results.values(DIGITS_TRUE, "energy"), 4), ""])
    text += "\n" + markdown(["digits, noise on the data", "energy distance to held-out images", "s"], rows)
    rows = _ratios(results)
    return text + ("\n" + markdown(["digits, ratio", "value", "seeds below 1"], rows) if rows else "")


def _all(results: Results, data: str) -> list[tuple[str, float]]:
    return [(way, level) for way in experiment.WAYS for level in results.settings[data].get(way, [])]


def _row(
    results: Results, data: str, way: str, level: float, names: tuple[str, ...], digits: int = 3
) -> list[str]:
    case = name(data, way, level)
    return [f"{level:g}, {_WORDS[way]}", *(shown(results.values(case, one), digits) for one in names)]


def _slopes(results: Results) -> list[list[str]]:
    """Slope of the likelihood between neighbouring noise levels, seed by seed."""
    rows = []
    levels = [level for level in results.settings["curve"]["learnt"] if level > 0]
    for low, high in pairwise(levels):
        first, second = (
            results.values(name("curve", "learnt", level), "log-likelihood") for level in (low, high)
        )
        found = [(a - b) / math.log(high / low) for a, b in zip(first, second, strict=False)]
        rows.append([f"noise {low:g} to {high:g}", shown(found, 2)])
    return rows


def _ratios(results: Results) -> list[list[str]]:
    rows = []
    for way in ("learnt", "one draw"):
        levels = results.settings["digits"].get(way, [])
        plain = results.values(name("digits", way, 0.0), "energy") if 0.0 in levels else []
        for level in levels:
            found = results.values(name("digits", way, level), "energy")
            if level > 0 and plain and len(found) == len(plain):
                ratios = [a / b for a, b in zip(found, plain, strict=True)]
                below = f"{sum(r < 1 for r in ratios)} of {len(ratios)}"
                rows.append([f"noise {level:g} / none, {_WORDS[way]}", shown(ratios, 2), below])
    return rows


def figures(results: Results, folder: Path) -> None:
    """Error against noise for both data sets; what the curve's samples look like; digits."""
    made = figure(900, 320)
    left, right = made.subplots(1, 2)
    _lines(left, results, "curve", "W1", CURVE_TRUE)
    label(left, title="Closed curve in space, 500 points", x="noise on the data", y="W1 to the law")
    legend(left)
    _lines(right, results, "digits", "energy", DIGITS_TRUE)
    label(right, title="Digits, 1,000 images", x="noise on the data", y="energy distance to held-out images")
    legend(right)
    save(made, folder / "noise.png", dpi=110)
    _samples(results, folder / "samples.png")


def _lines(axes: Any, results: Results, data: str, value: str, floor: str) -> None:
    for way, hue, mark in zip(experiment.WAYS, HUES, MARKS, strict=False):
        levels = results.settings[data].get(way, [])
        if not levels:
            continue
        found = [mean_and_error(results.values(name(data, way, level), value)) for level in levels]
        mean, error = np.array(found).T
        axes.errorbar(levels, mean, np.nan_to_num(error), color=hue, marker=mark, label=_WORDS[way])
    axes.axhline(
        mean_and_error(results.values(floor, value))[0], color="#777777", linestyle=":", label="true samples"
    )


def _samples(results: Results, file: Path) -> None:
    """Above, samples on the curve from above and aside; below, digits; one column for each noise."""
    curve, digits = (list(results.settings[d]["learnt"]) for d in ("curve", "digits"))
    curve = [level for level in curve if level in (0.0, 0.05, 0.1, 0.8)]
    made = figure(820, 470)
    upper, lower = made.subfigures(2, 1, height_ratios=(1.15, 1))
    for axes, level in zip(
        np.atleast_1d(upper.subplots(1, len(curve), subplot_kw={"projection": "3d"})), curve, strict=True
    ):
        stored = results.arrays(name("curve", "learnt", level), 0)
        if "made" in stored:
            x = stored["made"].astype(float)
            axes.scatter(*x.T, s=3, color=HUES[0], depthshade=False)
        a = np.linspace(0, 2 * np.pi, 200)
        axes.plot(np.cos(a), np.sin(a), 0.5 * np.cos(2 * a), color="#999999", linewidth=0.8)
        axes.set_title(f"noise {level:g}", fontsize=9)
        axes.set_xticks([]), axes.set_yticks([]), axes.set_zticks([])
        axes.view_init(35, 40)
    for axes, level in zip(np.atleast_1d(lower.subplots(1, len(digits))), digits, strict=True):
        stored = results.arrays(name("digits", "learnt", level), 0)
        axes.set_axis_off()
        axes.set_title(f"noise {level:g}", fontsize=9)
        if "made" in stored:
            tiles = [
                np.pad(x.reshape(8, 8).astype(float), 1, constant_values=-1) for x in stored["made"][:12]
            ]
            page = np.concatenate([np.concatenate(tiles[k : k + 4], 1) for k in (0, 4, 8)])
            axes.imshow(page, cmap="gray_r", vmin=-1, vmax=1, interpolation="nearest")
    save(made, file, dpi=100)


STUDY = Study(
    name="singular",
    settings=experiment.SETTINGS,
    cases=experiment.cases,
    measure=experiment.measure,
    table=table,
    figures=figures,
)
