"""Slices of a brain template, warped at random: pictures, tissues, a second contrast and known displacements.

One head and a simulator: the rows are no patients.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional

from interpolants.data.bundled import BundledFile
from interpolants.data.image_warps import smooth_fields, warped
from interpolants.data.medical_images import nifti_volume, read_volume
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.data.scan_volume import Volume
from interpolants.foundations.checks import one_of, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator

_SHA256 = {
    "t1": "421a10e872fd6cadae7f61d358dffbcc1795a497d61ee76c5dda2503e1a1e9e6",
    "gm": "97a5ca69bd24db37a9cb7b32525e1733a209af904129bf1cd36da06d24243bed",
    "wm": "382d92812de4744f9c86c7a0e4f680dc317a0a50e4da1f0153618a6798c7b7db",
}
TEMPLATE = {
    name: BundledFile(
        package="nilearn",
        path=f"nilearn/datasets/data/mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz",
        sha256=digest,
        version="0.14.1",
        install="pip install 'interpolants[medical]'",
    )
    for name, digest in _SHA256.items()
}
# Plane -> first and last slice, and first and last of the slab that is the test. The template is symmetric, so sagittal
# slices are those of one half: those of the other are their mirror images.
SLABS = {
    "axial": ((40, 149), (85, 104)),
    "coronal": ((50, 179), (103, 124)),
    "sagittal": ((40, 97), (64, 75)),
}
GAP = 5  # slices on each side of the slab that are in no part
_SIDE = 224  # voxels of a slice: 1 mm, cropped or filled with zeros
_T2 = (1.0, 0.6, 0.35)  # of fluid, grey and white matter
_WIDTH, _BIAS = 6 / 32, 0.15  # width of warps as a share of the side; size of the log of the bias field
_TISSUES = ("t1", "gm", "wm", "fluid")
_CHUNK = 8  # rows warped at once: they fit the cache
CONTRASTS = ("t1", "t2", "gm", "wm", "grey_label", "white_label", "t1_moved", "shift_rows", "shift_columns")


@packaged(
    *TEMPLATE.values(),
    licence="free to use with its copyright notice (McConnell Brain Imaging Centre)",
    own="a folder with maps of T1, grey and white matter whose names contain t1, gm and wm (.nii, .nii.gz)",
)
def load_brain_slices(
    file: Opened,
    *,
    size: int = 32,
    contrasts: Sequence[str] = ("t1",),
    planes: Sequence[str] = ("axial",),
    copies: int = 12,
    test_copies: int = 6,
    warp: float = 2.0,
    seed: int = 0,
) -> Found:
    """Slices of the ICBM 2009a brain template, each warped, mirrored and shaded at random many times.

    The test part is a contiguous slab of slices, five slices away from the training part on both sides: neighbouring
    slices of one head are nearly the same. Pixels are square, ``224 / size`` mm. Rows with equal settings and another
    choice of contrasts belong together, so that each role of a task can take its own.

    Args:
        size: Pixels along each side, a divisor of 224.
        contrasts: Channels, in this order: ``t1``, times a gain of 0.85 to 1.15 and a smooth bias, in [0, 1.4];
            ``t2``, simulated as 1.0, 0.6 and 0.35 of fluid, grey and white matter; ``gm`` and ``wm``, shares of tissue
            in [0, 1]; ``grey_label`` and ``white_label``, 1 where that tissue has the largest share and 0 elsewhere;
            ``t1_moved``, the T1 image displaced once more, ``moved(p) = t1(p + shift(p))``, and its ``shift_rows`` and
            ``shift_columns`` in pixels.
        planes: ``axial``, ``coronal``, ``sagittal``; labels of the rows are their places in this list.
        copies: Warps of each training slice.
        test_copies: Warps of each test slice.
        warp: Largest displacement along an axis, pixels.
        seed: Seed of the warps.

    Returns:
        ``x`` (N, contrasts, size, size), of ``all`` first the training part; labels: the plane.

    Source: Fonov et al. (2009), NeuroImage 47, S102; as in nilearn.
    """
    _check(file.who, size, contrasts, planes, copies, test_copies)
    volumes = _from_folder(file) if file.path else load_template(file)
    parts = ("train", "test") if file.split == "all" else (file.split,)
    found, labels = [], []
    for part in parts:
        many = copies if part == "train" else test_copies
        for k, plane in enumerate(planes):
            source = generator(seed, "brain slices", part, plane)
            slices = _slices(volumes, plane, part)
            found.append(_drawn(slices, many, size, warp, contrasts, plane != "sagittal", source).numpy())
            labels.append(np.full(len(found[-1]), k))
    return Found(
        x=np.concatenate(found),
        labels=np.concatenate(labels),
        is_cut=True,
        classes=tuple(planes),
        scaling="v / 255, times gain and bias",
    )


def _check(
    who: str, size: int, contrasts: Sequence[str], planes: Sequence[str], copies: int, test_copies: int
) -> None:
    whole(who, "copies", copies, at_least=1), whole(who, "test_copies", test_copies, at_least=1)
    whole(who, "size", size, at_least=8, at_most=_SIDE)
    if _SIDE % size:
        raise invalid(who, f"size must divide {_SIDE}", size, "For example, use 32 or 56.")
    for name, value, known in (("contrasts", contrasts, CONTRASTS), ("planes", planes, tuple(SLABS))):
        if isinstance(value, str) or not value or len(set(value)) < len(value):
            raise invalid(who, f"{name} must be a list of different names", repr(value))
        for one in value:
            one_of(who, name, one, known)


def load_template(file: Opened) -> dict[str, Volume]:
    """The volumes of the package, by t1, gm and wm.

    Args:
        file: The files of ``TEMPLATE``.

    Raises:
        MissingExtraError: If nilearn or nibabel is not installed.
    """
    return {name: _volume(file.raw(one.name), name) for name, one in TEMPLATE.items()}


# Every role of a task asks for some of their slices.
_volume = functools.lru_cache(maxsize=len(TEMPLATE))(nifti_volume)


def _from_folder(file: Opened) -> dict[str, Volume]:
    files = sorted(Path(file.path).glob("*.nii*"))
    found = {}
    for name in TEMPLATE:
        own = [one for one in files if name in one.name.lower()]
        if len(own) != 1:
            rule = f"path must be a folder with one NIfTI file with {name!r} in its name"
            raise invalid(file.who, rule, f"{len(own)} in {file.path}")
        found[name] = read_volume(own[0])
    shapes = {volume.values.shape for volume in found.values()}
    if len(shapes) > 1:
        raise invalid(file.who, "maps must lie on the grid of the image", sorted(shapes))
    return found


def _slices(volumes: dict[str, Volume], plane: str, part: str) -> Tensor:
    """T1, grey, white and fluid of the slices of a part, ``(S, 4, 224, 224)`` in [0, 1]."""
    (first, last), (low, high) = SLABS[plane]
    places = np.arange(first, last + 1)
    inside = (places >= low) & (places <= high)
    outside = (places < low - GAP) | (places > high + GAP)
    chosen = places[inside if part == "test" else outside]
    t1, gm, wm = (_square(volumes[name].slices(plane)[chosen]) / 255 for name in ("t1", "gm", "wm"))
    fluid = ((t1 > 0).float() - gm - wm).clamp_min(0)
    return torch.stack([t1, gm, wm, fluid], 1)


def _square(pictures: Any) -> Tensor:
    """Pictures ``(N, H, W)`` cut or filled to a square about their middle."""
    x = torch.from_numpy(np.ascontiguousarray(pictures))
    for axis in (1, 2):
        gap = _SIDE - x.shape[axis]
        before, after = gap // 2, gap - gap // 2
        x = functional.pad(x, (before, after) if axis == 2 else (0, 0, before, after))
    return x


def _drawn(
    slices: Tensor,
    copies: int,
    size: int,
    warp: float,
    contrasts: Sequence[str],
    mirrors: bool,
    source: Generator,
) -> Tensor:
    """Every slice as often as asked for, ``(S copies, contrasts, size, size)``; numbers do not depend on contrasts."""
    n = len(slices) * copies
    shape, shift = (_shifts(n, size, warp, source) for _ in range(2))
    bias = smooth_fields(n, 1, size, width=_WIDTH * size, generator=source)
    gain = 0.85 + 0.3 * torch.rand(n, generator=source)
    mirrored = (torch.rand(n, generator=source) < 0.5) & mirrors
    shading = gain[:, None, None, None] * torch.exp(_BIAS * bias)
    moved = {"shift_rows": shift[:, :1], "shift_columns": shift[:, 1:]}
    if set(contrasts) <= moved.keys():  # no picture is asked for
        return torch.cat([moved[name] for name in contrasts], 1)
    found = []
    slices = slices if set(contrasts) - {"t1", "t1_moved"} else slices[:, :1]
    for first in range(0, n, _CHUNK):
        rows = slice(first, min(first + _CHUNK, n))
        place = torch.arange(rows.start, rows.stop) // copies
        flip = mirrored[rows, None, None, None]
        tissue = torch.where(flip, slices[place].flip(3), slices[place])
        channels = _channels(tissue, shape[rows], shift[rows], shading[rows], contrasts)
        found.append(torch.cat([channels[name] for name in contrasts], 1))
    return torch.cat(found)


def _shifts(n: int, size: int, warp: float, source: Generator) -> Tensor:
    return warp * smooth_fields(n, 2, size, width=_WIDTH * size, generator=source)


def _channels(
    tissue: Tensor, shape: Tensor, shift: Tensor, shading: Tensor, contrasts: Sequence[str]
) -> dict[str, Tensor]:
    """The asked channels ``(B, 1, size, size)`` of slices ``(B, 4, 224, 224)``: warped as they are, then averaged."""
    size = shape.shape[-1]
    factor = _SIDE // size
    seen = warped(tissue, _enlarged(shape, factor), outside="zeros")
    found = dict(zip(_TISSUES, torch.split(_means(seen, factor), 1, 1), strict=False))
    found["t1"] = found["t1"] * shading
    found |= {"shift_rows": shift[:, :1], "shift_columns": shift[:, 1:]}
    if "t1_moved" in contrasts:
        whole_size = seen[:, :1] * _enlarged(shading, 1, _SIDE)
        found["t1_moved"] = _means(warped(whole_size, _enlarged(shift, factor), outside="zeros"), factor)
    return found | _of_tissue(found) if "gm" in found else found


def _of_tissue(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """The second contrast and the labels."""
    t2 = _T2[0] * found["fluid"] + _T2[1] * found["gm"] + _T2[2] * found["wm"]
    shares = torch.cat([1 - found["gm"] - found["wm"], found["gm"], found["wm"]], 1)
    label = shares.argmax(1, keepdim=True)
    return {"t2": t2, "grey_label": (label == 1).float(), "white_label": (label == 2).float()}


def _means(x: Tensor, factor: int) -> Tensor:
    return functional.avg_pool2d(x, factor)


def _enlarged(field: Tensor, factor: float, side: int = 0) -> Tensor:
    """A smooth field on the voxels of a slice, its values in voxels too."""
    side = side or round(field.shape[-1] * factor)
    wide = functional.interpolate(field, size=(side, side), mode="bicubic", align_corners=False)
    return wide * factor
