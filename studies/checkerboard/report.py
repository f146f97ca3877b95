"""Table and figures of the checkerboard study, and the study itself."""

from pathlib import Path
from typing import Any

import numpy as np

from interpolants.problems.toys import Checkerboard
from studies.checkerboard import experiment
from studies.checkerboard.density import BoardGrid
from studies.common import Results, Study, markdown, mean_and_error, paired_gap, shown
from studies.drawing import HUES, MARKS, figure, label, save

_TITLES = {
    "gap mean": "Mean of |log rho1 - log rhohat1| under the board, both smoothed alike (nat)",
    "gap variance": "Variance of the same (nat^2)",
    "raw gap mean": "Mean of |log rho1 - log rhohat1|, rho1 not smoothed (nat)",
    "kl": "KL(rho1 || rhohat1), both smoothed alike (nat)",
    "variation": "Total variation, both smoothed alike",
    "off board": "Share of samples off the board",
}


def table(results: Results) -> str:
    """Every number against envelope and noise level, then the statements of the paper seed by seed."""
    names, levels = _measured(results), results.settings["eps"]
    head = ["gamma", *(f"eps = {eps:g}" for eps in levels)]
    parts = [f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error over seeds.\n"]
    for number, title in _TITLES.items():
        rows = [
            [name, *(shown(results.values(name, f"eps={eps:g} {number}")) for eps in levels)]
            for name in names
        ]
        rows.append(
            ["true samples", shown(results.values(names[0], f"floor {number}"))] + [""] * (len(levels) - 1)
        )
        parts += [f"**{title}**\n", markdown(head, rows)]
    errors = [
        [name, *(shown(results.values(name, key)) for key in ("E|d velocity|^2", "E|d score|^2", "eps*"))]
        for name in names
    ]
    parts += ["**Squared errors of the fields, mean over t in [0.02, 0.98]**\n"]
    parts += [markdown(["gamma", "E\\|db\\|^2", "E\\|ds\\|^2", "predicted eps*"], errors)]
    parts += ["**Seed by seed**\n", _findings(results, names)]
    return "\n".join(parts)


def _measured(results: Results) -> list[str]:
    return [case for case in experiment.cases(results.settings) if results.names(case)]


def _findings(results: Results, names: list[str]) -> str:
    rows = []
    for number in ("gap mean", "kl", "off board"):
        for name in names:
            ode = results.values(name, f"eps=0 {number}")
            for eps in results.settings["eps"][1:]:
                sde = results.values(name, f"eps={eps:g} {number}")
                if sde:
                    rows.append(
                        _row(f"gamma = {name}: ODE is worse than SDE at eps = {eps:g} ({number})", ode, sde)
                    )
    for number in ("gap mean", "kl"):
        first = "sqrt(t(1-t))"
        for name in names:
            if name != first and name in experiment.ENVELOPES:
                worse, better = (results.values(n, f"eps=0 {number}") for n in (name, first))
                rows.append(
                    _row(f"ODE: gamma = {name} is worse than gamma = {first} ({number})", worse, better)
                )
    return markdown(["statement", "difference", "holds in seeds"], rows)


def _row(text: str, worse: list[float], better: list[float]) -> list[str]:
    n = min(len(worse), len(better))
    gap, error, wins = paired_gap(worse[:n], better[:n])
    return [text, f"{gap:.4f} ± {error:.4f}", f"{wins} of {n}"]


def figures(results: Results, folder: Path) -> None:
    """The numbers against eps, and pictures of the densities of seed 0."""
    _curves(results, folder / "checkerboard.png")
    _pictures(results, folder / "densities.png")


def _curves(results: Results, path: Path) -> None:
    made = figure(1080, 420)
    levels = results.settings["eps"]
    places = np.arange(len(levels))
    panels = made.subplots(1, 3)
    wanted = {
        "gap mean": "mean of |log rho1 − log rhohat1| (nat)",
        "kl": "KL (nat)",
        "off board": "share of samples",
    }
    titles = ("On the board", "Over the plane", "Off the board")
    for axes, title, (number, unit) in zip(panels, titles, wanted.items(), strict=True):
        for name in _measured(results):
            points = [mean_and_error(results.values(name, f"eps={eps:g} {number}")) for eps in levels]
            heights, errors = zip(*points, strict=True)
            axes.errorbar(places, heights, errors, label=f"gamma = {name}", **_style(name))
        floor, _ = mean_and_error(results.values(_measured(results)[0], f"floor {number}"))
        axes.axhline(floor, color="#5b6472", lw=0.9, ls="--", label="true samples")
        axes.set_xticks(places, ["0 (ODE)", *(f"{eps:g}" for eps in levels[1:])])
        axes.set_ylim(bottom=0)
        label(axes, title=title, x="noise level eps", y=unit, grid="y")
    handles, words = panels[0].get_legend_handles_labels()
    made.legend(handles, words, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    save(made, path)


def _style(case: str) -> dict[str, Any]:
    """Hue and mark of the envelope, line of the variant."""
    name, _, variant = case.partition(",")
    k = list(experiment.ENVELOPES).index(name)
    line = {"": "-", experiment.LONGER[1:]: ":", experiment.SCORE[1:]: "--"}[variant]
    return {"color": HUES[k], "marker": MARKS[k], "ms": 5, "lw": 1.3, "capsize": 2, "ls": line}


def _pictures(results: Results, path: Path) -> None:
    names = [name for name in _measured(results) if name in experiment.ENVELOPES]
    levels = [results.settings["eps"][0], results.settings["eps"][-1]]
    grid = BoardGrid(Checkerboard(), results.settings["h"])
    truth, extent = grid.picture(grid.smoothed).astype(float), (-grid.edge, grid.edge) * 2
    made = figure(180 * (len(names) + 1), 190 * len(levels))
    panels = made.subplots(len(levels), len(names) + 1, sharex=True, sharey=True, squeeze=False)
    for row, eps in zip(panels, levels, strict=True):
        shots: list[tuple[str, Any]] = [("true, smoothed", truth)]
        shots += [(f"{name}", results.arrays(name, 0).get(f"eps={eps:g}")) for name in names]
        for axes, (name, shot) in zip(row, shots, strict=True):
            if shot is None:
                axes.set_axis_off()
                continue
            axes.imshow(
                np.asarray(shot, dtype=float).T, origin="lower", extent=extent, cmap="cividis", vmin=0,
                vmax=1.6 * truth.max(),
            )  # fmt: skip
            axes.set(xticks=(-4, 0, 4), yticks=(-4, 0, 4))
            label(axes, title=name if eps == levels[0] else "")
        row[0].set_ylabel("ODE" if eps == 0 else f"SDE, eps = {eps:g}", fontsize=8)
    save(made, path, dpi=100)


STUDY = Study("checkerboard", experiment.SETTINGS, experiment.cases, experiment.measure, table, figures)
