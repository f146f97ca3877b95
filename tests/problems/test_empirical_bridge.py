"""A finite set of points: against narrow mixtures, and against the continuity equation by automatic differentiation."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.fields import QUANTITIES
from interpolants.foundations import Gaussian, exact_divergence
from interpolants.foundations.errors import InvalidInputError
from interpolants.paths import Linear, OneSidedLinear, OneSidedTrigonometric, VariancePreserving
from interpolants.paths.student_t import StudentT
from interpolants.problems import EmpiricalBridge, GaussianMixture, GaussianMixtureBridge

F64 = torch.float64
POINTS = torch.tensor([[-2.0, 0.0], [1.0, 1.5], [1.5, -1.0]], dtype=F64)
WEIGHTS = torch.tensor([0.5, 0.2, 0.3], dtype=F64)
MATRIX = torch.tensor([[1.5, 0.4], [0.4, 0.8]], dtype=F64)
MEAN = torch.tensor([0.3, -0.7], dtype=F64)
PATHS = {
    "linear, t": OneSidedLinear(base=StudentT(3)),
    "linear, one degree of freedom": OneSidedLinear(base=StudentT(1)),
    "linear, coloured t": OneSidedLinear(base=StudentT(5, mean=MEAN, dispersion=MATRIX)),
    "trigonometric, t": OneSidedTrigonometric(base=StudentT(2, scale=2.0)),
    "variance preserving, t": VariancePreserving(base=StudentT(4)),
    "linear, coloured normal": OneSidedLinear(base=Gaussian(mean=MEAN, covariance=MATRIX)),
}
each_path = pytest.mark.parametrize("name", PATHS)


def states(generator, n=7):
    return 1.5 * torch.randn(n, 2, generator=generator, dtype=F64)


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("t", [0.0, 0.3, 0.8])
def test_points_are_the_limit_of_narrow_modes(quantity, t, generator):
    path = PATHS["linear, coloured normal"]
    narrow = GaussianMixture(WEIGHTS, POINTS, torch.full((3,), 1e-12, dtype=F64))
    truth = GaussianMixtureBridge(path.base, narrow).fields(path)
    x = states(generator)
    found = getattr(EmpiricalBridge(POINTS, WEIGHTS).fields(path), quantity)(x, t)
    assert_close(found, getattr(truth, quantity)(x, t), rtol=1e-8, atol=1e-8)


@each_path
@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_the_velocity_carries_the_density(name, t, generator):
    """``d log p/dt + b . grad log p + div b = 0``, every term by a route of its own."""
    fields = EmpiricalBridge(POINTS, WEIGHTS).fields(PATHS[name])
    x = states(generator).requires_grad_(True)
    time = torch.full((len(x),), t, dtype=F64, requires_grad=True)
    rate, slope = torch.autograd.grad(fields.log_prob(x, time).sum(), (time, x))
    x = x.detach()
    velocity, divergence = exact_divergence(lambda y: fields.velocity(y, t), x)
    assert_close(
        rate + (velocity * slope).sum(1) + divergence, torch.zeros(len(x), dtype=F64), atol=1e-8, rtol=0
    )
    assert_close(fields.score(x, t), slope, rtol=1e-9, atol=1e-9)
    both = fields.divergence_of()(x, torch.tensor(t, dtype=F64))
    assert_close(both, (velocity, divergence), rtol=1e-9, atol=1e-9)


@each_path
def test_the_density_is_the_mean_of_the_kernels(name, generator):
    path, x, t = PATHS[name], states(generator), 0.6
    at = torch.tensor(t, dtype=F64)
    alpha, beta = path.alpha(at), path.beta(at)
    kernels = [path.base.log_prob((x - beta * y) / alpha) - 2 * alpha.log() for y in POINTS]
    truth = (torch.stack(kernels, 1) + WEIGHTS.log()).logsumexp(1)
    assert_close(EmpiricalBridge(POINTS, WEIGHTS).fields(path).log_prob(x, t), truth)


def test_a_gaussian_identity_fails_for_another_base(generator):
    """Tweedie's formula is off by far: the fields keep noise and score apart."""
    x, t = states(generator), 0.7
    fields = EmpiricalBridge(POINTS, WEIGHTS).fields(PATHS["linear, t"])
    wrong = -fields.noise(x, t) / (1 - t)
    assert float((wrong - fields.score(x, t)).norm() / fields.score(x, t).norm()) > 0.3


