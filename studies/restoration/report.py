"""Table and figure of the restoration study, and the study itself."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps

from studies.common import Results, Study, markdown, shown
from studies.drawing import figure, save
from studies.restoration import experiment

COLUMNS = {
    "MSE one": ("MSE, one draw", 4),
    "MSE mean": ("MSE, mean of draws", 4),
    "spread/skill": ("spread/skill", 2),
    "detail": ("detail, of the true", 2),
    "MSE known": ("MSE of what is known", 5),
    "W2": ("sliced W2", 3),
    "W2 pasted": ("sliced W2, known pixels pasted", 3),
    "W2 few steps": ("sliced W2, few steps", 3),
    "W2 floor": ("two real sets", 3),
    "cost": ("E of squared distance", 1),
}


def table(results: Results) -> str:
    """One table per task: a row for every data set and method."""
    parts = [f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error over seeds.\n"]
    for task in experiment.TASKS:
        rows = []
        for case in experiment.cases(results.settings):
            data, of, method = case.split(", ")
            if of == task and results.values(case, "W2"):
                numbers = [shown(results.values(case, name), digits) for name, (_, digits) in COLUMNS.items()]
                rows.append([f"{data}, {method}", *numbers])
        parts += [f"**{task}**\n", markdown(["", *(title for title, _ in COLUMNS.values())], rows)]
    kept = [
        (case, results.values(case, "MSE known, kept"), results.values(case, "MSE hidden, kept"))
        for case in experiment.cases(results.settings)
    ]
    lines = [[case, shown(known, 7), shown(hidden, 4)] for case, known, hidden in kept if known]
    parts += [
        "**With known pixels held fixed**\n",
        markdown(["", "MSE known", "MSE hidden, one draw"], lines),
    ]
    return "\n".join(parts)


def figures(results: Results, folder: Path) -> None:
    """Restored images: the observation, regression, three draws of each bridge, the truth."""
    sets = results.settings["sets"]
    made = figure(900, 240 * len(sets))
    grid = made.subplots(len(sets), len(experiment.TASKS), squeeze=False)
    for row, data in zip(grid, sets, strict=True):
        for axes, task in zip(row, experiment.TASKS, strict=True):
            _album(axes, results, data, task)
    save(made, folder / "restoration.png", dpi=110)


def _album(axes: Any, results: Results, data: str, task: str) -> None:
    seed = results.seeds[0]
    by = {method: results.arrays(f"{data}, {task}, {method}", seed) for method in experiment.METHODS}
    axes.set_axis_off()
    if not all(by.values()):
        return
    field = by["regression"]["observed"]
    seen = field[:, -1]
    if task == "in-painting":
        seen = np.where(field[:, 0] > 0.5, seen, np.nan)
    columns = [("seen", seen), ("mean", by["regression"]["made"][0, :, 0])]
    columns += [("coupled" if k == 1 else "", by["coupled"]["made"][k, :, 0]) for k in range(3)]
    columns += [("uncoupled" if k == 1 else "", by["uncoupled"]["made"][k, :, 0]) for k in range(3)]
    columns += [("truth", by["coupled"]["truth"][:, 0])]
    side = seen.shape[-1]
    rows = min(4, len(seen))
    page = np.full((rows * (side + 1) - 1, len(columns) * (side + 1) - 1), np.nan)
    for c, (_, stack) in enumerate(columns):
        for r in range(rows):
            page[r * (side + 1) : r * (side + 1) + side, c * (side + 1) : c * (side + 1) + side] = stack[r]
    colours = colormaps["gray"].with_extremes(bad="#56b4e9")
    axes.imshow(page, cmap=colours, vmin=-1, vmax=1, interpolation="nearest")
    for c, (name, _) in enumerate(columns):
        axes.text(c * (side + 1) + side / 2, -1.2, name, ha="center", va="bottom", fontsize=8)
    axes.set_title(f"{data}, {task}", fontsize=10, pad=16)


STUDY = Study(
    name="restoration",
    settings=experiment.SETTINGS,
    cases=experiment.cases,
    measure=experiment.measure,
    table=table,
    figures=figures,
)
