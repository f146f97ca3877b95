"""One prior of heads, three tasks.

A network learns slices of a brain template. The same weights then remove noise, reconstruct a slice from a
quarter of its k-space, and mark anomalies; these slices are held out.
"""

from typing import Any

import torch

import interpolants as itp
from gallery.common import figure, label, main
from interpolants.apps.medical.lesions import with_lesions
from interpolants.data.sets.brain_slices import load_brain_slices
from interpolants.methods.restoration.prior_restoration import PriorRestoration
from interpolants.operators import KSpaceLines

METHOD = "docs/methods/medical.md"
NET = {"kind": "unet", "channels": 12, "multipliers": [1, 2, 4], "blocks": 1, "attention": []}
LINES = KSpaceLines(size=32, lines=(2, 9, 14, 15, 16, 17, 22, 28))


def learnt(quick: bool) -> itp.Bridge:
    """A model of whole slices, which knows of no task."""
    slices = load_brain_slices("train", copies=1 if quick else 12).x
    prior = itp.Bridge(
        "one_sided_linear", heads=["denoised"], precondition=True, times="noise", net=NET, lr=3e-3, ema=0.99
    )
    return prior.fit(x1=slices, steps=6 if quick else 400, batch_size=16, progress=False)


def restored(prior: itp.Bridge, operator: Any, solver: dict[str, Any], y: torch.Tensor) -> torch.Tensor:
    """Eight answers to a measurement, ``(8, 32, 32)``."""
    found = PriorRestoration(operator, solver=solver).fit(model=prior).restore(y, draws=8, seed=0)
    return torch.as_tensor(found.x)[0, :, 0]


def draw(quick: bool) -> object:
    """A row for each task: the truth, what was seen, what the prior makes of it, and a map."""
    prior, g = learnt(quick), torch.Generator().manual_seed(4)
    x = load_brain_slices("test", test_copies=3).x[26, None]
    noisy = x + 0.15 * torch.randn(x.shape, generator=g)
    y = LINES(x)
    y = y + 0.05 * torch.randn(y.shape, generator=g)
    ill, where = with_lesions(x, generator=g)
    steps = 3 if quick else 30
    clean = restored(prior, "identity", {"kind": "known_noise", "noise": 0.15}, noisy).mean(0)
    draws = restored(prior, LINES, {"kind": "posterior_draws", "noise": 0.05, "n_steps": steps}, y)
    whole = restored(prior, "identity", {"kind": "renoise", "times": [0.8], "rounds": 5}, ill).mean(0)
    titles = (
        ("noise: the truth", "noisy", "restored", "error left"),
        ("k-space: the truth", "from 8 of 32 lines", "mean of 8 draws", "their spread"),
        ("lesion: the truth", "with a lesion", "as the prior has it", "what is odd"),
    )
    images = (
        (x, noisy, clean, (clean - x[0, 0]).abs()),
        (x, LINES.pinv(y), draws.mean(0), draws.std(0)),
        (x, ill, whole, (ill[0, 0] - whole).abs()),
    )
    made = figure(620, 520)
    grid = made.subplots(3, 4)
    for axes, image, title in zip(grid.flat, sum(images, ()), sum(titles, ()), strict=True):
        is_map = axes in grid[:, 3]
        axes.imshow(
            image.reshape(32, 32).numpy(),
            cmap="magma" if is_map else "gray",
            vmin=0,
            vmax=0.3 if is_map else 1.1,
        )
        label(axes, title=title)
        axes.set_axis_off()
    grid[2, 3].contour(where[0].float().numpy(), levels=[0.5], colors="#5ad1ff", linewidths=1.2)
    return made


if __name__ == "__main__":
    main(draw)
