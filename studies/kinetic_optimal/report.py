"""Tables and figure of the study of kinetic optimal schedules, and the study itself."""

from pathlib import Path

import torch

from studies.common import Results, Study, markdown, mean_and_error, paired_gap, shown
from studies.drawing import HUES, MARKS, figure, label, legend, save
from studies.kinetic_optimal.experiment import (
    DIGITS,
    EXACT,
    LEARNT,
    LINEAR,
    OPTIMAL,
    PATHS,
    SETTINGS,
    TRIGONOMETRIC,
    cases,
    measure,
    schedule,
)

_METHODS = {"euler": "Euler steps", "ddim": "denoising steps"}


def table(results: Results) -> str:
    """Distances by steps, gaps over seeds, energies."""
    steps = results.settings["n_steps"]
    text = f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error over seeds.\n"
    for method, words in _METHODS.items():
        head = ["energy distance x 1000", "kinetic energy", *(f"{n} {words}" for n in steps), "true samples"]
        rows = []
        for kind in (EXACT, LEARNT):
            for path in PATHS:
                case = f"{kind} / {path}"
                keys = [f"{method} {n}" for n in steps] + ["floor"]
                numbers = [shown([1000 * v for v in results.values(case, key)], 2) for key in keys]
                rows.append([f"{kind}, {path}", shown(results.values(case, "kinetic energy")[:1]), *numbers])
        text += "\n" + markdown(head, rows)
    text += "\n" + markdown(
        ["compared over seeds", "difference x 1000", "seeds in which it is positive"],
        _gaps(results),
    )
    head = ["digits", "formula 2 (1 - cos Phi)", OPTIMAL, LINEAR, TRIGONOMETRIC]
    rows = [
        [case.removeprefix(f"{DIGITS} / "), *(shown(results.values(case, name)) for name in results.names(case))]
        for case in cases(results.settings)
        if case.startswith(DIGITS) and results.names(case)
    ]  # fmt: skip
    return text + "\n" + markdown(head, rows)


def _gaps(results: Results) -> list[list[str]]:
    rows = []
    for kind in (EXACT, LEARNT):
        for method, words in _METHODS.items():
            for other in (LINEAR, TRIGONOMETRIC):
                for n in results.settings["n_steps"]:
                    a, b = (results.values(f"{kind} / {path}", f"{method} {n}") for path in (other, OPTIMAL))
                    if not a or len(a) != len(b):
                        continue
                    gap, error, above = paired_gap(a, b)
                    name = f"{kind}, {n} {words}: {other} - {OPTIMAL}"
                    difference = f"{1000 * gap:.2f} ± {1000 * error:.2f}"
                    rows.append([name, difference, f"{above} of {len(a)}"])
    return rows


def figures(results: Results, folder: Path) -> None:
    """Schedules, distances against steps, and samples."""
    _distances(results, folder / "distances.png")
    _samples(results, folder / "samples.png")


def _distances(results: Results, file: Path) -> None:
    made = figure(900, 290)
    first, *rest = made.subplots(1, 3)
    t = torch.linspace(0, 1, 201, dtype=torch.float64)
    for k, name in enumerate(PATHS):
        path = schedule(name, results.settings)
        first.plot(t, path.beta(t), color=HUES[k], lw=1.6, label=name)
        first.plot(t, path.alpha(t), color=HUES[k], lw=1.6, ls="--")
    label(first, title="Data (solid) and noise (dashed)", x="time t", y="coefficient", grid="y")
    steps = results.settings["n_steps"]
    for axes, kind in zip(rest, (EXACT, LEARNT), strict=True):
        for k, name in enumerate(PATHS):
            case = f"{kind} / {name}"
            heights = [mean_and_error(results.values(case, f"euler {n}"))[0] for n in steps]
            axes.plot(steps, heights, color=HUES[k], marker=MARKS[k], ms=4, lw=1.4, label=name)
        axes.set_yscale("symlog", linthresh=1e-3)
        axes.set(xscale="log", xticks=steps, xticklabels=[str(n) for n in steps])
        axes.minorticks_off()
        label(axes, title=f"Checkerboard, {kind} denoiser", x="Euler steps", y="energy distance", grid="y")
    legend(rest[0])
    save(made, file)


def _samples(results: Results, file: Path) -> None:
    made = figure(660, 470)
    panels = made.subplots(2, len(PATHS), sharex=True, sharey=True)
    for row, n in zip(panels, (4, 8), strict=True):
        for k, (axes, name) in enumerate(zip(row, PATHS, strict=True)):
            x = results.arrays(f"{EXACT} / {name}", 0).get(str(n))
            if x is not None:
                axes.scatter(*x.astype("float32").T, s=0.5, color=HUES[k], linewidths=0)
            axes.set(xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), xticks=(-1, 1), yticks=(-1, 1), aspect="equal")
            label(axes, title=f"{name}, {n} steps")
    save(made, file, dpi=100)


STUDY = Study("kinetic_optimal", SETTINGS, cases, measure, table, figures)
