"""Paths with a schedule per coordinate: what samplers, densities and objectives do with them."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import GammaNoise, sample
from interpolants.fields import QUANTITIES, LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.likelihood import log_prob
from interpolants.metrics import energy_distance
from interpolants.objectives import NoiseLoss, ScoreLoss
from interpolants.paths import FourierBasis, MatrixBasis, OneSidedTrigonometric, Spectral
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from problems.bridges import F64, PATHS, RHO1, ROUND, TURN, bridge, states

SPECTRAL = PATHS["spectral"]
EVEN = Spectral(
    MatrixBasis(TURN),
    lambda t: torch.sin(math.pi / 2 * (1 - t)).expand(-1, 2),
    lambda t: torch.sin(math.pi / 2 * t).expand(-1, 2),
    (2,),
)


@pytest.mark.parametrize("known", ["velocity", "noise", "score", "denoised"])
def test_equal_schedules_give_the_scalar_path(known):
    x, t = states(7), torch.linspace(0.1, 0.9, 7, dtype=F64)
    scalar = GaussianMixtureBridge(Gaussian(), ROUND).fields(OneSidedTrigonometric())
    for fields in (bridge(EVEN).fields(EVEN), LearnedFields(EVEN, **{known: getattr(scalar, known)})):
        for quantity in QUANTITIES:
            assert_close(getattr(fields, quantity)(x, t), getattr(scalar, quantity)(x, t))


def test_a_draw_is_the_formula_written_in_the_basis(generator):
    shape = (2, 4, 4)
    pace = FourierBasis().pool(torch.rand(shape, generator=generator, dtype=F64) + 0.5)
    path = Spectral(FourierBasis(), lambda t: (1 - t) ** pace, lambda t: t**pace, shape)
    x0, x1 = (torch.randn(5, *shape, generator=generator, dtype=F64) for _ in range(2))
    t = torch.linspace(0.1, 0.9, 5, dtype=F64)
    time = t[:, None, None, None]
    parts = (torch.fft.fft2(x) * c for x, c in ((x0, (1 - time) ** pace), (x1, time**pace)))
    assert_close(path.sample(x0=x0, x1=x1, t=t).x_t, torch.fft.ifft2(sum(parts)).real)


@pytest.mark.cases(2)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("eps", [0.0, 0.7, GammaNoise(0.8), "shaped"])
def test_samples_of_exact_fields_are_true_samples(eps, reverse):
    """Below three errors of the distance between two true samples, with noise of any strength per coordinate."""
    if eps == "shaped":
        eps = lambda t: torch.stack([2 * t, 0.3 + 0 * t], 1)  # noqa: E731
    fields, source = bridge(SPECTRAL).fields(SPECTRAL), torch.Generator().manual_seed(3)
    white = GaussianMixture.from_gaussian(Gaussian(), 2)
    start, goal = (ROUND, white) if reverse else (white, ROUND)
    x, true, other = (distribution.sample(2000, generator=source) for distribution in (start, goal, goal))
    assert energy_distance(x, true).value > 10 * energy_distance(other, true).error
    found = sample(fields, x, eps=eps, reverse=reverse, n_steps=50, seed=1, chunk=2000, invariant=False)
    gap, yardstick = energy_distance(found.x, true), energy_distance(other, true)
    assert gap.value < 3 * yardstick.error


def test_an_sde_with_hardly_any_noise_takes_the_steps_of_the_flow():
    fields, x = bridge(SPECTRAL).fields(SPECTRAL), states(5)
    settings = {"n_steps": 6, "time_grid": "uniform", "start": 0.1, "stop": 0.8}
    flow = sample(fields, x, method="euler", **settings).x
    found = sample(fields, x, method="euler_maruyama", eps=1e-20, seed=0, **settings).x
    assert_close(found, flow)


def test_a_run_that_ends_in_the_mean_has_no_noise_in_its_last_step():
    fields, x = bridge(SPECTRAL).fields(SPECTRAL), states(5)
    settings = {"eps": 0.5, "n_steps": 1, "time_grid": "uniform", "start": 0.1, "stop": 0.6}
    kept = {
        finish: [sample(fields, x, seed=seed, finish=finish, **settings).x for seed in (0, 1)]
        for finish in ("mean", "step")
    }
    assert_close(*kept["mean"])
    assert not torch.allclose(*kept["step"])


def test_noise_of_the_sde_has_the_shape_that_was_asked_for():
    """With no field at all, the state only diffuses: covariance ``F^T diag(2 eps) F``."""
    fields = LearnedFields(SPECTRAL, velocity=lambda x, t: 0 * x, score=lambda x, t: 0 * x)
    levels = torch.tensor([0.5, 2.0], dtype=F64)
    found = sample(
        fields,
        torch.zeros(40_000, 2, dtype=F64),
        eps=lambda t: levels.expand(len(t), 2),
        n_steps=4,
        seed=2,
        cap_noise=False,
        invariant=False,
    )
    wanted = TURN.T @ torch.diag(2 * levels) @ TURN
    assert_close(torch.cov(found.x.T), wanted, rtol=0, atol=5 * 4 * math.sqrt(2 / 40_000))
    assert found.eps.shape == (5, 2)


@pytest.mark.slow
@pytest.mark.parametrize("known", ["noise", "denoised", "velocity"])
def test_learnt_fields_sample_alike_with_noise_and_by_denoising(known):
    exact = bridge(SPECTRAL).fields(SPECTRAL)
    fields = LearnedFields(SPECTRAL, **{known: getattr(exact, known)}, mean1=ROUND.mean)
    x = Gaussian((2,)).sample(500, generator=torch.Generator().manual_seed(1)).double()
    true = exact.velocity(x, 0.4)
    assert_close(fields.velocity(x, 0.4), true)
    assert_close(fields.velocity(x.float(), 0.4), true.float(), rtol=1e-4, atol=1e-4)
    settings = {"start": 0.05, "stop": 0.95, "n_steps": 60, "seed": 4, "invariant": False}
    for more in ({"eps": 0.5}, {"method": "ddim"}):
        ours, theirs = (sample(f, x, **more, **settings).x for f in (fields, exact))
        assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_the_denoising_sampler_is_exact_when_the_end_is_known():
    """With a single end point the denoiser does not depend on the state, and any number of steps will do."""
    end = torch.tensor([[1.0, -2.0]], dtype=F64)
    fields = LearnedFields(SPECTRAL, denoised=lambda x, t: end.expand_as(x))
    x0 = states(5)
    found = sample(fields, x0, method="ddim", n_steps=3, start=0.2, stop=0.8)
    wanted = SPECTRAL.sample(x0=x0, x1=end.expand_as(x0), t=0.8).x_t
    start = SPECTRAL.sample(x0=x0, x1=end.expand_as(x0), t=0.2).x_t
    again = sample(fields, start, method="ddim", n_steps=3, start=0.2, stop=0.8)
    assert_close(again.x, wanted)
    assert not torch.allclose(found.x, wanted)


@pytest.mark.slow
def test_densities_of_the_flow_are_the_true_ones():
    x = ROUND.sample(200, generator=torch.Generator().manual_seed(5))
    fields = bridge(SPECTRAL).fields(SPECTRAL)
    for mode in ("auto", "forward"):
        found = log_prob(fields, x, Gaussian(), mode=mode, rtol=1e-6, atol=1e-6)
        assert_close(found.log_prob, ROUND.log_prob(x), rtol=0, atol=1e-3)


def test_the_score_target_is_the_slope_of_the_conditional_density(generator):
    x0, x1 = states(4), ROUND.sample(4, generator=generator)
    t = torch.tensor([0.2, 0.5, 0.7, 0.9], dtype=F64)
    draw = SPECTRAL.sample(x0=x0, x1=x1, t=t)
    x = draw.x_t.clone().requires_grad_()
    away = SPECTRAL.basis.forward(x) - SPECTRAL.beta(t) * SPECTRAL.basis.forward(x1)
    (slope,) = torch.autograd.grad(-0.5 * (away / SPECTRAL.alpha(t)).square().sum(), x)
    assert_close(ScoreLoss(SPECTRAL).target(draw), slope)
    assert_close(NoiseLoss(SPECTRAL).target(draw), x0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Spectral(None, lambda t: 1 - t, lambda t: t, (1,)), r"basis must be a Basis, got None"),
        (
            lambda: Spectral(FourierBasis(1), lambda t: 1 - t, lambda t: t, (3,)),
            r"alpha must map times .* here \(5, 3\), got \(5, 1\)",
        ),
        (
            lambda: Spectral(FourierBasis(1), lambda t: 1 - t / 2, lambda t: t, (1,)),
            r"alpha must be 0 at t=1 in every coordinate, got 0.5",
        ),
        (
            lambda: Spectral(
                FourierBasis(1),
                lambda t: (1 - t) * torch.ones(3),
                lambda t: t * torch.tensor([1.0, 1.0, 0.5]),
                (3,),
            ),
            r"beta must be 1 at t=1 in every coordinate, got 0.5",
        ),
        (
            lambda: Spectral(FourierBasis(1), lambda t: 1 - t, lambda t: 0 * t / (t - 1), (1,)),
            r"beta on \[0, 1\] must be finite",
        ),
        (lambda: SPECTRAL.sample(x1=torch.zeros(2, 3), t=0.5), r"states must have shape \(2,\).*got \(3,\)"),
        (lambda: SPECTRAL.sample(x1=torch.zeros(2, 2), t=1.5), r"t must lie in \[0, 1\], got 1.5"),
        (
            lambda: GaussianMixtureBridge(Gaussian(), RHO1).fields(SPECTRAL),
            r"every covariance must be diagonal in the path's basis, got a relative rest of",
        ),
        (
            lambda: log_prob(bridge(SPECTRAL).fields(SPECTRAL), states(2), Gaussian(), eps=0.5),
            r"eps > 0 needs one noise level for all directions",
        ),
        (
            lambda: sample(
                bridge(SPECTRAL).fields(SPECTRAL), states(2), eps=lambda t: t[:, None].expand(-1, 3)
            ),
            r"one value per time",
        ),
    ],
)
def test_bad_input_is_refused_with_its_value(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()
