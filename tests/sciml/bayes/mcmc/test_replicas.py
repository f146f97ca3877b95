"""Parallel tempering against normalising constants and mode weights in closed form and by a transfer matrix."""

import math

import pytest
import torch
from tests.sciml.bayes.mcmc.test_tempering import gaussian, mixture, phi_four, phi_four_truth, seeded

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.foundations.tell import FitWarning
from interpolants.sciml.bayes.mcmc.replicas import Ladder, _equal_rejection, parallel_tempering


def agrees(chains, truth, most_error):
    z = chains.evidence()
    assert z.error < most_error
    assert abs(z.log_z - truth) < 4 * z.error + 0.01
    assert chains.bounds[0] < truth < chains.bounds[1]
    assert z.lower_bound == chains.bounds[0]


def test_a_gaussian_with_its_moments():
    chains = parallel_tempering(
        gaussian, 3, seeded(), scale=3.0, temperatures=4, ladders=8, options=Ladder(warm_up=200), draws=400
    )
    agrees(chains, 1.5 * math.log(8 * math.pi), 0.03)
    flat = chains.draws.flatten(0, 1)
    assert float((flat.mean(0) - 1).abs().max()) < 0.25
    assert float((flat.var(0) - 4).abs().max()) < 0.6
    assert float(chains.r_hat.max()) < 1.05
    assert float(chains.effective_samples.min()) > 300


def test_a_mixture_with_the_weights_of_its_modes():
    chains = parallel_tempering(
        mixture, 2, seeded(1), scale=3.0, temperatures=6, options=Ladder(warm_up=200), draws=800
    )
    agrees(chains, 0.0, 0.1)
    assert float((chains.draws[..., 0] > 0).double().mean()) == pytest.approx(0.7, abs=0.08)
    assert int(chains.restarts.min()) > 20
    # The warm-up placed the temperatures where all neighbours exchange equally often.
    assert float(chains.exchanged.max() - chains.exchanged.min()) < 0.1
    assert float((chains.acceptance - 0.8).abs().max()) < 0.1


def test_every_rung_has_its_density():
    """With one Gaussian the tempered densities are Gaussians: two fixed rungs give their own log Z."""
    narrow = parallel_tempering(
        lambda x: -2 * x[:, 0].square(),
        1,
        seeded(),
        scale=1.0,
        temperatures=[0, 0.25, 1],
        options=Ladder(warm_up=100),
        draws=1000,
    )
    assert narrow.temperatures.tolist() == [0, 0.25, 1]
    # d = -1.5 x^2 + log sqrt(2 pi), and x has the variances 1, 1/1.75 and 1/4 at the three rungs.
    means = [0.5 * math.log(2 * math.pi) - 1.5 * v for v in (1, 1 / 1.75, 1 / 4)]
    lower, upper = (0.25 * means[k] + 0.75 * means[k + 1] for k in (0, 1))
    assert narrow.bounds[0] == pytest.approx(lower, abs=0.06)
    assert narrow.bounds[1] == pytest.approx(upper, abs=0.06)
    assert float(narrow.draws.var()) == pytest.approx(0.25, rel=0.1)


@pytest.mark.slow
def test_a_chain_with_quartic_energy():
    agrees(parallel_tempering(phi_four, 16, seeded()), phi_four_truth(16), 0.15)


def test_equal_neighbours_exchange_at_every_turn():
    """The starting Gaussian as the target: every second state at b = 1 is a new one from b = 0, and log Z is 0."""
    chains = parallel_tempering(
        lambda x: -x.square().sum(1) / 2 - math.log(2 * math.pi),
        2,
        seeded(),
        temperatures=[0, 1],
        draws=100,
        options=Ladder(warm_up=20),
    )
    assert chains.exchanged.tolist() == [1]
    assert chains.restarts.tolist() == [50] * 4
    assert chains.evidence().log_z == pytest.approx(0, abs=1e-9)
    assert chains.bounds == pytest.approx((0, 0), abs=1e-9)


def test_temperatures_have_equal_shares_of_the_cumulative_rejection():
    b = torch.tensor([0, 0.5, 1], dtype=torch.float64)
    rejection = torch.tensor([0.3, 0.1], dtype=torch.float64)
    # Half of the barrier .4 is at b = .5 * .2 / .3.
    torch.testing.assert_close(
        _equal_rejection(b, rejection), torch.tensor([0, 1 / 3, 1], dtype=torch.float64)
    )


def test_the_seed_decides_and_gradients_are_counted():
    rows = []

    def counted(x):
        if x.requires_grad:
            rows.append(len(x))
        return gaussian(x)

    settings = {"temperatures": 3, "options": Ladder(warm_up=20), "draws": 8}
    first = parallel_tempering(counted, 2, seeded(), **settings)
    assert torch.equal(first.draws, parallel_tempering(gaussian, 2, seeded(), **settings).draws)
    assert first.gradients * 4 == sum(rows[1:])  # the check at the start is not counted


@pytest.mark.filterwarnings("ignore::interpolants.foundations.tell.FitWarning")
def test_a_density_that_is_zero_somewhere():
    half = parallel_tempering(
        lambda x: torch.where(x[:, 0] > -40, -x[:, 0].square() / 2, -math.inf),
        1,
        seeded(),
        scale=10.0,
        temperatures=5,
        options=Ladder(warm_up=100),
        draws=500,
    )
    assert half.evidence().log_z == pytest.approx(0.5 * math.log(2 * math.pi), abs=0.1)


def test_too_few_temperatures_are_reported():

    def far(x):
        return -50 * (x - 4).square().sum(1)

    with pytest.warns(FitWarning, match="of 4 ladders no state climbed.* exchange with probability"):
        parallel_tempering(far, 8, seeded(), temperatures=2, options=Ladder(warm_up=20), draws=20)


def test_chains_that_disagree_are_reported():

    def wells(x):
        return torch.logaddexp(-5e2 * (x[:, 0] - 1).square(), -5e2 * (x[:, 0] + 1).square())

    with pytest.warns(FitWarning, match="R-hat is .* above 1.1"):
        parallel_tempering(wells, 1, seeded(), temperatures=2, options=Ladder(warm_up=20), draws=20)


@pytest.mark.parametrize("density", [lambda x: x.square().sum(1), lambda x: x.pow(4).sum(1)])
def test_an_energy_instead_of_a_log_density_is_refused(density):
    with pytest.raises((DivergedError, FitWarning), match="Check the sign"):
        parallel_tempering(density, 1, seeded(), options=Ladder(warm_up=400), draws=400)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"temperatures": 1}, "temperatures"),
        ({"temperatures": [0, 0.5]}, "strictly increasing from 0 to 1"),
        ({"ladders": 3}, "ladders"),
        ({"draws": 3}, "draws"),
        ({"scale": 0.0}, "scale"),
    ],
)
def test_bad_numbers_are_refused(settings, rule):
    with pytest.raises(InvalidInputError, match=rule):
        parallel_tempering(gaussian, 2, seeded(), **settings)


@pytest.mark.parametrize("bad", [{"leaps": 0}, {"target": 1.0}, {"warm_up": 19}])
def test_bad_settings_are_refused(bad):
    with pytest.raises(InvalidInputError, match=next(iter(bad))):
        Ladder(**bad)
