"""DICOM images: one file, or the files of one series, as a scan. DICOM's x and y point to the left and to the back."""

import importlib.util
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from interpolants.data.scan_volume import Affine, Array, Volume, along_the_patient
from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.extras import require
from interpolants.foundations.tell import AssumptionWarning, tell
from interpolants.foundations.unpacking import check_deflated, check_unpacked, refusing_content

# Largest relative difference between the distances of the slices of one series, and of a slice from their line.
_UNEVEN = 0.05
# Tags that all slices of a series share, and their digits.
_SAME = ("SeriesInstanceUID", "Rows", "Columns")
_CLOSE = {"ImageOrientationPatient": 1e-3, "PixelSpacing": 1e-4}
_GREY = ("MONOCHROME1", "MONOCHROME2")
_AXIAL = (1, 0, 0, 0, 1, 0)
# Group of the tags that are about the file; packed ones follow them.
_ABOUT_FILE = 2


def dicom_volume(files: Sequence[Path], source: str, suffixes: Sequence[str] = ()) -> Volume:
    """A scan from DICOM files of one series; files that are no images are left out where there are many.

    Args:
        files: The files.
        source: Name of the data, used in messages.
        suffixes: Endings of other files that the caller reads, for messages.

    Raises:
        InvalidInputError: If there is no image, they are of several series, sizes or directions, not evenly spaced, or
            in colour.
        MissingExtraError: If pydicom is not installed.
    """
    read = [one for file in files if (one := _image(file, suffixes, many=len(files) > 1)) is not None]
    if not read:
        raise invalid("read_volume", f"{source} must contain DICOM images", f"none in {len(files)} files")
    for tag in _SAME:
        several = {str(one.get(tag, "")) for one in read}
        if len(several) > 1:
            remedy = "Store each series in a separate folder."
            raise invalid(
                "read_volume", f"{source} must contain one series", f"{len(several)} of {tag}", remedy
            )
    directions, (rows, columns) = _directions(read, source), _pixel(read, source)
    along, down = directions[:3], directions[3:]
    normal = np.cross(along, down)
    positions = np.array([_numbers(one, "ImagePositionPatient", (0, 0, 0)) for one in read])
    order = (positions @ normal).argsort(kind="stable")
    frames = np.stack([_stored(read[k], source) for k in order])  # (slice, row, column)
    affine = np.eye(4)
    # Column and row numbers run along the first and the second direction.
    steps = [along * columns, down * rows, _step(positions[order], normal, read[0], source)]
    to_world = np.diag([-1.0, -1.0, 1.0])
    affine[:3, :3], affine[:3, 3] = to_world @ np.stack(steps, 1), to_world @ positions[order[0]]
    return along_the_patient(frames.transpose(2, 1, 0), affine, source)


def _image(file: Path, suffixes: Sequence[str], *, many: bool) -> Any:
    """The data set of a file; None for one of many that is no image, such as a directory of the disc."""
    pydicom: Any = require("pydicom", by="read_volume")
    try:
        with refusing_content("read_volume", f"{file.name} must be a whole DICOM file"):
            _check_deflated(pydicom, file)
            found = pydicom.dcmread(file)
    except InvalidInputError as error:
        if not isinstance(error.__cause__, pydicom.errors.InvalidDicomError):
            raise
        if many:
            return None
        rule = f"{file.name} must be NIfTI ({', '.join(suffixes)}) or DICOM"
        raise invalid("read_volume", rule, "another format") from error
    if "PixelData" in found:
        return found
    if many:
        return None
    raise invalid("read_volume", f"{file.name} must have pixel data", found.get("Modality", "none"))


def _check_deflated(pydicom: Any, file: Path) -> None:
    """Refuse a file whose tags are packed out of all proportion, which pydicom would unpack without a bound."""
    reader, deflated = pydicom.filereader, pydicom.uid.DeflatedExplicitVRLittleEndian
    if reader.read_file_meta_info(file).get("TransferSyntaxUID") != deflated:
        return
    with file.open("rb") as stream:
        reader.read_preamble(stream, False)
        reader.read_dataset(stream, False, True, stop_when=lambda tag, *_: tag >> 16 != _ABOUT_FILE)
        check_deflated("read_volume", file.name, stream.read())


