"""Densities of noisy data: their time on a one-sided path, and which of them are comparable.

Data on or near a thin set have no density, or one that says little: fitted to a set of codimension k, the likelihood
grows like ``-k log noise`` whatever the model knows of the distribution on the set. So the noise level belongs to a
likelihood, and two likelihoods are comparable at one level only.

At time t a one-sided path shows ``beta x1 + alpha x0``: over beta, that is x1 with noise of level
``r = noise_std / beta``. The density of ``x1 + r z`` at y is ``beta^N rho_t(beta y)``.

Source: Chae, Kim, Kim & Lin (2023), arXiv:2105.04046, for the likelihood of perturbed data.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.foundations.checks import number
from interpolants.foundations.errors import invalid
from interpolants.likelihood.result import LogProb, mean_and_error
from interpolants.paths.path import Path, SpatiallyLinearPath


@dataclass(frozen=True)
class Stop:
    """Position of noisy data on a path: the time, and the factor of x1 there."""

    t: float
    beta: float


def stop_at(path: Path | None, noise_level: float, who: str = "log_prob") -> Stop:
    """The time at which a path shows its data with noise of a level.

    Args:
        path: A one-sided spatially linear path.
        noise_level: Standard deviation of the noise over the share of the data, in data units; finite and >= 0.
        who: Public name for errors.

    Raises:
        InvalidInputError: If the level is not finite and >= 0, or the path does not have it.
    """
    number(who, "noise_level", noise_level, at_least=0)
    if noise_level == 0:
        return Stop(1.0, 1.0)
    if not isinstance(path, SpatiallyLinearPath) or not path.is_one_sided:
        remedy = "On a two-sided path the state near t = 1 carries x0 too; bridge to data with noise instead."
        raise invalid(who, "noise_level needs a one-sided path", type(path).__name__, remedy)
    if path.basis is not None:
        rule = "noise_level needs one noise for all directions, and the path has a basis"
        raise invalid(who, rule, type(path).__name__, "Leave it at 0.")
    t = path.time_at_log_snr(torch.tensor(-2 * math.log(noise_level), dtype=torch.float64))
    found = float(path.noise_std(t) / path.beta(t))
    if not abs(found / noise_level - 1) < 1e-6:
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
        most, least = (path.noise_std(ends) / path.beta(ends)).tolist()
        raise invalid(
            who, f"noise_level must lie between {least:.4g} and {most:.4g} on this path", noise_level
        )
    return Stop(float(t), float(path.beta(t)))


@dataclass(frozen=True)
class Comparison:
    """Log-likelihood of one model over that of another, on the same points.

    Attributes:
        gain: Mean of ``log p - log q``, in nats.
        error: Its standard error, from the differences point by point.
        n: Number of points.
        noise_level: The level at which both were evaluated.
    """

    gain: float
    error: float
    n: int
    noise_level: float

    def __str__(self) -> str:
        return f"{self.gain:+.4g} ± {self.error:.2g} nats at noise level {self.noise_level:g} (n = {self.n})"


def compare_log_prob(first: LogProb, second: LogProb) -> Comparison:
    """By how much ``first`` explains the points better than ``second``; both at one noise level.

    Raises:
        InvalidInputError: If they were evaluated at different noise levels, or on different numbers of points.
    """
    who = "compare_log_prob"
    if not math.isclose(first.noise_level, second.noise_level, rel_tol=1e-9):
        levels = f"{first.noise_level:g} and {second.noise_level:g}"
        remedy = "Near a thin set the noise level dominates the likelihood; evaluate both at one level."
        raise invalid(who, "both must be evaluated at one noise level", levels, remedy)
    if first.log_prob.shape != second.log_prob.shape:
        shapes = (tuple(first.log_prob.shape), tuple(second.log_prob.shape))
        raise invalid(who, "both must be evaluated at the same points", shapes)
    differences: Tensor = first.log_prob.double() - second.log_prob.double()
    gain, error = mean_and_error(differences)
    return Comparison(gain, error, len(differences), first.noise_level)
