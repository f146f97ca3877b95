"""The identity: states that are seen whole, with noise."""

from dataclasses import dataclass

from torch import Tensor

from interpolants.operators.measurement import Operator


@dataclass(frozen=True)
class Identity(Operator):
    """``H(x) = x``: the measurement of denoising."""

    is_linear = True

    def __call__(self, x: Tensor) -> Tensor:
        """The states themselves."""
        return x

    def pinv(self, y: Tensor) -> Tensor:
        """The measurement itself."""
        return y
