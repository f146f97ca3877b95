"""The OUVE path against its simulated SDE, and its reversal with corrector on a Gaussian that is known."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import Langevin, sample
from interpolants.dynamics.noise import ReverseNoise
from interpolants.fields.learned import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.paths import OUVE

F64 = torch.float64
CLEAN, NOISY = 0.7, -0.3  # the clean value is N(0.7, 0.2^2), the degraded one -0.3


def test_the_noise_levels_of_the_paper():
    times = 1 - torch.tensor([0.03, 1.0], dtype=F64)
    assert_close(OUVE().noise_std(times), torch.tensor([0.01883, 0.38898], dtype=F64), rtol=0, atol=5e-6)
    s = torch.linspace(0, 1, 11, dtype=F64)
    assert_close(OUVE().g_squared(1 - s), 0.05**2 * 10 ** (2 * s) * 2 * math.log(10))


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 2])
def test_the_kernel_is_that_of_the_simulated_sde(channels):
    """2000 Euler steps from fixed ends; complex noise has sigma^2 in total, half of it in each part."""
    steps, paths, g = 2000, 20_000, torch.Generator().manual_seed(3)
    path = OUVE(channels=channels)
    clean, noisy = torch.tensor([0.8, -0.4][:channels]), torch.tensor([-0.3, 0.5][:channels])
    x, h = clean.expand(paths, channels), 1 / steps
    for k in range(steps):
        level = 0.05 * 10 ** (k * h) * math.sqrt(2 * math.log(10) * h / channels)
        x = x + 1.5 * (noisy - x) * h + level * torch.randn(paths, channels, generator=g)
        if k + 1 in (steps // 4, steps // 2, steps):
            t = torch.tensor(1 - (k + 1) * h, dtype=F64)
            mean = noisy + path.beta(t).float() * (clean - noisy)
            total = OUVE().noise_std(t).float() ** 2
            assert_close(x.mean(0), mean, rtol=0, atol=0.01)
            assert_close(x.var(0).sum(), total, rtol=0.02, atol=0)
            assert_close(x.var(0), path.noise_std(t).float().square().expand(channels), rtol=0.04, atol=0)


def difference(channels):
    """Exact fields of r = x - y for x ~ N(0.7, 0.2^2) in each channel: the mean noise is linear in the state."""
    path = OUVE(channels=channels)

    def noise(r, t):
        beta, std = (path.widen(value, r) for value in (path.beta(t), path.noise_std(t)))
        return std * (r - beta * (CLEAN - NOISY)) / (0.04 * beta**2 + std**2)

    return LearnedFields(path, noise=noise)


def restored(n_steps, *, corrected, channels=1, method="euler_maruyama"):
    """Mean and standard deviation of y + r, by the paper's grid: the last step is as long as its distance to 0."""
    grid = torch.cat([torch.linspace(0, 0.97, n_steps, dtype=F64), torch.ones(1, dtype=F64)])
    start = OUVE(channels=channels).base.noise((20_000, channels), generator=torch.Generator().manual_seed(5))
    fields, corrector = difference(channels), Langevin(snr=0.5, before=True) if corrected else None
    noise = {"eps": ReverseNoise(), "cap_noise": False} if method == "euler_maruyama" else {}
    r = sample(
        fields, fields.path.base.color(start), method=method, time_grid=grid, seed=7, corrector=corrector,
        finish="mean", invariant=False, **noise,
    ).x  # fmt: skip
    return (float((NOISY + r).mean()), float((NOISY + r).std()))


@pytest.mark.parametrize("channels", [1, 2])
def test_predictor_and_corrector_draw_the_clean_value(channels):
    """The Euler predictor of the paper's code; spreads are those of real parts, which hold no factor of the pair."""
    mean, std = restored(30, corrected=True, channels=channels)
    assert abs(mean - CLEAN) < 0.02
    assert abs(std - 0.2) < 0.01


@pytest.mark.slow
def test_the_corrector_takes_away_the_bias_of_the_start():
    plain, corrected = restored(1000, corrected=False), restored(1000, corrected=True)
    assert_close(torch.tensor(plain), torch.tensor([0.686, 0.198]), rtol=0, atol=0.004)
    assert abs(corrected[0] - CLEAN) < 0.005
    assert abs(corrected[0] - CLEAN) < abs(plain[0] - CLEAN) / 2


def test_other_predictors_have_other_tolerances():
    """The steps of the exact chain end lower than Euler's at 30 steps."""
    mean, _ = restored(30, corrected=True, method="reverse_diffusion")
    assert 0.02 < CLEAN - mean < 0.03


def test_the_share_that_is_left_at_the_start_is_declared():
    assert OUVE().ends.x1_at_0 == pytest.approx(0.2231, abs=1e-4)
    assert float(OUVE().start_kl(torch.full((1, 1), 0.39))) == pytest.approx(
        0.5 * (0.2231 * 0.39 / 0.38898) ** 2, rel=1e-3
    )


def test_noise_that_does_not_grow_is_refused():
    with pytest.raises(InvalidInputError, match=r"OUVE: smax must be > smin = 0.5, got 0.5"):
        OUVE(smin=0.5, smax=0.5)
