"""Table and figure of the guidance study, and the study itself."""

from pathlib import Path

import numpy as np

from studies.common import Results, Study, markdown, mean_and_error, shown
from studies.drawing import HUES, MARKS, figure, label, legend, save
from studies.guidance import experiment

COLUMNS = {"accuracy": 3, "diversity": 3, "W2": 3, "W2 floor": 3, "outside": 3, "accuracy on real": 3}


def table(results: Results) -> str:
    """A row for every strength and interval."""
    rows = [
        [case, *(shown(results.values(case, name), digits) for name, digits in COLUMNS.items())]
        for case in experiment.cases(results.settings)
        if results.values(case, "W2")
    ]
    head = [
        "guidance",
        "accuracy",
        "diversity",
        "sliced W2 to held-out digits",
        "real training digits",
        "pixels out of range",
        "accuracy on real",
    ]
    return f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error.\n\n" + markdown(head, rows)


def figures(results: Results, folder: Path) -> None:
    """Accuracy, diversity and distance against strength, and samples at three strengths."""
    made = figure(1180, 320)
    *panels, right = made.subplots(1, 4, width_ratios=(1, 1, 1, 1.3))
    cases = [case for case in experiment.cases(results.settings) if results.values(case, "W2")]
    places = dict.fromkeys(case.rpartition(",")[0] for case in cases)
    named = {
        "accuracy": ("Right digit", "share, by a classifier", "accuracy on real", "real digits"),
        "diversity": ("Diversity within a class", "relative to real digits", "", ""),
        "W2": ("Distance to held-out digits", "sliced W2", "W2 floor", "real training digits"),
    }
    for axes, (key, (title, y, reference, name)) in zip(panels, named.items(), strict=True):
        for place, hue, mark in zip(places, HUES, MARKS, strict=False):
            members = [case for case in cases if case.rpartition(",")[0] == place]
            w = [float(case.rpartition("= ")[2]) for case in members]
            values = [mean_and_error(results.values(case, key))[0] for case in members]
            axes.plot(w, values, color=hue, marker=mark, label=f"guidance {place}")
        level = mean_and_error(results.values(cases[0], reference))[0] if reference else 1.0
        axes.axhline(level, color="#777777", linestyle=":", label=name or "real digits")
        label(axes, title=title, x="strength w", y=y)
        legend(axes)
    strengths = [w for w in (0.0, 1.0, 3.0) if f"{experiment.EVERYWHERE}, w = {w:g}" in cases]
    strips = [
        results.arrays(f"{experiment.EVERYWHERE}, w = {w:g}", results.seeds[0])["made"][:20, 0]
        for w in strengths
    ]
    right.set_axis_off()
    if strips:
        page = np.concatenate([_strip(images) for images in strips])
        right.imshow(page, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
        for k, w in enumerate(strengths):
            right.text(
                -1, (k + 0.5) * len(page) / len(strengths), f"w = {w:g}", ha="right", va="center", fontsize=8
            )
        right.set_title("Asked for 0 to 9, twice", fontsize=9)
    save(made, folder / "guidance.png", dpi=110)


def _strip(images: np.ndarray) -> np.ndarray:
    """Twenty images in two rows of ten, with a margin."""
    framed = np.pad(images, ((0, 0), (0, 1), (0, 1)), constant_values=1.0)
    rows = [np.concatenate(list(framed[10 * k : 10 * (k + 1)]), 1) for k in range(2)]
    return np.pad(np.concatenate(rows), ((0, 3), (0, 0)), constant_values=1.0)


STUDY = Study(
    name="guidance",
    settings=experiment.SETTINGS,
    cases=experiment.cases,
    measure=experiment.measure,
    table=table,
    figures=figures,
)
