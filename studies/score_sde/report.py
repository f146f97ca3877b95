"""Tables and figures of the study of score-based samplers, and the study itself."""

from pathlib import Path
from typing import Any

import numpy as np

from studies.common import Results, Study, markdown, mean_and_error, paired_gap, shown
from studies.drawing import HUES, figure, label, legend, save
from studies.score_sde.experiment import (
    CLASS,
    HEUN,
    HOLE,
    PATHS,
    PREDICTORS,
    SAMPLERS,
    SETTINGS,
    WAYS,
    cases,
    measure,
)


def table(results: Results) -> str:
    """Digits by predictor and way; gaps over seeds; the plane; the two tasks."""
    few = results.settings["few"]
    text = f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error.\n\n"
    head = ["digits", "evaluations", "Frechet distance", "true samples", f"the same of {few}", f"true {few}"]
    text += markdown(head, _digit_rows(results)) + "\n"
    text += markdown(
        ["compared over seeds", "ratio", "difference", "seeds in which the first is larger"], _gaps(results)
    )
    head = ["plane, three modes", "TV of shares", "true samples", "covariance, worst entry", "true samples"]
    rows = []
    for path in PATHS:
        for name in SAMPLERS:
            case = f"plane / {path} / {name}"
            columns = ("TV", "TV floor", "covariance", "covariance floor")
            rows.append([f"{path}, {name}", *(shown(results.values(case, column)) for column in columns)])
    text += "\n" + markdown(head, rows)
    rows = [
        [name, shown(results.values(case, name))] for case in (CLASS, HOLE) for name in results.names(case)
    ]
    return text + "\n" + markdown(["tasks without training", "value"], rows)


def _digit_rows(results: Results) -> list[list[str]]:
    rows = []
    for case in cases(results.settings):
        if not case.startswith("digits") or not results.values(case, "distance"):
            continue
        name = case.removeprefix("digits / ").replace(" / ", ", ")
        count = f"{results.values(case, 'evaluations')[0]:.0f}"
        columns = ("distance", "floor", "few", "few floor")
        rows.append([name, count, *(shown(results.values(case, column)) for column in columns)])
    return rows


def _gaps(results: Results) -> list[list[str]]:
    """Predictor against predictor and corrector: as many steps, and as many evaluations."""
    rows = []
    for predictor in PREDICTORS:
        with_it = results.values(f"digits / {predictor} / PC", "distance")
        for way in WAYS[:2]:
            alone = results.values(f"digits / {predictor} / {way}", "distance")
            if not with_it or len(alone) != len(with_it):
                continue
            mean, error, above = paired_gap(alone, with_it)
            ratio = mean_and_error([a / b for a, b in zip(alone, with_it, strict=True)])[0]
            gap = f"{mean:.3f} ± {error:.3f}" if np.isfinite(error) else f"{mean:.3f}"
            rows.append([f"{predictor}: {way} / PC", f"{ratio:.2f}", gap, f"{above} of {len(alone)}"])
    return rows


def figures(results: Results, folder: Path) -> None:
    """Distances as bars; digits of the samplers and of the tasks."""
    _distances(results, folder / "distances.png")
    _pictures(results, folder / "digits.png")


def _distances(results: Results, file: Path) -> None:
    made = figure(760, 300)
    axes = made.add_subplot(1, 1, 1)
    width = 0.25
    for place, (way, hue) in enumerate(zip(WAYS[:3], HUES, strict=False)):
        found = [results.values(f"digits / {predictor} / {way}", "distance") for predictor in PREDICTORS]
        means = [mean_and_error(values)[0] for values in found]
        errors = [np.nan_to_num(mean_and_error(values)[1]) for values in found]
        at = np.arange(len(means)) + (place - 1) * width
        name = {"P": "predictor", "P, twice the steps": "predictor, twice the steps", "PC": "with corrector"}[
            way
        ]
        axes.bar(at, means, width, yerr=errors, color=hue, label=name, ecolor="#333333")
    floor = [v for case in cases(results.settings) for v in results.values(case, "floor")]
    axes.axhline(float(np.mean(floor)), color="#777777", linestyle=":", label="true samples")
    heun = results.values(f"digits / {HEUN} / P", "distance")
    if heun:
        axes.axhline(
            float(np.mean(heun)),
            color=HUES[3],
            linestyle="--",
            label="Heun's flow, as many evaluations as PC",
        )
    axes.set_yscale("log")
    axes.set_xticks(range(len(PREDICTORS)), list(PREDICTORS))
    steps = results.settings["steps"]
    label(axes, title=f"Digits, exact score, {steps} steps", y="Frechet distance to the law")
    legend(axes, ncols=2)
    save(made, file)


def _pictures(results: Results, file: Path) -> None:
    rows: dict[str, Any] = {}
    seed = results.seeds[0]
    for name, case in (
        ("reverse flow, P", "digits / reverse flow / P"),
        ("reverse flow, PC", "digits / reverse flow / PC"),
        ("ancestral, PC", "digits / ancestral / PC"),
        ("asked for 0 to 9", CLASS),
    ):
        rows[name] = results.arrays(case, seed).get("made")
    hole = results.arrays(HOLE, seed)
    names = {
        "whole": "whole",
        "P": "lower half in-painted",
        "PC": "… with corrector",
        "exact": "drawn exactly",
    }
    rows |= {title: hole.get(key) for key, title in names.items()}
    rows = {name: images for name, images in rows.items() if images is not None}
    if not rows:
        return
    made = figure(620, 56 * len(rows))
    for axes, (name, images) in zip(np.atleast_1d(made.subplots(len(rows), 1)), rows.items(), strict=True):
        strip = np.concatenate([np.pad(image.reshape(8, 8), 1, constant_values=-1) for image in images], 1)
        axes.imshow(strip.astype(np.float32), cmap="gray_r", vmin=-1, vmax=1, interpolation="nearest")
        axes.set_axis_off()
        axes.text(-0.02, 0.5, name, ha="right", va="center", fontsize=9, transform=axes.transAxes)
    save(made, file, dpi=100)


STUDY = Study(
    name="score_sde",
    settings=SETTINGS,
    cases=cases,
    measure=measure,
    table=table,
    figures=figures,
)
