"""Draw ``docs/images/medical.png`` from a run of the recipe.

::

    interpolants run --config medical --out runs/medical
    python docs/figures/medical.py runs/medical
"""

import sys
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

import interpolants
from interpolants.apps.medical.classical_restoration import choose_operator
from interpolants.apps.medical.lesions import with_lesions
from interpolants.data.image_warps import warped
from interpolants.data.sets.brain_slices import load_brain_slices
from interpolants.foundations.randomness import generator
from interpolants.runs.models import find_model

IMAGES = Path(__file__).parents[1] / "images"
ROW = 52  # of the test slab
GREY, HEAT = {"cmap": "gray", "vmin": 0, "vmax": 1.1}, {"cmap": "magma", "vmin": 0}


def medical(run: str) -> Figure:
    """Each of the tasks on one slice of the test slab."""
    models = {name: interpolants.load(find_model(Path(run), name)) for name in TASKS}
    figure = Figure(figsize=(12.6, 7.4), layout="constrained")
    for place, (name, draw) in zip(figure.subfigures(3, 2, hspace=0.04).flat, TASKS.items(), strict=True):
        draw(place, models[name])
    return figure


def test(*contrasts: str) -> Tensor:
    """The slice that is shown, ``(1, C, 32, 32)``."""
    return load_brain_slices("test", contrasts=contrasts).x[ROW, None]


def of_prior(figure: SubFigure, model: Any) -> None:
    """Two draws for each plane."""
    drawn = torch.as_tensor(model.sample(6, cond=[0, 0, 1, 1, 2, 2], seed=5, n_steps=20))
    row = columns(figure, "Generation: draws for the plane", 6)
    for axes, image, title in zip(row, drawn, ("axial", "", "coronal", "", "sagittal", ""), strict=True):
        picture(axes, image[0], title)


def of_denoising(figure: SubFigure, model: Any) -> None:
    """Image, noisy image, its posterior mean and the error of that."""
    x = test("t1")
    noisy = x + 0.1 * torch.randn(x.shape, generator=generator(0, "figure: noise"))
    found = torch.as_tensor(model.restore(noisy, seed=0).x)[:, 0]
    row = columns(figure, "Denoising", 4)
    (
        picture(row[0], x[0, 0], "truth"),
        picture(row[1], noisy[0, 0], "noisy, 0.1"),
        picture(row[2], found[0, 0], "restored"),
    )
    picture(row[3], (found - x)[0, 0].abs(), "error", **{**HEAT, "vmax": 0.2})


def of_reconstruction(figure: SubFigure, model: Any) -> None:
    """Image, zero filling, mean and spread of draws, and the error."""
    x, lines = test("t1"), choose_operator("figure", model.operator)
    y = lines(x)
    y = y + 0.05 * torch.randn(y.shape, generator=generator(0, "figure: k-space"))
    draws = torch.as_tensor(model.restore(y, draws=8, seed=0).x)[0, :, 0]
    row = columns(figure, "Reconstruction from a quarter of k-space", 5)
    picture(row[0], x[0, 0], "truth"), picture(row[1], lines.pinv(y)[0, 0], "zero-filled")
    picture(row[2], draws.mean(0), "mean of 8 draws")
    picture(row[3], (draws.mean(0) - x[0, 0]).abs(), "error", **{**HEAT, "vmax": 0.2})
    picture(row[4], draws.std(0), "spread of draws", **{**HEAT, "vmax": 0.2})


def of_anomaly(figure: SubFigure, model: Any) -> None:
    """Lesions, each kind once, outlined on the score."""
    whole = test("t1").expand(4, -1, -1, -1)
    changed, where = with_lesions(whole, generator=generator(11, "figure: lesions"))
    restored = torch.as_tensor(model.restore(changed, draws=8, seed=0).x).mean(1)
    score = (changed - restored).abs()[:, 0]
    row = columns(figure, "Anomalies: image and score, the lesion outlined", 6)
    for k, name in ((0, "dark"), (1, "bright"), (3, "other texture")):
        image, map_ = row[2 * min(k, 2)], row[2 * min(k, 2) + 1]
        picture(image, changed[k, 0], name), picture(map_, score[k], "score", **{**HEAT, "vmax": 0.3})
        for axes in (image, map_):
            axes.contour(where[k].float(), levels=[0.5], colors="#5ad1ff", linewidths=1.0)


