"""Draw ``docs/images/grokking.png``: ``python docs/figures/grokking.py``.

Losses of quadratic networks along their training, by the scale of their output, and the delay over scale and rows.
"""

from pathlib import Path

import torch

from interpolants.framework.figures import Axis, Figure, Panel, Series, across, curve
from interpolants.reports.draw import save
from interpolants.sciml import QuadraticNetwork
from interpolants.sciml.theory.data.quadratic_teacher import load_quadratic_teacher
from interpolants.sciml.theory.learning_curves import LearningCurves

IMAGES = Path(__file__).parents[1] / "images"
LEVEL, SEEDS = 0.1, (1, 2, 3)


def curves(rows: int, alpha: float, eps: float = 0.1, seed: int = 1) -> LearningCurves:
    """Losses along the training from ``rows`` rows; 2,000 others are watched."""
    table = load_quadratic_teacher("all", rows=rows + 2000, seed=seed).x
    x, y = table[:, :-1], table[:, -1]
    model = QuadraticNetwork(alpha=alpha, eps=eps, lr=10.0, standardise=False, seed=seed)
    return model.fit(x[:rows], y[:rows], held={"x": x[rows:], "y": y[rows:]}).curves


def losses() -> Panel:
    """Training rows dashed, watched rows solid."""
    series = []
    for hue, alpha in enumerate((0.5, 8.0, 32.0)):
        found = curves(140, alpha)
        step = found.column("step")[1:]
        for name, dash in (("train", "--"), ("held", "-")):
            told = f"α = {alpha:g}" if dash == "-" else ""
            series.append(curve(step, found.column(name)[1:], told, hue, dash=dash))
    series.append(across(LEVEL, "", dash=":"))
    x, y = Axis(label="gradient steps", scale="log"), Axis(label="loss", scale="log", low=1e-3)
    return Panel(
        series=tuple(series),
        title="140 rows: fitted (dashed), then learnt",
        x=x,
        y=y,
        legend="below",
        legend_columns=3,
    )


def delays() -> Panel:
    """Steps to learn over steps to fit."""
    alphas, series = (0.5, 2.0, 8.0, 32.0), []
    for hue, rows in enumerate((140, 200, 400)):
        ratio = []
        for alpha in alphas:
            found = [curves(rows, alpha, seed=seed) for seed in SEEDS]
            each = [c.first_below("held", LEVEL) / c.first_below("train", LEVEL) for c in found]
            ratio.append((sum(each) / len(each), float(torch.tensor(each).std()) / len(each) ** 0.5))
        y, error = torch.tensor(ratio, dtype=torch.float64).unbind(1)
        arrays = {"x": torch.tensor(alphas), "y": y, "error": 2 * error}
        series.append(Series(mark="line", arrays=arrays, name=f"{rows} rows", hue=hue, symbol="o", size=4))
    x, y = Axis(label="α: scale of the output", scale="log"), Axis(label="delay", scale="log")
    return Panel(
        series=tuple(series),
        title="Steps to learn over steps to fit",
        x=x,
        y=y,
        legend="below",
        legend_columns=3,
    )


if __name__ == "__main__":
    save([Figure(name="grokking", panels=(losses(), delays()), width=1000, height=360)], IMAGES, dpi=80)
