"""Posterior of one parameter vector given several independent observations, from posteriors given one each.

The product ``p(theta)^(1 - m) prod_i p(theta | x_i)`` is sampled along the path from noise to parameters. A standard
normal distribution in the network's units, where pooled parameters have mean 0 and standard deviation 1, replaces the
prior on the way, since its noised score has a closed form. Weights at t = 1, the ratio of the densities to the power
1 - m, correct the result.

With ``Pi(V) = beta^2 / alpha^2 + 1 / V``, the precision of theta given theta_t for a distribution of covariance V, the
Gaussian composition of the scores at one time is

    ``[(1 - m) Pi_prior + sum_i Pi_i]^-1 ((1 - m) Pi_prior s_prior + sum_i Pi_i s_i)``.

It is exact at all times if all distributions are Gaussian. Weighted particles are exact for any distributions, up to
their number and the noise that is left at the last time, 0.5 % of the prior's standard deviation.

Source: Linhart et al. (2024), arXiv:2404.07593; Skreta et al. (2025), arXiv:2503.02819.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics.sample import sample
from interpolants.fields.learned import LearnedFields
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator, key
from interpolants.foundations.tell import FitWarning, tell
from interpolants.guidance.feynman_kac import FeynmanKac
from interpolants.methods.parts.start_points import draw_base
from interpolants.paths.path import SpatiallyLinearPath

# Draws per observation for the covariances of the Gaussian composition; last time of both solvers.
_COVARIANCE_DRAWS, _STOP = 400, 0.995
# Draws per requested one before weights are taken into account, and the smallest number.
_SPARE, _LEAST_PARTICLES = 4, 2000


def composed_draws(
    posterior: Any, observed: Tensor, n: int, *, using: str, n_steps: int, seed: int
) -> Tensor:
    """Draw parameters given all observations, ``(n, D)`` float64.

    Args:
        posterior: A fitted ``Posterior`` with a prior.
        observed: Observations ``(m, C)``.
        n: Number of draws.
        using: ``"particles"`` or ``"gauss"``.
        n_steps: Steps of the solver.
        seed: Seed of the draws.

    Raises:
        InvalidInputError: If no draw lies within the bounds of the prior.

    Warns:
        FitWarning: If fewer than 100 draws are effective.
    """
    caller, flow = "Posterior.infer", posterior.state["flow"]
    draw = _particles if using == "particles" else _gauss
    size = max(_SPARE * n, _LEAST_PARTICLES)
    units = draw(flow, list(observed.float()), size, n_steps, seed).double()
    theta = flow.decoded(units).double()
    logs = _log_weights(posterior, theta, units, len(observed))
    if not bool(logs.isfinite().any()):
        remedy = "Check that the observations belong to one theta, or pass fewer."
        raise invalid(caller, "draws must reach the bounds of the prior", f"none of {size} inside", remedy)
    weights = logs.softmax(0)
    ess = float(1 / weights.square().sum())
    if ess < min(n, 100):
        message = f"{caller}: only {ess:.0f} of {size} draws are effective, and draws repeat"
        tell(FitWarning, f"{message}. Increase n, or pass fewer observations.")
    picks = torch.multinomial(weights, n, replacement=ess < 2 * n, generator=generator(seed, "composed"))
    picked: Tensor = theta[picks]
    return picked


def _log_weights(posterior: Any, theta: Tensor, units: Tensor, m: int) -> Tensor:
    """Log ratio of the target to what was sampled: the prior in place of the normal one, and a new prior."""
    prior, frame = posterior.prior, posterior.state["flow"].frame
    inside = prior.inside(theta)
    old = prior.log_prob(theta)
    stand_in = -0.5 * units.square().sum(1) + frame.log_volume(theta)
    logs = (1 - m) * (old - stand_in)
    if posterior.new_prior is not None:
        logs = logs + posterior.new_prior.log_prob(theta) - old
    return torch.where(inside & logs.isfinite(), logs, -torch.inf)


def _prior_score(path: SpatiallyLinearPath, y: Tensor, t: Tensor) -> Tensor:
    """Score of ``alpha z + beta u`` for a standard normal u, ``-y / (alpha^2 + beta^2)``."""
    variance = path.alpha(t).square() + path.beta(t).square()
    return -y / variance.reshape(-1, 1)


def _particles(flow: Any, rows: list[Tensor], n: int, n_steps: int, seed: int) -> Tensor:
    """Equally weighted particles of the product, in the network's units."""
    path: SpatiallyLinearPath = flow.fitted_path
    experts: list[Any] = [(flow.fields, 1.0, row.expand(n, -1)) for row in rows]
    if len(rows) > 1:
        of_prior = LearnedFields(path, score=lambda y, t: _prior_score(path, y, t))
        experts.append((of_prior, 1.0 - len(rows)))
    sampler = FeynmanKac(experts, n_steps=n_steps, stop=_STOP)
    x: Tensor = sampler.sample(n, seed=seed, resample=True, event_shape=flow.field_shape).x
    return x / float(path.beta(torch.tensor(_STOP)))


