"""Sampling from a point: one drift, one distribution at every noise level; safe ends; noise of a row."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.dynamics import FollmerNoise, ReferenceNoise, sample_from_point
from interpolants.fields import PointSourceFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics import rank_histogram, spread_skill
from interpolants.paths import BrownianEnvelope, Diffusive, Linear, SpatiallyLinear
from interpolants.problems import NoisyLorenz, RotatingMixture

F64 = torch.float64
PROBLEMS = {"rotating_mixture": (RotatingMixture(), 1.0), "noisy_lorenz": (NoisyLorenz(), 4.0)}
LEVELS = {"reference": lambda a: "reference", "follmer": lambda a: "follmer", "small": lambda a: 0.3 * a,
          "large": lambda a: 3 * a, "flow": lambda a: 0.0}  # fmt: skip
each_level = pytest.mark.parametrize("level", LEVELS)
each_problem = pytest.mark.parametrize("name", PROBLEMS)
PAPER = SpatiallyLinear(lambda t: 1 - t, lambda t: t**2, lambda t: torch.sqrt(t) * (1 - t))


def gaussian_fields(path, shift=1.5, std=0.5):
    """x1 given x0 is N(x0 + shift, std^2)."""

    def denoised(x, t, cond):
        a, b, g = (float(c(t.double())) for c in (path.alpha, path.beta, path.envelope.gamma))
        variance = max((b * std) ** 2 + g**2, 1e-300)
        mean = cond["x0"] + shift
        return mean + b * std**2 / variance * (x - a * cond["x0"] - b * mean)

    return PointSourceFields(path, denoised=denoised)


@each_problem
@each_level
def test_every_level_gives_the_true_distribution(name, level, generator):
    """Means, spread and CRPS against the known transition: within 3 % and 4 standard errors of the oracle."""
    problem, scale = PROBLEMS[name]
    now, later = problem.pairs(300, generator=generator)
    fields, members = problem.fields(Diffusive(scale=scale)), 16
    start = now.repeat_interleave(members, 0)
    eps = LEVELS[level](scale)
    x = sample_from_point(fields, start, eps=eps, n_steps=40, seed=5).x.reshape(300, members, -1)
    excess = problem.excess(x, now)
    assert excess.value < min(0.03, 4 * excess.error + 0.003)
    apart = x.mean(1) - problem.mean(now)
    typical = problem.covariance(now).diagonal(dim1=1, dim2=2).mean(0).sqrt()
    assert bool((apart.mean(0).abs() < 4 * typical / math.sqrt(300 * members) + 0.005 * typical).all())
    ratio = spread_skill(x, later)
    assert abs(ratio.value - 1) < 4 * ratio.error
    assert rank_histogram(x, later, generator=generator).p > 0.01


def test_a_drift_that_does_not_follow_the_noise_is_seen(generator):
    """The learnt drift at another noise level without its correction: what the test above would say."""
    problem, scale = PROBLEMS["rotating_mixture"]
    now, later = problem.pairs(300, generator=generator)

    class Stubborn(PointSourceFields):
        def evaluate(self, x, t, want, cond=None):
            found = super().evaluate(x, t, ("velocity", "score"), cond)
            u = found["velocity"] + self.level(t, x).eps * found["score"]
            return {"velocity": u - 0.3 * scale * found["score"], "score": found["score"]}

    exact = problem.fields(Diffusive(scale=scale))
    wrong = Stubborn(exact.path, denoised=exact._denoised)
    start = now.repeat_interleave(16, 0)
    x = sample_from_point(wrong, start, eps=0.3 * scale, n_steps=40, seed=5).x.reshape(300, 16, -1)
    assert problem.excess(x, now).value > 0.03 or rank_histogram(x, later, generator=generator).p < 0.01


@pytest.mark.cases(2)
@pytest.mark.parametrize("path", [Diffusive(scale=0.5), Diffusive(scale=0.5, hold=0.3), Linear(), PAPER])
@pytest.mark.parametrize("eps", ["reference", 0.0, 0.2, "follmer"])
def test_a_gaussian_transition_is_met_on_every_path(path, eps):
    x0 = torch.linspace(-1, 1, 20_000, dtype=F64)[:, None]
    x = sample_from_point(gaussian_fields(path), x0, eps=eps, n_steps=60, seed=2).x
    rest = x - x0 - 1.5
    # 4 standard errors, and what 60 steps leave
    assert abs(float(rest.mean())) < 4 * 0.5 / math.sqrt(20_000) + 0.004
    assert float(rest.std()) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(40_000) + 0.01)
    assert abs(float((rest * x0).mean())) < 0.01


def test_a_distribution_on_a_point_is_met_at_every_level():
    """later is a function of now: the score is as steep as 1/gamma^2 at the end, and nothing blows up."""
    x0 = torch.linspace(-1, 1, 500, dtype=F64)[:, None]
    for eps in ("reference", 0.0, 5.0, "follmer"):
        x = sample_from_point(gaussian_fields(Diffusive(scale=0.5), std=1e-6), x0, eps=eps, seed=1).x
        assert float((x - x0 - 1.5).abs().max()) < 0.1
        end = sample_from_point(
            gaussian_fields(Diffusive(scale=0.5), std=1e-6), x0, eps=eps, seed=1, finish="denoise"
        ).x
        assert_close(end, x0 + 1.5, rtol=0, atol=1e-3)


def test_a_row_sees_its_own_noise_whatever_its_batch():
    problem, scale = PROBLEMS["rotating_mixture"]
    fields = problem.fields(Diffusive(scale=scale))
    x0 = problem.sample(100, generator=torch.Generator().manual_seed(0)).float()
    whole = sample_from_point(fields, x0, seed=3, n_steps=5).x
    part = sample_from_point(fields, x0[40:70], seed=3, n_steps=5, first_index=40).x
    assert torch.equal(whole[40:70], part)
    assert not torch.equal(whole, sample_from_point(fields, x0, seed=4, n_steps=5).x)


@pytest.mark.slow
def test_rows_of_a_network_do_not_feel_their_batch_in_the_first_step():
    """Matrix products of few rows differ in the last bits from those of many, at some rows; a late step shows it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))
    fields = PointSourceFields(Diffusive(), drift=lambda x, t, cond: net(torch.cat([x, cond["x0"]], 1)))
    x0 = torch.randn(200, 2, generator=torch.Generator().manual_seed(1))
    options = {"seed": 3, "n_steps": 2, "first": 0.5}
    whole = sample_from_point(fields, x0, **options).x
    assert torch.equal(sample_from_point(fields, x0, chunk=64, **options).x, whole)
    for size in (1, 2, 3):
        few = [
            sample_from_point(fields, part, first_index=size * k, **options).x
            for k, part in enumerate(x0.split(size))
        ]
        assert torch.equal(torch.cat(few), whole)


