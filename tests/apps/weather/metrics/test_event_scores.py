import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.weather.metrics.event_scores import brier_score, critical_success_index, log_loss
from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics.ensemble import unreliability


def coins(members, share, n=4000, seed=0):
    g = torch.Generator().manual_seed(seed)
    drawn = torch.rand(n, members, 5, generator=g, dtype=torch.float64) < share
    return drawn, torch.rand(n, 5, generator=g, dtype=torch.float64) < share


@pytest.mark.parametrize("members", [2, 50])
def test_a_true_probability_scores_the_variance_of_a_coin_whatever_the_size(members):
    found = brier_score(*coins(members, 0.3))
    assert abs(found.value - 0.3 * 0.7) < 4 * found.error
    plain = brier_score(*coins(members, 0.3), fair=False)
    assert_close(plain.value - found.value, 0.21 / members, rtol=0.05, atol=0)


def test_by_hand():
    events = torch.tensor([[[1.0], [1], [0], [0]], [[1], [1], [1], [1]]])
    happened = torch.tensor([[1.0], [0.0]])
    assert brier_score(events, happened, fair=False).value == pytest.approx((0.25 + 1) / 2)
    assert brier_score(events, happened).value == pytest.approx((0.25 - 0.25 / 3 + 1) / 2)


def test_log_loss_by_hand_and_of_a_coin():
    events = torch.tensor([[[1.0], [1], [0], [0]], [[0], [0], [0], [0]]])
    came = torch.tensor([[1.0], [1.0]])
    assert log_loss(events, came).value == pytest.approx(-(math.log(0.5) + math.log(0.1)) / 2)
    found = log_loss(*coins(100, 0.3))
    assert abs(found.value + 0.3 * math.log(0.3) + 0.7 * math.log(0.7)) < 4 * found.error + 1 / 100
    with pytest.raises(InvalidInputError, match="log_loss: events must be truth values"):
        log_loss(torch.full((2, 3, 1), 0.5), torch.zeros(2, 1))


def test_what_is_no_event_is_refused():
    with pytest.raises(InvalidInputError, match="events must be truth values"):
        brier_score(torch.full((2, 3, 1), 0.5), torch.zeros(2, 1))
    with pytest.raises(InvalidInputError, match="at least two members"):
        brier_score(torch.zeros(2, 1, 1), torch.zeros(2, 1))
    with pytest.raises(InvalidInputError, match="events must have shape"):
        brier_score(torch.zeros(2, 3, 2), torch.zeros(2, 1))


def test_unreliability_is_nothing_for_even_ranks_and_one_for_a_single_rank():
    assert unreliability(torch.tensor([7, 7, 7, 7])) == pytest.approx(0, abs=1e-15)
    assert unreliability(torch.tensor([0, 0, 9, 0])) == pytest.approx(1)


def test_hits_misses_and_false_alarms_by_hand():
    forecast = torch.tensor([[1.0, 1, 0, 0], [1, 0, 0, 0]])
    happened = torch.tensor([[1.0, 0, 1, 0], [1, 0, 0, 0]])
    assert critical_success_index(forecast, happened).value == pytest.approx(2 / 4)
    forecast[0, 1] = torch.nan  # a false alarm that nobody saw
    assert critical_success_index(forecast, happened).value == pytest.approx(2 / 3)
    assert critical_success_index(happened, happened).value == 1


def test_independent_coins_succeed_by_chance():
    """p^2 of both, 2 p - p^2 of either."""
    forecast, happened = coins(1, 0.4)
    found = critical_success_index(forecast[:, 0], happened)
    assert abs(found.value - 0.4 / (2 - 0.4)) < 4 * found.error
    assert found.error < 0.01


def test_the_error_of_an_index_is_its_spread_over_repetitions():
    sets = (coins(1, 0.4, n=60, seed=seed) for seed in range(200))
    found = [critical_success_index(forecast[:, 0], happened) for forecast, happened in sets]
    spread = float(torch.tensor([one.value for one in found]).std())  # to 5%
    assert sum(one.error for one in found) / 200 == pytest.approx(spread, rel=0.2)


def test_a_single_case_has_an_index_without_an_error():
    found = critical_success_index(torch.tensor([[1.0, 1, 0, 0]]), torch.tensor([[1.0, 0, 1, 0]]))
    assert found.value == pytest.approx(1 / 3)
    assert math.isnan(found.error)


def test_an_event_that_is_nowhere_has_no_index():
    with pytest.raises(InvalidInputError, match="come or be forecast somewhere"):
        critical_success_index(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(InvalidInputError, match="must be truth values"):
        critical_success_index(torch.full((2, 3), 0.5), torch.zeros(2, 3))
    with pytest.raises(InvalidInputError, match="one shape"):
        critical_success_index(torch.zeros(2, 1), torch.zeros(2))


def test_cases_of_one_event_are_a_column_of_them():
    source = torch.Generator().manual_seed(0)
    events, happened = (torch.rand(*size, generator=source) < 0.4 for size in ((30, 8), (30,)))
    for score in (brier_score, log_loss):
        assert score(events, happened) == score(events[..., None], happened[:, None])


def test_the_plain_brier_score_is_that_of_another_library():
    rules = pytest.importorskip("scoringrules")
    events, came = coins(10, 0.3, n=50)
    theirs = rules.brier_score(came.double().numpy(), events.double().mean(1).numpy())
    assert_close(brier_score(events, came, fair=False).value, float(theirs.mean()))
