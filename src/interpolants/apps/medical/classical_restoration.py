"""Classical restoration of images, with strengths that are chosen on training images."""

import math
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from interpolants.apps.medical.image_units import unit_of
from interpolants.foundations.asked import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Check, Count, NonNegative
from interpolants.foundations.randomness import generator
from interpolants.foundations.shrinkage import shrunk_correlation
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.methods.parts.choices import member
from interpolants.operators.measurement import Operator, as_matrix

Rule = Literal["shortest", "total_variation", "nl_means", "gaussian", "mean", "principal", "nothing"]
_STRENGTHS = (0.02, 0.05, 0.1, 0.2, 0.4)  # of total variation, and of the filter of non-local means
_CHOICE = 24  # training images on which a strength is chosen
_ROUNDS = 30  # of gradient steps and denoising, where something is hidden


def choose_operator(who: str, operator: Any) -> Operator:
    """An operator from itself, its id or a table."""
    found = operator if isinstance(operator, Operator) else member(who, "operator", operator)
    assert isinstance(found, Operator)
    return found


AnyOperator = Annotated[Any, Check(choose_operator, "id | table | operator")]


class ClassicalRestoration(Method):
    """Restore images by a rule without a network.

    ``"shortest"``: the pseudo-inverse: zero-filling in k-space, the noisy image itself for denoising.
    ``"total_variation"``: least total variation near the measurement; where something is hidden, by gradient steps
    and denoising in turn. ``"nl_means"``: averages of similar patches; for denoising. ``"gaussian"``: the posterior
    mean under a Gaussian fit of the training images. ``"mean"``: their mean, ``"principal"``: the projection on
    their principal components, ``"nothing"``: zeros: these say how unusual an image is, by the difference.

    Raises:
        InvalidInputError: If a setting is unknown or out of range.

    Source: Rudin, Osher & Fatemi (1992), Physica D 60, 259; Buades, Coll & Morel (2005), CVPR, 60; as in scikit-image.
    """

    noun: ClassVar[str] = "rule"
    only_cpu: ClassVar[str] = "it works with scikit-image"

    rule: Rule = field(default="total_variation", kw_only=False)
    """One of these."""
    operator: AnyOperator = "identity"
    """H: id or table of an operator."""
    noise: NonNegative = 0.1
    """Standard deviation of the measurement's noise, in the units of the images."""
    components: Count = 30
    """Number of principal components."""

    def check_settings(self) -> None:
        """Refuse non-local means of what is not measured pixel by pixel."""
        if self.rule == "nl_means" and not _is_identity(self.operator):
            remedy = "Use total_variation, or gaussian."
            raise invalid("nl_means needs the identity", type(self.operator).__name__, remedy)

    def roles(self) -> tuple[Role, ...]:
        """Whole images."""
        return (Role(name="images", axis="images", about="Whole images (N, C, H, W)."),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Moments of the images, or a strength."""
        x = data["images"].double()
        mean, unit = x.mean(0), unit_of(x)
        if self.rule == "gaussian":
            if len(x) < 2:
                raise invalid("rule='gaussian' needs at least two images", len(x))
            # Shrunk towards the identity as rows left out ask for; constant pixels vary a little.
            flat, spread = x.flatten(1), x.flatten(1).std(0).clamp_min(1e-3 * unit)
            values, vectors = shrunk_correlation((flat - flat.mean(0)) / spread)
            covariance = spread[:, None] * ((vectors * values) @ vectors.T) * spread
            return {"mean": mean, "covariance": covariance, "unit": unit}
        if self.rule == "principal":
            _, _, basis = torch.linalg.svd((x - mean).flatten(1), full_matrices=False)
            return {"mean": mean, "basis": basis[: self.components].contiguous()}
        if self.rule not in ("total_variation", "nl_means"):
            return {"mean": mean, "strength": 0.0, "unit": unit}
        # The strength with the least squared error on some training images, measured as the test is.
        some = x[:: math.ceil(len(x) / _CHOICE)]
        y = self.operator(some)
        y = y + self.noise * torch.randn(
            y.shape, dtype=y.dtype, generator=generator(self.seed, "strength choice")
        )
        errors = [float((self._by_rule(y, strength, unit) - some).square().mean()) for strength in _STRENGTHS]
        return {"mean": mean, "strength": _STRENGTHS[errors.index(min(errors))], "unit": unit}

    @capability(reads={"observed": Role(name="observed")})
    def restore(self, observed: Tensor, *, draws: Count = 1, seed: int = 0) -> Ensemble:
        """The images, one answer to each measurement.

        Args:
            observed: Measurements ``(n, *M)``.
            draws: Number of equal answers.
            seed: Without effect.

        Returns:
            Members ``x (n, draws, C, H, W)``.
        """
        seen = self.operator(observed.new_zeros(1, *self.shapes["images"])).shape[1:]
        if observed.shape[1:] != seen:
            rule = f"observed must have the shape of H(x), (B, {', '.join(map(str, seen))})"
            raise invalid(rule, tuple(observed.shape), "Measure the images with the same operator.")
        strength, unit = self.state.get("strength", 0.0), self.state.get("unit", 1.0)
        found = self._by_rule(observed.double(), strength, unit).to(observed)
        return Ensemble(x=found[:, None].expand(-1, draws, *found.shape[1:]))

    def _by_rule(self, y: Tensor, strength: float, unit: float) -> Tensor:
        shape = (len(y), *self.shapes["images"])
        if self.rule == "gaussian":
            return _posterior_mean(self.operator, self.noise, y, self.state).reshape(shape)
        mean: Tensor = self.state["mean"] if self.state else y  # without a state a strength is being chosen
        if self.rule == "mean":
            return mean.expand(shape)
        if self.rule == "nothing":
            return y.new_zeros(shape)
        x: Tensor = self.operator.pinv(y)
        if self.rule == "principal":
            basis: Tensor = self.state["basis"]
            along: Tensor = (x - mean).flatten(1) @ basis.mT @ basis
            return mean + along.reshape(shape)
        if self.rule == "total_variation":
            return _least_variation(self.operator, x / unit, y / unit, strength) * unit
        return (
            x if self.rule == "shortest" else _each(x / unit, _means_of(strength, self.noise / unit)) * unit
        )


def _is_identity(operator: Operator) -> bool:
    return isinstance(operator, type(choose_operator("", "identity")))


def _posterior_mean(operator: Operator, noise: float, y: Tensor, state: Mapping[str, Any]) -> Tensor:
    """``m + C A^T (A C A^T + sigma^2 Id)^-1 (y - A m)``."""
    mean: Tensor = state["mean"]
    covariance: Tensor = state["covariance"]
    matrix = as_matrix(operator, mean.shape)
    own = max(noise, 1e-4 * state.get("unit", 1.0)) ** 2 * torch.eye(len(matrix), dtype=matrix.dtype)
    seen = matrix @ covariance @ matrix.mT + own
    gap = y.flatten(1) - mean.flatten() @ matrix.mT
    found: Tensor = mean.flatten() + torch.linalg.solve(seen, gap.mT).mT @ matrix @ covariance
    return found


def _least_variation(operator: Operator, x: Tensor, y: Tensor, strength: float) -> Tensor:
    restoration: Any = require("skimage.restoration", by="ClassicalRestoration")

    def smooth(picture: Any) -> Any:
        return restoration.denoise_tv_chambolle(picture, weight=strength, channel_axis=0)

    found = _each(x, smooth)
    if _is_identity(operator):
        return found
    for _ in range(_ROUNDS):  # what was measured is put back, what was not is smoothed on
        found = _each(found + operator.pinv(y - operator(found)), smooth)
    return found


def _means_of(strength: float, noise: float) -> Any:
    restoration: Any = require("skimage.restoration", by="ClassicalRestoration")
    settings = {"patch_size": 3, "patch_distance": 7, "fast_mode": False}

    def averaged(picture: Any) -> Any:
        # Channel by channel: with a channel axis of one, scikit-image takes the rows for channels.
        return np.stack(
            [restoration.denoise_nl_means(one, h=strength, sigma=noise, **settings) for one in picture]
        )

    return averaged


def _each(x: Tensor, change: Any) -> Tensor:
    return torch.stack([torch.as_tensor(change(picture.numpy()), dtype=x.dtype) for picture in x])
