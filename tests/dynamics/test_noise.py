"""The noise level: its table, its cap, and what stays finite at the ends."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import ConstantNoise, GammaNoise, ScheduledNoise, sample
from interpolants.dynamics.noise import SAFE_STEP, NoiseTable, as_noise
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.paths import EncoderDecoder, Linear, OneSidedLinear

F64 = torch.float64


def table(level, n=10, path=None, *, cap=True):
    return NoiseTable(as_noise(level), Linear() if path is None else path, np.linspace(0, 1, n + 1), cap=cap)


def test_the_strength_is_the_root_of_twice_the_level_at_the_nodes_in_any_order():
    times = torch.linspace(0, 1, 11, dtype=F64)
    made = table(lambda t: 1 + t, cap=False)
    assert_close(made.strength(times), torch.sqrt(2 * (1 + times)))
    assert_close(made.strength(times.flip(0)), torch.sqrt(2 * (1 + times.flip(0))))


def test_the_level_is_linear_between_the_nodes_and_exact_at_them():
    made = table(lambda t: t * t, cap=False)
    for t in (0.0, 0.1, 0.7, 1.0):
        assert_close(made.eps(torch.tensor(t, dtype=F64)), torch.tensor(t * t, dtype=F64), atol=1e-12, rtol=0)
    middle = made.eps(torch.tensor(0.35, dtype=F64))
    assert_close(middle, torch.tensor((0.3**2 + 0.4**2) / 2, dtype=F64))


@pytest.mark.parametrize("path", [Linear(), OneSidedLinear(), EncoderDecoder()])
def test_the_cap_is_what_keeps_an_explicit_step_stable(path):
    n = 20
    times = torch.linspace(0, 1, n + 1, dtype=F64)
    level = table(3.0, n, path).strength(times).square() / 2
    limit = SAFE_STEP * path.noise_scale(times).square() * n
    assert_close(level, torch.minimum(torch.full_like(limit, 3.0), limit))
    ends = times if path.is_one_sided else times[[0, -1]]
    assert float(level[-1]) == 0
    assert len(ends) == n + 1 or float(level[0]) == 0
    free = table(3.0, n, path, cap=False)
    assert_close(free.strength(times), torch.full_like(times, math.sqrt(6)))


def test_the_cap_uses_the_longer_of_the_neighbouring_steps():
    grid = np.array([0.0, 0.1, 0.5, 1.0])
    made = NoiseTable(ConstantNoise(100.0), Linear(), grid, cap=True)
    level = made.strength(torch.from_numpy(grid)).square() / 2
    wanted = [0, SAFE_STEP * 0.09 / 0.4, SAFE_STEP * 0.25 / 0.5, 0]
    assert_close(level, torch.tensor(wanted, dtype=F64))


def test_the_cap_vanishes_as_steps_grow():
    capped = []
    for n in (50, 100, 200, 400):
        times = torch.linspace(0, 1, n + 1, dtype=F64)
        level = table(1.0, n).strength(times).square() / 2
        capped.append(float((level < 0.999).double().mean()))
    # sigma^2 ~ t: the capped stretch is 2 eps h long at each end
    for n, share in zip((50, 100, 200, 400), capped, strict=True):
        assert share == pytest.approx(4 / n, abs=3 / n)
    assert capped[-1] < capped[0] / 5


def test_over_scale_is_the_level_over_gamma_and_zero_where_gamma_is():
    made = table(1.0, 100)
    t = torch.tensor(0.5, dtype=F64)
    assert_close(made.over_scale(t), made.eps(t) / 0.5)
    for end in (0.0, 1.0):
        assert float(made.over_scale(torch.tensor(end))) == 0.0


def test_the_push_of_a_known_noise_is_the_level_times_its_score():
    """``s = -n / sigma``, here at a time at which neither is symmetric."""
    path, value, t = OneSidedLinear(), torch.tensor([[1.0, -2.0]], dtype=F64), torch.tensor(0.2, dtype=F64)
    fields = LearnedFields(path, noise=lambda x, t: x)
    found = table(lambda t: 0.1 + t, 10, path, cap=False).eps_score(fields, value, t)
    assert_close(found, -0.3 * value / path.noise_scale(t))


def test_an_sde_on_point_masses_stays_finite_up_to_the_end():
    """Data on two points: the score has slope -1/gamma^2. The bridge to x1 = 3 must end near 3."""
    path = OneSidedLinear()
    fields = LearnedFields(path, noise=lambda x, t: (x - 3 * t[:, None]) / (1 - t[:, None]).clamp_min(1e-12))
    x = torch.randn(500, 1, generator=torch.Generator().manual_seed(0), dtype=F64)
    for n in (10, 100):
        found = sample(fields, x, eps=2.0, n_steps=n, seed=0, finish="denoise").x
        assert_close(found, torch.full_like(found, 3.0), atol=1e-6, rtol=0)
    stepped = sample(fields, x, eps=2.0, n_steps=100, seed=0, method="euler").x
    assert float((stepped - 3).abs().max()) < 0.5
    with_cap, without = (
        sample(fields, x, eps=20.0, n_steps=50, seed=0, stop=0.96, cap_noise=cap, on_failure="keep").x
        for cap in (True, False)
    )
    assert float((with_cap - 2.88).abs().max()) < 1
    assert not float((without - 2.88).abs().max()) < 1e3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: as_noise(None), "must be a number"),
        (
            lambda: table(GammaNoise(1.0), path=None) and GammaNoise(1.0).values(torch.zeros(2), None),
            "must have a path",
        ),
        (lambda: table(ScheduledNoise(lambda t: -t)), r"at t=0\.1, got -0\.1"),
    ],
)
def test_bad_levels_are_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_samples_report_the_level_that_was_used():
    fields = LearnedFields(OneSidedLinear(), velocity=lambda x, t: -x)
    x = torch.zeros(3, 2)
    fine, coarse = (sample(fields, x, eps=2.0, seed=0, n_steps=n) for n in (400, 4))
    assert fine.eps.shape == fine.times.shape
    assert float(fine.eps[200]) == 2.0
    # sigma = 1 - t and h = 1/4 at t = 1/2: at most 0.5 * 0.25 / 0.25
    assert float(coarse.eps[2]) == pytest.approx(0.5)
    assert float(coarse.eps[-1]) == 0.0
    assert sample(fields, x).eps is None


def test_beyond_its_grid_by_rounding_a_level_is_that_of_the_end():
    table = NoiseTable(ScheduledNoise(lambda t: t), None, np.array([0.25, 0.5, 1.0]), cap=False)
    assert table.eps(torch.tensor([0.0, 0.25, 0.75, 1.5])).tolist() == [0.25, 0.25, 0.75, 1.0]
