"""Draw ``docs/images/pretrained.png``, samples of the models that ship: ``python docs/figures/pretrained.py``."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from gallery.common import show_images
from gallery.drawing import HUES, figure, label, save
from PIL import Image

import interpolants as itp

IMAGES = Path(__file__).parents[1] / "images"
STRIDE = 3  # pixels of the photograph that are shown, in both directions


def recoloured() -> tuple[np.ndarray, np.ndarray]:
    """Return the photograph of the temple, and the same with colours of the flower."""
    file = str(files("sklearn.datasets") / "images" / "china.jpg")
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("RGB"))[::STRIDE, ::STRIDE]
    colours = torch.from_numpy((pixels.reshape(-1, 3).astype(np.float32) + 0.5) / 256)
    after = itp.load("pretrained:colours").transport(colours, n_steps=50)
    return pixels, after.clamp(0, 1).reshape(pixels.shape).numpy()


def main() -> None:
    """Draw and save the figure, a panel per model."""
    drawing = figure(960, 270)
    axes = drawing.subplots(1, 4)
    labels = [k % 10 for k in range(80)]
    digits = itp.load("pretrained:digits").sample(80, cond=labels, guidance=1.5, seed=0, n_steps=60)
    show_images(axes[0], digits, columns=10, gap=2)
    moons = itp.load("pretrained:moons").sample(2000, seed=0, n_steps=50)
    axes[1].scatter(*moons.T.numpy(), s=2, color=HUES[0], linewidths=0)
    axes[1].set_aspect("equal")
    before, after = recoloured()
    axes[2].imshow(before)
    axes[3].imshow(after)
    titles = ("digits: one column per label", "moons", "china.jpg", "colours: transported to flower.jpg")
    for panel, title in zip(axes, titles, strict=True):
        label(panel, title=title)
        panel.set_axis_off()
    save(drawing, IMAGES / "pretrained.png", photo=True)


if __name__ == "__main__":
    main()