def test_times_per_row_and_any_event_shape_agree_with_single_calls(generator):
    path, points = PATHS["linear, t"], torch.randn(5, 2, 3, generator=generator)
    fields = EmpiricalBridge(points).fields(path)
    x, t = torch.randn(4, 2, 3, generator=generator), torch.tensor([0.1, 0.4, 0.7, 0.95])
    flat = EmpiricalBridge(points.flatten(1)).fields(path)
    for quantity in QUANTITIES:
        found = fields.evaluate(x, t, (quantity,))[quantity]
        assert found.dtype == torch.float32
        rows = [flat.evaluate(x[i : i + 1].flatten(1), t[i], (quantity,))[quantity] for i in range(4)]
        assert_close(found.flatten(1), torch.cat(rows))


@each_path
def test_points_far_from_zero_have_the_fields_of_those_about_it(name, generator):
    """Points and states move together; what is left is the rounding of the states themselves."""
    path, x, far = PATHS[name], states(generator), torch.tensor([3e6, -1e6], dtype=F64)
    near, moved = (EmpiricalBridge(POINTS + shift, WEIGHTS).fields(path) for shift in (0, far))
    for t in (0.5, 0.99, 0.999):
        at = torch.tensor(t, dtype=F64)
        there = path.beta(at) * (x + POINTS[:1]) + path.alpha(at) * x
        shifted = there + path.beta(at) * far
        assert_close(moved.score(shifted, t), near.score(there, t), rtol=1e-3, atol=1e-3)
        assert_close(moved.denoised(shifted, t) - far, near.denoised(there, t), rtol=0, atol=1e-4)
        both, wanted = (each.divergence_of()(at_x, at)[1] for each, at_x in ((moved, shifted), (near, there)))
        assert_close(both, wanted, rtol=1e-3, atol=1e-2)


def test_points_far_apart_are_told_from_each_other_at_the_end(generator):
    points = 1e6 * torch.randn(200, 2, dtype=F64, generator=generator)
    fields = EmpiricalBridge(points).fields(PATHS["linear, one degree of freedom"])
    assert_close(fields.denoised(points, 1.0), points)


def test_at_the_end_a_gaussian_knows_the_nearest_point_and_a_student_t_weighs_by_powers_of_the_distance():
    bridge, x = EmpiricalBridge(POINTS, WEIGHTS), POINTS + 0.3
    assert_close(bridge.fields(PATHS["linear, coloured normal"]).denoised(x, 1.0), POINTS)
    weights = WEIGHTS * torch.cdist(x, POINTS) ** -(2 + 3)
    expected = weights @ POINTS / weights.sum(1, keepdim=True)
    assert_close(bridge.fields(PATHS["linear, t"]).denoised(x, 1.0), expected)


def test_samples_are_points_by_weight(generator):
    bridge = EmpiricalBridge(POINTS, WEIGHTS)
    x = bridge.sample(20_000, generator=generator)
    share = (x[:, None] == POINTS).all(2).double().mean(0)
    assert_close(share, WEIGHTS, atol=4 * (0.25 / 20_000) ** 0.5, rtol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EmpiricalBridge(torch.zeros(3)), r"floating-point tensor \(n, \*D\)"),
        (lambda: EmpiricalBridge(torch.full((2, 2), torch.nan)), "points must be finite"),
        (
            lambda: EmpiricalBridge(POINTS, torch.tensor([1.0, 0.0, 1.0])),
            "weights must be 3 finite numbers > 0",
        ),
        (lambda: EmpiricalBridge(POINTS).fields(Linear()), "one-sided with an elliptical base, got Linear"),
        (
            lambda: EmpiricalBridge(POINTS).fields(OneSidedLinear()).velocity(torch.zeros(2, 3), 0.5),
            r"shape of the points, \(2,\), got \(3,\)",
        ),
        (
            lambda: GaussianMixtureBridge(Gaussian(), GaussianMixture(WEIGHTS, POINTS, WEIGHTS)).fields(
                OneSidedLinear(base=StudentT(3))
            ),
            "the base of OneSidedLinear must be Gaussian, got StudentT",
        ),
    ],
)
def test_bad_input_is_refused_with_its_value(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_a_path_by_name_is_refused_in_words():
    with pytest.raises(
        InvalidInputError, match=r"path must be one-sided with an elliptical base, got 'linear'"
    ):
        EmpiricalBridge(torch.zeros(3, 2)).fields("linear")
