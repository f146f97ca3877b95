"""Langevin correctors: the step by hand, the distribution they keep, when they work, and whom they depend on."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import Langevin, ReverseNoise, sample
from interpolants.fields import Fields, LearnedFields
from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.foundations.randomness import BlockNoise
from interpolants.paths import VE, VP, Linear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

F64 = torch.float64
DATA = GaussianMixture.random(4, 12, 1.0, seed=3)


def exact(path, data=DATA):
    return GaussianMixtureBridge(path.base, data).fields(path)


def start(path, n, dim=12, seed=0):
    z = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return path.base.color(z)


class Counting(Fields):
    """Remembers the times at which the score alone is asked for: the corrector's."""

    def __init__(self, inner):
        self.inner, self.path, self.times = inner, inner.path, []

    def provides(self, quantity):
        return True

    def evaluate(self, x, t, want, cond=None):
        if tuple(want) == ("score",):
            self.times.append(float(t))
        return self.inner.evaluate(x, t, want, cond)


def test_a_step_is_the_papers():
    x, score, z = (
        torch.randn(5, 5, 2, generator=torch.Generator().manual_seed(k), dtype=F64) for k in range(3)
    )
    found = Langevin(snr=0.3, step_size="sample").step(x, score, z, rho=0.9, std=2.0)
    for i in range(5):
        h = 2 * 0.9**2 * (0.3 * z[i].norm() / score[i].norm()) ** 2
        assert_close(found[i], x[i] + h * score[i] + torch.sqrt(2 * h) * z[i])
    together = Langevin(snr=0.3, step_size="batch").step(x, score, z, rho=0.9, std=2.0)
    means = [v.flatten(1).norm(dim=1).mean() for v in (z, score)]
    h = 2 * 0.9**2 * (0.3 * means[0] / means[1]) ** 2
    assert_close(together, x + h * score + torch.sqrt(2 * h) * z)
    fixed = Langevin(snr=0.3, step_size="fixed").step(x, score, z, rho=0.9, std=2.0)
    h = 2 * 0.9**2 * (0.3 * 2.0) ** 2
    assert_close(fixed, x + h * score + math.sqrt(2 * h) * z)


