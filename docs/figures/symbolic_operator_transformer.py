"""Draw ``docs/images/symbolic_operator_transformer.png`` from a run of its recipe.

::

    interpolants run --config symbolic_operator_transformer --out runs/equations
    python docs/figures/symbolic_operator_transformer.py runs/equations
"""

import re
import sys
import textwrap
from pathlib import Path

import torch

import interpolants
from interpolants.data.equation_trees import read_system
from interpolants.framework.figures import Axis, Figure, Panel, Series, curve
from interpolants.reports.draw import save
from interpolants.sciml.symbolic.problems.equation_families import EquationFamilies

IMAGES = Path(__file__).parents[1] / "images"
SEED = 5


def trajectories(run: str) -> Figure:
    """One test trajectory of each family: what was seen, the truth, the prediction, and the written equation."""
    model, families = interpolants.load(run), EquationFamilies()
    drawn = families.draw(4, 1, seed=SEED, part="test", name="figure")
    hints = [tuple(tree.skeleton() for tree in drawn.trees[k]) for k in drawn.equation.tolist()]
    later = model.predict(drawn.seen, hints)
    again = model.predict(drawn.seen, hints, by="equation")
    found = model.identify(drawn.seen, hints)
    panels = []
    for k in range(len(families.systems)):
        times, seen = drawn.times[k], drawn.window.shape[1]
        size = 1.4 * float(drawn.values[k, :, 0].abs().max())
        inside = torch.where(again[k, :, 1].abs() < 3 * size, again[k, :, 1], torch.nan)
        told = "\n".join(textwrap.shorten(_short(tree), 44) for tree in read_system(found[k]))
        series = (
            curve(times, drawn.values[k, :, 0], "truth", "muted", size=2.4, alpha=0.5),
            curve(times[:seen:2], drawn.window[k, ::2, 0], "seen", "muted", dash="", symbol=".", size=4),
            curve(later[k, :, 0], later[k, :, 1], "network", size=1.4),
            curve(again[k, :, 0], inside, "its equation", 1, dash="--", size=1.4),
            Series(
                mark="text", arrays={"x": float(times[0]), "y": -1.5 * size}, name=told, hue="muted", size=6.5
            ),
        )
        y = Axis(label="u1", low=-1.9 * size, high=size)
        panels.append(Panel(series=series, title=families.systems[k].name, x=Axis(label="t"), y=y))
    name = "symbolic_operator_transformer"
    return Figure(name=name, panels=tuple(panels), width=1150, height=370, legend_columns=4)


def _short(tree: object) -> str:
    """A right side with three digits."""
    return re.sub(r"\d+\.\d+", lambda m: f"{float(m[0]):.3g}", str(tree))


if __name__ == "__main__":
    save([trajectories(sys.argv[1])], IMAGES, dpi=130)
