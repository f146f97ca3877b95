"""Time samplers: their distributions, weights that keep the mean, less variance, a state that survives."""

import math

import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.objectives import (
    ImportanceTimes,
    LogitNormalTimes,
    NoiseTimes,
    StratifiedTimes,
    UniformTimes,
)
from interpolants.paths import EDM, VP, FourierBasis, Linear, OneSidedLinear, ShortestPath


def source(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("sampler", [UniformTimes(), StratifiedTimes(), ImportanceTimes()])
def test_uniform_samplers_are_uniform(sampler):
    """Kolmogorov-Smirnov at 10,000 draws; p > 1e-3 for this seed, and a distribution shifted by 0.03 is caught."""
    t = sampler.sample(10_000, generator=source()).t.double().numpy()
    assert stats.kstest(t, "uniform").pvalue > 1e-3
    assert stats.kstest(t**1.1, "uniform").pvalue < 1e-3


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.8, 0.5)])
def test_logit_normal_times_are_normal_on_the_logit_scale(mean, std):
    t = LogitNormalTimes(mean=mean, std=std).sample(10_000, generator=source()).t.double()
    logit = torch.logit(t).numpy()
    assert stats.kstest(logit, stats.norm(mean, std).cdf).pvalue > 1e-3
    assert stats.kstest(logit, stats.norm(mean + 0.05, std).cdf).pvalue < 1e-3


