"""Bill of a tuning: reward gained, KL divergence paid, and what was lost.

Distances are Euclidean, between flattened rows in the units of the network. The target is the tilt of the old model. It
is represented by draws of the old model that were not learnt from, weighted by ``exp(a r)``. The same draws choose the
weights of the network, so the energy distance of the new model is slightly too small.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.foundations.records import record
from interpolants.methods.reward_tuning.tilt import (
    effective_fraction,
    least_kl,
    tilt_kl,
    tilted_mean,
    weights_of,
)
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.pairwise import nearest

# Blocks of the jackknife.
_BLOCKS = 10
_ROWS = (
    ("reward", "mean reward"),
    ("diversity", "mean distance of two samples"),
    ("nearest", "mean distance to the nearest training row"),
    ("kl", "KL divergence from the old model, nats"),
    ("energy_distance", "energy distance to the target"),
)
MODELS = ("old", "new", "target")


@record("tuning_bill")
@dataclass(frozen=True)
class TuningBill:
    """Reward and cost of a tuning; print it for a table.

    Attributes:
        strength: The strength a of the fit.
        asked_strength: The strength of the settings, larger where ``max_kl`` limits it.
        effective_fraction: Effective number of the weighted draws, as a fraction of their number.
        values: Numbers by name. ``reward_old``, ``reward_new`` and ``reward_target`` are mean rewards;
            ``diversity_*`` mean distances of two samples; ``nearest_*`` mean distances to the nearest row of the
            training of the old model; ``kl_target`` is ``KL(p_a || p)``; ``kl_new`` the KL
            divergence of the new model from the old one by their log densities, for rows of few columns; ``kl_least``
            the smallest KL divergence of any distribution with the mean reward of the new model, absent where no draw
            of the old model has as much reward; ``energy_distance_old`` and ``energy_distance_new`` are distances to
            the target. With rows of data also ``reward_data`` and ``reward_data_target``, the latter of their tilt.
        errors: Standard errors by name, of those that have one.
    """

    strength: float
    asked_strength: float
    effective_fraction: float
    values: Mapping[str, float]
    errors: Mapping[str, float]

    def __str__(self) -> str:
        width = max(len(title) for _, title in _ROWS)
        lines = [f"{'':<{width}}" + "".join(f"{model:>20}" for model in MODELS)]
        for name, title in _ROWS:
            cells = [self._cell(f"{name}_{model}") for model in MODELS]
            lines.append(f"{title:<{width}}" + "".join(f"{cell:>20}" for cell in cells))
        if "kl_least" in self.values:
            lines.append(
                f"KL divergence that the reward of the new model needs at least: {self._cell('kl_least')}"
            )
        if "reward_data" in self.values:
            cells = [self._cell(name) for name in ("reward_data", "reward_data_target")]
            lines.append(f"mean reward of the data {cells[0]}, of the tilt of the data {cells[1]}")
        used = f"strength {self.strength:.4g}"
        used += "" if self.strength == self.asked_strength else f" in place of {self.asked_strength:.4g}"
        lines.append(f"{used}; effective fraction of the weighted draws {self.effective_fraction:.3f}")
        return "\n".join(lines)

    def _cell(self, name: str) -> str:
        if name not in self.values:
            return ""
        error = f" ± {self.errors[name]:.1g}" if name in self.errors else ""
        return f"{self.values[name]:.4g}{error}"


@dataclass(frozen=True)
class Draws:
    """Samples of a model.

    Attributes:
        x: ``(n, *D)`` in the units of the network.
        rewards: ``(n,)``.
    """

    x: Tensor
    rewards: Tensor

    def __getitem__(self, rows: slice) -> "Draws":
        return Draws(self.x[rows], self.rewards[rows])


def new_bill(
    old: Draws,
    judge: Draws,
    new: Draws,
    training: Tensor,
    log_ratios: Tensor | None,
    data_rewards: Tensor | None,
    strengths: tuple[float, float],
) -> TuningBill:
    """The bill of a tuning.

    Args:
        old: All draws of the old model.
        judge: Those that were not learnt from.
        new: Draws of the new model.
        training: Rows of the training of the old model, in the units of the network.
        log_ratios: Log density of the new model over that of the old one, at draws of the new one, if there are some.
        data_rewards: Rewards of rows of the data, if there are some.
        strengths: The strength of the fit, and that of the settings.
    """
    a = strengths[0]
    x, y, data = (rows.flatten(1).double() for rows in (new.x, judge.x, training))
    weights, equal = weights_of(judge.rewards, a).to(y), torch.ones(len(y)).to(y)
    estimates = {
        "reward_old": tilted_mean(old.rewards, 0.0),
        "reward_new": tilted_mean(new.rewards, 0.0),
        "reward_target": tilted_mean(old.rewards, a),
        "kl_target": tilt_kl(old.rewards, a),
        "energy_distance_old": weighted_energy_distance(y, equal, y, weights, same_rows=True),
        "energy_distance_new": weighted_energy_distance(x, torch.ones(len(x)).to(x), y, weights),
    }
    if log_ratios is not None:
        estimates["kl_new"] = tilted_mean(log_ratios, 0.0)
    if data_rewards is not None:
        estimates["reward_data"] = tilted_mean(data_rewards, 0.0)
        estimates["reward_data_target"] = tilted_mean(data_rewards, a)
    values = {name: estimate.value for name, estimate in estimates.items()}
    values["diversity_old"] = _mean_distance(torch.cdist(y, y), equal)
    values["diversity_new"] = _mean_distance(torch.cdist(x, x), torch.ones(len(x)).to(x))
    values["diversity_target"] = _mean_distance(torch.cdist(y, y), weights)
    of_old, of_new = (nearest(z, data)[0] for z in (y, x))
    values |= {"nearest_old": float(of_old.mean()), "nearest_new": float(of_new.mean())}
    values["nearest_target"] = float(weights @ of_old / weights.sum())
    kl = least_kl(old.rewards, values["reward_new"])
    values |= {"kl_old": 0.0} | ({"kl_least": kl} if math.isfinite(kl) else {})
    errors = {name: estimate.error for name, estimate in estimates.items()}
    return TuningBill(*strengths, effective_fraction(old.rewards, a), values, errors)


def weighted_energy_distance(
    x: Tensor, x_weights: Tensor, y: Tensor, y_weights: Tensor, *, same_rows: bool = False
) -> Estimate:
    """Energy distance ``2 E|X - Y| - E|X - X'| - E|Y - Y'|`` of two sets of weighted rows, without the pairs of a row.

    The error is that of a jackknife over ten blocks of rows.

    Args:
        x: ``(n, D)``.
        x_weights: ``(n,)``, of any sum.
        y: ``(m, D)``.
        y_weights: ``(m,)``.
        same_rows: Whether row i of ``x`` is row i of ``y``: pairs of a row with itself do not count between the sets.
    """
    across, within_x, within_y = torch.cdist(x, y), torch.cdist(x, x), torch.cdist(y, y)

    def value(u: Tensor, v: Tensor) -> float:
        total = u.sum() * v.sum() - (u @ v if same_rows else 0.0)
        between = float(u @ across @ v / total)
        return 2 * between - _mean_distance(within_x, u) - _mean_distance(within_y, v)

    parts = []
    for k in range(_BLOCKS):
        u, v = x_weights.clone(), y_weights.clone()
        for weights in (u, v):
            weights[k * len(weights) // _BLOCKS : (k + 1) * len(weights) // _BLOCKS] = 0
        parts.append(value(u, v))
    without = torch.tensor(parts, dtype=torch.float64)
    error = math.sqrt((_BLOCKS - 1) * float(without.var(correction=0)))
    return Estimate(value(x_weights, y_weights), error, min(len(x), len(y)), "energy distance")


def _mean_distance(distances: Tensor, weights: Tensor) -> float:
    """Weighted mean over the pairs of different rows; the diagonal of the distances is zero."""
    pairs = weights.sum().square() - weights.square().sum()
    return float(weights @ distances @ weights / pairs)
