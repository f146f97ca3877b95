"""Picture files as sets of pixels: red, green and blue of each pixel, in [0, 1]."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import quantisation_noise
from interpolants.data.pictures import PICTURES, decode_picture
from interpolants.foundations.extras import require
from interpolants.foundations.unpacking import refusing_content

COLOURS = ("red", "green", "blue")
LEVELS = 256  # of a channel
# Maximum number of training rows of one picture: more of them change no distribution of colours.
_MOST = 1 << 19


@dataclass(frozen=True)
class Picture:
    """An upright picture in sRGB.

    Attributes:
        levels: Red, green and blue of each pixel, ``(H, W, 3)``, integers 0 to 255.
        notes: What was changed on the way, one sentence each.
    """

    levels: NDArray[np.uint8]
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> str:
        """Width and height, for messages."""
        return f"{self.levels.shape[1]} x {self.levels.shape[0]}"


def is_picture(path: str | Path) -> bool:
    """Return True if the file extension is that of a picture."""
    return Path(path).suffix.lower() in PICTURES


def read_picture(source: str | Path | bytes, caller: str, name: str = "") -> Picture:
    """Read one picture as viewers display it, by :func:`interpolants.data.pictures.decode_picture`.

    Grey pictures get equal channels, and 16 bits per channel are rounded to 8.

    Args:
        source: The file, or its bytes.
        caller: Name of the caller, used in error messages.
        name: Name of the file in messages, if ``source`` is bytes.

    Raises:
        InvalidInputError: If the file is damaged, has transparent pixels or several frames.
        MissingExtraError: If Pillow is not installed.
    """
    name = name or ("the picture" if isinstance(source, bytes) else Path(source).name)
    with refusing_content(caller, f"{name} must be a picture that can be read"):
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
    picture = decode_picture(content, name, caller, colour=True, background=None)
    levels = (picture.values.transpose(1, 2, 0) * np.float32(LEVELS - 1)).round().astype(np.uint8)
    return Picture(levels, picture.notes)


def colours_of(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Colours ``(..., 3)`` in [0, 1]: the middles of the cells of the levels, ``(v + 1/2) / 256``."""
    return ((levels.astype(np.float32) + np.float32(0.5)) / np.float32(LEVELS)).astype(np.float32)


def levels_of(colours: NDArray[np.floating[Any]]) -> tuple[NDArray[np.uint8], float]:
    """Levels of colours, and the fraction of their channel values that were clipped by more than half a level."""
    scaled = np.floor(np.asarray(colours, dtype=np.float64) * LEVELS)
    outside = (np.asarray(colours) < -0.5 / LEVELS) | (np.asarray(colours) > 1 + 0.5 / LEVELS)
    return scaled.clip(0, LEVELS - 1).astype(np.uint8), float(outside.mean()) if outside.size else 0.0


def pixels(picture: Picture, max_pixels: int = _MOST) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Pixels in a random order, with a density, and notes on them.

    A level v becomes ``(v + u) / 256`` with u uniform on (0, 1): levels alone have no density, and equal colours would
    have to lie in one part of a split. Order and noise come from a seed fixed here.

    Args:
        picture: The picture.
        max_pixels: Maximum number of pixels, drawn at random.

    Returns:
        ``(N, 3)``, and the notes of the picture with those on the pixels.
    """
    flat = picture.levels.reshape(-1, 3)
    order = np.random.RandomState(len(flat)).permutation(len(flat))[:max_pixels]
    noise = quantisation_noise((len(order), 3), len(flat))
    x = ((flat[order] + noise) / LEVELS).astype(np.float32)
    count = (
        f"{len(order):,} of its {len(flat):,} pixels" if len(order) < len(flat) else f"{len(flat):,} pixels"
    )
    text = f"The picture, {picture.size}, was taken as a set of {count}: red, green and blue in [0, 1]"
    return x, (f"{text}, with noise of one level in 256 so that they have a density.", *picture.notes)


def told_of(path: str | Path, picture: Picture) -> str:
    """A sentence that says how a picture file is read."""
    n = picture.levels.shape[0] * picture.levels.shape[1]
    return f"{Path(path).name}: one picture, {picture.size}, is a set of {n:,} pixels"


def write_picture(levels: NDArray[np.uint8], path: Path, caller: str) -> None:
    """Write a PNG file in sRGB."""
    require("PIL.Image", by=caller).fromarray(levels).save(path, "png")
