"""Draw ``docs/images/causal_autoencoder.png`` from a run of the recipe.

::

    interpolants run --config causal_autoencoder --out runs/causal
    python docs/figures/causal_autoencoder.py runs/causal
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

import interpolants
from interpolants.apps.causal.problems.pendulum_shadow import PendulumShadow
from interpolants.apps.causal.problems.thick_digits import ThickDigits
from interpolants.framework.figures import Figure, Panel, strips
from interpolants.framework.method import Method
from interpolants.reports.draw import save
from interpolants.runs.models import find_model

IMAGES = Path(__file__).parents[1] / "images"


def causal(run: str) -> Figure:
    """A pendulum whose lamp and rod are moved, and digits that are made thicker; each beside the truth."""
    pendulum, digits = (interpolants.load(find_model(Path(run), name, 0)) for name in ("pendulum", "digits"))
    panels = (*of_pendulum(pendulum), of_digits(digits))
    return Figure(name="causal_autoencoder", panels=panels, width=1150, height=330)


def of_pendulum(model: Method) -> list[Panel]:
    """New scenes: as they are, with the lamp at six places, true and by the model, and with fresh noise."""
    problem = PendulumShadow()
    scene = problem.sample(6, generator=torch.Generator().manual_seed(11))["scene"][2].expand(6, -1)
    fresh = model.clone().take_over(model.learnt()).set_params(abduction="fresh")
    x = problem.images(scene)
    asked = {"light": torch.linspace(3, 17, 6), "angle": torch.linspace(-35, 35, 6)}
    panels = []
    for name, value in asked.items():
        rows = {
            "as it is": x,
            "truth": problem.images(problem.act(scene, name, value)),
            "model": model.counterfactual(x, do={name: value}),
            "fresh noise": fresh.counterfactual(x, do={name: value}),
        }
        title = f"{name} set to {', '.join(f'{v:.3g}' for v in value.tolist())}"
        panels.append(tiles(rows, title))
    return panels


def of_digits(model: Method) -> Panel:
    """Digits as they are, then thin and thick, true and by the model; below, made dark."""
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
    return tiles(rows, "Digits made thin, thick (and brighter), dark (as thick)", 1.3)


def tiles(rows: dict[str, Tensor], title: str, width: float = 1.0) -> Panel:
    """Rows of images ``(N, 1, H, W)`` with their names."""
    images = [x[:, 0] for x in rows.values()]
    return strips(images, low=0.0, high=1.1, names=tuple(rows), title=title, width=width)


if __name__ == "__main__":
    save([causal(sys.argv[1])], IMAGES, dpi=120)