def of_translation(figure: SubFigure, model: Any) -> None:
    """The second contrast, and tissues laid over the image."""
    image, truth = test("t1"), test("t2", "grey_label", "white_label")
    draws = torch.stack([torch.as_tensor(model.sample(1, cond=image, seed=k, n_steps=10)) for k in range(8)])
    mean = draws.mean(0)
    row = columns(figure, "Translation and segmentation (grey matter orange, white matter blue)", 6)
    (
        picture(row[0], image[0, 0], "T1"),
        picture(row[1], truth[0, 0], "T2-like"),
        picture(row[2], mean[0, 0], "told"),
    )
    for axes, title, one in ((row[3], "tissues", truth), (row[4], "found", mean)):
        picture(axes, image[0, 0], title)
        axes.imshow(tissues(one[0, 1:]), interpolation="nearest")
    picture(row[5], draws[:, 0, 1:].std(0).amax(0), "spread of draws", **{**HEAT, "vmax": 0.5})


def of_registration(figure: SubFigure, model: Any) -> None:
    """Both images, the displacement that was found, and what is left between them."""
    pair = test("t1_moved", "t1")
    draws = [torch.as_tensor(model.sample(1, cond=pair, seed=k, n_steps=10)) for k in range(8)]
    shift = torch.stack(draws).mean(0)
    moved = warped(pair[:, 1:], shift)
    row = columns(figure, "Registration", 5)
    picture(row[0], pair[0, 0], "first"), picture(row[1], pair[0, 1], "second")
    picture(row[2], pair[0, 1], "displacement found")
    rows, across = torch.meshgrid(torch.arange(2, 31, 3), torch.arange(2, 31, 3), indexing="ij")
    down, right = shift[0][:, rows, across]
    row[2].quiver(
        across, rows, right, down, color="#5ad1ff", angles="xy", scale_units="xy", scale=0.6, width=0.008
    )
    picture(row[3], (pair[0, 0] - pair[0, 1]).abs(), "gap before", **{**HEAT, "vmax": 0.4})
    picture(row[4], (pair[0, 0] - moved[0, 0]).abs(), "gap after", **{**HEAT, "vmax": 0.4})


TASKS = {
    "prior": of_prior,
    "denoising": of_denoising,
    "reconstruction": of_reconstruction,
    "anomaly": of_anomaly,
    "translation": of_translation,
    "registration": of_registration,
}


def tissues(shares: Tensor) -> Tensor:
    """Colours with opacity ``(H, W, 4)`` of the likelier tissue, where one is likely at all."""
    label = torch.cat([1 - shares.sum(0, keepdim=True), shares]).argmax(0)
    return torch.tensor([[0, 0, 0, 0], [1.0, 0.55, 0.1, 0.55], [0.25, 0.55, 1.0, 0.55]])[label]


def columns(figure: SubFigure, title: str, count: int) -> list[Axes]:
    """Axes side by side under a title."""
    figure.suptitle(title, fontsize=10)
    return list(figure.subplots(1, count, squeeze=False)[0])


def picture(axes: Axes, image: Tensor, title: str, **look: Any) -> None:
    """One image as radiologists look: the front on top, the patient's right on the left."""
    axes.imshow(image.float(), interpolation="nearest", **(look or GREY))
    axes.set_title(title, fontsize=8)
    axes.set_axis_off()


if __name__ == "__main__":
    medical(*sys.argv[1:]).savefig(IMAGES / "medical.png", dpi=100)
