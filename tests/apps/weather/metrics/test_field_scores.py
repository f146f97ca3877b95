import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.weather.metrics.field_scores import (
    anomaly_correlation,
    power_spectrum,
    spectral_gap,
    variogram_of_cases,
    variogram_score,
)
from interpolants.foundations.errors import InvalidInputError


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_anomaly_correlation_is_one_for_a_right_pattern_of_any_size():
    y, mean = normal(20, 4, 5), normal(4, 5, seed=1)
    half = (mean + 0.3 * (y - mean))[:, None]
    assert_close(anomaly_correlation(half, y, mean).value, 1.0)
    assert_close(anomaly_correlation(2 * mean - half, y, mean).value, -1.0)


def test_anomaly_correlation_of_gaussian_patterns_is_their_correlation():
    y = normal(200, 500)
    x = 0.6 * y + 0.8 * normal(200, 500, seed=1)
    found = anomaly_correlation((x + 7)[:, None], y + 7, torch.full((500,), 7.0))
    assert abs(found.value - 0.6) < 4 * found.error
    assert found.error < 0.005


def test_anomalies_are_weighed_and_not_centred():
    x, y = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[1.0, 1.0]])
    found = anomaly_correlation(x.repeat(2, 1, 1), y.repeat(2, 1), torch.zeros(2, 2), weights=[3.0, 1.0])
    assert_close(found.value, (3 + 2) / math.sqrt((3 + 4) * (3 + 1)))


@pytest.mark.parametrize("p", [0.5, 1.0])
def test_the_variogram_score_is_the_double_loop_and_that_of_another_library(p):
    x, y = normal(6, 4, 5), normal(6, 5, seed=1)
    w = normal(5, 5, seed=2).abs()
    by_hand = 0.0
    mass = sum(float(w[i, j]) for i in range(5) for j in range(i + 1, 5))
    for i in range(5):
        for j in range(i + 1, 5):
            came, apart = (y[:, i] - y[:, j]).abs() ** p, (x[..., i] - x[..., j]).abs() ** p
            by_hand += float(w[i, j]) / mass * float((came - apart.mean(1)).square().mean())
    assert_close(variogram_score(x, y, p=p, weights=w, fair=False).value, by_hand)
    rules = pytest.importorskip("scoringrules")
    theirs = rules.vs_ensemble(y.numpy(), x.numpy(), p=p)  # the sum over all pairs, both ways
    assert_close(variogram_score(x, y, p=p, fair=False).value, float(np.mean(theirs)) / 20)


def test_the_fair_variogram_score_does_not_see_the_size_of_an_ensemble():
    scores = {}
    for count in (2, 50):
        found = variogram_score(normal(6000, count, 3), normal(6000, 3, seed=1))
        scores[count] = found
    assert abs(scores[2].value - scores[50].value) < 4 * scores[2].error
    plain = variogram_score(normal(6000, 2, 3), normal(6000, 3, seed=1), fair=False)
    assert plain.value > scores[50].value + 10 * plain.error


def test_the_variogram_score_is_least_for_the_true_dependence_and_blind_to_a_common_bias():
    def fields(share, count, seed):
        return math.sqrt(share) * normal(3000, count, 1, seed=seed) + math.sqrt(1 - share) * normal(
            3000, count, 6, seed=seed + 1
        )

    y = fields(0.6, 1, 10)[:, 0]
    true, less, more = (variogram_score(fields(share, 10, 20), y) for share in (0.6, 0.3, 0.9))
    assert true.value + 4 * true.error < min(less.value, more.value)
    assert_close(variogram_score(fields(0.6, 10, 20) + 5, y).value, true.value)
    pair = torch.tensor([[0], [1]])
    one = variogram_of_cases(fields(0.6, 10, 20), y, pair, torch.ones(1), fair=True)
    assert_close(
        one, variogram_of_cases(fields(0.6, 10, 20), y, pair.flip(0), torch.tensor([3.0]), fair=True)
    )


