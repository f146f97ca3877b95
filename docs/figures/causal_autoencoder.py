"""Draw ``docs/images/causal_autoencoder.png`` from a run of the recipe.

::

    interpolants run --config causal_autoencoder --out runs/causal
    python docs/figures/causal_autoencoder.py runs/causal
"""

import sys
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

import interpolants
from interpolants.apps.causal.problems.pendulum_shadow import PendulumShadow
from interpolants.apps.causal.problems.thick_digits import ThickDigits
from interpolants.runs.models import find_model

IMAGES = Path(__file__).parents[1] / "images"


def causal(run: str) -> Figure:
    """A pendulum whose lamp and rod are moved, and digits that are made thicker; each beside the truth."""
    pendulum, digits = (interpolants.load(find_model(Path(run), name, 0)) for name in ("pendulum", "digits"))
    figure = Figure(figsize=(11.5, 4.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.25, 1.0))
    of_pendulum(left, pendulum)
    of_digits(right, digits)
    return figure


def of_pendulum(figure: SubFigure, model: interpolants.framework.method.Method) -> None:
    """New scenes: as they are, with the lamp at six places, true and by the model, and with fresh noise."""
    figure.suptitle("One scene with its lamp, then its rod, elsewhere", fontsize=10)
    problem = PendulumShadow()
    scene = problem.sample(6, generator=torch.Generator().manual_seed(11))["scene"][2].expand(6, -1)
    fresh = model.clone().take_over(model.learnt()).set_params(abduction="fresh")
    x = problem.images(scene)
    asked = {"light": torch.linspace(3, 17, 6), "angle": torch.linspace(-35, 35, 6)}
    for axes, (name, value) in zip(figure.subplots(2, 1), asked.items(), strict=True):
        rows = {
            "as it is": x,
            "truth": problem.images(problem.act(scene, name, value)),
            "model": model.counterfactual(x, do={name: value}),
            "fresh noise": fresh.counterfactual(x, do={name: value}),
        }
        tiles(axes, rows, 24)
        axes.set_title(f"{name} set to {', '.join(f'{v:.3g}' for v in value.tolist())}", fontsize=8)


def of_digits(figure: SubFigure, model: interpolants.framework.method.Method) -> None:
    """Digits as they are, then thin and thick, true and by the model; below, made dark."""
    figure.suptitle("Digits made thin, thick (and brighter), and dark (as thick as before)", fontsize=10)
    problem = ThickDigits()
    drawn = problem.sample(1797, generator=torch.Generator().manual_seed(5))
    pick = torch.stack([(drawn["label"][:, 0] == k).nonzero()[0, 0] for k in range(10)])
    scene = drawn["scene"][pick]
    x = problem.images(scene)
    low, high = problem.attainable(scene, "thickness")
    asked = {
        "thin": ("thickness", low.clamp_min(2.7)),
        "thick": ("thickness", high.clamp_max(5.3)),
        "dark": ("intensity", torch.full((10,), 0.6).double()),
    }
    rows = {"as it is": x}
    for word, (name, value) in asked.items():
        rows[f"{word}, truth"] = problem.images(problem.act(scene, name, value))
        rows[f"{word}, model"] = model.counterfactual(x, do={name: value})
    tiles(figure.subplots(1, 1), rows, 16)


def tiles(axes: Axes, rows: dict[str, Tensor], size: int) -> None:
    """Rows of images ``(N, 1, H, W)`` with their names, a pixel between them."""
    wide = [torch.nn.functional.pad(x.float(), (0, 1, 0, 1), value=float("nan")) for x in rows.values()]
    picture = torch.cat([torch.cat(list(row[:, 0]), 1) for row in wide])[:-1, :-1]
    axes.imshow(picture.numpy(), cmap="gray", vmin=0, vmax=1.1)
    axes.set(xticks=[])
    axes.set_yticks([(size + 1) * k + size / 2 for k in range(len(rows))], list(rows), fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


if __name__ == "__main__":
    causal(sys.argv[1]).savefig(IMAGES / "causal_autoencoder.png", dpi=110)
