"""Tables and figures of the study of inverse problems, and the study itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from studies.common import Results, Study, markdown, mean_and_error, paired_gap, shown
from studies.drawing import HUES, MARKS, figure, label, legend, save
from studies.inverse_problems import experiment as e

DIGITS = {"PSNR": 2, "residual": 4, "off the exact mean": 3, "evaluations": 0, "seconds": 1}
PLANE = {
    "off, in posterior std": 3,
    "log evidence error": 3,
    "log evidence told": 3,
    "evaluations": 0,
    "seconds": 1,
}


def table(results: Results) -> str:
    """A table per task, then the claims."""
    parts = [f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error.\n"]
    for task, columns in (
        (e.HALF, DIGITS),
        (e.SATURATED, DIGITS),
        (e.FOURIER, DIGITS),
        (e.LINEAR, PLANE),
        (e.RING, PLANE),
    ):
        rows = [
            [
                case.partition(": ")[2],
                *(shown(results.values(case, key), digits) for key, digits in columns.items()),
            ]
            for case in e.cases(results.settings)
            if case.startswith(f"{task}: ") and results.names(case)
        ]
        parts += [f"**{task[0].upper()}{task[1:]}**\n", markdown(["", *columns], rows)]
    return "\n".join([*parts, "**Claims**, in dB\n", _claims(results)])


def _claims(results: Results) -> str:
    many, few = results.settings["many"], results.settings["few"]
    paper, short = f"RED-diff, {many} steps", f"RED-diff, {few} steps"
    pairs, best = f"RED-diff, {few} pairs", f"RED-diff, {many // 2} pairs"
    wanted: Sequence[tuple[str, str, str, float]] = (
        ("RED-diff over the better DPS, at least", paper, "", 0.5),
        ("pairs over the better DPS, at least", pairs, "", 0.5),
        ("exact mean over RED-diff, at most", e.EXACT, paper, -2.5),
        (f"{many} over {few} steps, at most", paper, short, -0.5),
        (f"{many // 2} over {few} pairs, at most", best, pairs, -0.5),
        ("descending over random, at least", paper, f"{paper}, random times", 3.0),
        ("descending over ascending, at least", paper, f"{paper}, ascending", 3.0),
    )
    lines = []
    for text, first, second, limit in wanted:
        one, other = (_psnr(results, how) for how in (first, second or _better_push(results)))
        if not one or not other:
            continue
        gap, error, _ = paired_gap(one, other)
        held = gap >= limit if limit > 0 else gap <= -limit
        lines.append(
            [text, f"{abs(limit):g}", f"{gap:.2f} ± {error:.2f}", "holds" if held else "does not hold"]
        )
    return markdown(["", "limit", "found", "verdict"], lines)


def _psnr(results: Results, how: str) -> list[float]:
    return results.values(f"{e.HALF}: {how}", "PSNR")


def _better_push(results: Results) -> str:
    return max(("DPS, 0.3", "DPS, 1"), key=lambda how: mean_and_error(_psnr(results, how))[0])


def figures(results: Results, folder: Path) -> None:
    """Restored digits of the first seed, and quality against evaluations."""
    made = figure(940, 300)
    axes = made.subplots(1, 2, width_ratios=[1.5, 1])
    _album(axes[0], results)
    _budget(axes[1], results)
    save(made, folder / "inverse_problems.png", dpi=110)


def _album(axes: Any, results: Results) -> None:
    """Rows of digits: what was seen, the answers, the truth."""
    paper, pairs, *_ = e.few_options(results.settings)
    columns = []
    for task in (e.HALF, e.SATURATED):
        stored = {
            how: results.arrays(f"{task}: {how}", results.seeds[0])
            for how in (e.START, paper, pairs, "DPS, 0.3", e.SMC)
        }
        if not all(stored.values()):
            axes.set_axis_off()
            return
        names = ("seen", "RED-diff", "pairs", "DPS", "particles")
        columns += [(text, found["x"]) for text, found in zip(names, stored.values(), strict=True)]
        columns.append(("truth", stored[e.START]["truth"]))
    rows = min(4, len(columns[0][1]))
    page = np.full((rows * 9 - 1, len(columns) * 9 + 2), np.nan)
    edges = [9 * c + (3 if c >= len(columns) // 2 else 0) for c in range(len(columns))]
    for left, (_, stack) in zip(edges, columns, strict=True):
        for r in range(rows):
            page[9 * r : 9 * r + 8, left : left + 8] = stack[r].reshape(8, 8)
    axes.imshow(page, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    label(axes)
    axes.grid(False)
    axes.set_yticks([])
    axes.set_xticks([left + 3.5 for left in edges], [text for text, _ in columns], fontsize=7, rotation=60)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    middle = len(columns) * 9 / 2
    for place, text in (
        (middle / 2, "half of the pixels hidden"),
        (1.5 * middle + 2, "saturated at half the range"),
    ):
        axes.text(place, -2.0, text, ha="center", fontsize=9)


def _budget(axes: Any, results: Results) -> None:
    """PSNR against evaluations, half of the pixels hidden."""
    many, few = results.settings["many"], results.settings["few"]
    curves = {
        "one draw per step": [f"RED-diff, {few} steps", f"RED-diff, {many} steps"],
        "pairs, averages of the run's length": [f"RED-diff, {n} pairs" for n in (few // 2, few, many // 2)],
        "random times": [f"RED-diff, {many} steps, random times"],
        "DPS, the better": [_better_push(results)],
    }
    for k, (text, names) in enumerate(curves.items()):
        cases = [f"{e.HALF}: {name}" for name in names]
        calls = [np.mean(results.values(case, "evaluations") or [np.nan]) for case in cases]
        found = [mean_and_error(results.values(case, "PSNR")) for case in cases]
        axes.errorbar(
            calls,
            [mean for mean, _ in found],
            yerr=[error for _, error in found],
            color=HUES[k],
            marker=MARKS[k],
            markersize=5,
            linestyle="-" if len(names) > 1 else "",
            label=text,
        )
    exact = _psnr(results, e.EXACT)
    if exact:
        axes.axhline(np.mean(exact), color="#777777", linewidth=1, label="exact posterior mean")
    axes.set_xscale("log")
    label(axes, title="half of the pixels hidden", x="evaluations of the denoiser", y="PSNR, dB", grid="y")
    legend(axes, loc="lower right")


STUDY = Study(
    name="inverse_problems",
    settings=e.SETTINGS,
    cases=e.cases,
    measure=e.measure,
    table=table,
    figures=figures,
)
