"""Reading of one picture file as an array, upright, with levels from 0 to 1."""

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.unpacking import check_unpacked, refusing_content

# Extensions of the files that are read as pictures.
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")
# The formats behind them. Pillow knows more, and starts other programs for some of those.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
_GREY, _COLOUR = ("1", "L", "LA", "I;16", "I;16L", "I;16B", "I;16N"), ("RGB", "RGBA", "P", "PA", "RGBX")
_GREY_16_AS_I = (
    "PNG",
    "PPM",
)  # formats whose grey of 16 bits is mode I: PNG in Pillow below 11.3, PGM in all
_ORIENTATION = 0x0112  # tag of EXIF
_SIDEWAYS = (5, 6, 7, 8)  # its values that exchange height and width
_COLOUR_PNGS = (2, 6)  # types of a PNG with three channels
_LUMA = ((0.299,), (0.587,), (0.114,))  # ITU-R BT.601, as in Pillow


@dataclass(frozen=True)
class Picture:
    """Pixels of a picture file.

    Attributes:
        values: Levels from 0 to 1, ``(C, H, W)`` float32; C is 1 for grey and 3 for colours (sRGB, as encoded).
        notes: Changes made while reading, one sentence each, for people to read.
    """

    values: NDArray[np.float32]
    notes: tuple[str, ...] = ()


def read_picture(
    path: str | Path,
    caller: str = "read_picture",
    *,
    colour: bool | None = None,
    background: float | None = 1.0,
) -> Picture:
    """Read a picture as grey, or as red, green and blue, with levels from 0 to 1.

    Black and white, grey of 8 or 16 bits, colours, palettes and transparency are read. The picture is rotated as its
    EXIF tag says, and colours are converted to sRGB by an embedded profile. Transparent pixels show the background.

    Args:
        path: The file. Its content determines the format, not its name.
        caller: Name of the caller, used in error messages.
        colour: False for one grey channel (luma of ITU-R BT.601), True for three channels, None for those of the file.
        background: Level behind transparent pixels, from 0 (black) to 1 (white). None refuses them.

    Raises:
        InvalidInputError: If the file is missing, damaged or not a picture, holds several pictures, or has colours
            other than grey and RGB (CMYK, Lab, float pixels).
        MissingExtraError: If Pillow is not installed.
    """
    path = Path(path)
    with refusing_content(caller, f"{path.name} must be a picture that can be read"):
        content = path.read_bytes()
    return decode_picture(content, path.name, caller, colour=colour, background=background)


def decode_picture(
    content: bytes, name: str, caller: str, *, colour: bool | None = None, background: float | None = 1.0
) -> Picture:
    """Read the bytes of a picture file; arguments and errors are those of :func:`read_picture`."""
    with _opened(content, name, caller) as image:
        levels, notes = _levels(image, content, caller)
    values, alpha_notes = _on_background(levels, background, name, caller)
    values, colour_notes = _with_channels(values, colour)
    channels_first = np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32)
    return Picture(channels_first, (*notes, *alpha_notes, *colour_notes))


@dataclass(frozen=True)
class PictureSize:
    """Size of an upright picture in pixels, and whether it has colours."""

    height: int
    width: int
    colour: bool


def picture_size(content: bytes, name: str, caller: str) -> PictureSize:
    """Check the header of a picture file and return its size, without reading its pixels.

    Args:
        content: The bytes of the file.
        name: Name of the file, used in error messages.
        caller: Name of the caller, used in error messages.

    Raises:
        InvalidInputError: As :func:`read_picture`, but for damage behind the header.
    """
    with _opened(content, name, caller) as image:
        width, height = image.size
        if image.getexif().get(_ORIENTATION, 1) in _SIDEWAYS:
            width, height = height, width
        return PictureSize(height, width, image.mode in _COLOUR)


@contextmanager
def _opened(content: bytes, name: str, caller: str) -> Iterator[Any]:
    pillow: Any = require("PIL.Image", by=f"{caller} for pictures")
    rule = f"{name} must be a whole picture ({', '.join(_FORMATS)})"
    with warnings.catch_warnings():  # the size is checked by ours, and odd tags do no harm
        warnings.simplefilter("ignore")
        with refusing_content(caller, rule, "Save it again from the original, or remove it."):
            try:
                image = pillow.open(io.BytesIO(content), formats=_FORMATS)
            except pillow.UnidentifiedImageError as error:
                raise invalid(
                    caller, rule, _kind_of_file(content), "Convert it to PNG, or remove it."
                ) from error
            with image:
                _check_single_and_rgb(image, len(content), name, caller)
                yield image