@pytest.mark.parametrize("path", [EDM(), EDM(df=4), OneSidedLinear(Gaussian(scale=3.0)), VP()], ids=repr)
def test_noise_times_are_normal_in_the_logarithm_of_noise_over_signal(path):
    t = NoiseTimes(path, mean=-0.7, std=0.9, data_std=2.0).sample(4000, generator=source()).t.double()
    level = (path.noise_std(t) / path.beta(t)).log().numpy()
    assert stats.kstest(level, stats.norm(-0.7 + math.log(2), 0.9).cdf).pvalue > 1e-3
    assert stats.kstest(level, stats.norm(-0.7 + math.log(2) + 0.1, 0.9).cdf).pvalue < 1e-3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NoiseTimes(Linear()), "the path must be one-sided, got Linear"),
        (
            lambda: NoiseTimes(ShortestPath(FourierBasis(1), torch.ones(4))),
            "the path must have one noise level for all directions, got ShortestPath",
        ),
    ],
)
def test_noise_times_refuse_what_does_not_fit(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


@pytest.mark.parametrize(
    "sampler", [UniformTimes(margin=0.1), StratifiedTimes(margin=0.1), ImportanceTimes(margin=0.1)]
)
def test_a_margin_is_kept_at_both_ends_and_filled(sampler):
    t = sampler.sample(5000, generator=source()).t
    assert 0.1 <= float(t.min()) < 0.101
    assert 0.899 < float(t.max()) <= 0.9


@pytest.mark.parametrize(
    "sampler",
    [
        UniformTimes(margin=0.0),
        StratifiedTimes(margin=0.0),
        LogitNormalTimes(std=30.0),
        NoiseTimes(EDM(), std=30.0),
        ImportanceTimes(margin=0.0),
    ],
)
def test_the_ends_themselves_are_never_drawn(sampler):
    t = sampler.sample(100_000, generator=source()).t
    assert float(t.min()) > 0
    assert float(t.max()) < 1


def test_strata_hold_one_time_each_in_random_order():
    t = StratifiedTimes(margin=0.0).sample(64, generator=source()).t
    assert (t * 64).long().sort().values.tolist() == list(range(64))
    assert not bool((t.diff() > 0).all())


def test_strata_reduce_the_variance_of_a_smooth_mean_from_order_one_to_order_n_to_minus_two():
    """Var of a stratified mean of f is about mean(f'^2)/(12 n^3) against Var(f)/n: a ratio near n^2 for smooth f."""
    n, runs = 32, 400
    spread = {}
    for sampler in (UniformTimes(margin=0.0), StratifiedTimes(margin=0.0)):
        rng = source(3)
        means = torch.stack([torch.sin(3 * sampler.sample(n, generator=rng).t).mean() for _ in range(runs)])
        spread[type(sampler)] = float(means.var())
    predicted = (9 * 0.5 * (1 + math.sin(6) / 6)) / (12 * n**3)
    assert spread[StratifiedTimes] == pytest.approx(predicted, rel=0.3)
    assert spread[UniformTimes] > 50 * spread[StratifiedTimes]


def learnt(times=200, n=256, shape=lambda t: 1 + 9 * (t > 0.75)):
    """A sampler told of losses whose root mean square is ``shape(t)``."""
    sampler, rng = ImportanceTimes(bins=8, floor=0.1), source(1)
    for _ in range(times):
        drawn = sampler.sample(n, generator=rng)
        sampler.update(drawn.t, shape(drawn.t) * torch.randn(n, generator=rng))
    return sampler


def told(sampler):
    """A sampler told of larger losses late."""
    sampler.update(torch.tensor([0.2, 0.8]), torch.tensor([1.0, 3.0]))
    return sampler


def test_importance_learns_probabilities_in_proportion_to_the_root_mean_square():
    p = learnt().probabilities
    rms = torch.tensor([1.0] * 6 + [10.0] * 2)
    assert_close(p, 0.1 / 8 + 0.9 * rms / rms.sum(), rtol=0.05, atol=0)
    assert_close(p.sum(), torch.tensor(1.0))
    t = learnt().sample(20_000, generator=source(2)).t
    counts = torch.bincount((t * 8).long(), minlength=8) / 20_000
    assert_close(counts, p, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize(
    "sampler", [learnt(), LogitNormalTimes(std=1.5, weighted=True), UniformTimes(), StratifiedTimes()]
)
def test_weighted_means_estimate_the_plain_integral(sampler):
    """int t^2 dt = 1/3 within 4.5 standard errors, seed 5; the unweighted mean of a learnt distribution is far off."""
    drawn = sampler.sample(200_000, generator=source(5))
    terms = drawn.weight * drawn.t.square()
    assert abs(float(terms.mean()) - 1 / 3) < 4.5 * float(terms.std()) / math.sqrt(200_000)
    assert float(drawn.weight.mean()) == pytest.approx(1, abs=0.02)
    if isinstance(sampler, ImportanceTimes):
        assert float(drawn.t.square().mean()) > 0.45


def test_learnt_times_reduce_the_variance_of_the_mean_loss():
    def shape(t):
        return 1 + 9 * (t > 0.75)

    rng, spread = source(7), {}
    for sampler in (UniformTimes(), learnt()):
        drawn = sampler.sample(100_000, generator=rng)
        spread[type(sampler)] = float(
            (drawn.weight * shape(drawn.t) * torch.randn(100_000, generator=rng)).var()
        )
    # mean of the square against square of the mean (with a floor of 0.1): 25.75 / 10.56
    assert spread[UniformTimes] / spread[ImportanceTimes] > 2


def test_an_importance_sampler_stays_uniform_until_every_bin_was_seen_and_when_all_losses_vanish():
    sampler = ImportanceTimes(bins=4)
    assert_close(sampler.probabilities, torch.full((4,), 0.25))
    sampler.update(torch.tensor([0.1, 0.3, 0.6]), torch.tensor([1.0, 5.0, 1.0]))
    assert_close(sampler.probabilities, torch.full((4,), 0.25))
    sampler = ImportanceTimes(bins=2)
    sampler.update(torch.tensor([0.1, 0.9]), torch.zeros(2))
    assert_close(sampler.probabilities, torch.full((2,), 0.5))


def test_a_loss_that_is_not_finite_does_not_poison_an_importance_sampler():
    sampler = learnt(times=20)
    before = sampler.probabilities
    sampler.update(torch.tensor([0.1, 0.5]), torch.tensor([math.nan, math.inf]))
    assert_close(sampler.probabilities, before)


def test_the_state_of_an_importance_sampler_survives_a_round_trip_and_is_a_copy():
    one, two = learnt(), ImportanceTimes(bins=8, floor=0.1)
    state = one.state()
    two.load(state)
    assert_close(
        two.sample(100, generator=source(9)).t, one.sample(100, generator=source(9)).t, rtol=0, atol=0
    )
    before = two.probabilities
    one.update(torch.full((10,), 0.5), torch.full((10,), 1e3))
    assert_close(two.probabilities, before, rtol=0, atol=0)
    with pytest.raises(InvalidInputError, match="must have 4 bins, got 8"):
        ImportanceTimes(bins=4).load(state)


@pytest.mark.parametrize(
    "sampler", [UniformTimes(), StratifiedTimes(), LogitNormalTimes(weighted=True), ImportanceTimes()]
)
def test_times_follow_their_generator_and_nothing_else(sampler):
    torch.rand(3)
    before = torch.get_rng_state()
    first, again = (sampler.sample(33, generator=source(4)) for _ in range(2))
    assert_close(first.t, again.t, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.t.shape == first.weight.shape == (33,)


@pytest.mark.parametrize(
    "make",
    [
        UniformTimes,
        StratifiedTimes,
        lambda: LogitNormalTimes(weighted=True),
        LogitNormalTimes,
        lambda: NoiseTimes(EDM()),
        lambda: told(ImportanceTimes(bins=2)),
    ],
)
def test_times_are_float32_whatever_torchs_default_type(make, float64):
    wide = make().sample(20, generator=source(4))
    assert wide.t.dtype == wide.weight.dtype == torch.float32
    torch.set_default_dtype(torch.float32)
    narrow = make().sample(20, generator=source(4))
    assert_close(wide, narrow, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ImportanceTimes(bins=0), "bins must be a whole number >= 1"),
        (lambda: ImportanceTimes(decay=1.0), r"decay must lie in \(0, 1\), got 1"),
        (lambda: ImportanceTimes(floor=0.0), r"floor must lie in \(0, 1\], got 0"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_importance_is_learnt_between_the_margins():
    """The outermost of 32 bins lie beyond a margin of 0.05 if they are counted on [0, 1], and are never seen."""
    sampler, rng = ImportanceTimes(bins=32, margin=0.05), source(6)
    for _ in range(50):
        t = sampler.sample(512, generator=rng).t
        sampler.update(t, (t > 0.5).float())
    p = sampler.probabilities
    assert_close(p[:16], torch.full((16,), 0.1 / 32))
    assert_close(p[16:], torch.full((16,), 1.9 / 32))


def test_a_uniform_that_rounds_to_one_is_a_time_of_the_last_bin(monkeypatch):
    monkeypatch.setattr("interpolants.objectives.times._uniform", lambda n, generator: torch.ones(n))
    t = ImportanceTimes().sample(8, generator=source()).t
    assert float(t.max()) == pytest.approx(1.0, abs=1e-3)
