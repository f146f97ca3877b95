"""Denoisers of azula as fields: exact ones of Gaussian data, and its own sampler beside ours."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.dynamics import sample
from interpolants.exchange import from_azula
from interpolants.fields.matched_net import covered, match
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.likelihood import log_prob
from interpolants.paths import OneSidedLinear

MEAN, STD = torch.tensor([1.0, -2.0], dtype=torch.float64), 0.5


class Schedule:
    """Signal and noise in azula's time: data at 0."""

    def __init__(self, largest=3.0):
        self.largest = largest

    def __call__(self, s):
        return 1 - 0.9 * s, 0.01 + (self.largest - 0.01) * s


class Denoiser(nn.Module):
    """E[x | x_s] of N(mean, std^2), written in azula's time."""

    def __init__(self, schedule):
        super().__init__()
        self.schedule = schedule

    def forward(self, x_s, s, shift=None):
        alpha, sigma = (part.reshape(-1, 1) for part in self.schedule(s))
        mean = MEAN.to(x_s) if shift is None else MEAN.to(x_s) + shift[:, None]
        gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
        return SimpleNamespace(mean=mean + gain * (x_s - alpha * mean))


def starts(rows=500):
    return torch.randn(rows, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_states_of_the_schedule_are_those_of_the_path():
    fields = from_azula(Denoiser(Schedule()))
    s = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    alpha, sigma = Schedule()(s)
    assert_close(fields.path.beta(1 - s), alpha)
    assert_close(fields.path.noise_std(1 - s), sigma)


def test_the_density_at_the_end_is_that_of_the_data_with_the_noise_that_is_left():
    fields = from_azula(Denoiser(Schedule()))
    variance = STD**2 + 0.01**2
    x = MEAN + STD * starts(20)
    expected = (-0.5 * (x - MEAN).square() / variance - 0.5 * math.log(2 * math.pi * variance)).sum(1)
    start = Gaussian(
        mean=0.1 * MEAN, scale=math.sqrt(0.1**2 * STD**2 + 3.0**2)
    )  # of the data and the noise at s = 1
    found = log_prob(fields, x, start, method="rk4", n_steps=200).log_prob
    assert_close(found, expected, rtol=0, atol=5e-3)


def test_the_flow_of_a_gaussian_is_affine():
    fields = from_azula(Denoiser(Schedule()))
    z = starts()
    begin = 0.1 * MEAN + math.sqrt(0.1**2 * STD**2 + 3.0**2) * z  # exactly the law at s = 1
    found = sample(fields, begin, method="rk4", n_steps=100).x
    assert_close(found, MEAN + math.sqrt(STD**2 + 0.01**2) * z, rtol=0, atol=2e-3)


def test_a_condition_goes_in_under_its_name():
    fields = from_azula(Denoiser(Schedule()), condition="shift")
    x, shift = starts(4), torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=torch.float64)
    moved = fields.denoised(x, 0.0, shift) - fields.denoised(x, 0.0)
    alpha, sigma = (float(part) for part in Schedule()(torch.ones((), dtype=torch.float64)))
    gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
    assert_close(moved, ((1 - gain * alpha) * shift[:, None]).expand(4, 2))
    with pytest.raises(InvalidInputError, match="a denoiser without a condition takes none"):
        from_azula(Denoiser(Schedule())).denoised(x, 0.5, shift)


@pytest.mark.parametrize(
    ("denoiser", "message"),
    [
        (nn.Linear(2, 2), "must be callable and have a schedule"),
        (Denoiser(lambda s: s), "must give the scales"),
        (Denoiser(lambda s: (s + 0.1, 1 - s + 0.1)), "ever more noise"),
    ],
)
def test_bad_input_is_refused(denoiser, message):
    with pytest.raises(InvalidInputError, match=message):
        from_azula(denoiser)


def test_an_answer_without_a_mean_is_refused():
    class Plain(Denoiser):
        def forward(self, x_s, s):
            return x_s

    with pytest.raises(InvalidInputError, match="a posterior that has a mean"):
        from_azula(Plain(Schedule())).denoised(starts(3), 0.5)


@pytest.mark.parametrize("schedule", ["VPSchedule", "CosineSchedule", "RectifiedSchedule", "VESchedule"])
def test_ddim_is_that_of_azula(schedule):
    azula_noise = pytest.importorskip("azula.noise")
    from azula.denoise import KarrasDenoiser
    from azula.sample import DDIMSampler

    class Backbone(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Linear(16, 2))

        def forward(self, x, t):
            return self.line(torch.cat([x, t.expand(len(x))[:, None]], 1))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = Backbone().double()
    options = {"sigma_max": 20.0} if schedule == "VESchedule" else {}
    denoiser = KarrasDenoiser(backbone, getattr(azula_noise, schedule)(**options))
    fields = from_azula(denoiser)
    x = starts(5) * fields.path.base.shared_scale
    sampler = DDIMSampler(denoiser, start=1.0, stop=0.0, steps=12, silent=True)
    with torch.no_grad():
        theirs = sampler(x)
    times = (1 - sampler.timesteps.double()).tolist()
    ours = sample(fields, x, method="ddim", time_grid=[0.0, *times[1:-1], 1.0]).x
    assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_denoiser_on_the_linear_path_ends_where_its_own_flow_ends():
    fields, target = from_azula(Denoiser(Schedule())), OneSidedLinear()
    moved = fields.on(target)
    start, stop = covered(fields.path, target)
    assert 0.0 < start < 0.1  # its schedule keeps a tenth of the data at its noisiest
    _, scales = match(fields.path, target, torch.tensor([start, stop], dtype=torch.float64))
    x = 3.0 * starts(100)
    known = {"method": "rk4", "n_steps": 200}
    own = sample(fields, x, **known).x
    made = sample(moved, x * scales[0], start=start, stop=stop, **known).x / scales[1]
    assert_close(made, own, rtol=0, atol=1e-3)
