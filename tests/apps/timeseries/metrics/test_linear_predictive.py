import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.timeseries.metrics.linear_predictive import linear_predictive_score, predictive_errors
from interpolants.data.windows import phase_randomised
from interpolants.foundations.errors import InvalidInputError


def waves(n, seed=0, length=30):
    """``x_k = 2 cos(w) x_{k-1} - x_{k-2}``: two values tell all that follow."""
    g = torch.Generator().manual_seed(seed)
    phase = 2 * math.pi * torch.rand(n, 1, generator=g, dtype=torch.float64)
    size = 1 + torch.rand(n, 1, generator=g, dtype=torch.float64)
    return (size * torch.sin(0.5 * torch.arange(length) + phase))[..., None]


def test_windows_of_a_linear_recurrence_teach_it_exactly_in_any_units():
    made, real = waves(200), waves(50, seed=1)
    assert linear_predictive_score(made, real, context=10, ridge=1e-12).value < 1e-5
    assert_close(
        linear_predictive_score(1e4 * made, 1e4 * real, context=10).value,
        linear_predictive_score(made, real, context=10).value,
    )


def test_noise_teaches_nothing_and_two_columns_are_kept_apart():
    g = torch.Generator().manual_seed(2)
    noise = torch.randn(4000, 30, 1, generator=g, dtype=torch.float64)
    assert 0.9 < linear_predictive_score(noise, waves(50, seed=1), context=10).value < 1.2
    both = torch.cat([waves(300), 100 * waves(300, seed=3)], 2)
    other = torch.cat([waves(50, seed=4), 100 * waves(50, seed=5)], 2)
    assert linear_predictive_score(both, other, context=10, ridge=1e-12).value < 1e-4


def test_surrogates_keep_each_window_s_spectrum_and_mean_and_lose_its_phases():
    x = waves(100) + 3
    found = phase_randomised(x, generator=torch.Generator().manual_seed(0))
    assert_close(torch.fft.rfft(found, dim=1).abs(), torch.fft.rfft(x, dim=1).abs(), rtol=1e-9, atol=1e-9)
    assert_close(found.mean(1), x.mean(1))
    assert (
        linear_predictive_score(found, x, context=10).value
        > 5 * linear_predictive_score(x, x, context=10).value
    )


def test_the_penalty_shrinks_a_slope_of_one_by_hand():
    """Windows (1, 1) and (-1, -1) of variance 4/3: the slope is ``1 / (1 + 4/3 ridge)``."""
    windows = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])[..., None]
    assert linear_predictive_score(windows, 3 * windows, context=1, ridge=0.75).value == pytest.approx(0.5)


@pytest.mark.parametrize("level", [0.0, 3.3, 1e9])
def test_a_constant_column_is_forecast_as_it_is(level):
    made, real = waves(200), waves(50, seed=1)
    still = [torch.cat([one, torch.full_like(one, level)], 2) for one in (made, real)]
    found = linear_predictive_score(*still, context=10).value
    size = float(real[:, 10:].abs().mean())
    wanted = linear_predictive_score(made, real, context=10).value * size / (size + level)
    assert found == pytest.approx(wanted, rel=1e-5, abs=1e-15)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"context": 30}, "context must"),
        ({"context": 0}, "context must"),
        ({"ridge": 0.0}, "ridge must"),
        ({"real": waves(5, length=20)}, "one shape"),
        ({"made": waves(5) * torch.nan}, "finite"),
        ({"real": 0 * waves(5)}, "zero everywhere"),
    ],
)
def test_bad_input_is_refused(change, said):
    given = {"made": waves(20), "real": waves(5), "context": 10, **change}
    with pytest.raises(InvalidInputError, match=said):
        linear_predictive_score(given.pop("made"), given.pop("real"), **given)


def test_the_error_is_the_standard_error_over_windows():
    made, real = waves(200), waves(50, seed=1) + 0.1 * torch.randn(50, 30, 1, dtype=torch.float64)
    found = linear_predictive_score(made, real, context=10)
    shares = predictive_errors(made, real, context=10)
    assert found.error == pytest.approx(float(shares.std()) / 50**0.5)
