"""Masks: measurements of some entries of a state only."""

from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.operators.measurement import Operator


class Mask(Operator):
    """The known entries of a state, in order: ``(B, *D)`` -> ``(B, M)``.

    ``pinv`` puts them back and zero elsewhere, the shortest state that fits.

    Args:
        known: Where a state is known: bool, of its shape ``(*D)``; a tensor or nested lists.

    Raises:
        InvalidInputError: If it is not bool, or nothing is known.
    """

    is_linear = True

    def __init__(self, known: Tensor | list[Any]) -> None:
        known = torch.tensor(known) if isinstance(known, list) else known
        if not isinstance(known, Tensor) or known.dtype != torch.bool:
            found = str(getattr(known, "dtype", type(known).__name__))
            raise invalid("Mask", "known must be a bool tensor", found, "For example, pass weights > 0.")
        if not bool(known.any()):
            raise invalid("Mask", "known must be True for at least one entry", "False everywhere")
        self.known = known
        self._rows = known.flatten().nonzero().flatten()

    def __call__(self, x: Tensor) -> Tensor:
        """The known entries."""
        if x.shape[1:] != self.known.shape:
            raise invalid("Mask", f"states must have shape (B, *{tuple(self.known.shape)})", tuple(x.shape))
        return x.reshape(x.shape[0], self.known.numel())[:, self._rows.to(x.device)]

    def describe(self) -> dict[str, Any]:
        """Words from which an equal one is made."""
        return {"kind": "mask", "known": self.known.tolist()}

    def pinv(self, y: Tensor) -> Tensor:
        """Known entries in their places, zero elsewhere."""
        whole = y.new_zeros(y.shape[0], self.known.numel())
        whole[:, self._rows.to(y.device)] = y
        return whole.reshape(y.shape[0], *self.known.shape)
