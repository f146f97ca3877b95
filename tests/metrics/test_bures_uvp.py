import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics import bures_wasserstein, bw2_uvp, cbw2_uvp
from interpolants.metrics.bures_uvp import bures_squared

F64 = torch.float64


def spd(n, d, seed):
    w = torch.randn(n, d, d, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return w @ w.mT + 0.1 * torch.eye(d, dtype=F64)


def test_the_batch_is_the_single_distance():
    means = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    c0, c1 = spd(4, 3, 1), spd(4, 3, 2)
    each = [bures_wasserstein(*args) ** 2 for args in zip(means[0], c0, means[1], c1, strict=True)]
    assert_close(bures_squared(means[0], c0, means[1], c1), torch.tensor(each, dtype=F64))


def test_the_conditional_metric_of_shifted_and_widened_conditionals():
    mean, cov = torch.zeros(10, 2, dtype=F64), torch.eye(2, dtype=F64).repeat(10, 1, 1)
    # A shift by 0.3 costs 0.09; a standard deviation of 1.5 instead of 1 costs 0.25 a dimension; Var/2 = 2.
    found = cbw2_uvp(mean + torch.tensor([0.3, 0.0]), 2.25 * cov, mean, cov, variance=4.0)
    assert found.value == pytest.approx(100 * (0.09 + 0.5) / 2)
    assert found.error == pytest.approx(0.0, abs=1e-12)
    assert cbw2_uvp(mean, cov, mean, cov, variance=4.0).value == pytest.approx(0.0, abs=1e-10)


def test_the_plain_metric_converges_to_the_closed_form_and_its_error_covers():
    g = torch.Generator().manual_seed(0)
    c0, c1 = spd(1, 2, 1)[0], spd(1, 2, 2)[0]
    shift = torch.tensor([0.5, -0.2], dtype=F64)
    exact = 100 * bures_wasserstein(shift, c0, torch.zeros(2), c1) ** 2 / (float(c1.trace()) / 2)
    roots = [torch.linalg.cholesky(c) for c in (c0, c1)]
    hits, errors, values = 0, [], []
    for _ in range(60):
        x, y = (torch.randn(2000, 2, generator=g, dtype=F64) @ root.mT for root in roots)
        found = bw2_uvp(x + shift, y)
        hits += abs(found.value - exact) < 2 * found.error
        errors.append(found.error)
        values.append(found.value)
    # 95% within two errors: 60 draws have 57 +- 1.7, so 51 is more than three standard errors below.
    assert hits >= 51
    # The mean reported error is the scatter of the values, which 60 draws give to 9%.
    assert sum(errors) / 60 == pytest.approx(float(torch.tensor(values).std()), rel=0.3)


def test_the_plain_metric_of_two_and_three_numbers_by_hand():
    # Means 1 and 2, variances 2 and 4: 1 + (sqrt 4 - sqrt 2)^2 over 4/2.
    found = bw2_uvp(torch.tensor([0.0, 2.0], dtype=F64), torch.tensor([0.0, 2.0, 4.0], dtype=F64))
    assert found.value == pytest.approx(100 * (1 + (2 - 2**0.5) ** 2) / 2)


@pytest.mark.parametrize("unit", [1e-12, 1e6, 1e12])
def test_percents_do_not_depend_on_the_unit_even_of_samples_on_a_line(unit):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(40, 1, generator=g, dtype=F64) * torch.tensor([1.0, 2.0, -1.0], dtype=F64)
    y = torch.randn(50, 3, generator=g, dtype=F64)
    found, wanted = bw2_uvp(unit * x, unit * y), bw2_uvp(x, y)
    assert found.value == pytest.approx(wanted.value, rel=1e-6)
    assert found.error == pytest.approx(wanted.error, rel=1e-6)


def test_equal_distributions_leave_a_small_bias_and_images_are_flattened():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 4000, 1, 2, 2, generator=g)
    found = bw2_uvp(x, y)
    # Mean |m - n|^2 = 2 D/N, and the covariances add as much again at most, over Var/2 = D/2.
    assert found.value < 100 * 4 * (2 * 2 / 4000)
    assert found.name == "BW2-UVP"


def test_bad_input_is_refused():
    mean, cov = torch.zeros(5, 2), torch.eye(2).repeat(5, 1, 1)
    with pytest.raises(InvalidInputError, match="true samples must differ"):
        bw2_uvp(torch.randn(5, 2), torch.zeros(5, 2))
    with pytest.raises(InvalidInputError, match=r"variance must be finite and > 0, got 0\.0"):
        cbw2_uvp(mean, cov, mean, cov, variance=0.0)
    with pytest.raises(InvalidInputError, match="means and covariances must have shapes"):
        cbw2_uvp(mean, cov[:, :1], mean, cov, variance=1.0)
    with pytest.raises(InvalidInputError, match="must be finite"):
        cbw2_uvp(mean * math.nan, cov, mean, cov, variance=1.0)
    with pytest.raises(InvalidInputError, match=r"mean must have shape \(B, D\)"):
        cbw2_uvp(mean[:1], cov[:1], mean[:1], cov[:1], variance=1.0)


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_equal_true_rows_are_refused_though_their_mean_is_rounded(value):
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0)).double()
    with pytest.raises(InvalidInputError, match="true samples must differ"):
        bw2_uvp(x, torch.full((200, 2), value, dtype=torch.float64))
