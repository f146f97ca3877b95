"""Fields of a kernelised interpolant: its velocity on the linear path from noise, and what follows from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.fields.learned import LearnedFields
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.row_times import TakesOneTime
from interpolants.foundations.types import Condition
from interpolants.methods.kernelised.features import Features, FourierFeatures
from interpolants.paths.linear import OneSidedLinear
from interpolants.paths.path import SpatiallyLinearPath

PATH = OneSidedLinear()
# Distance from t = 1 at which models are evaluated: there their denoised state is divided by 1 - t.
_MARGIN = 1e-3


@dataclass(frozen=True, eq=False)
class KernelVelocity(TakesOneTime):
    """``b(x, t) = g(t) x + J(x)^T w(t)`` with weights that are linear between the times of the systems.

    Attributes:
        features: What is combined.
        times: Times of the systems, ``(T,)`` increasing.
        weights: ``(T, P)``.
        on_gaussian: Whether features are added to the velocity from noise to N(0, I), ``g = (2t - 1)/(1 - 2t + 2t^2)``;
            else g is 0.
    """

    features: Features
    times: Tensor
    weights: Tensor
    on_gaussian: bool

    def __call__(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """The velocity, ``(B, *D)``, at times ``()`` or ``(B,)``; computed in float64."""
        rows, t = x.flatten(1).double(), t.double()
        velocity = self.features.combined(rows, t, self.weights_at(t))
        if self.on_gaussian:
            velocity = velocity + gaussian_slope(t).reshape(-1, 1) * rows
        return velocity.reshape(x.shape).to(x)

    def weights_at(self, t: Tensor) -> Tensor:
        """Weights at times ``()`` or ``(B,)``: ``(P,)`` or ``(B, P)``."""
        last = torch.searchsorted(self.times, t.contiguous()).clamp(1, len(self.times) - 1)
        start, end = self.times[last - 1], self.times[last]
        fraction = ((t - start) / (end - start)).clamp(0, 1)
        return torch.lerp(self.weights[last - 1], self.weights[last], fraction[..., None])

    def with_divergence(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The velocity and its divergence ``(B,)``, of plane waves."""
        assert isinstance(self.features, FourierFeatures)
        t, size = t.double(), x[0].numel()
        change = self.features.divergence(x.flatten(1).double(), self.weights_at(t))
        return self(x, t), (change + size * gaussian_slope(t)).to(x)


def gaussian_slope(t: Tensor) -> Tensor:
    """The velocity from N(0, I) to N(0, I) on the linear path is this times the state; ``t`` of any shape."""
    return (2 * t - 1) / (1 - 2 * t + 2 * t * t)


class KernelFields(LearnedFields):
    """Fields with a :class:`KernelVelocity` as their velocity."""

    def __init__(self, velocity: KernelVelocity) -> None:
        super().__init__(PATH, velocity=velocity)
        self.of_rows = velocity

    def divergence_of(
        self, cond: Condition = None
    ) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
        """Velocity and divergence in closed form where the features are plane waves."""
        return self.of_rows.with_divergence if isinstance(self.of_rows.features, FourierFeatures) else None


@dataclass(frozen=True, eq=False)
class InUnits:
    """The velocity of a trained model on the linear path and in the units of another frame.

    With ``y = factor u + shift`` between the units u and those of the model, y, both see the same noisy row where the
    ratio of signal to noise is that of the model divided by ``factor^2``.

    Attributes:
        fields: Fields of the model, on a path from centred Gaussian noise.
        shape: Event shape.
        factor: Ratio of the units, > 0.
        shift: ``(D,)``.
    """

    fields: Fields
    shape: tuple[int, ...]
    factor: float
    shift: Tensor

    def __call__(self, u: Tensor, t: Tensor) -> Tensor:
        """The velocity at rows ``u (B, D)`` and times ``()`` or ``(B,)``, float64."""
        path = self.fields.path
        assert isinstance(path, SpatiallyLinearPath)
        t = t.double().clamp(max=1 - _MARGIN)
        model_t = path.time_at_log_snr(PATH.log_snr(t) - 2 * torch.tensor(self.factor).double().log())
        noise, signal = path.noise_std(model_t) / (1 - t), self.factor * path.beta(model_t) / t
        # Both are the factor of the state; near an end one of them divides by 0.
        scale, beta, alpha = (
            v.reshape(-1, 1) for v in (torch.where(t < 0.5, noise, signal), path.beta(model_t), 1 - t)
        )
        y = scale * u + beta * self.shift
        y = y.reshape(-1, *self.shape)
        # Networks are in single precision, functions in that of the states.
        y = y.float() if self.fields.networks else y
        clean = self.fields.evaluate(y, model_t.to(y), ("denoised",))["denoised"].flatten(1).double()
        return ((clean - self.shift) / self.factor - u) / alpha


def units_of(caller: str, model: Any, frame: Any, rows: Tensor) -> dict[str, Any]:
    """The arguments of :class:`InUnits` that the fields of a model need in addition, for the units of a frame.

    Args:
        caller: Name of the caller, used in error messages.
        model: A fitted method with ``fields`` and ``frame``.
        frame: The frame.
        rows: Rows in data units ``(N, *D)``, from which the relation of the units is found.

    Raises:
        InvalidInputError: If the model has conditions, does not start from Gaussian noise, or its units differ from
            those of the frame by more than one factor and a shift.
    """
    name, path = type(model).__name__, model.fields.path
    if any(role in model.given for role in ("cond", "cond0")):
        remedy = "Fit one on the rows of a label alone."
        raise invalid(caller, "models must have no condition", f"a {name} with cond", remedy)
    base = path.base if isinstance(path, SpatiallyLinearPath) and path.basis is None else None
    if not isinstance(base, Gaussian) or not base.is_centred or base.shared_scale is None:
        rule = "models must start from Gaussian noise of mean 0 with one standard deviation"
        raise invalid(caller, rule, f"a {name} on {path!r}", "For example, Bridge(path='one_sided_linear').")
    if not model.fields.provides("denoised"):
        raise invalid(caller, "models must have a denoised state", f"a {name} without it")
    u, y = (units.encode(rows.double()) for units in (frame, model.frame))
    shape = tuple(y.shape[1:])
    u, y = u.flatten(1), y.flatten(1)
    if u.shape != y.shape:
        raise invalid(caller, "models must have states of one width", f"{u.shape[1]} and {y.shape[1]}")
    mean_u, mean_y = u.mean(0), y.mean(0)
    factor = float(((u - mean_u) * (y - mean_y)).sum() / (u - mean_u).square().sum())
    shift = mean_y - factor * mean_u
    if not factor > 0 or float((y - factor * u - shift).abs().max()) > 1e-4 * float(y.abs().max()):
        rule = "models must work in units that differ by one factor and a shift"
        remedy = "Fit them on the same rows, or with standardize=False on rows that you have scaled."
        raise invalid(caller, rule, f"a {name} with other ratios between its columns", remedy)
    return {"shape": shape, "factor": factor, "shift": shift}
