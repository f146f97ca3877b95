"""Evidence of a linear model with fractional Brownian motion itself in the place of its Markov approximation."""

import torch
from torch import Tensor

from interpolants.sciml.processes.fractional_gaussian_fit import gaussian_log_density
from interpolants.sciml.processes.fractional_model import FractionalModel
from interpolants.sciml.processes.kernels.fractional_gaussian import increment_covariance


def exact_log_evidence(model: FractionalModel, y: Tensor, seen: Tensor, every: int = 1) -> Tensor:
    """Log density of standardised values ``y (T,)`` on a regular clock, where they were seen, in nats, ``()``.

    The drift is constant or linear, and stepped as the model steps it; increments of the noise have their exact
    covariance, at a cost of ``O((every T)^3)``.

    Args:
        model: Its parameters and settings are used.
        y: Values.
        seen: Which were seen.
        every: Steps from one value to the next.
    """
    values = {name: model.value(name) for name in ("hurst", "scale", "noise", "level", "rate")}
    h = 1 / every
    increments = model.settings.increments
    count = len(y) if increments else (len(y) - 1) * every
    lags = torch.arange(count, dtype=torch.float64)
    own = increment_covariance(values["hurst"], lags[:, None] - lags) * h ** (2 * values["hurst"])
    if increments:
        mean, covariance = values["level"].expand(count), values["scale"].square() * own
    else:
        mean, covariance = _levels(model, values, own, h)
        mean, covariance = mean[::every], covariance[::every, ::every]
    covariance = covariance + values["noise"].square() * torch.eye(len(mean), dtype=torch.float64)
    kept = seen.nonzero()[:, 0]
    return gaussian_log_density(y[kept] - mean[kept], covariance[kept][:, kept])


def _levels(
    model: FractionalModel, values: dict[str, Tensor], own: Tensor, h: float
) -> tuple[Tensor, Tensor]:
    """Mean and covariance of X at all steps, by the trapezoidal rule for the drift."""
    half = values["rate"] * h / 2
    keep, gain = (1 - half) / (1 + half), 1 / (1 + half)
    count = len(own)
    at = torch.arange(count + 1, dtype=torch.float64)
    age = at[:, None] - at[1:]
    response = torch.where(age >= 0, keep ** age.clamp_min(0), 0.0)  # of X to what was added in each step
    mean = (response * gain * h * values["level"]).sum(1)
    size = gain * values["scale"]
    start = model.settings.start**2 * keep ** (at[:, None] + at)
    return mean, size.square() * response @ own @ response.T + start
