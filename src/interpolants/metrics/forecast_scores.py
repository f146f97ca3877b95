"""Scores of a forecast beside those of climatology, persistence and the truth, all on the same cases."""

import math
from dataclasses import dataclass

from torch import Generator, Tensor

from interpolants.foundations.errors import invalid
from interpolants.metrics.crps import crps_of_cases, energy_of_cases, forecast_arrays, score_estimate
from interpolants.metrics.ensemble import RankHistogram, rank_histogram, spread_skill
from interpolants.metrics.estimate import Estimate


@dataclass(frozen=True)
class Scores:
    """Scores of one forecast.

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
    """Scores by forecast: ``"model"``, and ``"climatology"``, ``"persistence"``, ``"oracle"`` where they were given.

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
        """Those of the forecast that is judged."""
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
    members: Tensor,
    truth: Tensor,
    *,
    climatology: Tensor | None = None,
    persistence: Tensor | None = None,
    oracle: Tensor | None = None,
    generator: Generator | None = None,
) -> ForecastScores:
    """Score an ensemble and its rivals on the same cases.

    Args:
        members: The ensembles, ``(B, M, *D)``, in data units.
        truth: What came, ``(B, *D)``.
        climatology: Members of a forecast that does not know the present, ``(B, M', *D)``.
        persistence: Members of a forecast of no change, ``(B, M', *D)``; one is enough.
        oracle: Members drawn from the true distribution, ``(B, M, *D)``, where it is known.
        generator: Source of random ranks, for members that are equal.

    Returns:
        Scores with errors, by forecast; printing them gives a table.

    Raises:
        InvalidInputError: If shapes do not fit.
    """
    if oracle is not None and oracle.shape != members.shape:
        rule = f"oracle must have the shape of the members, {tuple(members.shape)}"
        raise invalid("verify_forecast", rule, tuple(oracle.shape))
    given = {"model": members, "oracle": oracle, "climatology": climatology, "persistence": persistence}
    forecasts = {name: drawn for name, drawn in given.items() if drawn is not None}
    cases = {name: _cases(drawn, truth) for name, drawn in forecasts.items()}
    crps, energy = (
        None if oracle is None else _excess(cases["model"][k], cases["oracle"][k], f"{name} excess")
        for k, name in enumerate(("CRPS", "energy"))
    )
    scores = {name: _scores(drawn, truth, cases[name], generator) for name, drawn in forecasts.items()}
    return ForecastScores(scores, members.shape[1], crps, energy)


def _cases(members: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    x, y = forecast_arrays("verify_forecast", members, truth)
    fair = x.shape[1] > 1
    return crps_of_cases(x, y, fair=fair), energy_of_cases(x, y, fair=fair)


def _scores(
    members: Tensor, truth: Tensor, cases: tuple[Tensor, Tensor], generator: Generator | None
) -> Scores:
    several = members.shape[1] > 1
    return Scores(
        score_estimate(cases[0], "CRPS"),
        score_estimate(cases[1], "energy score"),
        spread_skill(members, truth) if several else None,
        rank_histogram(members, truth, generator=generator) if several else None,
    )


def _excess(model: Tensor, oracle: Tensor, name: str) -> Estimate:
    """``mean(model) / mean(oracle) - 1``; cases are shared, so the error is that of the paired difference."""
    n, base = len(model), float(oracle.mean())
    if base == 0:
        raise invalid("verify_forecast", "oracle must err somewhere", f"{name} over 0", "Leave it out.")
    ratio = float(model.mean()) / base
    error = float((model - ratio * oracle).std()) / math.sqrt(n) / base
    return Estimate(ratio - 1, error, n, name)


def _short(estimate: Estimate) -> str:
    return f"{estimate.value:.4g} ± {estimate.error:.2g}"
