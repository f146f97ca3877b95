"""Picture files as sets of pixels: red, green and blue of each pixel, in [0, 1]."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import quantisation_noise
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.unpacking import refusing_content

PICTURES = (".jpg", ".jpeg", ".png")
COLOURS = ("red", "green", "blue")
LEVELS = 256  # of a channel
# Maximum number of pixels of a file, and of training rows: more of them change no distribution of colours.
_LARGEST, _MOST = 1 << 26, 1 << 19
# Pillow's modes of 16 bits.
_DEEP = ("I", "I;16", "I;16B", "I;16L")


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
    """Read a JPEG or PNG file as viewers display it.

    The orientation in its EXIF data and its colour profile are applied. Grey pictures get equal channels, palettes
    become colours, 16 bits per channel are rounded to 8, and an alpha channel without transparent pixels is dropped.

    Args:
        source: The file, or its bytes.
        caller: Name of the caller, used in error messages.
        name: Name of the file in messages, if ``source`` is bytes.

    Raises:
        InvalidInputError: If the file is damaged, has transparent pixels, several frames, or more than 67 million
            pixels.
        MissingExtraError: If Pillow is not installed.
    """
    pillow = require("PIL.Image", by=f"{caller} for pictures")
    name = name or ("the picture" if isinstance(source, bytes) else Path(source).name)
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    rule = f"{name} must be a whole JPEG or PNG file"
    with (
        refusing_content(caller, rule, "Save it again."),
        _large_ones_allowed(),
        pillow.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image,
    ):
        _check(image, caller, name)
        image.load()
        return _upright(image, caller, name)


@contextmanager
def _large_ones_allowed() -> Iterator[None]:
    """Silence Pillow's warning of large pictures: the size is checked before the picture is unpacked."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Image size", category=Warning)
        yield


def _check(image: Any, caller: str, name: str) -> None:
    """Check size and number of frames in the header."""
    width, height = image.size
    if width * height > _LARGEST:
        rule = f"{name} must have at most {_LARGEST:,} pixels"
        raise invalid(caller, rule, f"{width} x {height}", "Scale it down.")
    if getattr(image, "n_frames", 1) > 1:
        rule, remedy = f"{name} must be a single picture", "Save the frame that you mean."
        raise invalid(caller, rule, f"{image.n_frames} frames", remedy)


def _upright(image: Any, caller: str, name: str) -> Picture:
    notes = []
    upright = require("PIL.ImageOps", by=caller).exif_transpose(image)
    if image.getexif().get(0x0112, 1) != 1:
        notes.append("It was rotated as its EXIF orientation requires.")
    if upright.mode in _DEEP:
        grey = np.asarray(upright, dtype=np.float64) / 257  # 65,535 becomes 255
        notes.append("Its 16 bits per channel were rounded to 8.")
        notes.append(_GREY)
        return Picture(np.repeat(grey.round().astype(np.uint8)[..., None], 3, -1), tuple(notes))
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        upright = _opaque(upright, caller, name)
        notes.append("Its alpha channel, opaque everywhere, was dropped.")
    if upright.mode in ("L", "1"):
        notes.append(_GREY)
    if profile := image.info.get("icc_profile"):
        upright, text = _in_srgb(upright, profile, caller)
        notes += [text] if text else []
    return Picture(np.array(upright.convert("RGB")), tuple(notes))


_GREY = "It is grey: its red, green and blue are equal."


def _opaque(image: Any, caller: str, name: str) -> Any:
    """The picture without its alpha channel.

    Raises:
        InvalidInputError: If a pixel is transparent: its colour is one that nobody sees.
    """
    full = image.convert("RGBA")
    opaque = np.asarray(full.getchannel("A")) == 255
    if not opaque.all():
        rule, remedy = f"{name} must have no transparent pixels", "Flatten it onto a background first."
        raise invalid(caller, rule, f"{(~opaque).sum():,} of {opaque.size:,}", remedy)
    return full.convert("RGB")


def _in_srgb(image: Any, profile: bytes, caller: str) -> tuple[Any, str]:
    """The picture in sRGB, and a sentence if its colour profile was a different one."""
    cms = require("PIL.ImageCms", by=caller)
    profile_in = cms.ImageCmsProfile(io.BytesIO(profile))
    name = str(cms.getProfileDescription(profile_in)).strip()
    if "srgb" in name.lower() or image.mode not in ("RGB", "CMYK"):
        return image, ""
    converted = cms.profileToProfile(image, profile_in, cms.createProfile("sRGB"), outputMode="RGB")
    return converted, f"Its colours were converted from the profile “{name}” to sRGB."


# --- colours -------------------------------------------------------------------------------------------------


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
