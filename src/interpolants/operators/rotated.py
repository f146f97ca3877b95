"""Linear measurements in a rotated basis: grey levels, single frequencies, principal components."""

from collections.abc import Sequence

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.operators.mask import Mask
from interpolants.operators.measurement import Operator

# Tolerance of Q Q^T against the identity.
_SLIP = 1e-4


class Rotated(Operator):
    """``y = H(Q x)`` with an orthogonal Q that acts on the channels, or on the whole flattened state.

    With a mask for H this is the general form of "some orthogonal components are known", ``y = m * (Q x)``. The
    pseudo-inverse is ``Q^T H^+``.

    Args:
        inner: H, e.g. a ``Mask`` of the turned state.
        rotation: Q, ``(C, C)`` for states ``(B, C, *spatial)`` or vectors ``(B, C)``, or ``(N, N)`` for states of N
            entries.

    Raises:
        InvalidInputError: If Q is not orthogonal to 1e-4.
    """

    def __init__(self, inner: Operator, rotation: Tensor | Sequence[Sequence[float]]) -> None:
        q = torch.as_tensor(rotation)
        if q.ndim != 2 or q.shape[0] != q.shape[1] or not q.is_floating_point():
            raise invalid(
                "Rotated", "rotation must be a floating-point (N, N)", f"{q.dtype} {tuple(q.shape)}"
            )
        slip = float((q.double() @ q.double().mT - torch.eye(len(q), dtype=torch.float64)).norm())
        if not slip <= _SLIP:
            remedy = "Orthogonalise it, e.g. torch.linalg.qr(rotation).Q."
            raise invalid("Rotated", "rotation must be orthogonal, |Q Q^T - Id| <= 1e-4", slip, remedy)
        self.inner, self.rotation = inner, q

    @classmethod
    def grey(cls, event_shape: Sequence[int]) -> "Rotated":
        """The grey values of colour images ``(C, *spatial)``: the mean over channels, times ``sqrt(C)``."""
        channels = event_shape[0]
        known = torch.zeros(*event_shape, dtype=torch.bool)
        known[0] = True
        return cls(Mask(known), _with_first_row(torch.ones(channels, dtype=torch.float64)))

    @property
    def is_linear(self) -> bool:  # type: ignore[override]  # depends on the inner operator
        """Whether H is."""
        return self.inner.is_linear

    @property
    def has_pinv(self) -> bool:
        """Whether H has one."""
        return self.inner.has_pinv

    def __call__(self, x: Tensor) -> Tensor:
        """``H(Q x)``."""
        return self.inner(self._turn(self.rotation, x))

    def pinv(self, y: Tensor) -> Tensor:
        """``Q^T H^+ y``."""
        return self._turn(self.rotation.mT, self.inner.pinv(y))

    def _turn(self, q: Tensor, x: Tensor) -> Tensor:
        size = len(q)
        if x.shape[1] == size:
            return (q.to(x) @ x.reshape(*x.shape[:2], x.shape[2:].numel())).reshape(x.shape)
        if x.shape[1:].numel() == size:
            return (x.reshape(x.shape[0], size) @ q.to(x).mT).reshape(x.shape)
        rule = f"states must have {size} channels or entries like the rotation"
        raise invalid("Rotated", rule, tuple(x.shape[1:]))


def _with_first_row(row: Tensor) -> Tensor:
    """An orthogonal matrix whose first row points along ``row``: a reflection."""
    unit = row / row.norm()
    normal = unit.clone()
    normal[0] -= 1
    length = normal.norm()
    eye = torch.eye(len(row), dtype=row.dtype)
    return eye if length == 0 else eye - 2 * torch.outer(normal, normal) / length**2
