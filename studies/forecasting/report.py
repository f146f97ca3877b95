"""Table and figures of the forecasting study, and the study itself."""

from pathlib import Path
from typing import Any

import numpy as np

from studies.common import Results, Study, markdown, shown
from studies.drawing import HUES, MARKS, figure, label, legend, save
from studies.forecasting import experiment


def table(results: Results) -> str:
    """Scores by noise level, whether the levels agree, and roll-outs."""
    parts = [f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error over seeds.\n"]
    head = ["noise level", "CRPS", "oracle", "CRPS above the oracle's (%)", "energy score above (%)"]
    head += ["spread / skill", "rank p, each seed", "oracle's rank p"]
    for case in _measured(results):
        rows = []
        for name in experiment.LEVELS:
            get = {key: results.values(case, f"{name} {key}") for key in _KEYS}
            percent = [100 * value for value in get["excess"]]
            energy = [100 * value for value in get["energy excess"]]
            rows.append(
                [
                    name,
                    *(shown(get[key]) for key in ("crps", "oracle crps")),
                    *(shown(part, 2) for part in (percent, energy)),
                    shown(get["spread/skill"]),
                    *(_each(get[key]) for key in ("rank p", "oracle rank p")),
                ]
            )
        first = next(iter(experiment.LEVELS))
        for rival in ("climatology", "persistence"):
            rows.append([rival, shown(results.values(case, f"{first} {rival} crps"))] + [""] * 6)
        parts += [f"**{case}**\n", markdown(head, rows)]
        parts += [
            f"CRPS above the oracle's at the five levels, largest minus smallest: {_range(results, case)}.\n"
        ]
        mean, last = (
            [100 * v for v in results.values(case, f"roll-out excess, {which}")]
            for which in ("mean over leads", "last")
        )
        leads = results.settings["leads"]
        parts += [f"Roll-outs of {leads} steps: CRPS above that of the oracle's roll-outs by {shown(mean, 1)} % on "
                  f"average over leads, {shown(last, 1)} % at the last.\n"]  # fmt: skip
    return "\n".join(parts)


_KEYS = ("crps", "oracle crps", "excess", "energy excess", "spread/skill", "rank p", "oracle rank p")


def _measured(results: Results) -> list[str]:
    return [case for case in experiment.cases(results.settings) if results.names(case)]


def _each(values: list[float]) -> str:
    return ", ".join(f"{value:.2g}" for value in values)


def _range(results: Results, case: str) -> str:
    columns = [results.values(case, f"{name} excess") for name in experiment.LEVELS]
    spans = [100 * (max(row) - min(row)) for row in zip(*columns, strict=True)]
    return shown(spans, 2) + " %"


def figures(results: Results, folder: Path) -> None:
    """Ensembles, rank histograms and roll-outs of the first seed that has them."""
    _ranks(results, folder / "ranks.png")
    _rollouts(results, folder / "rollouts.png")
    _ensembles(results, folder / "ensembles.png")


def _arrays(results: Results, case: str) -> dict[str, np.ndarray[Any, Any]]:
    return results.arrays(case, results.seeds[0])


def _ranks(results: Results, path: Path) -> None:
    names, levels = _measured(results), ("reference", "flow", "Foellmer")
    made = figure(960, 260 * len(names))
    panels = made.subplots(len(names), len(levels), sharey=True, squeeze=False)
    members = results.settings["members"]
    chance = 2 * np.sqrt((members + 1) / results.settings["cases"])
    for row, case in zip(panels, names, strict=True):
        arrays = _arrays(results, case)
        for axes, level in zip(row, levels, strict=True):
            for k, line in enumerate(arrays[f"{level} ranks"]):
                axes.step(
                    range(members + 1), line, where="mid", color=HUES[k], lw=1.2, label=f"coordinate {k + 1}"
                )
            axes.axhspan(1 - chance, 1 + chance, color="#d8dde4", lw=0, zorder=0)
            axes.set_ylim(0, 2)
            label(
                axes,
                title=f"{case}, {level}",
                x="rank of what came",
                y="frequency / flat" if level == levels[0] else "",
            )
        legend(row[0], loc="lower left")
    save(made, path, dpi=100)


def _rollouts(results: Results, path: Path) -> None:
    names = _measured(results)
    made = figure(440 * len(names), 330)
    for axes, case in zip(made.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        arrays = _arrays(results, case)
        for k, (key, name) in enumerate(
            {
                "oracle": "the true law, rolled out",
                "model": "forecaster",
                "climatology": "climatology",
            }.items()
        ):
            line = arrays[f"lead {key}"]
            axes.plot(range(1, len(line) + 1), line, color=HUES[k], marker=MARKS[k], ms=4, lw=1.2, label=name)
        axes.set_ylim(bottom=0)
        label(axes, title=case, x="lead (steps)", y="CRPS (data units)", grid="y")
        legend(axes, loc="lower right")
    save(made, path, dpi=110)


def _ensembles(results: Results, path: Path) -> None:
    names = _measured(results)
    made = figure(900, 300 * len(names))
    panels = made.subplots(len(names), 3, squeeze=False)
    for row, case in zip(panels, names, strict=True):
        arrays = _arrays(results, case)
        for k, axes in enumerate(row):
            truth, drawn, now = (arrays[f"reference {key}"][k] for key in ("truth", "members", "now"))
            axes.scatter(*truth[:, :2].T, s=3, color="#b8c0cc", lw=0, label="true law")
            axes.scatter(*drawn[:, :2].T, s=16, color=HUES[1], marker="o", lw=0, label="members")
            axes.scatter(*now[:2], s=60, color=HUES[0], marker="*", lw=0, label="now")
            label(axes, title=case if k == 0 else "", x="x1", y="x2" if k == 0 else "")
        legend(row[0], loc="best")
    save(made, path, dpi=100)


STUDY = Study("forecasting", experiment.SETTINGS, experiment.cases, experiment.measure, table, figures)
