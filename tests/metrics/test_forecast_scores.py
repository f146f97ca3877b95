"""Scores of a forecast beside its rivals, on the same cases."""

import math

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics import crps, energy_score, verify_forecast


def gaussian(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_scores_of_gaussian_forecasts_are_those_of_theory():
    # Truth N(m, 1) with known m ~ N(0, 3): CRPS of N(m, 1) is 1 / sqrt(pi), of the climate N(0, 4) it is 2 / sqrt(pi).
    m = gaussian(4000, 1) * 3**0.5
    truth = m + gaussian(4000, 1, seed=1)
    sharp, oracle = (m[:, None] + gaussian(4000, 20, 1, seed=k) for k in (2, 3))
    climate = 2 * gaussian(4000, 20, 1, seed=4)
    found = verify_forecast(
        sharp, truth, climatology=climate, persistence=m[:, None], oracle=oracle, generator=torch.Generator()
    )
    assert list(found.scores) == ["model", "oracle", "climatology", "persistence"]
    for name, wanted in (("model", 1 / math.pi**0.5), ("climatology", 2 / math.pi**0.5)):
        own = found.scores[name].crps
        assert abs(own.value - wanted) < 4 * own.error
    still = found.scores["persistence"]
    assert abs(still.crps.value - (2 / math.pi) ** 0.5) < 4 * still.crps.error
    assert (still.ranks, still.spread_skill) == (None, None)
    assert abs(found.excess.value) < 4 * found.excess.error < 0.05
    assert found.members == 20
    assert found.model.ranks.p > 0.001
    text = str(found)
    assert "spread/skill" in text
    assert "CRPS above the oracle's" in text


def test_the_error_of_the_excess_is_its_spread_over_repetitions():
    def excess(seed):
        model, oracle = (gaussian(60, 4, 1, seed=3 * seed + k) for k in (0, 1))
        return verify_forecast(1.5 * model, gaussian(60, 1, seed=3 * seed + 2), oracle=oracle)

    found = [excess(seed) for seed in range(60)]
    for runs in ([one.excess for one in found], [one.excess_energy for one in found]):
        spread = float(torch.tensor([run.value for run in runs]).std())  # to 9%
        assert sum(run.error for run in runs) / 60 == pytest.approx(spread, rel=0.35)


def test_scores_are_those_of_the_single_functions():
    drawn, truth = gaussian(30, 5, 2), gaussian(30, 2, seed=1)
    found = verify_forecast(drawn, truth)
    assert found.model.crps == crps(drawn, truth)
    assert found.model.energy == energy_score(drawn, truth)
    assert found.excess is None
    assert "oracle" not in str(found)


def test_shapes_that_do_not_fit_are_refused():
    drawn, truth = gaussian(30, 5, 2), gaussian(30, 2)
    with pytest.raises(InvalidInputError, match=r"oracle must have the shape of the members, \(30, 5, 2\)"):
        verify_forecast(drawn, truth, oracle=drawn[:, :4])
    with pytest.raises(InvalidInputError, match="verify_forecast"):
        verify_forecast(drawn, truth[:, :1])


def test_an_oracle_that_never_errs_is_refused_by_name():
    truth = torch.randn(20, 2, generator=torch.Generator().manual_seed(0)).double()
    members = truth[:, None] + torch.randn(20, 10, 2, generator=torch.Generator().manual_seed(1)).double()
    with pytest.raises(InvalidInputError, match="oracle must err somewhere"):
        verify_forecast(members, truth, oracle=truth[:, None].expand(20, 10, 2))
