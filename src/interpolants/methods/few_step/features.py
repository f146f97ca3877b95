"""Feature maps of few-step samplers, scaled so that real features have mean 0 and spread 1."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.metrics.features import PrincipalComponents, RandomConvolutions


@dataclass(frozen=True, eq=False)
class Scaled:
    """``(phi(x) - shift) / scale`` with one scale for all features.

    Attributes:
        function: phi, ``(N, *D) -> (N, F)``.
        shift: ``(F,)``.
        scale: Number > 0.
    """

    function: Callable[[Tensor], Tensor]
    shift: Tensor
    scale: float

    def __call__(self, x: Tensor) -> Tensor:
        """Features ``(N, F)``."""
        found: Tensor = (self.function(x) - self.shift) / self.scale
        return found


def new_features(kind: Any, rows: Tensor) -> Scaled:
    """A feature map by name or as a function, scaled on real rows.

    Args:
        kind: ``"entries"``, ``"pca"``, ``"convolutions"``, or a function.
        rows: Real rows ``(N, *D)``.

    Raises:
        InvalidInputError: If pictures are needed, the features are no matrix, or they do not vary.
    """
    if kind == "convolutions":
        if rows.ndim != 4:
            raise invalid(
                "FewStep", "convolutions need pictures (N, C, H, W)", tuple(rows.shape), "Take 'pca'."
            )
        function: Callable[[Tensor], Tensor] = RandomConvolutions(rows.shape[1])
    elif kind == "pca":
        function = PrincipalComponents.of(rows)
    else:
        function = kind if callable(kind) else _flat
    with torch.no_grad():
        found = function(rows)
    if found.ndim != 2 or len(found) != len(rows):
        raise invalid("FewStep", f"features must be a matrix with {len(rows)} rows", tuple(found.shape))
    scale = float(found.std(0).square().mean().sqrt())
    if not scale > 0:
        raise invalid("FewStep", "features of real rows must vary", scale)
    return Scaled(function, found.mean(0), scale)


def _flat(x: Tensor) -> Tensor:
    return x.flatten(1)
