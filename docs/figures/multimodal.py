"""Draw ``docs/images/multimodal.png`` from a run of the recipe.

::

    interpolants run --config multimodal --out runs/linked
    python docs/figures/multimodal.py runs/linked
"""

import sys
from pathlib import Path

import torch

import interpolants
from interpolants.data import load
from interpolants.framework.figures import Axis, Figure, Panel, strips
from interpolants.framework.method import Method
from interpolants.reports.draw import save
from interpolants.runs.models import find_model

IMAGES = Path(__file__).parents[1] / "images"


def multimodal(run: str) -> Figure:
    """Digits of given labels and pairs that were drawn together; patches whose middle is left out."""
    digits, patches = (interpolants.load(find_model(Path(run), name)) for name in ("digits", "photographs"))
    return Figure(name="multimodal", panels=(drawn(digits), middles(patches)), width=1050, height=340)


def drawn(model: Method) -> Panel:
    """Four images for each label; below, images over the label that was drawn with each."""
    told = torch.as_tensor(model.fill(label=list(range(10)) * 4, seed=3)["image"]).reshape(4, 10, 8, 8)
    pairs = model.sample(10, seed=3)
    images = [*told, torch.as_tensor(pairs["image"]).reshape(10, 8, 8)]
    under = Axis(ticks=tuple(k + 0.5 for k in range(10)), names=tuple(str(one) for one in pairs["label"]))
    title, names = "Drawn for the labels 0 to 9; last, pairs drawn together", ("", "", "", "", "pairs")
    return strips(images, title=title, names=names, x=under, width=1.35)


def middles(model: Method) -> Panel:
    """Five test patches: what was given, what is true, what the model expects, and a draw."""
    whole, masked = (load("masked_patches", "test", part=part).x[5:600:119] for part in ("image", "masked"))
    found = torch.as_tensor(model.expect(masked=masked)["image"])
    drawn = torch.as_tensor(model.fill(masked=masked, seed=1)["image"])
    rows = {"given": masked, "true": whole, "expected": found, "drawn": drawn}
    images = [torch.as_tensor(x).reshape(-1, 8, 8) for x in rows.values()]
    return strips(images, names=tuple(rows), title="Patches of photographs given all but their middle")


if __name__ == "__main__":
    save([multimodal(sys.argv[1])], IMAGES, dpi=120)
