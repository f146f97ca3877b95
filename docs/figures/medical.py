"""Draw ``docs/images/medical.png`` from a run of the recipe.

::

    interpolants run --config medical --out runs/medical
    python docs/figures/medical.py runs/medical
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import interpolants
from interpolants.apps.medical.classical_restoration import choose_operator
from interpolants.apps.medical.lesions import with_lesions
from interpolants.data.image_warps import warped
from interpolants.data.sets.brain_slices import load_brain_slices
from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Axis, Figure, Panel, Series, trails
from interpolants.reports.draw import save
from interpolants.runs.models import find_model

IMAGES = Path(__file__).parents[1] / "images"
ROW = 52  # of the test slab
SIDE, TOP = 32, 1.1  # pixels, and the value that is white


def medical(run: str) -> Figure:
    """Each of the tasks on one slice of the test slab."""
    models = {name: interpolants.load(find_model(Path(run), name)) for name in TASKS}
    panels = tuple(draw(models[name]) for name, draw in TASKS.items())
    return Figure(name="medical", panels=panels, columns=2, width=1150, height=520, photo=True)


def test(*contrasts: str) -> Tensor:
    """The slice that is shown, ``(1, C, 32, 32)``."""
    return load_brain_slices("test", contrasts=contrasts).x[ROW, None]


def of_prior(model: Any) -> Panel:
    """Two draws for each plane."""
    drawn = torch.as_tensor(model.sample(6, cond=[0, 0, 1, 1, 2, 2], seed=5, n_steps=20))
    names = ("axial", "", "coronal", "", "sagittal", "")
    return pictures("Generation: draws for the plane", dict(enumerate(drawn[:, 0])), names)


def of_denoising(model: Any) -> Panel:
    """Image, noisy image, its posterior mean and the error of that."""
    x = test("t1")
    noisy = x + 0.1 * torch.randn(x.shape, generator=generator(0, "figure: noise"))
    found = torch.as_tensor(model.restore(noisy, seed=0).x)[:, 0]
    shown = {"truth": x[0, 0], "noisy, 0.1": noisy[0, 0], "restored": found[0, 0]}
    return pictures("Denoising", shown | {"error": ((found - x)[0, 0].abs(), 0.2)})


def of_reconstruction(model: Any) -> Panel:
    """Image, zero filling, mean and spread of draws, and the error."""
    x, lines = test("t1"), choose_operator("figure", model.operator)
    y = lines(x)
    y = y + 0.05 * torch.randn(y.shape, generator=generator(0, "figure: k-space"))
    draws = torch.as_tensor(model.restore(y, draws=8, seed=0).x)[0, :, 0]
    mean = draws.mean(0)
    shown = {"truth": x[0, 0], "zero-filled": lines.pinv(y)[0, 0], "mean of 8 draws": mean}
    shown |= {"error": ((mean - x[0, 0]).abs(), 0.2), "spread of draws": (draws.std(0), 0.2)}
    return pictures("Reconstruction from a quarter of k-space", shown)


def of_anomaly(model: Any) -> Panel:
    """Lesions, each kind once, outlined on the score."""
    whole = test("t1").expand(4, -1, -1, -1)
    changed, where = with_lesions(whole, generator=generator(11, "figure: lesions"))
    restored = torch.as_tensor(model.restore(changed, draws=8, seed=0).x).mean(1)
    score = (changed - restored).abs()[:, 0]
    shown, outlines = {}, []
    for k, name in ((0, "dark"), (1, "bright"), (3, "other texture")):
        for title, image in ((name, changed[k, 0]), (f"score, {k}", (score[k], 0.3))):
            lines = {"values": where[k].float().squeeze(), "levels": [0.5], "extent": box(len(shown), 6)}
            outlines.append(Series(mark="contour", arrays=lines, hue=5, size=1.0))
            shown[title] = image
    names = tuple(name.split(",")[0] for name in shown)
    return pictures("Anomalies: image and score, the lesion outlined", shown, names, outlines)


def of_translation(model: Any) -> Panel:
    """The second contrast, and tissues laid over the image."""
    image, truth = test("t1"), test("t2", "grey_label", "white_label")
    draws = torch.stack([torch.as_tensor(model.sample(1, cond=image, seed=k, n_steps=10)) for k in range(8)])
    mean = draws.mean(0)
    shown = {"T1": image[0, 0], "T2-like": truth[0, 0], "told": mean[0, 0]}
    shown |= {name: tissues(image[0, 0], one[0, 1:]) for name, one in (("tissues", truth), ("found", mean))}
    shown["spread of draws"] = (draws[:, 0, 1:].std(0).amax(0), 0.5)
    return pictures("Translation; segmentation (grey matter orange, white blue)", shown)


def of_registration(model: Any) -> Panel:
    """Both images, the displacement that was found, and what is left between them."""
    pair = test("t1_moved", "t1")
    draws = [torch.as_tensor(model.sample(1, cond=pair, seed=k, n_steps=10)) for k in range(8)]
    shift = torch.stack(draws).mean(0)
    moved = warped(pair[:, 1:], shift)
    gaps = [(pair[0, 0] - one).abs() for one in (pair[0, 1], moved[0, 0])]
    shown = {"first": pair[0, 0], "second": pair[0, 1], "displacement found": pair[0, 1]}
    shown |= {name: (gap, 0.4) for name, gap in zip(("gap before", "gap after"), gaps, strict=True)}
    rows, across = (one.flatten() for one in torch.meshgrid(*[torch.arange(2, 31, 3)] * 2, indexing="ij"))
    left, right, *_ = box(2, len(shown))
    base = torch.stack([left + (across + 0.5) / SIDE * (right - left), (rows + 0.5) / SIDE], 1)
    along = shift[0].flip(0)[:, rows, across].T / SIDE / 0.6
    beside = along.flip(1) * torch.tensor([-1.0, 1.0])
    tip, barbs = base + along, [base + 0.7 * along + side * beside for side in (0.15, -0.15)]
    arrows = trails(torch.stack([base, tip, barbs[0], tip, barbs[1]]), hue=5, alpha=1.0)
    return pictures("Registration", shown, more=[arrows])


TASKS = {
    "prior": of_prior,
    "denoising": of_denoising,
    "reconstruction": of_reconstruction,
    "anomaly": of_anomaly,
    "translation": of_translation,
    "registration": of_registration,
}


def tissues(image: Tensor, shares: Tensor) -> Tensor:
    """Colours ``(H, W, 3)``: the likelier tissue over the image, where one is likely at all."""
    label = torch.cat([1 - shares.sum(0, keepdim=True), shares]).argmax(0)
    over = torch.tensor([[0, 0, 0, 0], [1.0, 0.55, 0.1, 0.55], [0.25, 0.55, 1.0, 0.55]])[label]
    below = image.float().clamp(0, TOP)[..., None] / TOP
    return TOP * (below * (1 - over[..., 3:]) + over[..., :3] * over[..., 3:])


def box(place: int, count: int) -> tuple[float, ...]:
    """Extent of one image of a row, of which the mosaic has a pixel between them; its first row is on top."""
    pixel = count / (count * (SIDE + 1) - 1)
    left = place * (SIDE + 1) * pixel
    return (left, left + SIDE * pixel, 0.0, 1.0)


def pictures(
    title: str, shown: dict[Any, Any], names: Sequence[str] = (), more: Sequence[Series] = ()
) -> Panel:
    """Images side by side as radiologists look: the front on top, the patient's right on the left.

    Those that come with a number are maps of errors in colours that end there; others are grey, or ``(H, W, 3)``.
    """
    greys = [one if isinstance(one, Tensor) else torch.zeros(SIDE, SIDE) for one in shown.values()]
    rgb = [(one if one.ndim == 3 else one[..., None].expand(-1, -1, 3)).float() for one in greys]
    series = [Series(mark="images", arrays={"images": torch.stack(rgb)[None]}, low=0.0, high=TOP)]
    for place, one in enumerate(shown.values()):
        if not isinstance(one, Tensor):
            arrays = {"values": one[0], "extent": box(place, len(shown))}
            series.append(Series(mark="heat", arrays=arrays, low=0.0, high=one[1]))
    under = Axis(
        low=0, high=len(shown), ticks=[k + 0.5 for k in range(len(shown))], names=names or tuple(shown)
    )
    down = Axis(low=1, high=0)
    return Panel(series=(*series, *more), title=title, x=under, y=down, bare=True, equal=True)


if __name__ == "__main__":
    save([medical(*sys.argv[1:])], IMAGES, dpi=110)
