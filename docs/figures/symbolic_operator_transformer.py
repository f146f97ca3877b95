"""Draw ``docs/images/symbolic_operator_transformer.png`` from a run of its recipe.

::

    interpolants run --config symbolic_operator_transformer --out runs/equations
    python docs/figures/symbolic_operator_transformer.py runs/equations
"""

import sys
import textwrap
from pathlib import Path

import torch
from matplotlib.figure import Figure

import interpolants
from interpolants.data.equation_trees import read_system
from interpolants.sciml.symbolic.problems.equation_families import EquationFamilies

IMAGES = Path(__file__).parents[1] / "images"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#5a6470"
SEED = 5


def trajectories(run: str) -> Figure:
    """One test trajectory of each family: what was seen, the truth, the prediction, and the written equation."""
    model, families = interpolants.load(run), EquationFamilies()
    drawn = families.draw(4, 1, seed=SEED, part="test", name="figure")
    hints = [tuple(tree.skeleton() for tree in drawn.trees[k]) for k in drawn.equation.tolist()]
    later = model.predict(drawn.seen, hints)
    again = model.predict(drawn.seen, hints, by="equation")
    found = model.identify(drawn.seen, hints)
    figure = Figure(figsize=(12.5, 3.6), layout="constrained")
    for k, axes in enumerate(figure.subplots(1, 4)):
        times, seen = drawn.times[k], drawn.window.shape[1]
        axes.plot(times, drawn.values[k, :, 0], color=GREY, linewidth=2.4, alpha=0.5, label="truth")
        axes.plot(times[:seen:2], drawn.window[k, ::2, 0], ".", color=GREY, markersize=4, label="seen")
        axes.plot(later[k, :, 0], later[k, :, 1], color=BLUE, linewidth=1.4, label="network")
        size = 1.4 * float(drawn.values[k, :, 0].abs().max())
        inside = torch.where(again[k, :, 1].abs() < 3 * size, again[k, :, 1], torch.nan)
        axes.plot(again[k, :, 0], inside, "--", color=ORANGE, linewidth=1.4, label="its equation")
        axes.set(ylim=(-size, size), xlabel="t", ylabel="u1" if k == 0 else "")
        axes.set_title(families.systems[k].name, fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
        told = "\n".join(textwrap.shorten(_short(tree), 44) for tree in read_system(found[k]))
        axes.text(0.0, -0.3, told, transform=axes.transAxes, fontsize=7.5, va="top", family="monospace")
    figure.axes[0].legend(frameon=False, fontsize=8, loc="lower left", ncols=2)
    return figure


def _short(tree: object) -> str:
    """A right side with three digits."""
    import re

    return re.sub(r"\d+\.\d+", lambda m: f"{float(m[0]):.3g}", str(tree))


if __name__ == "__main__":
    trajectories(sys.argv[1]).savefig(IMAGES / "symbolic_operator_transformer.png", dpi=130)