def _gauss(flow: Any, rows: list[Tensor], n: int, n_steps: int, seed: int) -> Tensor:
    """Draws along the flow of the Gaussian composition, in the network's units."""
    path: SpatiallyLinearPath = flow.fitted_path
    single = [torch.cov(_single(flow, row, key(seed, "covariance", k)).T) for k, row in enumerate(rows)]
    size = flow.field_shape[0]
    eye = torch.eye(size, dtype=torch.float64)
    compose = composition(path, eye, [cov.reshape(size, size) + 1e-9 * eye for cov in single])

    def score(y: Tensor, t: Tensor) -> Tensor:
        t = t.clamp_max(_STOP)  # scores are infinite at t = 1
        scores = [flow.fields.score(y, t, row.expand(len(y), -1)).double() for row in rows]
        return compose(t, _prior_score(path, y, t).double(), scores).to(y)

    start = draw_base(path.base, flow.field_shape, n, seed, 0)
    fields = LearnedFields(path, score=score)
    return sample(fields, start, method="heun", n_steps=n_steps, seed=seed, eps=0.0).x


def _single(flow: Any, row: Tensor, seed: int) -> Tensor:
    start = draw_base(flow.fitted_path.base, flow.field_shape, _COVARIANCE_DRAWS, seed, 0)
    cond = row.expand(len(start), -1)
    return sample(flow.fields, start, method="heun", n_steps=25, cond=cond, seed=seed, eps=0.0).x.double()


def composition(
    path: SpatiallyLinearPath, prior: Tensor, single: list[Tensor]
) -> Callable[[Tensor, Tensor, list[Tensor]], Tensor]:
    """Gaussian composition of scores as a function ``(t (B,), s_prior (B, D), [s_i (B, D)]) -> (B, D)``.

    Args:
        path: One-sided path.
        prior: Covariance of the prior, ``(D, D)`` float64.
        single: Covariance of each posterior.
    """
    eye = torch.eye(len(prior), dtype=torch.float64)
    inverse = [torch.linalg.inv(cov) for cov in (prior, *single)]
    extra = 1 - len(single)

    def compose(t: Tensor, s_prior: Tensor, scores: list[Tensor]) -> Tensor:
        t = t.double().reshape(-1, 1, 1)
        ratio = (path.beta(t) / path.alpha(t).clamp_min(1e-6)).square()
        base, *precisions = [ratio * eye + inverse_covariance for inverse_covariance in inverse]
        bracket = extra * base + torch.stack(precisions).sum(0)
        # Posteriors wider than the prior: the smallest multiple of the identity that leaves a positive bracket.
        smallest, size = torch.linalg.eigvalsh(bracket)[:, 0], base.diagonal(dim1=1, dim2=2).mean(1)
        lift = torch.where(smallest > 0, 0.0, 1e-3 * size - smallest)
        total = extra * base @ s_prior[..., None]
        for precision, score in zip(precisions, scores, strict=True):
            total = total + precision @ score[..., None]
        composed: Tensor = torch.linalg.solve(bracket + lift[:, None, None] * eye, total)[..., 0]
        return composed

    return compose
