"""Slices of your own scans and their masks, on one square grid, parted so that no head is on both sides."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from interpolants.data.medical_images import NIFTI, read_volume
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.data.scan_volume import PLANES, Volume
from interpolants.data.sets.brain_slices import TEMPLATE, load_template
from interpolants.foundations.checks import number, one_of, whole
from interpolants.foundations.errors import invalid

MASK = "_mask"  # a mask is named like its scan, with this before its ending
_SHIFT = 0.5  # largest distance between the corners of a scan and its mask, in voxels
_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")  # whose scan it is, in names after BIDS
_SAME = 0.01  # largest relative difference between the spacings of a scan and its mask
_LOW, _HIGH, _MOST = 1.0, 99.0, 1.5  # percentiles that become 0 and 1, and where brighter voxels are cut


@packaged(
    *TEMPLATE.values(),
    licence="free to use with its copyright notice (McConnell Brain Imaging Centre)",
    own="a folder with scans, and masks where they are asked for",
)
def load_scan_slices(
    file: Opened,
    *,
    channels: Sequence[str] = ("image",),
    size: int = 32,
    plane: str = "axial",
    test: float = 0.2,
    gap: int = 5,
) -> Found:
    """Slices of scans, and of masks on the same grid, from a folder of your own.

    The folder holds scans ``NAME.nii``, ``NAME.nii.gz`` or ``NAME.dcm``, or folders ``NAME`` with a DICOM series each,
    and beside each ``NAME_mask.nii`` or ``.nii.gz`` with whole numbers: 0 for nothing, 1, 2, ... for what was outlined.
    Of several scans the last ones by name are the test, whole: if a file is a patient, none is on both sides; scans of
    one subject by their names after BIDS, ``sub-01_ses-1_T1w``, ``sub-01_ses-2_T1w``, stay together. Of one
    scan a contiguous slab in the middle is the test, and ``gap`` slices on each side of it are in no part.
    Slices are read in the radiological view, filled to a square in millimetres, and averaged to ``size`` pixels.
    Without a folder there is the T1 image of the ICBM 2009a template, with grey matter 1 and white matter 2.

    Args:
        channels: ``image``: intensities, the 1st and 99th percentile of the scan at 0 and 1, cut at 1.5; ``mask``: the
            share of each pixel with any label; ``label_1``, ``label_2``, ...: the share with this label.
        size: Pixels along each side.
        plane: ``axial``, ``coronal`` or ``sagittal``.
        test: Share of the scans, or of the slices of the only one, that are the test.
        gap: Slices beside the slab of an only scan that are in no part.

    Returns:
        ``x`` (N, channels, size, size), of ``all`` first the training part; labels: the number of the scan.
    """
    who = file.who
    _check(who, channels, size, plane, test, gap)
    masked = any(name != "image" for name in channels)
    scans = _in_folder(who, Path(file.path), masked) if file.path else _template(file)
    _check_labels(who, channels, [mask for _, mask in scans if mask is not None])
    parts = ("train", "test") if file.split == "all" else (file.split,)
    found, labels = [], []
    for part in parts:
        for k, rows in _rows(who, [scan for scan, _ in scans], plane, part, test, gap).items():
            found.append(_pictures(who, *scans[k], plane, size, channels)[rows].numpy())
            labels.append(np.full(len(rows), k))
    return Found(
        x=np.concatenate(found),
        labels=np.concatenate(labels),
        is_cut=True,
        scaling="1st to 99th percentile of a scan to 0 to 1",
    )


def prepared(volume: Volume, *, plane: str = "axial", size: int = 32) -> Tensor:
    """Slices ``(N, 1, size, size)`` of a scan as :func:`load_scan_slices` gives them, to ask a trained model about.

    Args:
        volume: The scan, by ``read_volume``.
        plane: The plane.
        size: Pixels along each side.

    Raises:
        InvalidInputError: If the scan has fewer pixels, or one value everywhere.
    """
    who = "prepared"
    low, high = (float(q) for q in np.percentile(volume.values, [_LOW, _HIGH]))
    if not high > low:
        raise invalid(who, f"intensities of {volume.source} must vary", f"{low:g} at most places")
    scaled = ((volume.values - low) / (high - low)).clip(0, _MOST)
    return _squares(who, Volume(scaled, volume.spacing, volume.source), plane, size)


def _check(who: str, channels: Sequence[str], size: int, plane: str, test: float, gap: int) -> None:
    if isinstance(channels, str) or not channels:
        raise invalid(who, "channels must be a list of names", repr(channels))
    for name in channels:
        if name not in ("image", "mask") and not (name.startswith("label_") and name[6:].isdigit()):
            raise invalid(who, "every channel must be image, mask, or label_1, label_2, ...", repr(name))
    whole(who, "size", size, at_least=8), whole(who, "gap", gap, at_least=0)
    one_of(who, "plane", plane, PLANES)
    number(who, "test", test, above=0, below=1)


def _check_labels(who: str, channels: Sequence[str], masks: Sequence[Volume]) -> None:
    """Refuse a label that no mask has: its channel would be empty everywhere."""
    wanted = {name: int(name[6:]) for name in channels if name.startswith("label_")}
    if not wanted:
        return
    there = sorted({int(one) for mask in masks for one in np.unique(mask.values)} - {0})
    for name, label in wanted.items():
        if label not in there:
            remedy = 'Use channels=["mask"] for any label.'
            found = ", ".join(map(str, there[:10])) or "none but 0"
            raise invalid(who, f"{name} must be a label of some mask", f"labels {found}", remedy)


# --- files ---------------------------------------------------------------------------------------------------

Pair = tuple[Volume, Volume | None]


def _in_folder(who: str, folder: Path, masked: bool) -> list[Pair]:
    """Scans in the order of their names, with their masks."""
    if not folder.is_dir():
        raise invalid(who, "path must be a folder with scans", str(folder))
    entries = [one for one in sorted(folder.iterdir()) if one.is_dir() or _stem(one) != one.name]
    scans = {_stem(one): one for one in entries if not _stem(one).endswith(MASK)}
    masks = {_stem(one).removesuffix(MASK): one for one in entries if _stem(one).endswith(MASK)}
    if not scans:
        raise invalid(
            who, "path must contain scans (.nii, .nii.gz, .dcm or folders of DICOM files)", str(folder)
        )
    for name in (*(masks.keys() - scans.keys()), *((scans.keys() - masks.keys()) if masked else ())):
        missing = "a scan" if name in masks else "a mask"
        remedy = f"Name them {name}.nii.gz and {name}{MASK}.nii.gz."
        raise invalid(
            who, "every scan must have its mask, and every mask its scan", f"{name} without {missing}", remedy
        )
    return [_pair(who, scans[name], masks[name] if masked else None) for name in scans]


def _stem(place: Path) -> str:
    """Name without the ending of a scan; the whole name of what is none."""
    ending = next((end for end in (*NIFTI[::-1], ".dcm") if place.name.lower().endswith(end)), "")
    return place.name[: len(place.name) - len(ending)]


def _pair(who: str, scan: Path, mask: Path | None) -> Pair:
    image = read_volume(scan)
    if mask is None:
        return image, None
    labels = read_volume(mask)
    if labels.values.shape != image.values.shape:
        rule = f"{mask.name} must have the shape of {scan.name}, {image.values.shape}"
        raise invalid(who, rule, labels.values.shape, "Resample it to the grid of the scan.")
    slip = max(abs(a / b - 1) for a, b in zip(labels.spacing, image.spacing, strict=True))
    if slip > _SAME:
        rule = f"{mask.name} must have the spacing of {scan.name}, {_millimetres(image)}"
        raise invalid(who, rule, _millimetres(labels), "Resample it to the grid of the scan.")
    far = np.abs(labels.corners() - image.corners())
    if (far > _SHIFT * np.array(image.spacing)).any():
        corner = int((far / np.array(image.spacing)).max(1).argmax())
        rule = f"{mask.name} must lie where {scan.name} does, as its affine says, a corner at {_place(image, corner)}"
        remedy = "Resample it to the grid of the scan, or write it with its affine."
        raise invalid(who, rule, _place(labels, corner), remedy)
    if bool((labels.values != labels.values.round()).any()) or labels.values.min() < 0:
        rule = f"{mask.name} must contain whole numbers >= 0"
        raise invalid(
            who, rule, f"{labels.values.min():g} to {labels.values.max():g}", "Is it a probability map?"
        )
    return image, labels


def _place(volume: Volume, corner: int) -> str:
    return "(" + ", ".join(f"{one:.4g}" for one in volume.corners()[corner]) + ") mm"


def _millimetres(volume: Volume) -> str:
    return " x ".join(f"{one:.4g}" for one in volume.spacing) + " mm"


def _template(file: Opened) -> list[Pair]:
    maps = load_template(file)
    t1, grey, white = (maps[name] for name in ("t1", "gm", "wm"))
    shares = np.stack([255 - grey.values - white.values, grey.values, white.values])
    return [(t1, Volume(shares.argmax(0).astype(np.float32), t1.spacing, "labels of the template"))]


# --- parts and pictures --------------------------------------------------------------------------------------


def _rows(
    who: str, scans: Sequence[Volume], plane: str, part: str, test: float, gap: int
) -> dict[int, Tensor]:
    """Slices of each scan that belong to a part: whole scans, or a slab of the only one."""
    counts = [len(scan.slices(plane)) for scan in scans]
    if len(counts) > 1:
        first = _first_of_test(who, [_SUBJECT.match(Path(scan.source).name) for scan in scans], test)
        chosen = range(first) if part == "train" else range(first, len(counts))
        return {k: torch.arange(counts[k]) for k in chosen}
    every, slab = torch.arange(counts[0]), max(1, round(test * counts[0]))
    low = (counts[0] - slab) // 2
    inside = (every >= low) & (every < low + slab)
    outside = (every < low - gap) | (every >= low + slab + gap)
    if not bool(outside.any()):
        raise invalid(
            who, "slices must be left beside the test slab and its gap", f"{counts[0]} slices", "Lower gap."
        )
    return {0: every[inside if part == "test" else outside]}


def _first_of_test(who: str, subjects: Sequence[re.Match[str] | None], test: float) -> int:
    """Place of the first scan of the test, where another subject begins than that of the scan before."""
    n = len(subjects)
    wanted = min(n - 1, math.ceil(n * (1 - test)))
    names = [str(k) if one is None else one[0] for k, one in enumerate(subjects)]
    places = [k for k in range(1, n) if names[k] != names[k - 1]]
    if not places:
        remedy = "Pass scans of several subjects, or a single scan, whose slices are split."
        raise invalid(who, "scans must be of several subjects, to have a test", f"{n} of {names[0]}", remedy)
    return min(places, key=lambda k: (abs(k - wanted), k))


def _pictures(
    who: str, scan: Volume, mask: Volume | None, plane: str, size: int, channels: Sequence[str]
) -> Tensor:
    """All channels of all slices of a scan, ``(N, C, size, size)``."""
    found = [
        prepared(scan, plane=plane, size=size)
        if name == "image"
        else _squares(who, _labelled(mask, name), plane, size)
        for name in channels
    ]
    return torch.cat(found, 1)


def _labelled(mask: Volume | None, name: str) -> Volume:
    """1 where a mask has the label that a channel is named after."""
    assert mask is not None  # read where a channel asks for it
    chosen = mask.values > 0 if name == "mask" else mask.values == int(name[6:])
    return Volume(chosen.astype(np.float32), mask.spacing, mask.source)


def _squares(who: str, volume: Volume, plane: str, size: int) -> Tensor:
    """Pictures filled to a square in millimetres about their middle and averaged to ``(N, 1, size, size)``."""
    x: Any = torch.from_numpy(volume.slices(plane))[:, None]
    pixel = volume.pixel(plane)
    side = max(x.shape[2] * pixel[0], x.shape[3] * pixel[1])
    if min(x.shape[2:]) < size:
        rule = f"slices of {volume.source} must have at least {size} pixels along each side"
        raise invalid(who, rule, f"{x.shape[2]} x {x.shape[3]}", "Lower size.")
    gaps = [round(side / step) - length for step, length in zip(pixel, x.shape[2:], strict=True)]
    down, right = (max(gap, 0) for gap in gaps)
    filled = functional.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
    return functional.adaptive_avg_pool2d(filled, size)