@pytest.mark.parametrize("n", [12, 13])
def test_a_wave_has_its_power_at_its_wavenumber_and_powers_sum_to_the_mean_square(n):
    place = torch.arange(n, dtype=torch.float64)
    wave = 2 + 3 * torch.cos(2 * math.pi * 4 * place / n + 0.7)
    power = power_spectrum(wave, periodic=True)
    expected = torch.zeros(n // 2 + 1, dtype=torch.float64)
    expected[0], expected[4] = 4.0, 4.5
    assert_close(power, expected)
    half = torch.cos(math.pi * 3 * (place + 0.5) / n)  # one and a half waves, level at both ends
    mirrored = power_spectrum(half, periodic=False)
    assert_close(mirrored[3], torch.tensor(0.5, dtype=torch.float64))
    assert float(mirrored.sum() - mirrored[3]) < 1e-20
    x = normal(5, n)
    for periodic in (True, False):
        assert_close(power_spectrum(x, periodic=periodic).sum(-1), x.square().mean(-1))


def test_white_noise_has_an_even_spectrum_and_no_gap_to_itself():
    noise = power_spectrum(normal(4000, 1, 16), periodic=True)
    assert_close(noise.mean((0, 1))[1:8], torch.full((7,), 2 / 16, dtype=torch.float64), rtol=0.08, atol=0)
    other = power_spectrum(normal(4000, 1, 16, seed=1), periodic=True)
    found = spectral_gap(noise, other)
    assert found.value < 0.1
    assert_close(spectral_gap(4 * noise, noise).value, math.log(4))
    assert_close(spectral_gap(noise, 4 * noise).value, math.log(4))
    assert spectral_gap(noise, torch.zeros_like(noise)) is None


def test_the_error_of_a_gap_is_that_over_repetitions():
    found = [
        spectral_gap(*(power_spectrum(s * normal(100, 1, 16, seed=2 * k + j), periodic=True)
                       for j, s in enumerate((2.0, 1.0)))) for k in range(200)
    ]  # fmt: skip
    spread = torch.tensor([one.value for one in found]).std()
    assert_close(torch.tensor([one.error for one in found]).mean(), spread, rtol=0.15, atol=0)


def test_a_gap_has_an_error_where_one_case_alone_has_power_at_a_wavenumber():
    came = torch.tensor([[[1.0, 4.0, 0.0]], [[1.0, 4.0, 2.0]], [[1.0, 4.0, 0.0]]])
    found = spectral_gap(math.e * came.double(), came.double())
    assert found.value == pytest.approx(1)
    assert 0 <= found.error < 1
    assert math.isnan(spectral_gap(2 * came[:1], came[:1]).error)  # of one case nothing is known


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: anomaly_correlation(normal(3, 2, 4), normal(3, 4), normal(5)), "climatology must have the shape"),
        (lambda: anomaly_correlation(normal(3, 2, 4), normal(3, 4), normal(4), weights=normal(3)), "weights must have"),
        (lambda: anomaly_correlation(normal(3, 2, 4), torch.zeros(3, 4), torch.zeros(4)), "must differ from the clim"),
        (lambda: variogram_score(normal(3, 2, 1), normal(3, 1)), "at least two entries"),
        (lambda: variogram_score(normal(3, 2, 4), normal(3, 4), p=0.0), "p must be finite and > 0"),
        (lambda: variogram_score(normal(3, 2, 4), normal(3, 4), weights=torch.ones(4)), "weights must be of all pairs"),
        (lambda: variogram_score(normal(3, 2, 4), normal(3, 4), weights=-torch.ones(4, 4)), "weights must be >= 0"),
        (lambda: power_spectrum([1.0, math.nan], periodic=True), "fields must be finite"),
    ],
)  # fmt: skip
def test_what_has_no_score_is_refused(call, words):
    with pytest.raises(InvalidInputError, match=words):
        call()


def test_the_fair_variogram_score_is_that_of_another_library():
    rules = pytest.importorskip("scoringrules")
    x, y = normal(6, 4, 5), normal(6, 5, seed=1)
    theirs = rules.vs_ensemble(y.numpy(), x.numpy(), p=0.5, estimator="fair")
    assert_close(variogram_score(x, y, fair=True).value, float(np.mean(theirs)) / 20)
