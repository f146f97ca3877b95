"""A scan whose axes lie along the patient's, from voxels and the affine map that says where they are.

World axes are those of NIfTI: x to the patient's right, y to the front (anterior), z to the head (superior), in
millimetres.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid

Array = NDArray[np.float32]
Affine = NDArray[np.float64]
# Plane -> axis across it, then the axes of rows and columns of its pictures; each is counted down, as radiologists
# look: downwards from the front or the head, rightwards from the patient's right (in the sagittal plane the front).
_PLANES = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
PLANES = tuple(_PLANES)
# Largest share of an axis that may point along another one before a scan counts as oblique: 18 degrees.
_OBLIQUE = 0.1
# Largest cosine of the angle between two axes of voxels, 3 degrees off the right one.
_SHEAR = 0.05


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan with its axes along the patient's.

    Attributes:
        values: ``(X, Y, Z)`` float32, to the right, to the front, to the head; Hounsfield units of CT, else as stored.
        spacing: Distance of voxels along the three axes, mm.
        source: Where it was read.
        origin: Place of its first voxel in world axes, mm.
        axes: Unit vectors of its three axes in world axes, its columns: of a tilted scan not quite those.
    """

    values: Array
    spacing: tuple[float, float, float]
    source: str = ""
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    axes: Affine | None = None

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

    def corners(self) -> Affine:
        """Places of the eight outermost voxels in world axes, ``(8, 3)`` mm, the first voxel first."""
        last = np.array(self.values.shape) - 1
        ends = np.array(list(itertools.product(*((0, int(n)) for n in last)))) * np.array(self.spacing)
        axes = np.eye(3) if self.axes is None else self.axes
        found: Affine = np.array(self.origin) + ends @ axes.T
        return found


def along_the_patient(values: Array, affine: Affine, source: str) -> Volume:
    """Axes of voxels sorted and flipped to those of the patient.

    Args:
        values: Voxels with three axes.
        affine: Map from places of voxels to world axes, ``(4, 4)``, mm.
        source: Name of the data, used in messages.

    Raises:
        InvalidInputError: If there are not three axes, or they are oblique or not at right angles, voxels have no size,
            or a value is no finite number.
    """
    if values.ndim != 3:
        raise invalid("read_volume", f"{source} must have three axes", values.shape, "Pick one volume first.")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise invalid("read_volume", f"{source} must have finite, positive voxel spacings", spacing.tolist())
    shares = affine[:3, :3] / spacing
    order = np.abs(shares).argmax(1)
    _check_angles(shares, order, source)
    found = values.transpose(order)
    flips = tuple(slice(None, None, int(np.sign(shares[axis, order[axis]]))) for axis in range(3))
    found = np.ascontiguousarray(found[flips])
    bad = int((~np.isfinite(found)).sum())
    if bad:
        raise invalid("read_volume", f"{source} must be finite", f"{bad} voxels of NaN or infinity")
    step = tuple(float(spacing[axis]) for axis in order)
    signs = np.sign(shares[np.arange(3), order])
    # The voxel that comes first after the flips is the last one along axes that point the other way.
    last = np.zeros(3)
    last[order] = np.where(signs < 0, np.array(values.shape)[order] - 1, 0)
    place = affine[:3, :3] @ last + affine[:3, 3]
    origin = (float(place[0]), float(place[1]), float(place[2]))
    return Volume(found, (step[0], step[1], step[2]), source, origin, shares[:, order] * signs)


def _check_angles(shares: Affine, order: NDArray[np.intp], source: str) -> None:
    """Refuse axes that are oblique to the patient's, or to each other."""
    remedy = "Resample it to the patient's axes first, e.g. nibabel.processing.conform."
    rest = np.abs(shares[np.arange(3), order] ** 2 - 1).max() if len(set(order)) == 3 else 1.0
    if rest > _OBLIQUE:
        rule = f"axes of {source} must lie along the patient's"
        raise invalid("read_volume", rule, f"a share of {rest:.2f} across", remedy)
    skew = float(np.abs(shares.T @ shares - np.eye(3)).max())
    if skew > _SHEAR:
        rule = f"axes of {source} must be at right angles (CT with a tilted gantry has others)"
        raise invalid("read_volume", rule, f"{np.degrees(np.arccos(skew)):.0f} degrees", remedy)
