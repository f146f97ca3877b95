import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.weather import DressedSeeds, EnsembleClimatology, SeedRegression
from interpolants.foundations.errors import InvalidInputError


def members(cases=4000, count=5, points=3, spread=0.8, seed=0):
    g = torch.Generator().manual_seed(seed)
    mu = torch.randn(cases, 1, points, generator=g, dtype=torch.float64)
    return mu + spread * torch.randn(cases, count, points, generator=g, dtype=torch.float64)


def test_dressing_has_the_mean_of_the_seeds_and_the_spread_of_others_about_it():
    model = DressedSeeds().fit(members())
    assert_close(
        model.state["spread"], torch.tensor([0.8 * 1.5**0.5], dtype=torch.float64), rtol=0.02, atol=0
    )
    seeds = members(1, 2, seed=1).expand(2000, 2, 3)
    drawn = model.emulate(seeds, members=4).x[:, :, 0]
    assert_close(drawn.mean((0, 1)), seeds[0].mean(0), rtol=0, atol=0.05)
    assert_close(
        (drawn - seeds[:1].mean(1)).square().mean().sqrt(), model.state["spread"][0], rtol=0.03, atol=0
    )


def test_regression_finds_the_conditional_mean_and_spread_of_gaussian_members():
    model = SeedRegression().fit(members())
    half = 0.32  # r^2 / 2
    assert_close(
        model.state["mean"][0], torch.tensor([0, 1 / (1 + half), 0], dtype=torch.float64), rtol=0, atol=0.02
    )
    expected = (0.64 + half / (1 + half)) ** 0.5
    mean, spread = model.law(members(50, 2, seed=1)[:, :, None])
    assert_close(spread, torch.full_like(spread, expected), rtol=0.05, atol=0)
    assert mean.shape == spread.shape == (50, 1, 3)


def test_with_an_analysis_they_learn_from_it():
    x = members()
    model = SeedRegression().fit(x + 2.0, x)
    mean, _ = model.law(x[:, :2, None] + 2.0)
    assert abs(float(mean.mean() - x.mean())) < 0.01


def test_climatology_draws_members_of_other_cases():
    x = torch.arange(60.0).reshape(10, 6, 1)
    drawn = EnsembleClimatology().fit(x).emulate(x[:4, :2], members=500).x.flatten(1)
    assert set(drawn.flatten().tolist()) == set(range(60))
    assert_close(drawn.mean(), torch.tensor(29.5), rtol=0.05, atol=0)


def test_ensembles_without_other_members_are_refused():
    with pytest.raises(InvalidInputError, match="more than n_seeds = 5 members"):
        DressedSeeds(n_seeds=5).fit(members())
    with pytest.raises(InvalidInputError, match="each case must have 2 seeds, got 5"):
        DressedSeeds().fit(members()).emulate(members())


@pytest.mark.parametrize(("unit", "zero"), [(1e-6, 0.0), (1e6, 0.0), (100.0, 1e5), (1.0, -1e6)])
def test_answers_of_a_regression_move_with_the_units(unit, zero):
    x = members(300)
    seeds = x[:5, :2]
    plain = SeedRegression().fit(x).emulate(seeds, members=4).x
    moved = SeedRegression().fit(unit * x + zero).emulate(unit * seeds + zero, members=4).x
    assert_close((moved - zero) / unit, plain, rtol=0, atol=1e-6)


def test_a_regression_of_a_constant_variable_is_that_constant():
    x = torch.full((20, 4, 3), 7.3, dtype=torch.float64)
    with pytest.warns(UserWarning, match="the same member"):
        drawn = SeedRegression().fit(x).emulate(x[:2, :2], members=3).x
    assert_close(drawn, torch.full_like(drawn, 7.3))
