"""What the examples share: their command line, the style of figures, and how pictures are written."""

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from gallery.drawing import HUES, figure, label, legend

__all__ = ["HUES", "draws", "figure", "frame", "label", "legend", "main", "plain_axes", "show_images"]

Draw = Callable[[bool], Any]
FRAME_MS = 70  # of an animation there and back; its first and its middle frame stay longer
REST_MS = 900


def draws(distribution: Any, n: int, seed: int = 0) -> torch.Tensor:
    """``n`` samples of a distribution with a seed of their own, ``(n, *D)`` float32."""
    drawn: torch.Tensor = distribution.sample(n, generator=torch.Generator().manual_seed(seed))
    return drawn.float()


def plain_axes(axes: Any, limit: float, title: str = "") -> None:
    """A square window ``[-limit, limit]^2`` of the plane, without ticks: only shapes matter in it."""
    label(axes, title=title)
    for spine in axes.spines.values():
        spine.set(visible=True, color="#c9ced6")
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xticks=[], yticks=[])


def show_images(axes: Any, images: torch.Tensor, columns: int, gap: int = 1) -> None:
    """Grey images ``(n, 1, H, W)`` in [-1, 1] as one sheet, row by row, dark ink on white."""
    sheet = images.clamp(-1, 1)
    rows, (height, width) = -(-len(sheet) // columns), sheet.shape[-2:]
    page = torch.full((rows * (height + gap) - gap, columns * (width + gap) - gap), -1.0)
    for i, image in enumerate(sheet):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        page[top : top + height, left : left + width] = image[0]
    axes.imshow(page.numpy(), cmap="Greys", vmin=-1, vmax=1, interpolation="nearest")
    axes.set_axis_off()


def frame(made: Any, dpi: int = 100) -> Image.Image:
    """A figure as an image, or as one frame of an animation."""
    made.set_dpi(dpi)
    canvas = FigureCanvasAgg(made)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def write(picture: Any, folder: Path, name: str) -> Path:
    """A figure becomes ``NAME.png``; frames of a motion there and back become ``NAME.gif``."""
    folder.mkdir(parents=True, exist_ok=True)
    if hasattr(picture, "savefig"):
        path = folder / f"{name}.png"
        frame(picture, dpi=130).quantize(200, method=Image.Quantize.FASTOCTREE).save(path, optimize=True)
        return path
    path = folder / f"{name}.gif"
    _animate(list(picture), path)
    return path


def _animate(frames: list[Image.Image], path: Path) -> None:
    # One palette for all frames: colours do not flicker, and what rests costs nothing.
    palette = frames[len(frames) // 2].quantize(64, method=Image.Quantize.MAXCOVERAGE)
    small = [each.quantize(palette=palette, dither=Image.Dither.NONE) for each in frames]
    times = [REST_MS if k in (0, len(small) // 2) else FRAME_MS for k in range(len(small))]
    small[0].save(path, save_all=True, append_images=small[1:], duration=times, loop=0, optimize=True)


def make(draw: Draw, name: str, folder: Path, *, quick: bool) -> tuple[Path, float]:
    """Run an example and write its picture; where it lies, and the processor's seconds that it took."""
    begun = time.process_time()
    path = write(draw(quick), folder, name)
    return path, time.process_time() - begun


def main(draw: Draw, arguments: Iterable[str] | None = None) -> int:
    """The command of one example."""
    module = sys.modules[draw.__module__]
    parser = argparse.ArgumentParser(description=(module.__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="train for seconds: a picture, but a poor one")
    parser.add_argument("--out", type=Path, default=Path("runs/gallery"), help="folder of the picture")
    options = parser.parse_args(None if arguments is None else list(arguments))
    assert module.__file__ is not None
    path, seconds = make(draw, Path(module.__file__).stem, options.out, quick=options.quick)
    sys.stdout.write(f"{path}  ({seconds:.0f} s)\n")
    return 0
