"""Answers of the playground against the exact laws, and what it refuses."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from interpolants.foundations.errors import InvalidInputError
from interpolants.web import plane_distributions
from interpolants.web.playground import FRAMES, GRID, REACH, Question, simulate
from interpolants.web.work import CancelledError, Work

FEW = {"n": 1500, "n_steps": 40}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "envelope", "eps", "reverse"),
    [
        *(("linear", "brownian", eps, reverse) for eps in (0.0, 1.0) for reverse in (False, True)),
        *(("trigonometric", "quadratic", eps, reverse) for eps, reverse in ((0.0, True), (1.0, False))),
        *(("encoder_decoder", "zero", eps, reverse) for eps, reverse in ((0.0, False), (1.0, True))),
        *(("diffusive", "zero", eps, reverse) for eps, reverse in ((0.0, True), (1.0, False))),
    ],
)
def test_particles_arrive_in_the_true_law(path, envelope, eps, reverse):
    """Four standard errors of the energy distance, seed 0; the last two have envelopes of their own."""
    question = Question(
        rho0="moons", rho1="eight blobs", path=path, envelope=envelope, eps=eps, reverse=reverse, **FEW
    )
    answer = simulate(question)
    value, error = answer.distance
    assert abs(value) < 4 * max(error, answer.floor[1])
    assert answer.times[0] == (1.0 if reverse else 0.0)
    assert answer.times[-1] == (0.0 if reverse else 1.0)
    assert answer.particles.shape == (len(answer.times), 1500, 2)
    assert answer.nfe == 80


def test_the_density_is_the_exact_one_of_its_time_and_rows_go_up():
    answer = simulate(Question(rho0="gaussian", rho1="two blobs", n=100, n_steps=FRAMES - 1))
    axis = torch.linspace(-REACH, REACH, GRID)
    for frame, law in (
        (0, plane_distributions.named("gaussian")),
        (-1, plane_distributions.named("two blobs")),
    ):
        root = np.empty((GRID, GRID))
        for row in range(0, GRID, 7):
            points = torch.stack([axis, axis[row].expand(GRID)], 1)
            root[row] = law.log_prob(points).exp().sqrt().numpy()
        shown = answer.density[frame][::7].astype(float) / 255
        peak = root[::7].max() / shown.max()
        np.testing.assert_allclose(shown, root[::7] / peak, atol=0.02)


def test_one_start_stays_one_under_the_flow_and_spreads_with_noise():
    still = simulate(Question(start=[0.5, -0.5], n=50))
    assert float(np.ptp(still.particles[-1], axis=0).max()) < 1e-5
    assert still.distance is None
    spread = [simulate(Question(start=[0.5, -0.5], n=400, eps=eps)).particles[-1].std() for eps in (0.3, 3.0)]
    assert 0.05 < spread[0] < spread[1]


def test_a_drawn_cloud_becomes_a_law_with_its_mean_and_spread():
    cloud = torch.randn(400, 2, generator=torch.Generator().manual_seed(0)) * 0.5 + torch.tensor([1.0, -2.0])
    law = plane_distributions.drawn(cloud.tolist())
    x = law.sample(20_000, generator=torch.Generator().manual_seed(1))
    assert law.n_modes <= plane_distributions.MOST_MODES
    torch.testing.assert_close(x.mean(0), cloud.mean(0), rtol=0, atol=0.03)
    torch.testing.assert_close(x.std(0), cloud.std(0), rtol=0.08, atol=0)
    assert plane_distributions.drawn([[1.0, 1.0]] * 3).n_modes == 1


@pytest.mark.parametrize("name", plane_distributions.NAMES)
def test_named_laws_fit_into_the_picture(name):
    x = plane_distributions.named(name).sample(2000, generator=torch.Generator().manual_seed(0))
    assert float((x.abs() < REACH).float().mean()) > 0.99


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"eps": 0.5, "envelope": "zero"}, "eps > 0 needs latent noise"),
        ({"n": 10_000, "n_steps": 400, "rho0": "ring"}, "at most 250,000,000, got 768,000,000"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_a_remedy(given, told):
    with pytest.raises(InvalidInputError, match=told):
        simulate(Question(**given))


@pytest.mark.parametrize(
    "given",
    [{"epz": 1.0}, {"eps": -1.0}, {"eps": float("nan")}, {"n": 0}, {"n": 2.5}, {"rho0": "sun"}, {"rho1": [[0, 1]]},
     {"rho0": [[0.0, 1e9]] * 3}, {"start": [1.0]}, {"seed": -1}, {"path": None}],
)  # fmt: skip
def test_questions_out_of_range_are_refused(given):
    with pytest.raises(ValidationError):
        Question.model_validate(given)


def test_work_that_nobody_waits_for_stops():
    work = Work()
    work.cancel()
    with pytest.raises(CancelledError):
        simulate(Question(), work)


def test_beside_an_sde_from_one_start_runs_the_ode():
    noisy = simulate(Question(start=[0.5, -0.5], n=50, eps=1.0))
    still = simulate(Question(start=[0.5, -0.5], n=1))
    np.testing.assert_allclose(noisy.flow, still.particles[:, 0], atol=1e-5)
    assert still.flow is None
    assert simulate(Question(n=50, eps=1.0)).flow is None
