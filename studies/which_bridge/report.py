"""Tables and figure of the comparison of paths and samplers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from studies.common import Results, Study, markdown, mean_and_error
from studies.drawing import figure, label, save
from studies.which_bridge.experiment import (
    EVALUATIONS,
    FLOOR,
    NOTHING,
    SETTINGS,
    TASKS,
    WORDS,
    cases,
    measure,
)

UNIT = 1000  # energy distances are shown in thousandths
LEAST = 1e-3  # shades of the figure begin here, or at the floor if that is higher


def table(results: Results) -> str:
    """For each problem the best ODE and SDE sampler of every path; then every sampler."""
    parts = [f"Energy distances times {UNIT}, means over {len(results.seeds)} seeds.\n"]
    for place in places(results):
        floor = mean(results, f"{place} / {FLOOR}", "distance")
        error = mean(results, f"{place} / {FLOOR}", "error")
        still = mean(results, f"{place} / {NOTHING}", "distance")
        parts.append(f"\n### {place}\n")
        text = f"x0 as it is: {show(still)}; two true sets: {show(floor)}, standard error of one seed {show(error)}"
        parts.append(f"{text}. Up to {show(limit(results, place))} it says *floor*.\n")
        rows = [[name, *(_best(results, f"{place} / {name}", kind, n) for kind in ("ode", "sde") for n in EVALUATIONS)]
                for name in names(results, place)]  # fmt: skip
        head = ["path", *(f"{kind.upper()} {n}" for kind in ("ode", "sde") for n in EVALUATIONS)]
        parts.append(markdown(head, rows))
    parts.append("\n### Samplers: median over the paths that take them\n")
    parts.append(_samplers(results))
    parts.append("\nNot measured:\n")
    parts.append("\n".join(f"* {name}: {why}." for name, why in sorted(WORDS.items())))
    return "\n".join(parts) + "\n"


def places(results: Results) -> list[str]:
    """Problems that were measured, in order."""
    dims = results.settings["dims"]
    return [
        f"{task}, {dim}-D" for task in TASKS for dim in dims if results.names(f"{task}, {dim}-D / {FLOOR}")
    ]


def names(results: Results, place: str) -> list[str]:
    """Paths that were measured on a problem."""
    measured = dict.fromkeys(row["case"] for row in results.rows)
    mine = [case.split(" / ")[1] for case in measured if case.startswith(f"{place} / ")]
    return [name for name in mine if name not in (NOTHING, FLOOR)]


def best(results: Results, case: str, kind: str, n: int) -> tuple[float, str]:
    """The smallest mean distance of a kind of sampler at n evaluations, and whose it is.

    Of several at the floor the first one in the list of samplers counts: the order among them is chance.
    """
    keys = [key for key in results.names(case) if key.startswith(f"{kind} ") and key.endswith(f"@{n}")]
    found = [(mean(results, case, key), key[4:].split("@")[0]) for key in keys]
    level = limit(results, case.split(" / ")[0])
    at_floor = [pair for pair in found if pair[0] <= level]
    return at_floor[0] if at_floor else min(found, default=(float("nan"), ""))


def limit(results: Results, place: str) -> float:
    """The floor, and two standard errors of a mean over seeds above it: below it, nothing is told apart."""
    floor = f"{place} / {FLOOR}"
    errors = results.values(floor, "error")
    return mean(results, floor, "distance") + 2 * sum(errors) / len(errors) ** 1.5


def _best(results: Results, case: str, kind: str, n: int) -> str:
    value, who = best(results, case, kind, n)
    if not who:
        return "–"
    return f"floor: {who}" if value <= limit(results, case.split(" / ")[0]) else f"{show(value)}: {who}"


def _samplers(results: Results) -> str:
    columns = [(place, n) for place in places(results) for n in EVALUATIONS]
    keys: dict[str, None] = {}
    for row in results.rows:
        keys |= dict.fromkeys(key.split("@")[0] for key in row["values"] if "@" in key)
    rows = []
    for key in sorted(keys):
        cells = []
        for place, n in columns:
            values = [
                mean(results, f"{place} / {name}", f"{key}@{n}")
                for name in names(results, place)
                if results.values(f"{place} / {name}", f"{key}@{n}")
            ]
            cells.append(show(median(values)) if values else "–")
        rows.append([key, *cells])
    return markdown(["sampler", *(f"{place}: {n}" for place, n in columns)], rows)


def figures(results: Results, folder: Path) -> None:
    """One table in colours for each problem."""
    panels = [_panel(results, place) for place in places(results)]
    draw(panels, folder / "which_bridge.png", x="evaluations: ODE (left), SDE (right)")


@dataclass(frozen=True)
class Panel:
    """Numbers by row and column; what is at most ``low`` is level with two true sets."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    low: float


def _panel(results: Results, place: str) -> Panel:
    rows = names(results, place)
    columns = [(kind, n) for kind in ("ode", "sde") for n in EVALUATIONS]
    values = [[best(results, f"{place} / {name}", *column)[0] for column in columns] for name in rows]
    return Panel(place, rows, [str(n) for _, n in columns], values, max(limit(results, place), LEAST))


def draw(panels: Sequence[Panel], file: Path, *, x: str) -> None:
    """One panel below the other; white is level with two true sets, and each shade is a factor."""
    from matplotlib.colors import LogNorm

    heights = [len(panel.rows) + 2.4 for panel in panels]
    made = figure(620, 22 * sum(heights))
    cells = made.subplots(len(panels), 1, gridspec_kw={"height_ratios": heights}, squeeze=False)[:, 0]
    for axes, panel in zip(cells, panels, strict=True):
        scale = LogNorm(panel.low, 1000 * panel.low, clip=True)
        for i, row in enumerate(panel.values):
            for j, value in enumerate(row):
                shade = 0.0 if math.isnan(value) else float(scale(max(value, panel.low)))
                axes.add_patch(_cell(j, i, shade))
                ink = "white" if shade > 0.6 else "black"
                axes.text(j + 0.5, i + 0.52, _short(value), ha="center", va="center", fontsize=7, color=ink)
        axes.set_xlim(0, len(panel.columns))
        axes.set_ylim(len(panel.rows), 0)
        axes.set_xticks([j + 0.5 for j in range(len(panel.columns))], panel.columns)
        axes.set_yticks([i + 0.5 for i in range(len(panel.rows))], panel.rows)
        axes.tick_params(length=0)
        label(axes, title=panel.title, x=x if panel is panels[-1] else "")
    save(made, file, dpi=110)


def _cell(column: int, row: int, shade: float) -> Any:
    from matplotlib.patches import Rectangle

    colour = tuple(1 - shade * (1 - part) for part in (0.0, 0.27, 0.5))
    return Rectangle((column, row), 1, 1, facecolor=colour, edgecolor="#dddddd", linewidth=0.6)


def _short(value: float) -> str:
    if math.isnan(value):
        return "–"
    scaled = UNIT * value
    if not math.isfinite(scaled) or scaled >= 9999.5:
        return "> 10k"
    return f"{scaled:.0f}" if scaled >= 99.5 else f"{scaled:.1f}"


def mean(results: Results, case: str, name: str) -> float:
    """Mean of a number over seeds."""
    values: Sequence[float] = results.values(case, name)
    return mean_and_error(values)[0]


def show(value: float) -> str:
    """An energy distance as the tables have it."""
    return f"{UNIT * value:.1f}"


STUDY = Study("which_bridge", SETTINGS, cases, measure, table, figures)
