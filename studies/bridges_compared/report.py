"""Table and figure of the comparison of bridges."""

from pathlib import Path

from studies.bridges_compared.experiment import (
    BASELINES,
    DIGITS,
    GAUSSIANS,
    PAIRS,
    SETTINGS,
    SOLVERS,
    cases,
    measure,
)
from studies.common import Results, Study, markdown, mean_and_error, shown
from studies.drawing import HUES, MARKS, figure, label, save

SECONDS = (0.2, 0.5, 1, 2, 5)  # ticks
KNOWN = (
    ("drift", "drift, relative error"),
    ("conditional", "conditionals, cBW2-UVP %"),
    ("plain", "arrived, BW2-UVP %"),
    ("arrived", "arrived, energy distance"),
)


def table(results: Results) -> str:
    """Problems with an exact plan; then the digits."""
    rows = [
        [
            case,
            *(shown(results.values(case, name), 4 if name == "arrived" else 3) for name, _ in KNOWN),
            shown(results.values(case, "seconds"), 1),
            shown(results.values(case, "sampling"), 1),
        ]
        for case in (f"{law} / {name}" for law in (*GAUSSIANS, *PAIRS) for name in (*SOLVERS, "exact plan"))
        if results.names(case)
    ]
    text = markdown(["exact plan", *(title for _, title in KNOWN), "fit, CPU s", "sampling, CPU s"], rows)
    rows = [
        [
            case,
            shown(results.values(case, "arrived"), 3),
            shown(results.values(case, "cost"), 2),
            shown(results.values(case, "seconds"), 1),
        ]
        for case in (f"{DIGITS} / {name}" for name in (*SOLVERS, *BASELINES))
        if results.names(case)
    ]
    head = ["digits", "to held-out eights, energy distance", "half the mean squared move", "CPU seconds"]
    return text + "\n" + markdown(head, rows) if rows else text


def figures(results: Results, folder: Path) -> None:
    """Error of the conditionals against seconds of the fit, one panel a family of problems."""
    made = figure(760, 330)
    for place, laws in enumerate((GAUSSIANS, PAIRS)):
        axes = made.add_subplot(1, 2, place + 1)
        for hue, name in zip(HUES, SOLVERS, strict=False):
            for mark, law in zip(MARKS, laws, strict=False):
                case = f"{law} / {name}"
                if not results.values(case, "seconds"):
                    continue
                x, y = (mean_and_error(results.values(case, key))[0] for key in ("seconds", "conditional"))
                axes.plot(x, y, mark, color=hue, label=f"{name}, {law.split(', ')[1]}")
        for line, law in zip((":", "--"), laws, strict=True):
            floor = results.values(f"{law} / exact plan", "conditional")
            if floor:
                axes.axhline(
                    mean_and_error(floor)[0], color="#888888", linewidth=0.8, linestyle=line,
                    label=f"exact plan, {law.split(', ')[1]}",
                )  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(SECONDS, [f"{tick:g}" for tick in SECONDS])
        axes.set_xticks([], minor=True)
        title = "Gaussians" if place == 0 else "Pairs with an exact plan"
        label(axes, title=title, x="CPU seconds of the fit", y="cBW2-UVP, %" if place == 0 else "", grid="y")
    handles, names = made.axes[0].get_legend_handles_labels()
    if handles:
        made.legend(handles, names, loc="outside right center", frameon=False, fontsize=8)
    save(made, folder / "bridges_compared.png")


STUDY = Study("bridges_compared", SETTINGS, cases, measure, table, figures)
