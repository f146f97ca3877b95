"""The divergence of two Gaussians, by exact fields and by fitted bridges."""

import math

import pytest
import torch

import interpolants as itp
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import NotAbleError
from interpolants.methods.mutual_information import information_forms, noise_of
from interpolants.paths import OneSidedLinear
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge

P, Q = (0.5, math.sqrt(0.4)), (-0.3, math.sqrt(1.2))  # mean and standard deviation
TRUTH = math.log(Q[1] / P[1]) + (P[1] ** 2 + (P[0] - Q[0]) ** 2) / (2 * Q[1] ** 2) - 0.5
SMALL = {"net": {"kind": "mlp", "width": 16, "depth": 2}, "steps": 40, "batch_size": 64, "seed": 0}


def gaussian(mean, deviation):
    return GaussianMixture([1.0], torch.full((1, 1), mean), torch.full((1, 1, 1), deviation**2))


def rows(mean, deviation, n, seed=0):
    return mean + deviation * torch.randn(n, 1, generator=torch.Generator().manual_seed(seed))


def fitted(mean, deviation, n=600, **settings):
    bridge = itp.Bridge("one_sided_linear", **{"standardize": False, **SMALL, **settings})
    return bridge.fit(x1=rows(mean, deviation, n, seed=int(10 * deviation)), progress=False)


def test_exact_fields_give_the_closed_form_in_each_form():
    path = OneSidedLinear()
    base = GaussianMixture([1.0], torch.zeros(1, 1), torch.eye(1)[None])
    p, q = (noise_of(GaussianMixtureBridge(base, gaussian(*law)).fields(path)) for law in (P, Q))
    assert pytest.approx(0.482639, abs=1e-6) == TRUTH
    for value, error in information_forms(path, q, p, rows(*P, 4000), 0).means:
        assert abs(value - TRUTH) < 4 * error
        assert error < 0.02


def test_the_question_refuses_models_that_cannot_be_compared():
    p = fitted(*P)
    for other, words in (
        (None, "other must be a fitted Bridge"),
        (itp.Bridge("one_sided_linear"), "other must be a fitted Bridge"),
        (fitted(*Q, standardize=True), "same units.*standardize=False"),
        (p.on("vp"), "the same path"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            p.ask("kl", other=other)
    x0, x1 = rows(*P, 100), rows(*Q, 100)
    two = itp.Bridge(path="linear", **SMALL).fit(x0, x1, progress=False)
    with pytest.raises(NotAbleError, match="one-sided path"):
        two.ask("kl", other=p)


def test_a_model_has_no_divergence_from_itself():
    p = fitted(*P)
    assert p.ask("kl", other=p)["squared"].value == 0


@pytest.mark.slow
def test_fitted_bridges_come_near_the_closed_form():
    p, q = (fitted(*law, n=4000, steps=1500, batch_size=256) for law in (P, Q))
    answer = p.ask("kl", other=q)
    assert answer["kl"].value == pytest.approx(TRUTH, abs=0.08)
    assert answer["squared"].value == pytest.approx(TRUTH, abs=0.1)
