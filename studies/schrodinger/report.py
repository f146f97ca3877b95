"""Table and figures of the study of Schroedinger bridges."""

from pathlib import Path

from studies.common import Results, Study, markdown, shown
from studies.drawing import HUES, figure, label, legend, save
from studies.schrodinger.experiment import GAUSSIANS, SETTINGS, SOLVERS, TIMES, TOYS, cases, measure

GAUSSIAN = (
    ("drift", "drift"),
    ("backward drift", "backward"),
    ("drift without its mean", "drift less its mean"),
    ("worst mean", "mean, worst of 5 times"),
    ("worst std", "std, worst of 5 times"),
    ("coupling", "coupling"),
    ("energy", "K / exact K"),
)
TOY = (
    ("arrived", "arrived: energy distance"),
    ("arrived, floor", "two true sets"),
    ("returned", "returned"),
    ("energy", "K"),
    ("drift against plan", "drift against plan"),
)


def table(results: Results) -> str:
    """Errors between Gaussians, relative; then the toys."""
    rows = [
        [case, *(shown(results.values(case, name)) for name, _ in GAUSSIAN), _seconds(results, case)]
        for case in (f"{law} / {solver}" for law in GAUSSIANS for solver in SOLVERS)
        if results.names(case)
    ]
    text = markdown(["Gaussians", *(title for _, title in GAUSSIAN), "seconds"], rows)
    rows = [
        [case, *(shown(results.values(case, name)) for name, _ in TOY), _seconds(results, case)]
        for case in (f"{TOYS} / {solver}" for solver in SOLVERS)
        if results.names(case)
    ]
    return text + "\n" + markdown(["plane", *(title for _, title in TOY), "seconds"], rows) if rows else text


def _seconds(results: Results, case: str) -> str:
    return shown([float(row["seconds"]) for row in results.rows if row["case"] == case], 0)


def figures(results: Results, folder: Path) -> None:
    """Errors of the laws over time between Gaussians; paths of both solvers between the toys."""
    _errors(results, folder / "gaussians.png")
    paths(results, folder / "paths.png")


def _errors(results: Results, file: Path) -> None:
    made = figure(760, 300)
    for place, quantity in enumerate(("mean", "std")):
        axes = made.add_subplot(1, 2, place + 1)
        for hue, law in zip(HUES, GAUSSIANS, strict=False):
            for line, solver in zip(("-", "--"), SOLVERS, strict=True):
                case = f"{law} / {solver}"
                found = [results.values(case, f"{quantity} t={t}") for t in TIMES]
                if all(found):
                    means = [sum(values) / len(values) for values in found]
                    axes.plot(TIMES, means, line, color=hue, marker="o", markersize=4, label=case)
        axes.axhline(0.05, color="#888888", linewidth=0.8, linestyle=":")
        title = "Mean of x_t" if quantity == "mean" else "Standard deviation of x_t"
        label(axes, title=title, x="time t", y="relative error", grid="y")
        axes.set_ylim(0, 0.06)
        if place and axes.lines[:-1]:
            legend(axes, ncols=1, loc="upper left")
    save(made, file)


def paths(results: Results, file: Path) -> None:
    """Paths of the forward SDE of both solvers between the toys, one seed."""
    seed = results.seeds[0]
    kept = {solver: results.arrays(f"{TOYS} / {solver}", seed) for solver in SOLVERS}
    kept = {solver: arrays for solver, arrays in kept.items() if arrays}
    if not kept:
        return
    made = figure(760, 440)
    for place, (solver, arrays) in enumerate(kept.items()):
        axes = made.add_subplot(1, 2, place + 1)
        lines = arrays["paths"][:, :60]
        axes.plot(lines[..., 0], lines[..., 1], color="#888888", linewidth=0.5, alpha=0.7)
        clouds = {"base": arrays["base"][:800], "arrived": arrays["paths"][-1], "data": arrays["data"][:800]}
        for (name, x), hue, size in zip(clouds.items(), (HUES[0], HUES[2], HUES[1]), (3, 10, 2), strict=True):
            axes.scatter(x[:, 0], x[:, 1], s=size, color=hue, alpha=0.8, linewidths=0, label=name)
        label(axes, title=f"{solver}, 60 paths of the SDE", x="x_1", y="x_2")
        axes.set_aspect("equal")
        if place == 0:
            legend(axes, loc="upper left", markerscale=2.5)
    save(made, file, dpi=110)


STUDY = Study("schrodinger", SETTINGS, cases, measure, table, figures)
