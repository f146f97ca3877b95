"""Volumes and slices of medical images: NIfTI and DICOM files, turned to one orientation.

World axes are those of NIfTI: x to the patient's right, y to the front (anterior), z to the head (superior), in
millimetres. DICOM counts x and y the other way round and is turned here.
"""

import gzip
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require

Array = NDArray[np.float32]
NIFTI = (".nii", ".nii.gz")
# Plane -> axis across it, then the axes of rows and columns of its pictures; each is counted down, as radiologists
# look: downwards from the front or the head, rightwards from the patient's right (in the sagittal plane the front).
_PLANES = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
PLANES = tuple(_PLANES)
# Largest share of an axis that may point along another one before a scan counts as oblique.
_OBLIQUE = 0.1
# Largest relative difference between the distances of the slices of one series.
_UNEVEN = 0.05


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan with its axes along the patient's.

    Attributes:
        values: ``(X, Y, Z)`` float32, to the right, to the front, to the head; Hounsfield units of CT, else as stored.
        spacing: Distance of voxels along the three axes, mm.
        source: Where it was read.
        origin: Place of its first voxel in world axes, mm.
    """

    values: Array
    spacing: tuple[float, float, float]
    source: str = ""
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def slices(self, plane: str = "axial") -> Array:
        """All slices of a plane as pictures ``(N, H, W)`` in the radiological view.

        Axial and coronal pictures have the patient's right on the left; axial ones the front on top, coronal and
        sagittal ones the head on top, sagittal ones the front on the left. Slice k is at place k of the axis across.

        Args:
            plane: ``"axial"``, ``"coronal"`` or ``"sagittal"``.

        Raises:
            InvalidInputError: If there is no such plane.
        """
        across, rows, columns = _PLANES[one_of("Volume.slices", "plane", plane, PLANES)]
        turned = self.values.transpose(across, rows, columns)[:, ::-1, ::-1]
        return np.ascontiguousarray(turned)

    def pixel(self, plane: str = "axial") -> tuple[float, float]:
        """Height and width of a pixel of such pictures, mm."""
        _, rows, columns = _PLANES[one_of("Volume.pixel", "plane", plane, PLANES)]
        return self.spacing[rows], self.spacing[columns]


def read_volume(path: str | os.PathLike[str]) -> Volume:
    """A scan from a NIfTI file (``.nii``, ``.nii.gz``), a DICOM file, or a folder with one DICOM series.

    Args:
        path: The file or folder.

    Raises:
        InvalidInputError: If there is no such scan, it is oblique, has NaN or no even spacing, or files of several
            series or sizes lie in one folder.
        MissingExtraError: If nibabel or pydicom is not installed.
    """
    place = Path(path)
    if place.is_dir():
        return _dicom(sorted(file for file in place.rglob("*") if file.is_file()), str(place))
    if not place.is_file():
        raise invalid("read_volume", "path must be a file or a folder", str(place))
    if place.name.lower().endswith(NIFTI):
        return nifti_volume(place.read_bytes(), str(place))
    return _dicom([place], str(place))


def nifti_volume(data: bytes, source: str = "NIfTI") -> Volume:
    """A scan from the bytes of a NIfTI file, compressed or not.

    Args:
        data: The bytes.
        source: Name for messages.

    Raises:
        InvalidInputError: As :func:`read_volume`.
    """
    nibabel: Any = require("nibabel", by="read_volume")
    raw = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    try:
        image = nibabel.Nifti1Image.from_bytes(raw)
    except Exception as error:  # nibabel has no common class for what is wrong with a file
        raise invalid("read_volume", f"{source} must be a NIfTI file", str(error)[:120]) from error
    values = np.asarray(image.dataobj, dtype=np.float32)
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    return _turned(values, np.asarray(image.affine, dtype=np.float64), source)


def _turned(values: Array, affine: NDArray[np.float64], source: str) -> Volume:
    """Axes sorted and flipped to those of the patient."""
    if values.ndim != 3:
        raise invalid("read_volume", f"{source} must have three axes", values.shape, "Pick one volume first.")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise invalid("read_volume", f"{source} must tell the spacing of its voxels", spacing.tolist())
    shares = affine[:3, :3] / spacing
    order = np.abs(shares).argmax(1)
    rest = np.abs(shares[np.arange(3), order] ** 2 - 1).max() if len(set(order)) == 3 else 1.0
    if rest > _OBLIQUE:
        remedy = "Resample it to the patient's axes first, e.g. nibabel.processing.conform."
        raise invalid(
            "read_volume",
            f"axes of {source} must lie along the patient's",
            f"a share of {rest:.2f} across",
            remedy,
        )
    found = values.transpose(order)
    flips = tuple(slice(None, None, int(np.sign(shares[axis, order[axis]]))) for axis in range(3))
    found = np.ascontiguousarray(found[flips])
    bad = int((~np.isfinite(found)).sum())
    if bad:
        raise invalid("read_volume", f"{source} must be finite", f"{bad} voxels of NaN or infinity")
    step = tuple(float(spacing[axis]) for axis in order)
    # The voxel that comes first after the flips is the last one along axes that point the other way.
    last = np.where(shares[order.argsort(), np.arange(3)] < 0, np.array(values.shape) - 1, 0)
    place = affine[:3, :3] @ last + affine[:3, 3]
    origin = (float(place[0]), float(place[1]), float(place[2]))
    return Volume(found, (step[0], step[1], step[2]), source, origin)


# --- DICOM ---------------------------------------------------------------------------------------------------


def _dicom(files: Sequence[Path], source: str) -> Volume:
    read = [one for file in files if (one := _dicom_file(file, many=len(files) > 1)) is not None]
    if not read:
        raise invalid("read_volume", f"{source} must hold DICOM images", f"none in {len(files)} files")
    for tag in ("SeriesInstanceUID", "Rows", "Columns"):
        several = {str(one.get(tag, "")) for one in read}
        if len(several) > 1:
            remedy = "Give each series a folder of its own."
            raise invalid("read_volume", f"{source} must hold one series", f"{len(several)} of {tag}", remedy)
    across = np.asarray(read[0].get("ImageOrientationPatient", [1, 0, 0, 0, 1, 0]), dtype=np.float64)
    normal = np.cross(across[:3], across[3:])
    places = np.array([_position(one) @ normal for one in read])
    order = places.argsort(kind="stable")
    frames = np.stack([_stored(read[k]) for k in order])  # (slice, row, column)
    rows, columns = (float(x) for x in read[0].get("PixelSpacing", [1.0, 1.0]))
    affine = np.eye(4)
    # Column and row numbers run along the first and the second direction; DICOM's x and y point to the left and back.
    steps = [across[:3] * columns, across[3:] * rows, normal * _distance(places[order], read[0], source)]
    to_world = np.diag([-1.0, -1.0, 1.0])
    affine[:3, :3], affine[:3, 3] = to_world @ np.stack(steps, 1), to_world @ _position(read[order[0]])
    return _turned(frames.transpose(2, 1, 0), affine, source)


def _dicom_file(file: Path, *, many: bool) -> Any:
    """The data set of a file; None for one of many that is no image, such as a directory of the disc."""
    pydicom: Any = require("pydicom", by="read_volume")
    try:
        found = pydicom.dcmread(file)
    except pydicom.errors.InvalidDicomError as error:
        if many:
            return None
        rule = f"{file.name} must be NIfTI ({', '.join(NIFTI)}) or DICOM"
        raise invalid("read_volume", rule, "another format") from error
    if "PixelData" in found:
        return found
    if many:
        return None
    raise invalid("read_volume", f"{file.name} must have pixel data", found.get("Modality", "none"))


def _stored(one: Any) -> Array:
    """Pixels in the units of the scan: Hounsfield for CT."""
    pixels = np.asarray(one.pixel_array, dtype=np.float32)
    if pixels.ndim != 2:
        rule = "DICOM images must be grey and of one frame"
        raise invalid("read_volume", rule, pixels.shape, "Convert colours or frames first.")
    return pixels * float(one.get("RescaleSlope", 1)) + float(one.get("RescaleIntercept", 0))


def _position(one: Any) -> NDArray[np.float64]:
    return np.asarray(one.get("ImagePositionPatient", [0, 0, 0]), dtype=np.float64)


def _distance(places: NDArray[np.float64], one: Any, source: str) -> float:
    """Distance of neighbouring slices, mm; that of a single slice is its thickness."""
    if len(places) < 2:
        return float(one.get("SliceThickness", None) or 1.0)
    gaps = np.diff(places)
    if gaps.min() <= 0 or gaps.max() - gaps.min() > _UNEVEN * gaps.mean():
        rule = f"slices of {source} must be evenly spaced, each there once"
        raise invalid("read_volume", rule, f"distances of {gaps.min():.3g} to {gaps.max():.3g} mm")
    return float(gaps.mean())