@pytest.mark.parametrize("size", [1, 2, 4, 8, 64])
def test_the_default_leaves_a_normal_distribution_alone_in_few_dimensions_and_in_many(size):
    """A unit normal ends with the variance ``1 / (1 - h / 2)`` of Euler's steps, within five standard errors."""
    draws = torch.Generator().manual_seed(size)
    corrector, x = Langevin(snr=0.3), torch.randn(20_000 // size, size, generator=draws, dtype=F64)
    for _ in range(100):
        z = torch.randn(x.shape, generator=draws, dtype=F64)
        x = corrector.step(x, -x, z, rho=1.0, std=1.0)
    assert float(x.var()) == pytest.approx(1 / (1 - 0.3**2), abs=5 * (2 / x.numel()) ** 0.5)


@pytest.mark.parametrize("rule", ["sample", "batch"])
def test_norms_of_few_entries_are_no_guide_and_are_refused(rule):
    x = torch.zeros(3, 9)
    with pytest.raises(InvalidInputError, match=r"needs 10 or more entries.*got 9.*step_size='fixed'"):
        Langevin(step_size=rule).step(x, x, x, rho=1.0, std=1.0)


def test_where_the_score_is_zero_the_step_is_finite():
    x, z = torch.zeros(3, 10), torch.ones(3, 10)
    found = Langevin(snr=0.5, step_size="sample").step(x, torch.zeros(3, 10), z, rho=1.0, std=2.0)
    assert_close(found, torch.full_like(x, math.sqrt(2 * 2 * (0.5 * 2) ** 2)))


def test_steps_of_fixed_size_keep_a_gaussian_up_to_the_bias_of_their_length():
    """``x <- (1 - h) x + sqrt(2 h) z`` on N(0, 1) rests at the variance ``1 / (1 - h/2)``; seed 0, four errors."""
    corrector, n = Langevin(snr=0.3, step_size="fixed"), 50_000
    source = torch.Generator().manual_seed(0)
    x = torch.zeros(n, 1, dtype=F64)
    for _ in range(60):
        x = corrector.step(x, -x, torch.randn(n, 1, generator=source, dtype=F64), rho=1.0, std=1.0)
    h = 2 * 0.3**2
    assert float(x.var()) == pytest.approx(1 / (1 - h / 2), rel=4 * math.sqrt(2 / n))


@pytest.mark.parametrize(
    ("corrector", "finish", "wanted"),
    [
        (Langevin(), "step", [0.25, 0.5, 0.75, 1.0]),
        (Langevin(), "mean", [0.25, 0.5, 0.75]),
        (Langevin(), "denoise", [0.25, 0.5, 0.75]),
        (Langevin(before=True), "step", [0.0, 0.25, 0.5, 0.75]),
        (Langevin(before=True), "denoise", [0.0, 0.25, 0.5, 0.75]),
        (Langevin(steps=2), "mean", [0.25, 0.25, 0.5, 0.5, 0.75, 0.75]),
    ],
)
@pytest.mark.parametrize("method", ["ancestral", "heun", "euler_maruyama", "ddim"])
def test_the_corrector_works_at_the_times_it_should(corrector, finish, wanted, method):
    fields = Counting(exact(VE(smin=0.1, smax=10.0)))
    eps = ReverseNoise() if method == "euler_maruyama" else 0.0
    run = {"method": method, "eps": eps, "n_steps": 4, "seed": 0, "invariant": False, "chunk": 5}
    plain = sample(fields, start(fields.path, 5), finish=finish, **run)
    fields.times.clear()
    found = sample(fields, start(fields.path, 5), corrector=corrector, finish=finish, **run)
    assert fields.times == wanted
    assert found.nfe == plain.nfe + len(wanted)


def test_there_is_no_correction_where_there_is_no_noise():
    fields = Counting(exact(VP()))
    sample(fields, start(fields.path, 5), corrector=Langevin(), method="heun", n_steps=4, seed=0)
    assert 1.0 not in fields.times
    assert 0.75 in fields.times


def test_the_step_after_a_noising_step_uses_how_the_signal_fell():
    """One Euler step and its correction by hand, with the noise of the sample's own stream."""
    path, x = VP(), start(VP(), 4)
    fields = exact(path)
    run = {"method": "euler", "time_grid": [0.2, 0.3, 0.5], "seed": 7, "return_path": True}
    found = sample(fields, x, corrector=Langevin(snr=0.2, step_size="sample"), **run).path
    moved = x + 0.1 * fields.velocity(x, 0.2)
    score, z = (
        fields.score(moved, 0.3),
        BlockNoise.like(torch.empty(16, 12, dtype=F64), 7, "corrector").normal()[:4],
    )
    beta = path.beta(torch.tensor([0.3, 0.5], dtype=F64))
    h = 2 * (beta[0] / beta[1]) ** 2 * (0.2 * z.norm(dim=1) / score.norm(dim=1)).square()[:, None]
    assert_close(found[1], moved + h * score + torch.sqrt(2 * h) * z)


@pytest.mark.parametrize("method", ["ancestral", "heun"])
def test_a_sample_does_not_depend_on_its_batch(method):
    fields, x = exact(VP()), start(VP(), 150)
    run = {"method": method, "n_steps": 6, "seed": 4, "corrector": Langevin(steps=2), "stop": 0.99}
    whole = sample(fields, x, **run).x
    assert torch.equal(whole[70:90], sample(fields, x[70:90], first_index=70, **run).x)


def test_norms_over_the_batch_are_there_for_comparison_and_do_depend_on_it():
    fields, x = exact(VP()), start(VP(), 80)
    run = {
        "method": "ancestral",
        "n_steps": 6,
        "seed": 4,
        "corrector": Langevin(step_size="batch"),
        "stop": 0.99,
    }
    with pytest.raises(InvalidInputError, match=r"makes a sample depend on its batch.*invariant=False"):
        sample(fields, x, **run)
    with pytest.raises(InvalidInputError, match="makes a sample depend on its batch"):
        sample(fields, x, invariant=False, chunk=20, **run)
    whole, part = (sample(fields, rows, invariant=False, **run).x for rows in (x, x[:40]))
    assert float((whole[:40] - part).abs().max()) > 1e-4


def test_predictor_and_corrector_beat_the_predictor():
    """A coarse flow leaves too little variance; corrections give it back. Gaussian data in 32 dimensions, seed 0.

    4,000 rows of 32 entries: the standard error of the variance is 0.4 %.
    """
    path, n = VE(smin=0.02, smax=20.0), 4000
    variance = 0.25
    fields = LearnedFields(path, score=lambda x, t: -x / (variance + path.noise_std(t)[:, None] ** 2))
    x = start(path, n, 32)
    run = {"method": "reverse_flow", "n_steps": 30, "finish": "denoise", "seed": 0, "invariant": False}
    gaps = {}
    for name, corrector in (("plain", None), ("corrected", Langevin(0.16)), ("twice", Langevin(0.16, 2))):
        made = sample(fields, x, corrector=corrector, chunk=n, **run).x
        gaps[name] = abs(float(made.var()) / variance - 1)
    assert gaps["corrected"] < 0.5 * gaps["plain"]
    assert gaps["twice"] < gaps["corrected"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: sample(exact(VP()), start(VP(), 2), corrector=Langevin(), method="dopri5"),
            r"correctors and constraints need fixed steps, got 'dopri5'",
        ),
        (
            lambda: sample(exact(VP()), start(VP(), 2), corrector=Langevin(), reverse=True),
            r"a corrector needs a run from t = 0 to 1, got reverse=True",
        ),
        (
            lambda: sample(
                GaussianMixtureBridge(DATA, DATA).fields(Linear()), start(VP(), 2), corrector=Langevin()
            ),
            r"a corrector needs a one-sided path, got Linear",
        ),
        (
            lambda: sample(exact(VP()), start(VP(), 2), finish="mean", method="dopri5"),
            r"finish='mean' needs fixed steps, got 'dopri5'",
        ),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_a_score_that_is_not_a_number_is_reported_with_its_time():
    path = VE(smin=0.1, smax=10.0)
    good = exact(path)

    def score(x, t):
        bad = torch.where(t > 0.6, math.nan, 1.0)[:, None]
        return bad * good.evaluate(x, t, ("score",))["score"]

    with pytest.raises(DivergedError, match=r"2 of 2 samples became NaN or infinite, row 0 at t=0.75"):
        sample(
            LearnedFields(path, score=score),
            start(path, 2),
            method="ancestral",
            corrector=Langevin(),
            n_steps=4,
            seed=0,
        )