def _kind_of_file(content: bytes) -> str:
    if content[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
        return "HEIC or AVIF"
    return "another format" if content else "an empty file"


def _check_single_and_rgb(image: Any, size: int, name: str, caller: str) -> None:
    check_unpacked(caller, name, size, 4 * math.prod(image.size))
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # cameras store a preview behind the picture
        remedy = "Save the frame you want, or each of them, as PNG."
        raise invalid(caller, f"{name} must be one picture", f"{frames} in one file", remedy)
    if image.mode not in (*_GREY, *_COLOUR) and not (image.mode == "I" and image.format in _GREY_16_AS_I):
        rule = f"{name} must be grey, RGB or RGBA of 8 bits, or grey of 16 bits"
        raise invalid(caller, rule, f"mode {image.mode}", "Convert it to PNG first.")


def _levels(image: Any, content: bytes, caller: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Levels from 0 to 1, upright, ``(H, W, C)`` with grey or RGB and perhaps alpha."""
    notes: list[str] = []
    if image.format == "PNG" and content[24] == 16 and content[25] in _COLOUR_PNGS:
        notes.append("Colours of 16 bits were read with 8 bits.")
    if image.getexif().get(_ORIENTATION, 1) not in (0, 1):
        image = require("PIL.ImageOps", by=caller).exif_transpose(image)
        notes.append("The picture was rotated as its EXIF tag says.")
    profile = image.info.get("icc_profile")
    if (mode := _direct_mode(image)) != image.mode:
        image = image.convert(mode)
    if profile and mode in ("RGB", "RGBA"):
        image, profile_notes = _to_srgb(image, profile, caller)
        notes += profile_notes
    pixels = np.asarray(image)
    levels = pixels / np.float64(65535 if pixels.dtype.itemsize > 1 else 255)
    return (levels[..., None] if levels.ndim == 2 else levels), tuple(notes)


def _direct_mode(image: Any) -> str:
    """Mode that holds the same colours without a palette, and alpha as a channel."""
    direct = {"1": "L", "P": "RGB", "PA": "RGBA", "RGBX": "RGB"}.get(image.mode, str(image.mode))
    with_alpha = {"L": "LA", "RGB": "RGBA"}
    return with_alpha.get(direct, direct) if "transparency" in image.info else direct


def _to_srgb(image: Any, profile: bytes, caller: str) -> tuple[Any, list[str]]:
    """Convert colours with another profile, as many phones save them."""
    cms = require("PIL.ImageCms", by=caller)
    try:
        source = cms.ImageCmsProfile(io.BytesIO(profile))
        name = cms.getProfileDescription(source).strip()
        if "srgb" in name.lower():
            return image, []
        converted = cms.profileToProfile(image, source, cms.createProfile("sRGB"), outputMode=image.mode)
    except (cms.PyCMSError, OSError):
        return image, ["The colour profile cannot be used; levels were taken as sRGB."]
    return converted, [f"Colours were converted from {name} to sRGB."]


def _on_background(
    levels: NDArray[Any], background: float | None, name: str, caller: str
) -> tuple[NDArray[Any], tuple[str, ...]]:
    if levels.shape[-1] not in (2, 4):
        return levels, ()
    colours, alpha = levels[..., :-1], levels[..., -1:]
    if bool((alpha == 1).all()):
        return colours, ()
    if background is None:
        rule, remedy = f"{name} must have no transparent pixels", "Flatten it onto a background first."
        raise invalid(caller, rule, f"{(alpha < 1).sum():,} of {alpha.size:,}", remedy)
    note = f"Transparent pixels show a background of {background:g} (0 black, 1 white)."
    return alpha * colours + (1 - alpha) * background, (note,)


def _with_channels(values: NDArray[Any], colour: bool | None) -> tuple[NDArray[Any], tuple[str, ...]]:
    if colour is None or colour == (values.shape[-1] == 3):
        return values, ()
    if colour:
        return np.repeat(values, 3, axis=-1), ("Grey was repeated for red, green and blue.",)
    return values @ np.array(_LUMA), ("Colours were averaged to grey.",)
