"""Gauged fields: a known distribution with a divergence-free term added, so that the score is no gradient.

``r`` leaves every marginal as it is just where ``div(rho r) = 0``. For antisymmetric A and a score s, ``r = A s`` does:
``rho A s = A grad rho``, whose divergence is the sum of an antisymmetric and a symmetric matrix entry by entry; also
``s . A s = 0`` and ``div A s = tr(A Hess log rho) = 0``.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from interpolants.fields.conversions import derive
from interpolants.fields.protocol import Fields
from interpolants.fields.wrapped import WrappedFields
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import expand_like
from interpolants.foundations.types import Condition
from interpolants.paths.path import SpatiallyLinearPath

Strength = Callable[[Tensor], Tensor]


class GaugedFields(WrappedFields):
    """The fields of another object with the score ``(Id + k(t) A) s`` in place of s, A antisymmetric.

    Velocity and all else follow from that score, and from the mean rate where the path is two-sided: the flow turns
    within the level sets of every marginal, and neither samples nor densities change. Jacobians, single trajectories
    and the effort of a solver do. On a one-sided path the turn adds a velocity that grows like ``k / beta`` towards
    t = 0: a flow from there on needs a strength that vanishes with t.

    Args:
        fields: Fields with a score, on a path whose base, if it has one, is isotropic; vectors ``(B, D)``.
        matrix: A, ``(D, D)``, antisymmetric, D >= 2; without unit.
        strength: k, a number or a function of times ``()`` or ``(B,)``.

    Raises:
        InvalidInputError: If A is not antisymmetric, D < 2, or the path is not of that kind.

    Source: Horvat & Pfister (2024), arXiv:2402.03845, for gauge freedom; the construction is ours.
    """

    path: SpatiallyLinearPath

    def __init__(self, fields: Fields, matrix: Tensor, strength: Strength | float = 1.0) -> None:
        who = "GaugedFields"
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise invalid(who, "matrix must be square", tuple(matrix.shape))
        if matrix.shape[0] < 2:
            remedy = "On a line the only such field is a constant over the density, and not integrable."
            raise invalid(who, "the matrix must have at least two dimensions", matrix.shape[0], remedy)
        slip = float((matrix + matrix.T).abs().max())
        if slip > 1e-6 * float(matrix.abs().max()):
            raise invalid(
                who, "matrix must be antisymmetric", f"A + A^T up to {slip:.3g}", "Take (A - A.T) / 2."
            )
        path = fields.path
        if not isinstance(path, SpatiallyLinearPath) or (
            path.base is not None and path.base.shared_scale is None
        ):
            rule = "the path must be spatially linear, its base isotropic if it has one"
            raise invalid(who, rule, type(path).__name__, "Whiten the data by the base's root first.")
        super().__init__(fields)
        self.path, self.matrix, self.strength = path, matrix, strength
        self._beside = () if path.is_one_sided or path.is_static else ("mean_rate",)

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The wanted quantities: those of the fields, and what the turn of the score adds to each."""
        known = self.inner.evaluate(x, t, tuple(dict.fromkeys(("score", *want))), cond)
        inside = t.clamp_min(1e-6)  # at the base the relations divide by what vanishes
        size = self.strength(inside) if callable(self.strength) else torch.as_tensor(self.strength)
        none = {name: torch.zeros_like(x) for name in ("score", *self._beside)}
        turn = {**none, "score": expand_like(size, x).to(x) * (known["score"] @ self.matrix.to(x).T)}
        zero = torch.zeros_like(x)
        moved, still = (derive(self.path, each, tuple(want), zero, inside) for each in (turn, none))
        return {name: known[name] + (moved[name] - still[name]) for name in want}


def antisymmetric(dim: int, *, size: float = 1.0, seed: int = 0) -> Tensor:
    """A random antisymmetric matrix ``(dim, dim)`` in float64 whose largest singular value is ``size``."""
    source = torch.Generator().manual_seed(seed)
    a = torch.randn(dim, dim, generator=source, dtype=torch.float64)
    a = a - a.T
    return a * (size / float(torch.linalg.matrix_norm(a, 2)))
