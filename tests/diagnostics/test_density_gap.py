"""The identity of mismatch and accumulated residual, by two integrations, and exact densities that match."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.diagnostics import accumulated_residual, log_density_mismatch
from interpolants.fields import LearnedFields, LogDensity, Moments
from interpolants.foundations.errors import InvalidInputError
from interpolants.nets import Potential
from interpolants.paths import VP, Linear, OneSidedLinear
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge
from stirred_nets import stirred

F64 = torch.float64
DATA, START = GaussianMixture.random(3, 2, 1.0, 0), GaussianMixture.random(2, 2, 1.0, 1)
TIGHT = {"rtol": 3e-10, "atol": 3e-10}


def random_density(path, scale=0.3):
    """A tanh network over the moving Gaussian, of random weights."""
    net = Potential(2, net={"kind": "mlp", "width": 16, "depth": 2, "activation": "tanh", "time_features": 2})
    u = LogDensity(path, net, end=Moments(torch.tensor([0.3, -0.2]), 0.8)).double()
    return stirred(u, scale)


def points(n=6):
    return torch.randn(n, 2, dtype=F64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("path", [OneSidedLinear(), VP(bmin=1.0, bmax=8.0)], ids=["linear", "vp"])
def test_the_mismatch_is_that_at_the_start_plus_the_accumulated_residual(path):
    fields = LearnedFields(path, log_density=random_density(path), margin=1e-4)
    found = log_density_mismatch(fields, points(), method="dopri5", **TIGHT)
    total = accumulated_residual(fields, points(), **TIGHT)
    assert_close(found.value, found.start + total, atol=1e-6, rtol=0)
    assert_close(found.accumulated, total, atol=1e-6, rtol=0)
    assert float(total.abs().min()) > 1e-3
    assert found.spread == pytest.approx(float(found.value.std()))
    if isinstance(path, OneSidedLinear):  # normalised where it starts
        assert_close(found.start, torch.zeros(6, dtype=F64), atol=1e-9, rtol=0)
    else:
        assert float(found.start.abs().max()) > 1e-4


def test_on_a_two_sided_path_the_velocity_is_a_field_of_its_own():
    """u is wrong by a term whose rate is known: R = c'(t) - 0.3 x . b with b exact, accumulated to c(1) - c(0) + ..."""
    path = Linear()
    exact = GaussianMixtureBridge(START, DATA).fields(path)

    def tilted(x, t, cond=None):
        return exact.log_prob(x, t) + 0.5 * torch.sin(2 * t) - 0.15 * x.square().sum(1)

    def velocity(x, t, cond=None):
        return exact.evaluate(x, t, ("velocity",))["velocity"]

    fields = LearnedFields(path, log_density=tilted, velocity=velocity)
    found = log_density_mismatch(fields, points(), START, rtol=1e-7, atol=1e-7)
    wanted = 0.5 * torch.sin(torch.tensor(2.0, dtype=F64)) - 0.15 * points().square().sum(1)
    assert_close(found.value, wanted, atol=2e-5, rtol=0)
    assert_close(
        accumulated_residual(fields, points(), rtol=1e-7, atol=1e-7), found.accumulated, atol=2e-4, rtol=0
    )


def test_an_exact_density_matches_its_flow():
    fields = GaussianMixtureBridge(OneSidedLinear().base, DATA).fields(OneSidedLinear())
    found = log_density_mismatch(fields, points(), rtol=1e-8, atol=1e-8)
    assert float(found.value.abs().max()) < 1e-5
    assert float(accumulated_residual(fields, points()).abs().max()) < 1e-8


@pytest.mark.slow
def test_the_comparison_may_be_made_before_the_end():
    """A diffusion learnt up to a little noise: identity and exact density at the time where it stops."""
    path, stop = VP(bmin=1.0, bmax=8.0), 0.8
    fields = LearnedFields(path, log_density=random_density(path), margin=1e-4)
    found = log_density_mismatch(fields, points(), stop=stop, **TIGHT)
    assert_close(
        found.accumulated, accumulated_residual(fields, points(), stop=stop, **TIGHT), atol=1e-6, rtol=0
    )
    whole = log_density_mismatch(fields, points(), rtol=1e-4, atol=1e-4)
    assert float((found.accumulated - whole.accumulated).abs().min()) > 1e-3
    exact = GaussianMixtureBridge(OneSidedLinear().base, DATA).fields(OneSidedLinear())
    found = log_density_mismatch(exact, points(), stop=stop, rtol=1e-8, atol=1e-8)
    assert_close(found.log_prob, exact.log_prob(points(), torch.tensor(stop, dtype=F64)), atol=1e-6, rtol=0)
    assert float(found.value.abs().max()) < 1e-6


def test_a_rate_that_is_infinite_at_the_ends_is_accumulated_all_the_same():
    """``u = sqrt(t) - sqrt(1 - t)`` without a flow: 2 from end to end."""

    def rising(x, t, cond=None):
        return t.sqrt() - (1 - t).sqrt() + 0 * x.sum(1)

    fields = LearnedFields(
        OneSidedLinear(), log_density=rising, velocity=lambda x, t, cond=None: torch.zeros_like(x)
    )
    found = accumulated_residual(fields, points(2), rtol=1e-3, atol=1e-3)
    assert_close(found, torch.full((2,), 2.0, dtype=F64), atol=0.05, rtol=0)


def test_conditions_stay_with_their_rows():
    path = OneSidedLinear()
    exact = GaussianMixtureBridge(path.base, DATA).fields(path)

    def tilted(x, t, cond=None):
        return exact.log_prob(x, t) + cond * torch.sin(2 * t)

    def velocity(x, t, cond=None):
        return exact.evaluate(x, t, ("velocity",))["velocity"]

    fields = LearnedFields(path, log_density=tilted, velocity=velocity)
    cond = torch.linspace(-1, 1, 6, dtype=F64)
    found = accumulated_residual(fields, points(), cond=cond)
    assert_close(found, cond * torch.sin(torch.tensor(2.0, dtype=F64)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("stop", [0.0, 1.5])
def test_a_time_out_of_range_is_refused(stop):
    fields = GaussianMixtureBridge(OneSidedLinear().base, DATA).fields(OneSidedLinear())
    for compare in (log_density_mismatch, accumulated_residual):
        with pytest.raises(InvalidInputError, match=rf"stop must lie in \(0, 1\], got {stop}"):
            compare(fields, points(), stop=stop)


def test_fields_without_a_density_and_paths_without_a_base_are_refused():
    fields = LearnedFields(OneSidedLinear(), score=lambda x, t: -x)
    with pytest.raises(InvalidInputError, match=r"fields must have a log density.*LogDensity"):
        log_density_mismatch(fields, points())
    exact = GaussianMixtureBridge(START, DATA).fields(Linear())
    with pytest.raises(InvalidInputError, match="base must be passed for a two-sided path"):
        log_density_mismatch(exact, points())
