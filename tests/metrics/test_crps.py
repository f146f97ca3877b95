"""CRPS and energy score: closed forms, unbiased in M, proper, refusals."""

import math

import numpy as np
import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics import crps, energy_score, mixture_crps

F64 = torch.float64


def normal(shape, generator):
    return torch.randn(shape, generator=generator, dtype=F64)


def test_the_gaussian_score_is_the_textbook_one(generator):
    y = normal((7,), generator)
    own = mixture_crps(y, torch.ones(1, dtype=F64), torch.zeros(7, 1, dtype=F64), 2.0)
    z = y / 2
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    cumulative = torch.special.ndtr(z)
    truth = 2 * (z * (2 * cumulative - 1) + 2 * density - 1 / math.sqrt(math.pi))
    torch.testing.assert_close(own, truth)


def test_a_mixture_is_scored_like_the_integral_of_its_distribution(generator):
    p, m, s = torch.tensor([0.3, 0.7], dtype=F64), torch.tensor([-1.0, 2.0], dtype=F64), 0.5
    grid = torch.linspace(-12, 12, 24_001, dtype=F64)
    cumulative = (p * torch.special.ndtr((grid[:, None] - m) / s)).sum(1)
    for y in (-2.0, 0.4, 2.2):
        integral = torch.trapezoid((cumulative - (grid >= y).double()).square(), grid)
        own = mixture_crps(torch.tensor(y, dtype=F64), p, m, s)
        assert float(own) == pytest.approx(float(integral), abs=1e-3)


def test_modes_without_spread_are_points(generator):
    """With all modes points it is the CRPS of the discrete distribution; one of them may be a point among wide ones."""
    y, p, m = normal((7,), generator), torch.tensor([0.3, 0.7], dtype=F64), normal((7, 2), generator)
    apart = 2 * p[0] * p[1] * (m[:, 0] - m[:, 1]).abs() / 2
    points = (p * (y[:, None] - m).abs()).sum(1) - apart
    torch.testing.assert_close(mixture_crps(y, p, m, 0.0), points)
    torch.testing.assert_close(mixture_crps(m[:, 0], torch.ones(1, dtype=F64), m[:, :1], 0.0), 0 * y)
    one, narrow = torch.tensor([0.0, 1.0], dtype=F64), torch.tensor([1e-9, 1.0], dtype=F64)
    torch.testing.assert_close(mixture_crps(y, p, m, one), mixture_crps(y, p, m, narrow))


@pytest.mark.parametrize("members", [2, 5, 50])
def test_the_fair_score_does_not_depend_on_the_number_of_members(members, generator):
    """N(0, 1) forecasts of N(0, 1): the mean is 1/sqrt(pi) for every M; unfair, it is larger by 1/(M sqrt(pi))."""
    n = 20_000
    x, y = normal((n, members, 1), generator), normal((n, 1), generator)
    fair, plain = crps(x, y), crps(x, y, fair=False)
    truth = 1 / math.sqrt(math.pi)
    assert abs(fair.value - truth) < 4 * fair.error
    assert abs(plain.value - truth * (1 + 1 / members)) < 4 * plain.error
    assert abs(energy_score(x, y).value - fair.value) < 1e-9


def test_the_error_is_the_spread_over_repetitions(generator):
    found = [crps(normal((100, 4, 2), generator), normal((100, 2), generator)) for _ in range(200)]
    values = torch.tensor([one.value for one in found])
    mean_error = sum(one.error for one in found) / len(found)
    assert float(values.std()) == pytest.approx(mean_error, rel=0.2)  # 200 values know it to 5 %


@pytest.mark.parametrize("score", [crps, energy_score])
def test_wrong_distributions_score_worse(score, generator):
    n, m = 4000, 20
    y = normal((n, 3), generator)
    right = score(normal((n, m, 3), generator), y)
    for wrong in (
        normal((n, m, 3), generator) + 0.5,
        0.5 * normal((n, m, 3), generator),
        1.7 * normal((n, m, 3), generator),
    ):
        found = score(wrong, y)
        assert found.value - right.value > 4 * math.hypot(found.error, right.error) / 2


def test_the_energy_score_is_its_double_sum_and_sees_dependence(generator):
    x, y = normal((3, 6, 4), generator), normal((3, 4), generator)
    first = (x - y[:, None]).norm(dim=2).mean(1)
    pairs = (x[:, :, None] - x[:, None]).norm(dim=3).sum((1, 2))
    for fair, count in ((True, 30), (False, 36)):
        found = energy_score(x, y, fair=fair).value
        assert found == pytest.approx(float((first - 0.5 * pairs / count).mean()), rel=1e-12)
    n = 20_000
    one = normal((n, 1), generator)
    y, z = one.expand(n, 2), normal((n, 8, 1), generator)
    together, apart = z.expand(n, 8, 2), normal((n, 8, 2), generator)
    gap = energy_score(apart, y).value - energy_score(together, y).value
    assert gap > 0.02  # the coordinates' own distributions are equal; the CRPS sees nothing
    assert abs(crps(apart, y).value - crps(together, y).value) < 0.02


def test_one_member_is_the_absolute_error_and_arrays_are_welcome(generator):
    x, y = normal((5, 1, 2), generator), normal((5, 2), generator)
    assert crps(x.numpy(), y.numpy(), fair=False).value == pytest.approx(float((x[:, 0] - y).abs().mean()))
    assert energy_score(x, y, fair=False).value == pytest.approx(float((x[:, 0] - y).norm(dim=1).mean()))


@pytest.mark.parametrize(
    ("members", "truth", "message"),
    [
        (np.zeros((4, 3, 2)), np.zeros((4, 3)), r"members must have shape \(B, M, \*D\)"),
        (np.zeros((4, 3, 2)), np.zeros((5, 2)), "got \\(4, 3, 2\\)"),
        (np.full((4, 3, 2), np.nan), np.zeros((4, 2)), "must be finite"),
        (np.zeros((1, 3, 2)), np.zeros((1, 2)), "at least 2"),
        (np.zeros((4, 3, 2), dtype=int), np.zeros((4, 2)), "floating point"),
    ],
)
def test_bad_input_is_refused(members, truth, message):
    for score in (crps, energy_score):
        with pytest.raises(InvalidInputError, match=message):
            score(members, truth)
