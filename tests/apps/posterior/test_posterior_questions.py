import pytest
import torch

from interpolants.apps.posterior import (
    GaussianLinear,
    LinearPosterior,
    NearestSimulations,
    local_calibration,
    posterior_calibration,
    posterior_quality,
)
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task


def fitted(method):
    problem = GaussianLinear(dim=2)
    drawn = problem.sample(3000, generator=torch.Generator().manual_seed(0))
    task = Task.of(method.roles(), drawn, Split(test=0.2), truths={"theta": problem})
    return task.fit(method), task


def test_the_exact_family_is_calibrated_and_the_prior_is_told_by_contraction():
    method, task = fitted(LinearPosterior())
    found = ask(
        posterior_calibration(), method, task, rivals=[{"kind": "nearest_simulations", "accepted": 2000}]
    )
    assert found["sbc_p"].value > 0.01
    assert found["tarp_p"].value > 0.01
    assert abs(found["contraction"].value - 0.5) < 0.05
    prior = found["contraction"].rivals["nearest_simulations"]
    assert abs(prior) < 0.15
    assert found["tarp_p"].rivals["nearest_simulations"] < 0.01
    assert [figure.name for figure in found.figures] == ["ranks_curve", "fractions_curve"]
    curves = [series.arrays["y"] for figure in found.figures for series in figure.panels[0].series]
    assert all(float(y.max()) == 1 for y in curves if len(y) > 2)


@pytest.mark.slow
def test_exact_draws_have_an_accuracy_of_one_half_and_the_prior_more():
    method, task = fitted(LinearPosterior())
    assert abs(ask(posterior_quality(draws=500), method, task)["c2st"].value - 0.5) < 0.05
    prior, task = fitted(NearestSimulations(accepted=2000))
    assert ask(posterior_quality(draws=500), prior, task)["c2st"].value > 0.6


@pytest.mark.slow
def test_at_one_observation_the_exact_family_passes():
    method, task = fitted(LinearPosterior())
    found = ask(local_calibration(row=2), method, task)
    assert found["lc2st_p"].value > 0.02
    assert found["misfit_rank"].value > 0.02
