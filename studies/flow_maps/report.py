"""Tables and figures of the study of flow maps, and the study itself."""

from pathlib import Path
from typing import Any

import numpy as np

from interpolants.foundations.randomness import generator
from interpolants.problems.toys import Checkerboard
from studies.common import Results, Study, markdown, mean_and_error, shown
from studies.drawing import HUES, MARKS, figure, label, legend, save
from studies.flow_maps import experiment
from studies.flow_maps.experiment import DATA, MAP_STEPS, ODE, ODE_STEPS, REFERENCE, RULES

_MARKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


def table(results: Results) -> str:
    """Sliced W2 at every number of steps, then four steps over the reference, seed by seed."""
    parts = [f"Seeds {', '.join(map(str, results.seeds))}; sliced W2, mean ± standard error over seeds.\n"]
    for data in DATA:
        names = [name for name in (ODE, *RULES) if results.names(f"{data}: {name}")]
        if not names:
            continue
        parts += [f"**{data}**: jumps of the map\n", _maps(results, data, names)]
        parts += [f"**{data}**: steps of Euler's scheme on the velocity\n", _odes(results, data, names)]
        parts += [f"**{data}**: 4 jumps over the 100-step ODE\n", _ratios(results, data, names)]
    return "\n".join(parts)


def _maps(results: Results, data: str, names: list[str]) -> str:
    head = ["rule", *(f"{n}" for n in MAP_STEPS), "error of the metric", "CPU s"]
    rows = []
    for name in names:
        case = f"{data}: {name}"
        if name != ODE:
            cells = [shown(results.values(case, f"map {n}"), 4) for n in MAP_STEPS]
            own, _ = mean_and_error(results.values(case, "map 4 error"))
            rows.append([name, *cells, f"{own:.4f}", shown(results.values(case, "cpu seconds"), 0)])
    rows.append(
        ["true samples", shown(results.values(f"{data}: {names[0]}", "floor"), 4), "", "", "", "", ""]
    )
    return markdown(head, rows)


def _odes(results: Results, data: str, names: list[str]) -> str:
    head = ["velocity of", *(f"{n}" for n in ODE_STEPS), "Heun, 100", "CPU s"]
    rows = []
    for name in names:
        case = f"{data}: {name}"
        cells = [shown(results.values(case, f"euler {n}"), 4) for n in ODE_STEPS]
        reference = shown(results.values(case, REFERENCE), 4)
        rows.append([_words(name), *cells, reference, shown(results.values(case, "cpu seconds"), 0)])
    return markdown(head, rows)


def _ratios(results: Results, data: str, names: list[str]) -> str:
    head = ["rule", "over the ODE of its own network", "over the ODE of a velocity alone", "seeds below 1.3"]
    rows = []
    for name in names:
        if name == ODE:
            continue
        case = f"{data}: {name}"
        four = results.values(case, "map 4")
        own = [a / b for a, b in zip(four, results.values(case, REFERENCE), strict=True)]
        alone = [a / b for a, b in zip(four, results.values(f"{data}: {ODE}", REFERENCE), strict=False)]
        below = sum(ratio < 1.3 for ratio in alone)
        rows.append([name, shown(own, 3), shown(alone, 3), f"{below} of {len(alone)}"])
    return markdown(head, rows)


def _words(name: str) -> str:
    return "a network of its own" if name == ODE else f"the {name} map"


def figures(results: Results, folder: Path) -> None:
    """Sliced W2 against steps, and samples of the checkerboard from seed 0."""
    _curves(results, folder / "flow_maps.png")
    _pictures(results, folder / "checkerboard.png")


def _curves(results: Results, path: Path) -> None:
    made = figure(1000, 400)
    for axes, data in zip(made.subplots(1, 2), DATA, strict=True):
        for k, name in enumerate((*RULES, ODE)):
            case, steps = f"{data}: {name}", MAP_STEPS if name != ODE else ODE_STEPS
            kind = "map" if name != ODE else "euler"
            if not results.names(case):
                continue
            points = np.array([mean_and_error(results.values(case, f"{kind} {n}")) for n in steps])
            style: dict[str, Any] = {"color": HUES[k], "marker": MARKS[k], "ms": 5, "lw": 1.2, "capsize": 2}
            words = "ODE, Euler" if name == ODE else f"map, {name}"
            axes.errorbar(steps, points[:, 0], np.nan_to_num(points[:, 1]), label=words, **style)
        floor, _ = mean_and_error(results.values(f"{data}: {ODE}", "floor"))
        axes.axhline(floor, color="#5b6472", lw=0.9, ls="--", label="true samples")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(ODE_STEPS, [f"{n}" for n in ODE_STEPS])
        low, high = axes.get_ylim()
        marks = [mark for mark in _MARKS if low <= mark <= high]
        axes.set_yticks(marks, [f"{mark:g}" for mark in marks])
        axes.minorticks_off()
        label(axes, title=data, x="evaluations of the network", y="sliced W2 (data units)", grid="y")
    legend(made.axes[1])
    save(made, path)


def _pictures(results: Results, path: Path) -> None:
    shots = {"true": Checkerboard().sample(3000, generator=generator(0)).numpy()}
    for name in (ODE, "semigroup", "lagrangian"):
        for key, x in results.arrays(f"checkerboard: {name}", 0).items():
            kind, steps = key.split()
            scheme = {"euler": "ODE, Euler", "heun": "ODE, Heun"}.get(kind, f"{name} map")
            words = f"{scheme}, {steps} step{'s' if steps != '1' else ''}"
            shots[words] = x.astype(float)
    made = figure(190 * len(shots), 220)
    for axes, (words, x) in zip(np.atleast_1d(made.subplots(1, len(shots))), shots.items(), strict=True):
        axes.scatter(*x.T, s=1, color=HUES[0], alpha=0.4, linewidths=0)
        axes.set(xlim=(-4.6, 4.6), ylim=(-4.6, 4.6), aspect="equal", xticks=[-4, 0, 4], yticks=[-4, 0, 4])
        label(axes, title=words)
    save(made, path)


STUDY = Study("flow_maps", experiment.SETTINGS, experiment.cases, experiment.measure, table, figures)
