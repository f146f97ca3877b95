"""Sampling with adaptive SDE steps: true marginals both ways, reports, conditions, bits of shards, refusals."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import GammaNoise, sample
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.likelihood import log_prob
from interpolants.paths import Linear, OneSidedLinear
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge

F64 = torch.float64
HOW = {"eps": 0.5, "method": "adaptive_heun", "n_steps": 4, "seed": 5}
NARROW = GaussianMixture(
    torch.tensor([0.5, 0.5], dtype=F64),
    torch.tensor([[1.0, 0.0], [-1.0, 0.5]], dtype=F64),
    torch.tensor([0.01, 0.04], dtype=F64),
)
FIELDS = GaussianMixtureBridge(Gaussian((2,)), NARROW).fields(OneSidedLinear())


def points(n, seed=0):
    return torch.randn(n, 2, dtype=F64, generator=torch.Generator().manual_seed(seed))


def moments(x):
    return torch.cat([x.mean(0), torch.cov(x.T).flatten()])


@pytest.mark.parametrize("reverse", [False, True])
def test_the_moments_of_the_end_are_those_of_the_mixture(reverse):
    n = 1000
    x1 = NARROW.sample(n, generator=torch.Generator().manual_seed(1))
    begin, end = (x1, points(n, 2)) if reverse else (points(n), x1)
    found = sample(FIELDS, begin, reverse=reverse, atol=0.1, rtol=0.0, **HOW)
    assert found.ok.all()
    assert_close(moments(found.x), moments(end), atol=0.12, rtol=0)


def test_what_was_done_is_reported():
    how = HOW | {"rtol": 0.1, "atol": 0.1}
    found = sample(FIELDS, points(20), return_path=True, **how)
    assert (found.method, found.seed) == ("adaptive_heun", 5)
    assert found.path.shape == (5, 20, 2)
    assert torch.equal(found.path[-1], found.x)
    assert found.times.shape == found.eps.shape == (5,)
    assert found.nfe.shape == found.rejected.shape == (20,)
    assert torch.equal(sample(FIELDS, points(20), **how).x, found.x)  # the path costs no noise
    tight = sample(FIELDS, points(20), **how | {"rtol": 0.04, "atol": 0.04})
    assert float(tight.nfe.double().mean()) > 1.5 * float(found.nfe.double().mean())


def test_conditions_stay_with_their_rows_and_shards_agree():
    x, cond = points(150).float(), torch.arange(150) % 3

    def velocity(x, t, cond):
        return -(1.0 + cond[:, None]) * x

    fields = LearnedFields(Linear(), velocity=velocity, score=lambda x, t, cond: -x)
    how = HOW | {"rtol": 0.0, "atol": 0.05}
    whole = sample(fields, x, cond=cond, **how)
    parts = [slice(0, 70), slice(70, 71), slice(71, 150)]
    pieces = [sample(fields, x[p], cond=cond[p], first_index=p.start, **how).x for p in parts]
    assert torch.equal(torch.cat(pieces), whole.x)
    assert torch.equal(sample(fields, x, cond=cond, chunk=64, **how).x, whole.x)
    assert whole.nfe[cond == 2].double().mean() > 1.2 * whole.nfe[cond == 0].double().mean()


def test_without_a_drift_the_noise_has_variance_two_eps():
    fields = LearnedFields(Linear(), velocity=lambda x, t, cond: 0 * x, score=lambda x, t, cond: 0 * x)
    found = sample(fields, 0 * points(4000), cap_noise=False, **HOW | {"eps": 0.1})
    assert_close(torch.cov(found.x.T), 0.2 * torch.eye(2, dtype=F64), atol=0.02, rtol=0)


def test_the_noise_level_does_not_follow_the_steps():
    how = HOW | {"eps": GammaNoise(1.0)}
    loose, tight = (sample(FIELDS, points(8), **how, rtol=tol, atol=tol) for tol in (0.3, 0.1))
    assert torch.equal(loose.eps, tight.eps)
    assert_close(loose.eps[1:-1], GammaNoise(1.0).values(loose.times[1:-1], FIELDS.path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eps": 0.0}, "eps = 0 needs an ODE solver"),
        ({"finish": "denoise"}, "needs fixed steps"),
        ({"finish": "mean"}, "needs fixed steps"),
        ({"brownian": "universal"}, "needs fixed steps"),
        ({"modifiers": {"kind": "size_guard", "limit": 9}}, "modifiers need fixed steps"),
        ({"compiled": 2, "invariant": False}, "compiled steps"),
    ],
)
def test_what_needs_common_steps_is_refused(change, message):
    with pytest.raises(InvalidInputError, match=message):
        sample(FIELDS, points(3), **HOW | change)


def test_a_sample_that_spent_its_steps_is_told():
    with pytest.raises(DivergedError, match="adaptive_heun ended with max_steps for 3 of 3 samples"):
        sample(FIELDS, points(3), **HOW, max_steps=2)


def test_weights_of_paths_refuse_it():
    with pytest.raises(InvalidInputError, match="weights of paths need fixed steps"):
        log_prob(FIELDS, points(3), Gaussian((2,)), eps=0.5, method="adaptive_heun")
