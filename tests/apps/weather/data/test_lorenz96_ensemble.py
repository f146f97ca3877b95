import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.weather.data.lorenz96_ensemble import (
    load_lorenz96_ensemble,
    lorenz96_rates,
    lorenz96_run,
)
from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics.ensemble import rank_histogram, spread_skill
from interpolants.problems.dynamical_systems import lorenz96


def test_rates_and_states_are_those_of_the_formula():
    u = torch.randn(3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    system = lorenz96(8, 8.5)
    assert_close(lorenz96_rates(u, 8.5), system.rates_at(u))
    exact = system.trajectories(u, torch.tensor([0.0, 0.2], dtype=torch.float64))[:, -1]
    assert_close(lorenz96_run(u, 4, 8.5), exact, rtol=0, atol=1e-3)  # fourth order at step 0.05


def test_truth_and_members_are_drawn_alike():
    x = load_lorenz96_ensemble("test", n=1, test=600, members=10).x
    y = load_lorenz96_ensemble("test", n=1, test=600, part="truth").x[:, 0]
    assert rank_histogram(x, y).p > 0.01
    ratio = spread_skill(x, y)
    assert abs(ratio.value - 1) < 4 * ratio.error


def test_a_bias_is_added_to_members_alone_and_halves_share_nothing():
    small = {"n": 4, "test": 3, "states": 8, "members": 2}
    plain, biased = (load_lorenz96_ensemble(**small, model_bias=b).x for b in (0.0, 1.0))
    assert_close(biased, plain + 1)
    truths = [load_lorenz96_ensemble(**small, part="truth", model_bias=b).x for b in (0.0, 1.0)]
    assert torch.equal(*truths)
    train, test, every = (load_lorenz96_ensemble(split, **small).x for split in ("train", "test", "all"))
    assert torch.equal(torch.cat([train, test]), every)
    assert not torch.equal(train[:3], test)
    assert load_lorenz96_ensemble(**small, part="analysis").x.shape == (4, 3, 8)


def test_bad_numbers_are_refused():
    for bad, words in (
        ({"part": "truths"}, "part must be one of"),
        ({"states": 3}, "states"),
        ({"spread": -1.0}, "spread"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            load_lorenz96_ensemble(**bad)
