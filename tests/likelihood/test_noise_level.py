"""Densities of noisy data, at the level that was asked for and no other."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations import Gaussian
from interpolants.foundations.errors import InvalidInputError
from interpolants.likelihood import LogProb, compare_log_prob, log_prob
from interpolants.likelihood.noise_level import stop_at
from interpolants.paths import (
    EDM,
    VE,
    VP,
    CosineBasis,
    Linear,
    OneSidedLinear,
    OneSidedTrigonometric,
    Spectral,
)
from interpolants.paths.student_t import StudentT
from interpolants.problems import EmpiricalBridge, GaussianMixture, GaussianMixtureBridge

F64 = torch.float64
RHO1 = GaussianMixture(
    torch.tensor([0.6, 0.4], dtype=F64),
    torch.tensor([[0.5, -0.4], [-0.75, 0.6]], dtype=F64),
    torch.tensor([0.3, 0.1], dtype=F64),
)
PATHS = {
    "linear": OneSidedLinear(),
    "linear, wide base": OneSidedLinear(base=Gaussian(scale=2.0)),
    "trigonometric": OneSidedTrigonometric(),
    "vp": VP(),
    "edm": EDM(smax=80.0),
    "ve": VE(smax=80.0),
}


def noisy(level):
    """The distribution of data with noise."""
    return GaussianMixture(RHO1.weights, RHO1.means, RHO1.variances + level**2)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("level", [0.05, 0.7])
def test_the_density_is_that_of_data_with_noise(name, level, generator):
    """Exact fields; diffusions start from a base that leaves the data out, at a cost below 1e-3 nats here."""
    path = PATHS[name]
    fields = GaussianMixtureBridge(path.base, RHO1).fields(path)
    x = noisy(level).sample(20, generator=generator)
    found = log_prob(fields, x, path.base, noise_level=level, rtol=1e-7, atol=1e-7)
    assert_close(
        found.log_prob, noisy(level).log_prob(x), atol=1e-3 if path.ends.start_is_exact else 5e-3, rtol=0
    )
    assert found.noise_level == level


def test_no_noise_is_the_plain_density(generator):
    path = PATHS["linear"]
    fields = GaussianMixtureBridge(path.base, RHO1).fields(path)
    x = RHO1.sample(5, generator=generator)
    plain, level = log_prob(fields, x, path.base), log_prob(fields, x, path.base, noise_level=0.0)
    assert torch.equal(plain.log_prob, level.log_prob)
    assert plain.noise_level == 0.0


def test_the_level_of_a_student_t_is_its_scale(generator):
    path, points = OneSidedLinear(base=StudentT(3)), RHO1.sample(30, generator=generator)
    fields = EmpiricalBridge(points).fields(path)
    x = points[:4] + 0.1
    found = log_prob(fields, x, path.base, noise_level=0.2, rtol=1e-7, atol=1e-7)
    kernels = torch.stack([StudentT(3, scale=0.2).log_prob(x - y) for y in points], 1)
    assert_close(found.log_prob, kernels.logsumexp(1) - math.log(30), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", PATHS)
def test_the_time_shows_the_level(name):
    path = PATHS[name]
    for level in (0.02, 0.5, 3.0):
        stop = stop_at(path, level)
        t = torch.tensor(stop.t, dtype=F64)
        assert float(path.noise_std(t) / path.beta(t)) == pytest.approx(level, rel=1e-9)
        assert stop.beta == pytest.approx(float(path.beta(t)))


def result(values, level):
    n = len(values)
    zeros = torch.zeros(n)
    return LogProb(torch.tensor(values), zeros, zeros[:, None], 1, zeros.long(), noise_level=level)


def test_a_comparison_is_point_by_point():
    found = compare_log_prob(result([1.0, 2.0, 3.0, 6.0], 0.1), result([0.0, 2.0, 1.0, 3.0], 0.1))
    assert found.gain == pytest.approx(1.5)
    differences = torch.tensor([1.0, 0.0, 2.0, 3.0])
    assert found.error == pytest.approx(float(differences.std()) / 2)
    assert str(found).startswith("+1.5 ± 0.65 nats at noise level 0.1 (n = 4)")


def test_likelihoods_at_different_levels_are_not_compared():
    message = "both must be evaluated at one noise level, got 0.1 and 0.05. Near a thin set"
    with pytest.raises(InvalidInputError, match=message):
        compare_log_prob(result([1.0], 0.1), result([1.0], 0.05))
    with pytest.raises(InvalidInputError, match=r"at one noise level, got 0 and 0\.05"):
        compare_log_prob(result([1.0], 0.0), result([1.0], 0.05))
    with pytest.raises(InvalidInputError, match="same points"):
        compare_log_prob(result([1.0], 0.1), result([1.0, 2.0], 0.1))


def test_a_shifted_result_keeps_its_level():
    assert result([1.0], 0.3).shifted(2.0).noise_level == 0.3


BASED = Spectral(CosineBasis(), lambda t: (1 - t).expand(-1, 2), lambda t: t.expand(-1, 2), (2,))


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        (Linear(), {"noise_level": 0.1}, "noise_level needs a one-sided path, got Linear"),
        (
            PATHS["ve"],
            {"noise_level": 0.001},
            "noise_level must lie between 0.01 and 80 on this path, got 0.001",
        ),
        (PATHS["edm"], {"noise_level": 100.0}, "must lie between 0 and 80"),
        (PATHS["linear"], {"noise_level": 0.1, "end": 0}, "noise_level belongs to the data"),
        (PATHS["linear"], {"noise_level": 0.1, "eps": 0.5}, "noise_level needs the flow"),
        (PATHS["linear"], {"noise_level": 0.1, "time_grid": (0.0, 1.0)}, "so do times of your own, got 0.1"),
        (
            BASED,
            {"noise_level": 0.1},
            "needs one noise for all directions, and the path has a basis, got Spec",
        ),
    ],
)
def test_bad_input_is_refused_with_its_value(path, options, message):
    base = Gaussian() if path.base is None else path.base
    fields = GaussianMixtureBridge(base, RHO1).fields(path)
    with pytest.raises(InvalidInputError, match=message):
        log_prob(fields, torch.zeros(2, 2, dtype=F64), Gaussian(), **options)


def test_a_mean_has_its_standard_error_and_none_from_one_point():
    value, error = result([1.0, 2.0, 6.0], 0.0).mean
    assert value == pytest.approx(3.0)
    assert error == pytest.approx((14 / 2 / 3) ** 0.5)  # squares about the mean over n - 1, over n
    value, error = result([1.0], 0.0).mean
    assert value == 1.0
    assert math.isnan(error)


def test_a_change_of_units_may_differ_between_rows():
    moved = result([1.0, 2.0], 0.0).shifted(torch.tensor([0.5, -1.0]))
    assert_close(moved.log_prob.double(), torch.tensor([1.5, 1.0], dtype=torch.float64))
