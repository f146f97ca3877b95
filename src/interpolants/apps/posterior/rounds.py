"""Simulations in rounds for one observation: later rounds draw parameters where the posterior has its mass.

Each round draws theta from the prior, restricted to the region that holds 99.9 % of the posterior draws of the round
before. Within the region of all rounds, parameters are distributed like the prior up to a constant. The posterior of
the restricted prior is the posterior restricted to the region: simulations of all rounds are used without weights. The
posterior holds at the observation of the rounds only, and does not have the mass outside.

Source: Deistler, Goncalves & Macke (2022), arXiv:2210.04815. Candidates are drawn from the prior within the box of the
posterior draws, which is a part of the region here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from interpolants.apps.posterior.priors import Prior
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator, key

# Posterior draws that a region is made of, and the fraction of these that may lie outside.
_DRAWS, EXCLUDED = 2000, 1e-3
# Candidates per round of rejection, and the largest number of them for each accepted one.
_BATCH, _MOST = 2000, 200
# Steps of the densities that define regions; smallest number of simulations of a round.
_STEPS, _FEWEST = 20, 100
_CALLER = "Posterior.fit"


def region_of(posterior: Any, x_o: Tensor, seed: int) -> dict[str, Any]:
    """Region of 99.9 % of the draws of a fitted ``Posterior`` at one observation.

    Args:
        posterior: The fitted posterior.
        x_o: Observation, ``(C,)``.
        seed: Seed of the draws.
    """
    draws = posterior.rejected_draws(_DRAWS, x_o.expand(_DRAWS, -1), 50, seed)
    flow, levels = posterior.state["flow"], posterior.prior.levels(draws)
    logs = _log_density(flow, draws, x_o)
    # The box is wider than that of the draws by the part that a further draw may exceed.
    low, high = levels.min(0).values, levels.max(0).values
    margin = 0.05 * (high - low)
    box = torch.stack([(low - margin).clamp_min(0), (high + margin).clamp_max(1)])
    return {"flow": flow, "x": x_o, "box": box, "threshold": float(torch.quantile(logs, EXCLUDED))}


def _log_density(flow: Any, theta: Tensor, x: Tensor) -> Tensor:
    """Log density that defines a region; fixed steps, so that it does not depend on other rows."""
    cond = x.expand(len(theta), -1)
    return torch.as_tensor(flow.log_prob(theta, cond=cond, method="heun", n_steps=_STEPS)).double()


def inside(regions: Sequence[dict[str, Any]], prior: Prior, theta: Tensor) -> Tensor:
    """Return True for each row of ``theta (B, D)`` within the bounds of the prior and all regions."""
    result = prior.inside(theta)
    for region in regions:
        levels = prior.levels(theta)
        result = result & ((levels >= region["box"][0]) & (levels <= region["box"][1])).all(1)
        rows = result.nonzero().flatten()
        if len(rows):
            result[rows] = _log_density(region["flow"], theta[rows], region["x"]) >= region["threshold"]
    return result


def restricted(
    prior: Prior, regions: Sequence[dict[str, Any]], n: int, source: Generator
) -> tuple[Tensor, float]:
    """Draw ``n`` parameters of the prior within all regions, and return the fraction of the prior that these are.

    Args:
        prior: The prior.
        regions: Regions of the rounds before; none for the prior itself.
        n: Number of draws.
        source: Source of the draws.

    Raises:
        InvalidInputError: If fewer than 1 of 200 candidates lies within the regions.
    """
    if not regions:
        return prior.sample(n, generator=source), 1.0
    low, high = regions[-1]["box"]
    accepted: list[Tensor] = []
    tried = 0
    while (count := sum(map(len, accepted))) < n:
        if tried > _MOST * n:
            remedy = "Use fewer rounds, or a larger budget for the first of them."
            rule = "the prior must reach the region of the posterior"
            raise invalid(_CALLER, rule, f"{count} of {tried} candidates inside", remedy)
        u = torch.rand(_BATCH, prior.dim, generator=source, dtype=torch.float64)
        theta = prior.quantiles(low + (high - low) * u)
        accepted.append(theta[inside(regions, prior, theta)])
        tried += _BATCH
    theta = torch.cat(accepted)
    return theta[:n], float((high - low).prod()) * len(theta) / tried


def fit_by_simulator(
    posterior: Any,
    simulator: Callable[[Tensor], Any],
    x_o: Any,
    budget: int,
    options: Mapping[str, Any],
) -> Any:
    """Simulate and fit in rounds; the posterior itself is fitted to all simulations.

    Args:
        posterior: A ``Posterior`` with a prior.
        simulator: Simulation ``(n, C)`` of parameters ``(n, D)``, float64.
        x_o: Observation, ``(C,)``; None for one round.
        budget: Number of simulations of all rounds.
        options: Options of the fits; ``out`` is for the last of them.

    Raises:
        InvalidInputError: If the prior or the observation is missing, or the budget is too small.
    """
    rounds = posterior.rounds
    _check(posterior.prior, x_o, budget, rounds)
    observed = torch.empty(0, dtype=torch.float64) if x_o is None else _observation(x_o)
    simulations = _Simulations(posterior.prior, posterior.seed, simulator, len(observed))
    early = {name: value for name, value in options.items() if name != "out"}
    per_round, regions = budget // rounds, list[dict[str, Any]]()
    for k in range(rounds - 1):
        twin = posterior.clone()
        twin.fit_simulated(*simulations.extended(per_round, regions), early)
        twin.restrict(regions, observed)
        regions = [*regions, region_of(twin, observed, key(posterior.seed, "region", k))]
    posterior.fit_simulated(*simulations.extended(budget - per_round * (rounds - 1), regions), options)
    posterior.restrict(regions, observed)
    posterior.about["rounds"] = simulations.summary
    return posterior


@dataclass
class _Simulations:
    """Parameters and simulations of all rounds so far; ``columns`` is that of the observation, 0 without one."""

    prior: Prior
    seed: int
    simulator: Callable[[Tensor], Any]
    columns: int
    theta: list[Tensor] = field(default_factory=list)
    x: list[Tensor] = field(default_factory=list)
    summary: list[dict[str, Any]] = field(default_factory=list)

    def extended(self, n: int, regions: Sequence[dict[str, Any]]) -> tuple[Tensor, Tensor]:
        """Simulate ``n`` parameters of the prior within the regions, and return these of all rounds."""
        source = generator(self.seed, "round", len(self.theta))
        theta, fraction = restricted(self.prior, regions, n, source)
        x = torch.as_tensor(np.asarray(self.simulator(theta.clone())), dtype=torch.float64)
        if x.ndim != 2 or len(x) != n or self.columns not in (0, x.shape[1]):
            rule = f"simulator must return one row per row of theta, ({n}, {self.columns or 'C'})"
            remedy = "Return (n, C) for parameters (n, D); x_o has C numbers."
            raise invalid(_CALLER, rule, tuple(x.shape), remedy)
        self.theta.append(theta)
        self.x.append(x)
        self.summary.append({"simulations": n, "prior": fraction})
        return torch.cat(self.theta), torch.cat(self.x)


def _check(prior: Any, x_o: Any, budget: int, rounds: int) -> None:
    if prior is None:
        raise invalid(_CALLER, "prior must be passed with a simulator", "None", "Posterior(prior=...).")
    if rounds > 1 and x_o is None:
        remedy = "Later rounds simulate near the posterior at x_o."
        raise invalid(_CALLER, f"x_o must be passed for {rounds} rounds", "None", remedy)
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < _FEWEST * rounds:
        rule = f"budget must be an integer of at least {_FEWEST} simulations per round"
        raise invalid(_CALLER, rule, f"{budget!r} for {rounds}", "Increase budget=.")


def _observation(x_o: Any) -> Tensor:
    row = torch.as_tensor(np.asarray(x_o), dtype=torch.float64).reshape(-1)
    if not bool(row.isfinite().all()):
        raise invalid(_CALLER, "x_o must be finite", "NaN or infinite values", "Replace missing values.")
    return row