def test_levels_have_their_closed_forms():
    t = torch.linspace(0.05, 0.95, 7, dtype=F64)
    assert_close(ReferenceNoise().values(t, Diffusive(scale=0.7)), torch.full_like(t, 0.7))
    assert_close(FollmerNoise().values(t, Diffusive(scale=0.7)), 0.7 * (3 - 2 * t))
    ends = torch.tensor([0.0, 1.0], dtype=F64)
    assert_close(FollmerNoise().values(ends, Diffusive(scale=0.7)), 0.7 * (3 - 2 * ends))
    # schedules of the paper: eps = g^2 / 2 with g^2 = (1 - t)^2 learnt, (1 - t)(3 - t) of Foellmer
    assert_close(ReferenceNoise(scale=2.0).values(t, PAPER), (1 - t) ** 2)
    assert_close(FollmerNoise().values(t, PAPER), (1 - t) * (3 - t) / 2)
    held = FollmerNoise().values(t, Diffusive(scale=0.7, hold=0.5))
    assert_close(held[t <= 0.5], (0.7 * (1 - 2 * t)).abs()[t <= 0.5])
    assert bool(torch.isfinite(ReferenceNoise().values(torch.tensor([0.0, 1.0]).double(), Linear())).all())


def test_the_first_step_is_as_late_as_it_is_harmless():
    from interpolants.dynamics.sample_from_point import start_grid

    assert start_grid(Diffusive(scale=0.5), 30, "auto", None, 1.0)[0] == pytest.approx(0.02)
    early = start_grid(Linear(envelope=BrownianEnvelope(scale=1.0)), 30, "auto", None, 1.0)
    assert early[0] == pytest.approx(2.5e-5, rel=0.05)  # t / sqrt(t) = 0.005
    assert len(early) == 30
    assert early[-1] == 1.0
    for spacing in ("uniform", "cosine", torch.linspace(0, 1, 31, dtype=F64).tolist()):
        named = start_grid(Diffusive(scale=0.5), 30, spacing, None, 1.0)
        assert len(named) == 30, spacing
        assert named[-1] == 1.0
    assert (early[1:] > early[:-1]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_steps": 1}, "n_steps must be a whole number >= 2, got 1"),
        ({"first": 1.0}, "first must lie in"),
        ({"reverse": True}, "reverse has no meaning"),
        ({"start": 0.1}, "start has no meaning"),
        ({"stop": 1.5}, "stop must lie in"),
        ({"eps": "folmer"}, "follmer"),
        ({"eps": -1.0}, "finite and >= 0, got -1.0"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_bad_calls_are_refused(options, message):
    fields = gaussian_fields(Diffusive())
    with pytest.raises(InvalidInputError, match=message):
        sample_from_point(fields, torch.zeros(3, 1), **options)


def test_other_fields_are_refused():
    with pytest.raises(InvalidInputError, match=r"must be PointSourceFields.*Wrap your drift"):
        sample_from_point(torch.nn.Identity(), torch.zeros(3, 1))
