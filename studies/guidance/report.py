"""Table and figure of the guidance study, and the study itself."""

from pathlib import Path

import numpy as np

from studies.common import Results, Study, markdown, mean_and_error, shown
from studies.drawing import HUES, MARKS, figure, label, legend, save
from studies.guidance import experiment

COLUMNS = {"accuracy": 3, "diversity": 3, "W2": 3, "W2 floor": 3, "accuracy on real": 3}


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
        "accuracy on real",
    ]
    return f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error.\n\n" + markdown(head, rows)


def figures(results: Results, folder: Path) -> None:
    """Accuracy against diversity, distance against strength, and samples at three strengths."""
    made = figure(1000, 330)
    left, middle, right = made.subplots(1, 3)
    cases = [case for case in experiment.cases(results.settings) if results.values(case, "W2")]
    groups = {
        name: [c for c in cases if c.rpartition(",")[0] == name]
        for name in dict.fromkeys(c.rpartition(",")[0] for c in cases)
    }
    for (name, members), hue, mark in zip(groups.items(), HUES, MARKS, strict=False):
        w = [float(case.rpartition("= ")[2]) for case in members]
        numbers = {
            key: np.array([mean_and_error(results.values(case, key))[0] for case in members])
            for key in ("accuracy", "diversity", "W2")
        }
        left.plot(numbers["diversity"], numbers["accuracy"], color=hue, marker=mark, label=name)
        for strength, x, y in zip(w, numbers["diversity"], numbers["accuracy"], strict=True):
            left.annotate(f"{strength:g}", (x, y), textcoords="offset points", xytext=(4, -9), fontsize=7)
        middle.plot(w, numbers["W2"], color=hue, marker=mark, label=name)
    if cases:
        floor = mean_and_error(results.values(cases[0], "W2 floor"))[0]
        middle.axhline(floor, color="#777777", linestyle=":", label="real training digits")
    label(
        left,
        title="Strength w at each point",
        x="diversity within a class (real = 1)",
        y="accuracy of a classifier",
    )
    label(middle, title="Distance to held-out digits", x="strength w", y="sliced W2")
    legend(left, loc="lower left")
    legend(middle, loc="upper left")
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
