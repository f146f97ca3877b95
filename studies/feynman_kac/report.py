"""Tables and figure of the study of Feynman-Kac correctors, and the study itself."""

from pathlib import Path
from typing import Any

import torch

from interpolants.foundations.randomness import generator as seeded
from studies.common import Results, Study, markdown, mean_and_error, shown
from studies.drawing import HUES, figure, label, legend, save
from studies.feynman_kac import experiment as e

ANNEALING = ("TV of modes", "variance ratio", "log Z error", "log Z told", "least ESS")
_LEAST, _MOST = 0.9, 1.15  # within-mode variance over the true one
OTHERS = ("mean error", "energy distance", "energy floor", "log Z error", "log Z told", "least ESS")


def table(results: Results) -> str:
    """Annealing, then everything that is judged on a grid, then the claims."""
    parts = [f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error.\n"]
    for title, columns, chosen in (
        ("Annealing", ANNEALING, lambda case: case.startswith("annealing")),
        ("Guidance, products, averages", OTHERS, lambda case: not case.startswith("annealing")),
    ):
        rows = [
            [case, *(shown(results.values(case, name)) for name in columns)]
            for case in e.cases(results.settings)
            if chosen(case) and results.names(case)
        ]
        parts += [f"## {title}\n", markdown(["case", *columns], rows)]
    return "\n".join([*parts, "## Claims\n", _claims(results)])


def _claims(results: Results) -> str:
    lines = []
    for task, number, limits in _limits(results):
        plain = results.values(f"{task}: {e.PLAIN}", number)
        for how, limit in limits.items():
            found = results.values(f"{task}: {how}", number)
            if plain and found:
                ratio = mean_and_error(found)[0] / mean_and_error(plain)[0]
                held = "holds" if ratio <= limit else "does not hold"
                lines.append([f"{task}, {how}", number, f"<= {limit:g} of no weights", f"{ratio:.2f}", held])
    for beta in results.settings["betas"]:
        for how in (e.SCORE, e.FLOW, e.VELOCITY):
            case = f"annealing, beta = {beta:g}: {how}"
            if found := results.values(case, "variance ratio"):
                held = "holds" if _LEAST <= mean_and_error(found)[0] <= _MOST else "does not hold"
                wanted = f"{_LEAST:g} to {_MOST:g}"
                lines.append([case.replace(": ", ", "), "variance ratio", wanted, shown(found), held])
    return markdown(["case", "number", "wanted", "found", "verdict"], lines)


def _limits(results: Results) -> list[tuple[str, str, dict[str, float]]]:
    modes = {e.SCORE: 0.4, e.FLOW: 0.4, e.VELOCITY: 0.1}
    found = [(f"annealing, beta = {beta:g}", "TV of modes", modes) for beta in results.settings["betas"]]
    found += [
        (f"guidance, w = {w:g}", "mean error", {e.BALANCED: 0.5}) for w in results.settings["strengths"]
    ]
    all_three = dict.fromkeys((e.SCORE, e.FLOW, e.VELOCITY), 1.0)
    found += [("digits, product", "energy distance", all_three)]
    # Here the energy distance is at its floor with and without weights: the mean still tells them apart.
    return [*found, ("bridges, average", "mean error", {e.BALANCED: 1.0})]


def figures(results: Results, folder: Path) -> None:
    """Two targets as points, and every error as a share of that without weights."""
    made = figure(1100, 340)
    left, middle, right = made.subplots(1, 3, width_ratios=[1, 1, 1.1])
    _points(results, left, f"annealing, beta = {results.settings['betas'][-1]:g}")
    _points(results, middle, "digits, product")
    legend(left, loc="center right", markerscale=2)
    _shares(results, right)
    save(made, folder / "targets.png", dpi=100)


def _points(results: Results, axes: Any, task: str) -> None:
    """True draws, draws without weights, and with."""
    axes.scatter(*_truth(task).T, s=7, color="#aaaaaa", linewidths=0, label="true draws")
    for how, hue in ((e.PLAIN, HUES[1]), (e.VELOCITY, HUES[0])):
        arrays = results.arrays(f"{task}: {how}", results.seeds[0])
        if arrays:
            axes.scatter(*arrays["x"].T, s=6, color=hue, linewidths=0, alpha=0.7, label=how)
    label(axes, title=task[0].upper() + task[1:], x="x", y="y")


def _shares(results: Results, axes: Any) -> None:
    """Errors over those without weights, one row per task."""
    rows = list(dict.fromkeys((task, number) for task, number, _ in _limits(results)))
    marked = {e.SCORE: (1, "s"), e.FLOW: (2, "^"), e.VELOCITY: (0, "o"), e.BALANCED: (3, "D")}
    for how, (hue, mark) in marked.items():
        found = []
        for place, (task, number) in enumerate(rows):
            values, plain = (results.values(f"{task}: {name}", number) for name in (how, e.PLAIN))
            if values and plain:
                share = mean_and_error(values)[0] / mean_and_error(plain)[0]
                found.append((max(share, 1e-3), place))
        if found:
            text = "powers add up to 1" if how == e.BALANCED else how
            axes.scatter(*zip(*found, strict=True), color=HUES[hue], marker=mark, s=28, label=text)
    axes.axvline(1, color="#777777", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [f"{task}\n{number}" for task, number in rows], fontsize=7)
    axes.set_ylim(len(rows) - 0.5, -2.4)
    label(axes, title="Error, of that without weights", x="ratio", grid="x")
    legend(axes, loc="upper left", ncols=2, columnspacing=0.8, handletextpad=0.2)


def _truth(task: str) -> torch.Tensor:
    source = seeded(0, 8)
    if task.startswith("annealing"):
        beta = float(task.rpartition("= ")[2])
        shares = e.WEIGHTS**beta * e.STDS ** (2 * (1 - beta))
        mode = torch.multinomial(shares, 400, replacement=True, generator=source)
        noise = torch.randn(400, 2, dtype=e.F64, generator=source)
        return e.CENTRES[mode] + (e.STDS[mode] / beta**0.5)[:, None] * noise
    judge = e.problem_of(task).judge
    grid: e.Grid = judge.__self__  # type: ignore[attr-defined]
    return grid.sample(400, source)


STUDY = Study(
    name="feynman_kac",
    settings=e.SETTINGS,
    cases=e.cases,
    measure=e.measure,
    table=table,
    figures=figures,
)