def _check_pixels(one: Any, source: str) -> None:
    """Refuse pixels out of all proportion to their bytes: run lengths and wavelets pack equal ones without a bound."""
    sizes = [one.get(tag) for tag in ("Rows", "Columns", "SamplesPerPixel", "NumberOfFrames")]
    bits = int(one.get("BitsAllocated") or 1)
    stated = math.prod(int(size) for size in sizes if size is not None) * max(bits // 8, 1)
    check_unpacked("read_volume", source, len(one.PixelData), stated)
    syntax = one.file_meta.get("TransferSyntaxUID")
    if syntax is not None and syntax.is_encapsulated:
        _check_picture(one, source)


def _check_picture(one: Any, source: str) -> None:
    """Refuse a packed picture of another size than its tags state, for it is unpacked to its own."""
    pydicom: Any = require("pydicom", by="read_volume")
    if importlib.util.find_spec("PIL") is None:  # then nothing here unpacks JPEG
        return
    pillow: Any = require("PIL.Image", by="read_volume")
    frame = next(pydicom.encaps.generate_frames(one.PixelData, number_of_frames=1))
    try:
        with pillow.open(io.BytesIO(frame)) as picture:
            own = picture.size
    except pillow.UnidentifiedImageError:  # run lengths, whose size the tags alone state
        return
    if own != (one.Columns, one.Rows):
        rule = f"pictures of {source} must have {one.Columns} x {one.Rows} pixels, as their tags state"
        raise invalid("read_volume", rule, f"{own[0]} x {own[1]}")


def _stored(one: Any, source: str) -> Array:
    """Pixels in the units of the scan, Hounsfield for CT; large is bright."""
    kind = str(one.get("PhotometricInterpretation", "MONOCHROME2"))
    with refusing_content("read_volume", f"{source} must contain whole pictures"):
        _check_pixels(one, source)
        pixels = np.asarray(one.pixel_array, dtype=np.float32)
    if pixels.ndim != 2 or kind not in _GREY:
        rule = f"DICOM images of {source} must be grey and of one frame"
        raise invalid("read_volume", rule, f"{kind}, {pixels.shape}", "Convert colours or frames first.")
    if kind == "MONOCHROME1":  # the smallest value is white
        lowest = -(2 ** (int(one.BitsStored) - 1)) if one.get("PixelRepresentation", 0) else 0
        pixels = 2 * lowest + 2 ** int(one.BitsStored) - 1 - pixels
    return pixels * float(one.get("RescaleSlope", 1)) + float(one.get("RescaleIntercept", 0))


def _numbers(one: Any, tag: str, otherwise: Sequence[float]) -> Affine:
    """A tag of several numbers; an empty one is as none."""
    found = one.get(tag)
    return np.asarray(otherwise if found is None or not len(found) else found, dtype=np.float64)


def _directions(read: Sequence[Any], source: str) -> Affine:
    """Directions of rows and columns, six numbers; a single picture without any is taken as it is."""
    if len(read) == 1 and not read[0].get("ImageOrientationPatient"):
        _warn(
            f"{source} does not tell its ImageOrientationPatient: it is taken for an axial slice, as stored"
        )
        return np.array(_AXIAL, dtype=np.float64)
    _told(read, "ImageOrientationPatient", source)
    if len(read) > 1:
        _told(read, "ImagePositionPatient", source)
    return _common(read, "ImageOrientationPatient", source)


def _pixel(read: Sequence[Any], source: str) -> Affine:
    """Height and width of a pixel, mm."""
    if len(read) == 1 and not read[0].get("PixelSpacing"):
        at_the_plate = _numbers(read[0], "ImagerPixelSpacing", ())
        if not len(at_the_plate):
            _warn(f"{source} does not tell its PixelSpacing: 1 mm is taken")
        return at_the_plate if len(at_the_plate) else np.ones(2)
    _told(read, "PixelSpacing", source)
    return _common(read, "PixelSpacing", source)


def _warn(text: str) -> None:
    tell(AssumptionWarning, f"read_volume: {text}")


def _told(read: Sequence[Any], tag: str, source: str) -> None:
    without = sum(not one.get(tag) for one in read)
    if without:
        rule = f"slices of {source} must have the tag {tag}"
        raise invalid("read_volume", rule, f"{without} of {len(read)} without")


def _common(read: Sequence[Any], tag: str, source: str) -> Affine:
    """Numbers that all slices share."""
    values = np.array([_numbers(one, tag, ()) for one in read])
    if np.abs(values - values[0]).max() > _CLOSE[tag]:
        remedy = "Leave slices of other kinds, such as a localizer, out of the folder."
        several = len({tuple(row) for row in values.round(3).tolist()})
        raise invalid(
            "read_volume", f"slices of {source} must have one {tag}", f"{several} different ones", remedy
        )
    first: Affine = values[0]
    return first


def _step(positions: Affine, normal: Affine, one: Any, source: str) -> Affine:
    """From one slice to the next, mm; of a single slice its thickness along the normal."""
    if len(positions) < 2:
        return normal * float(one.get("SliceThickness", None) or 1.0)
    gaps = np.diff(positions @ normal)
    rule = f"slices of {source} must be evenly spaced, each there once"
    if gaps.min() <= 0 or gaps.max() - gaps.min() > _UNEVEN * gaps.mean():
        raise invalid("read_volume", rule, f"distances of {gaps.min():.3g} to {gaps.max():.3g} mm")
    step: Affine = (positions[-1] - positions[0]) / (len(positions) - 1)
    beside = positions - positions[0] - np.arange(len(positions))[:, None] * step
    off = np.abs(beside - (beside @ normal)[:, None] * normal).max()
    if off > _UNEVEN * gaps.mean():
        rule = f"slices of {source} must lie one behind the other"
        raise invalid("read_volume", rule, f"one {off:.3g} mm beside the line of the others")
    return step
