"""Medical images of files, NIfTI and DICOM, turned to one orientation."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from interpolants.data.dicom_series import dicom_volume
from interpolants.data.scan_volume import PLANES, Volume, along_the_patient
from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.extras import require
from interpolants.foundations.tell import AssumptionWarning, tell
from interpolants.foundations.unpacking import gunzipped

__all__ = ["NIFTI", "PLANES", "Volume", "nifti_volume", "read_volume"]

NIFTI = (".nii", ".nii.gz")
_MILLIMETRES = {"meter": 1000.0, "micron": 1e-3}
_HEADER_2 = 540  # size of the header of NIfTI-2, which is its first number


def read_volume(path: str | os.PathLike[str]) -> Volume:
    """A scan from a NIfTI file (``.nii``, ``.nii.gz``), a DICOM file, or a folder with one DICOM series.

    Slices of a scan that is tilted by up to 18 degrees are those of the scanner, along its own axes. A file that does
    not tell how it lies in the patient is read as it is stored, with an ``AssumptionWarning``.

    Args:
        path: The file or folder.

    Raises:
        InvalidInputError: If there is no such scan, it is more oblique, its axes are not at right angles, it is in
            colour, has NaN or no even spacing, or files of several series, directions or sizes lie in one folder.
        MissingExtraError: If nibabel or pydicom is not installed.
    """
    place = Path(path)
    if place.is_dir():
        return dicom_volume(sorted(file for file in place.rglob("*") if file.is_file()), str(place), NIFTI)
    if not place.is_file():
        raise invalid("read_volume", "path must be a file or a folder", str(place))
    if place.name.lower().endswith(NIFTI):
        return nifti_volume(place.read_bytes(), str(place))
    return dicom_volume([place], str(place), NIFTI)


def nifti_volume(data: bytes, source: str = "NIfTI") -> Volume:
    """A scan from the bytes of a NIfTI file of either version, compressed or not.

    Args:
        data: The bytes.
        source: Name of the data, used in messages.

    Raises:
        InvalidInputError: As :func:`read_volume`.
    """
    nibabel: Any = require("nibabel", by="read_volume")
    try:
        raw = gunzipped("read_volume", source, data, "a whole NIfTI file")
        second = _HEADER_2 in (int.from_bytes(raw[:4], "little"), int.from_bytes(raw[:4], "big"))
        image = (nibabel.Nifti2Image if second else nibabel.Nifti1Image).from_bytes(raw)
        kind = np.dtype(image.get_data_dtype())
        if kind.kind not in "iuf":
            remedy = "Select one channel, or compute the magnitude, first."
            raise invalid("read_volume", f"voxels of {source} must be real numbers", str(kind), remedy)
        values = np.asarray(image.dataobj, dtype=np.float32)
    except InvalidInputError:
        raise
    except Exception as error:  # nibabel has no common class for what is wrong with a file
        raise invalid("read_volume", f"{source} must be a whole NIfTI file", _line(error)) from error
    header = image.header
    if int(header["qform_code"]) <= 0 and int(header["sform_code"]) <= 0:
        told = "does not tell how it lies in the patient (qform and sform codes 0): left and right may be swapped"
        tell(AssumptionWarning, f"read_volume: {source} {told}")
    affine = np.asarray(image.affine, dtype=np.float64).copy()
    affine[:3] *= _MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)
    if values.ndim > 3 and max(values.shape[3:]) == 1:
        values = values.reshape(values.shape[:3])
    return along_the_patient(values, affine, source)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
