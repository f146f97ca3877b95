"""Ways between two times of a one-sided path: noise added exactly, the flow run backwards, a part of a run."""

from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import BlockNoise
from interpolants.paths.from_gaussian import gaussian_path
from interpolants.paths.path import Path


def renoise(
    path: Path | None, x: Tensor, t_from: float, t_to: float, *, seed: int, first_index: int = 0
) -> Tensor:
    """Draw states at an earlier, noisier time given states at a later one; marginals are kept exactly.

    ``x_to = f x_from + (alpha_to - f alpha_from) m + sqrt(alpha_to^2 - f^2 alpha_from^2) L w`` with ``f = beta_to /
    beta_from``, m and L of the base, and w standard normal.

    Args:
        path: A one-sided path with a Gaussian base.
        x: States ``(B, *D)`` at ``t_from``.
        t_from: Their time.
        t_to: The time to go back to.
        seed: Seed of the noise, which belongs to a row's index.
        first_index: Index of the first row in a larger job.

    Raises:
        InvalidInputError: If the path is another, or noise would have to be taken away.

    Source: the noising process of any such path; for the variance-preserving one Lugmayr et al. (2022),
    arXiv:2201.09865, equation 8.
    """
    who = "renoise"
    path, base = gaussian_path(who, path)
    times = torch.tensor([t_from, t_to], dtype=torch.float64)
    if not 0 <= t_to <= t_from <= 1:
        raise invalid(who, "times must satisfy 0 <= t_to <= t_from <= 1", (t_from, t_to))
    (alpha, alpha_to), (beta, beta_to) = path.alpha(times).tolist(), path.beta(times).tolist()
    factor = beta_to / beta if beta else 1.0
    added = alpha_to**2 - (factor * alpha) ** 2
    if added < -1e-9:
        rule = "the noise must grow towards t_to: alpha / beta may not be smaller there"
        raise invalid(who, rule, f"a variance of {added:.3g}")
    noise = BlockNoise.like(x, seed, "renoise", first=first_index).normal()
    found: Tensor = factor * x + max(added, 0.0) ** 0.5 * base.root(noise)
    return found if base.is_centred else found + (alpha_to - factor * alpha) * base.mean_like(x)


def invert(fields: Fields, x: Tensor, t_to: float, *, t_from: float = 1.0, **options: Any) -> Tensor:
    """Run the flow backwards from ``t_from`` to ``t_to``: the states ``(B, *D)`` from which it leads to ``x``.

    Args:
        fields: Fields with a velocity.
        x: States at ``t_from``.
        t_to: Earlier time.
        t_from: Their time.
        **options: Options of ``sample``: ``n_steps``, ``method``, ``cond`` ...
    """
    return sample(fields, x, reverse=True, start=t_to, stop=t_from, **options).x


def sample_between(fields: Fields, x: Tensor, t_from: float, t_to: float, **options: Any) -> Tensor:
    """Propagate states from one time to a later one, by ODE or SDE: a part of a run of ``sample``.

    Args:
        fields: Velocity and, for noise, score.
        x: States ``(B, *D)`` at ``t_from``.
        t_from: Their time.
        t_to: Later time.
        **options: Options of ``sample``: ``eps``, ``n_steps``, ``seed`` ...
    """
    return sample(fields, x, start=t_from, stop=t_to, **options).x
