"""Scores of a forecast beside those of persistence, climatology and the truth, all on the same cases."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import invalid
from interpolants.metrics.crps import crps_of_cases, energy_of_cases, forecast_arrays, score_estimate
from interpolants.metrics.ensemble import RankHistogram, rank_histogram, spread_skill
from interpolants.metrics.estimate import Estimate


@dataclass(frozen=True)
class Scores:
    """What one forecast scored.

    Attributes:
        crps: Mean over coordinates and cases, data units, fair.
        energy: Energy score, data units, fair.
        spread_skill: Spread over skill; None for a single member.
        ranks: Rank histogram; None for a single member.
    """

    crps: Estimate
    energy: Estimate
    spread_skill: Estimate | None
    ranks: RankHistogram | None


@dataclass(frozen=True)
class ForecastScores:
    """Scores by forecast: ``"model"``, ``"persistence"``, ``"climatology"``, and ``"oracle"`` if the law is known.

    Attributes:
        scores: By name.
        members: M.
        excess: ``crps(model) / crps(oracle) - 1`` with the error of the paired difference; None without an oracle.
        excess_energy: The same for the energy score.
    """

    scores: dict[str, Scores]
    members: int
    excess: Estimate | None
    excess_energy: Estimate | None

    @property
    def model(self) -> Scores:
        """The forecaster's own."""
        return self.scores["model"]

    def __str__(self) -> str:
        head = f"{'forecast':<12} {'CRPS':>18} {'energy score':>18} {'spread/skill':>15} {'rank p':>8}"
        rows = [head]
        for name, own in self.scores.items():
            spread = "" if own.spread_skill is None else _short(own.spread_skill)
            p = "" if own.ranks is None else f"{own.ranks.p:.3g}"
            rows.append(f"{name:<12} {_short(own.crps):>18} {_short(own.energy):>18} {spread:>15} {p:>8}")
        if self.excess is not None:
            rows.append(
                f"CRPS above the oracle's: {100 * self.excess.value:.2f} ± {100 * self.excess.error:.2f} %"
            )
        return "\n".join(rows)


def verify_forecast(
    drawn: Tensor,
    now: Tensor,
    later: Tensor,
    climate: Tensor,
    *,
    oracle: Any = None,
    generator: Generator | None = None,
) -> ForecastScores:
    """Score an ensemble and its rivals on the same cases.

    Args:
        drawn: The ensembles, ``(B, M, *D)``.
        now: Where they started, ``(B, *D)``: persistence is this, one member.
        later: What came, ``(B, *D)``.
        climate: States to draw climatology from, ``(N, *D)``.
        oracle: A problem with ``members(x, count, generator=...)``, or such a function; None if unknown.
        generator: Source of the rivals' draws and of random ranks.

    Raises:
        InvalidInputError: If shapes do not fit, or the oracle gives another shape.
    """
    count = drawn.shape[1]
    rivals: dict[str, Tensor] = {"model": drawn}
    if oracle is not None:
        law: Callable[..., Tensor] = getattr(oracle, "members", oracle)
        rivals["oracle"] = law(now, count, generator=generator)
        if rivals["oracle"].shape != drawn.shape:
            rule = f"the oracle must give members of shape {tuple(drawn.shape)}"
            raise invalid("verify", rule, tuple(rivals["oracle"].shape))
    pick = torch.randint(len(climate), (len(now), count), generator=generator)
    rivals |= {"climatology": climate[pick], "persistence": now[:, None]}
    cases = {name: _cases(members, later) for name, members in rivals.items()}
    return ForecastScores(
        {name: _scores(members, later, cases[name], generator) for name, members in rivals.items()},
        count,
        _excess(cases["model"][0], cases["oracle"][0], "CRPS excess") if oracle is not None else None,
        _excess(cases["model"][1], cases["oracle"][1], "energy excess") if oracle is not None else None,
    )


def _cases(members: Tensor, later: Tensor) -> tuple[Tensor, Tensor]:
    x, y = forecast_arrays("verify", members, later)
    fair = x.shape[1] > 1
    return crps_of_cases(x, y, fair=fair), energy_of_cases(x, y, fair=fair)


def _scores(
    members: Tensor, later: Tensor, cases: tuple[Tensor, Tensor], generator: Generator | None
) -> Scores:
    several = members.shape[1] > 1
    return Scores(
        score_estimate(cases[0], "CRPS"),
        score_estimate(cases[1], "energy score"),
        spread_skill(members, later) if several else None,
        rank_histogram(members, later, generator=generator) if several else None,
    )


def _excess(model: Tensor, oracle: Tensor, name: str) -> Estimate:
    """``mean(model) / mean(oracle) - 1``; cases are shared, so the error is that of the paired difference."""
    n, base = len(model), float(oracle.mean())
    ratio = float(model.mean()) / base
    error = float((model - ratio * oracle).std()) / math.sqrt(n) / base
    return Estimate(ratio - 1, error, n, name)


def _short(estimate: Estimate) -> str:
    return f"{estimate.value:.4g} ± {estimate.error:.2g}"
