"""A part of a larger finite element model, driven by the motion of its interface, at rest or in time.

If the part is a union of elements, nothing loads it from inside and its interface moves as in the whole, then the
part moves as in the whole: to rounding, also in time by Newmark's scheme, where both take the same steps. Matrices are
sparse and come from any finite element code.

Letters: n degrees of freedom of the part, m of its interface, R cases, T steps.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpolants.foundations.checks import positive
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.extras import require

Vector = NDArray[np.float64]
# Newmark's scheme without dissipation: the mean acceleration of a step.
_BETA, _GAMMA = 0.25, 0.5
# Cases that are solved at once.
_TOGETHER = 512


@dataclass(frozen=True)
class Submodel:
    """The part.

    Args:
        stiffness: K of the part alone, ``(n, n)``, symmetric.
        interface: Degrees of freedom whose motion is given, ``(m,)``.
        fixed: Degrees of freedom that do not move.
        mass: M of the part alone; for motion in time.

    Raises:
        InvalidInputError: If degrees of freedom are not of the part or named twice, or matrices have other shapes.
    """

    stiffness: Any
    interface: NDArray[np.int64]
    fixed: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    mass: Any = None

    def __post_init__(self) -> None:
        size = self.stiffness.shape[0]
        given = np.concatenate([np.asarray(self.interface), np.asarray(self.fixed)]).astype(np.int64)
        if self.stiffness.shape != (size, size) or (
            self.mass is not None and self.mass.shape != (size, size)
        ):
            raise invalid("Submodel", "stiffness and mass must be square and alike", self.stiffness.shape)
        if len(np.unique(given)) != len(given) or len(given) == 0 or given.min() < 0 or given.max() >= size:
            rule = (
                f"interface and fixed must name different degrees of freedom of 0 .. {size - 1}, one at least"
            )
            raise invalid("Submodel", rule, given[:8].tolist(), "Without any the part could move freely.")

    @cached_property
    def inside(self) -> NDArray[np.int64]:
        """Degrees of freedom that are solved for."""
        given = np.concatenate([self.interface, self.fixed])
        return np.setdiff1d(np.arange(self.stiffness.shape[0]), given)

    def solve(self, motion: Vector) -> Vector:
        """Displacements at rest.

        Args:
            motion: Displacements of the interface, ``(R, m)``.

        Returns:
            ``(R, n)``.

        Raises:
            InvalidInputError: If the motion has another width or is not finite.
        """
        self._check("Submodel.solve", motion)
        across = rows_of(self.stiffness)[self.inside][:, self.interface]
        found = np.zeros((len(motion), self.stiffness.shape[0]))
        found[:, self.interface] = motion
        for first in range(0, len(motion), _TOGETHER):
            rows = slice(first, first + _TOGETHER)
            found[rows, self.inside] = self._static.solve(-(across @ motion[rows].T)).T
        return found

    @cached_property
    def _static(self) -> Any:
        return _factor(rows_of(self.stiffness)[self.inside][:, self.inside])

    def march(self, motion: Vector, dt: float) -> Vector:
        """Displacements in time, from rest.

        Args:
            motion: Displacements of the interface ``(T + 1, m)``, the first of which are 0; or R histories
                ``(R, T + 1, m)``, which share one factorisation.
            dt: Step of time.

        Returns:
            ``(T + 1, n)``, or ``(R, T + 1, n)``.

        Raises:
            InvalidInputError: If there is no mass, or the interface does not begin at 0.
        """
        motion = np.asarray(motion)
        self._check("Submodel.march", motion.reshape(-1, motion.shape[-1]) if motion.ndim == 3 else motion)
        if self.mass is None:
            raise invalid("Submodel.march", "mass must be passed", "None")
        if (first := float(np.abs(motion[..., 0, :]).max(initial=0.0))) > 0:
            raise invalid("Submodel.march", "the interface must begin at 0: the part is at rest", first)
        load = np.zeros((motion.shape[-2], self.stiffness.shape[0]))
        return newmark(
            self.stiffness, self.mass, load, dt, fixed=self.fixed, moved=self.interface, motion=motion
        )

    def _check(self, who: str, motion: Vector) -> None:
        if motion.ndim != 2 or motion.shape[1] != len(self.interface):
            raise invalid(
                who, f"motion must have {len(self.interface)} columns, as the interface", motion.shape
            )
        if not np.isfinite(motion).all():
            raise invalid(who, "motion must be finite", "nan or inf")


def newmark(
    stiffness: Any,
    mass: Any,
    load: Vector,
    dt: float,
    *,
    fixed: NDArray[np.int64],
    moved: NDArray[np.int64] | None = None,
    motion: Vector | None = None,
    start: tuple[Vector, Vector] | None = None,
) -> Vector:
    """``M a + K u = F`` by Newmark's scheme with the mean acceleration, which keeps the energy of free vibrations.

    Where the motion is given its acceleration follows from the scheme, and moves to the right hand side.

    Args:
        stiffness: K ``(n, n)``.
        mass: M ``(n, n)``.
        load: F ``(T + 1, n)``.
        dt: Step of time, > 0.
        fixed: Degrees of freedom that do not move.
        moved: Degrees of freedom whose motion is given.
        motion: Their displacements ``(T + 1, m)``, or those of R cases, ``(R, T + 1, m)``.
        start: Displacements and velocities at first, ``(n,)`` each; rest if None.

    Returns:
        Displacements ``(T + 1, n)``, or ``(R, T + 1, n)``.

    Raises:
        DivergedError: If a displacement is not finite.
    """
    positive("newmark", "dt", dt)
    size = stiffness.shape[0]
    moved = np.zeros(0, np.int64) if moved is None else moved
    motion = np.zeros((len(load), 0)) if motion is None else motion
    free = np.setdiff1d(np.arange(size), np.concatenate([fixed, moved]))
    k, m = rows_of(stiffness), rows_of(mass)
    moment = _BETA * dt**2
    effective = (m + moment * k).tocsr()
    solve = _factor(effective[free][:, free])
    across = effective[free][:, moved]
    # Cases are columns; one case is a vector.
    cases, given = motion.shape[:-2], np.moveaxis(motion, 0, -1) if motion.ndim == 3 else motion
    force = load[..., None] if cases else load
    begin = (np.zeros(size), np.zeros(size)) if start is None else start
    u, v = (np.broadcast_to(one[:, None] if cases else one, (size, *cases)).copy() for one in begin)
    a = np.zeros((size, *cases))
    if (rest := (force[0] - k @ u)[free]).any():
        a[free] = _factor(m[free][:, free]).solve(rest)
    found = [u]
    for step in range(1, len(load)):
        ahead = u + dt * v + dt**2 * (0.5 - _BETA) * a
        after = np.zeros((size, *cases))
        after[moved] = (given[step] - ahead[moved]) / moment
        after[free] = solve.solve((force[step] - k @ ahead)[free] - across @ after[moved])
        v = v + dt * ((1 - _GAMMA) * a + _GAMMA * after)
        u, a = ahead + moment * after, after
        u[fixed], v[fixed] = 0, 0
        found.append(u)
    path = np.moveaxis(np.stack(found), -1, 0) if cases else np.stack(found)
    if not np.isfinite(path).all():
        raise DivergedError("newmark: a displacement became NaN or infinite. Use a smaller dt.")
    return path


def rows_of(matrix: Any) -> Any:
    """A sparse matrix in the form whose rows can be taken."""
    return require("scipy.sparse", "Submodel").csr_matrix(matrix)


def _factor(matrix: Any) -> Any:
    return require("scipy.sparse.linalg", "Submodel").splu(matrix.tocsc())
