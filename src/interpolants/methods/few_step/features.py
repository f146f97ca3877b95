"""Feature maps of few-step samplers, scaled so that real features have mean 0 and spread 1."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.metrics.features import PrincipalComponents, RandomConvolutions
from interpolants.nets.split import module_in_training


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


def new_features(kind: Any, rows: Tensor, *, setting: str = "features") -> Scaled:
    """A feature map by name or as a function, scaled on real rows.

    Args:
        kind: ``"entries"``, ``"pca"``, ``"convolutions"``, or a function.
        rows: Real rows ``(N, *D)``.
        setting: Name of the setting: ``"features"`` are differentiated, the ``"judge"`` is not.

    Raises:
        InvalidInputError: If pictures are needed, the features are no matrix, or they do not vary; if a network is in
            training mode, or features to train by have no gradient.
    """
    if module_in_training(kind):
        rule = f"{setting} must be a network in evaluation mode"
        remedy = "Call .eval(): dropout and batch statistics would make features of one row differ."
        raise invalid("FewStep", rule, f"{type(kind).__name__} in training mode", remedy)
    if kind == "convolutions":
        if rows.ndim != 4:
            raise invalid(
                "FewStep", "convolutions need pictures (N, C, H, W)", tuple(rows.shape), "Use 'pca'."
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
    if setting == "features":
        _check_gradient(function, rows[:2])
    scale = float(found.std(0).square().mean().sqrt())
    if not scale > 0:
        raise invalid("FewStep", "features of real rows must vary", scale)
    return Scaled(function, found.mean(0), scale)


def _check_gradient(function: Callable[[Tensor], Tensor], rows: Tensor) -> None:
    """Refuse features that do not carry a gradient back to the states."""
    with torch.enable_grad():
        x = rows.detach().clone().requires_grad_(True)
        found = function(x)
        slope = torch.autograd.grad(found.sum(), x, allow_unused=True)[0] if found.requires_grad else None
    if slope is None:
        remedy = "Compute them by torch, without .detach(), NumPy or torch.no_grad()."
        raise invalid("FewStep", "features must be differentiable in the states", "no gradient", remedy)


def _flat(x: Tensor) -> Tensor:
    return x.flatten(1)
