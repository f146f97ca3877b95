"""Draw ``docs/images/multimodal.png`` from a run of the recipe.

::

    interpolants run --config multimodal --out runs/linked
    python docs/figures/multimodal.py runs/linked
"""

import sys
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

import interpolants
from interpolants.data import load
from interpolants.runs.models import find_model

IMAGES = Path(__file__).parents[1] / "images"


def multimodal(run: str) -> Figure:
    """Digits of given labels and pairs that were drawn together; patches whose middle is left out."""
    digits, patches = (interpolants.load(find_model(Path(run), name)) for name in ("digits", "photographs"))
    figure = Figure(figsize=(11.5, 4.3), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.35, 1.0))
    of_digits(left, digits)
    of_patches(right, patches)
    return figure


def of_digits(figure: SubFigure, model: interpolants.framework.method.Method) -> None:
    """Images for each label; below, images beside the label that was drawn with them."""
    figure.suptitle("Drawn for the labels 0 to 9; below, pairs drawn together", fontsize=10)
    given, together = figure.subplots(2, 1, height_ratios=(4, 1.2))
    images = torch.as_tensor(model.fill(label=list(range(10)) * 4, seed=3)["image"]).reshape(4, 10, 8, 8)
    tiles(given, images)
    drawn = model.sample(10, seed=3)
    tiles(together, torch.as_tensor(drawn["image"]).reshape(1, 10, 8, 8))
    together.set_xticks([9 * k + 3.5 for k in range(10)], [str(one) for one in drawn["label"]], fontsize=9)
    together.tick_params(length=0)


def of_patches(figure: SubFigure, model: interpolants.framework.method.Method) -> None:
    """Five test patches: what was given, what is true, what the model expects, and a draw."""
    figure.suptitle("Patches of photographs given all but their middle", fontsize=10)
    whole, masked = (load("masked_patches", "test", part=part).x[5:600:119] for part in ("image", "masked"))
    found = torch.as_tensor(model.expect(masked=masked)["image"])
    drawn = torch.as_tensor(model.fill(masked=masked, seed=1)["image"])
    columns = {"given": masked, "true": whole, "expected": found, "drawn": drawn}
    for axes, (title, x) in zip(figure.subplots(1, len(columns)), columns.items(), strict=True):
        tiles(axes, x.reshape(-1, 1, 8, 8))
        axes.set_title(title, fontsize=9)


def tiles(axes: Axes, x: Tensor) -> None:
    """Images ``(R, C, H, W)`` in [-1, 1] as one picture, with a pixel between them."""
    wide = torch.nn.functional.pad(x.float(), (0, 1, 0, 1), value=float("nan"))
    picture = torch.cat([torch.cat(list(row), 1) for row in wide])[:-1, :-1]
    axes.imshow(picture.numpy(), cmap="gray", vmin=-1, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


if __name__ == "__main__":
    multimodal(sys.argv[1]).savefig(IMAGES / "multimodal.png", dpi=110)
