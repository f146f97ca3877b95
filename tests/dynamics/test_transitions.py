"""Reverse diffusion, ancestral and denoising steps against the papers' updates and exact distributions."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import ReverseNoise, sample, transitions
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths import (
    VE,
    VP,
    DiscreteSchedule,
    Linear,
    MatrixBasis,
    OneSidedLinear,
    SpatiallyLinear,
    Spectral,
    SubVP,
    linear_betas,
)
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

F64 = torch.float64
COVARIANCE = torch.tensor([[1.5, 0.4], [0.4, 0.8]], dtype=F64)
COLOURED = Gaussian(mean=torch.tensor([0.5, -1.0], dtype=F64), covariance=COVARIANCE)
DATA = GaussianMixture(
    torch.tensor([0.3, 0.45, 0.25], dtype=F64),
    torch.tensor([[-2.0, 0.0], [1.5, 1.5], [1.0, -2.0]], dtype=F64),
    torch.stack([0.3 * COVARIANCE, 0.2 * torch.eye(2, dtype=F64), 0.25 * COVARIANCE.flip(0, 1)]),
)
PATHS = {
    "vp": VP(),
    "sub_vp": SubVP(),
    "ve": VE(smin=0.01, smax=20.0),
    "discrete": DiscreteSchedule(),
    "coloured": VP(base=COLOURED),
    "linear": OneSidedLinear(),
}


def exact(path):
    return GaussianMixtureBridge(path.base, DATA).fields(path)


def start(path, n, seed=0):
    z = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return path.base.color(z)


def one_step(path, method, now, then, n=4):
    """A single step, and what is needed to redo it by hand: the noise is what the step without noise leaves."""
    fields, x = exact(path), start(path, n)
    grid = {"time_grid": np.array([now, then]), "seed": 3, "method": method}
    moved, mean = (sample(fields, x, finish=finish, **grid).x for finish in ("step", "mean"))
    score = fields.score(x, now)
    return x, score, mean, moved - mean


def test_reverse_diffusion_of_ddpm_is_the_papers_update():
    """x <- (2 - sqrt(1 - beta_i)) x + beta_i S + sqrt(beta_i) z, with the table's own beta."""
    path, i = DiscreteSchedule(), 700
    beta = linear_betas()[i - 1]
    x, score, mean, noise = one_step(path, "reverse_diffusion", 1 - i / 1000, 1 - (i - 1) / 1000)
    assert_close(mean, (2 - math.sqrt(1 - beta)) * x + beta * score, rtol=1e-9, atol=1e-9)
    _, _, mean, rest = one_step(path, "ancestral", 1 - i / 1000, 1 - (i - 1) / 1000)
    assert_close(mean, (x + beta * score) / math.sqrt(1 - beta), rtol=1e-9, atol=1e-9)
    # the same z in both, with variances beta and, in the posterior, beta (1 - abar_{i-1}) / (1 - abar_i)
    before, after = path.alphabar[i - 2], path.alphabar[i - 1]
    assert_close(rest / noise, torch.full_like(rest, math.sqrt((1 - before) / (1 - after))))
    half = one_step(path, "reverse_flow", 1 - i / 1000, 1 - (i - 1) / 1000)
    assert_close(half[2], (2 - math.sqrt(1 - beta)) * x + 0.5 * beta * score, rtol=1e-9, atol=1e-9)
    assert not half[3].any()


def test_variance_exploding_steps_are_the_papers_updates():
    path, now, then = VE(smin=0.01, smax=20.0), 0.4, 0.5
    high, low = (0.01 * 2000 ** (1 - t) for t in (now, then))
    gap = high**2 - low**2
    x, score, mean, noise = one_step(path, "reverse_diffusion", now, then)
    assert_close(mean, x + gap * score, rtol=1e-9, atol=1e-9)
    _, _, mean, rest = one_step(path, "ancestral", now, then)
    assert_close(mean, x + gap * score, rtol=1e-9, atol=1e-9)
    assert_close(rest / noise, torch.full_like(rest, low / high))
    # z itself: the noise of a step of unit length has standard deviation sqrt(gap)
    z = torch.cat([one_step(path, "reverse_diffusion", now, then, n=20_000)[3]]) / math.sqrt(gap)
    assert abs(float(z.std()) - 1) < 5 / math.sqrt(2 * 40_000)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("n_steps", [2, 7])
def test_ancestral_steps_are_exact_for_data_at_one_point(name, n_steps):
    """Each step is a draw of the posterior, so every state has the distribution of the path, in moments, at all times.

    40,000 rows: five standard errors of a mean are 2.5 % of the standard deviation, of a covariance 3.5 %.
    """
    path, n, point = PATHS[name], 40_000, torch.tensor([2.0, -1.0], dtype=F64)
    fields = LearnedFields(path, denoised=lambda x, t: point.expand_as(x), margin=0.0)
    x = path.sample(x1=point.expand(n, 2), t=0.0, generator=torch.Generator().manual_seed(5)).x_t
    run = {"invariant": False, "chunk": n, "n_steps": n_steps, "stop": 0.9, "return_path": True}
    found = sample(fields, x, method="ancestral", seed=1, **run)
    base = GaussianMixture.from_gaussian(path.base, 2)
    for t, state in zip(found.times, found.path, strict=True):
        scale = path.alpha(t)
        mean = scale * base.mean + path.beta(t) * point
        std = scale * base.covariance.diagonal().sqrt()
        assert ((state.mean(0) - mean).abs() < 5 * std / math.sqrt(n)).all()
        relative = (state.T.cov() - scale**2 * base.covariance) / (std[:, None] * std)
        assert (relative.abs() < 5 * math.sqrt(2 / n)).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vp", "sub_vp", "ve", "coloured"])
@pytest.mark.parametrize("method", ["reverse_diffusion", "ancestral"])
def test_the_steps_tend_to_the_reversed_process_along_each_path(name, method):
    """Strong order one half at least; the same Brownian motion drives both, at every number of steps.

    Medians over the paths: one that comes close to the border between two modes can be most of a mean square.
    """
    path = PATHS[name]
    fields, x = exact(path), start(path, 300)
    run = {"invariant": False, "chunk": 300, "stop": 0.9, "seed": 2}
    if (
        path.base.std is None
    ):  # g^2 is then a matrix: no eps(t) drives this process, so compare with finer steps
        wanted = sample(fields, x, method=method, n_steps=1600, **run).x
    else:
        wanted = sample(fields, x, eps=ReverseNoise(), method="euler", n_steps=1600, **run).x
    errors = [
        float((sample(fields, x, method=method, n_steps=n, **run).x - wanted).norm(dim=1).median())
        for n in (100, 400)
    ]
    assert errors[1] < 0.6 * errors[0]
    assert errors[1] < 0.1


@pytest.mark.cases(2)
@pytest.mark.parametrize("name", ["vp", "sub_vp", "ve", "coloured"])
def test_the_quiet_steps_tend_to_the_flow_with_order_one(name):
    path = PATHS[name]
    fields, x = exact(path), start(path, 100)
    wanted = sample(fields, x, method="dopri5", stop=0.9, rtol=1e-9, atol=1e-9).x
    errors = [
        float((sample(fields, x, method="reverse_flow", stop=0.9, n_steps=n).x - wanted).abs().mean())
        for n in (200, 400)
    ]
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.3)


@pytest.mark.cases(2)
@pytest.mark.parametrize("method", ["reverse_diffusion", "ancestral", "reverse_flow"])
@pytest.mark.parametrize("name", ["vp", "ve", "coloured"])
def test_what_was_learnt_does_not_matter(name, method):
    path = PATHS[name]
    fields, x = exact(path), start(path, 8)
    run = {"method": method, "n_steps": 10, "stop": 0.98, "seed": 0}
    wanted = sample(fields, x, **run).x
    for quantity in ("score", "noise", "velocity", "denoised"):
        learnt = LearnedFields(path, **{quantity: getattr(fields, quantity)}, margin=0.0)
        assert_close(sample(learnt, x, **run).x, wanted, rtol=1e-7, atol=1e-7)


def test_a_sample_does_not_depend_on_its_batch():
    path = VP()
    fields, x = exact(path), start(path, 150)
    run = {"method": "ancestral", "n_steps": 8, "seed": 4}
    whole = sample(fields, x, **run).x
    assert torch.equal(whole[70:90], sample(fields, x[70:90], first_index=70, **run).x)


@pytest.mark.parametrize(
    "method", ["reverse_diffusion", "ancestral", "euler_maruyama", "stochastic_heun", "sra1"]
)
def test_a_mean_end_leaves_out_the_last_noise_and_nothing_else(method):
    path = VE(smin=0.05, smax=10.0)
    fields, x = exact(path), start(path, 6)
    run = {"method": method, "n_steps": 9, "seed": 0, "return_path": True}
    run |= {"eps": ReverseNoise()} if method not in ("reverse_diffusion", "ancestral") else {}
    noisy, quiet = (sample(fields, x, finish=finish, **run) for finish in ("step", "mean"))
    assert torch.equal(noisy.path[:-1], quiet.path[:-1])
    assert float((noisy.x - quiet.x).abs().min()) > 0
    assert noisy.nfe == quiet.nfe


ROTATION = torch.tensor([[0.8, 0.6], [-0.6, 0.8]], dtype=F64)


def spectral():
    """Two coordinates, each with its own schedule."""

    def decay(t):
        return torch.cat([1 - t, (1 - t) ** 2], 1)

    return Spectral(MatrixBasis(ROTATION), decay, lambda t: torch.cat([t**2, t], 1), (2,))


@pytest.mark.parametrize("method", ["ancestral", "reverse_diffusion", "reverse_flow", "ddim"])
def test_schedules_per_coordinate_are_followed_one_by_one(method):
    """In the coordinates u = F x each entry moves by its own schedule; Gaussian data independent in u.

    The noise is drawn for the state: with one step and none of it, ``finish="mean"``, both see the same.
    """
    path, std = spectral(), torch.tensor([0.5, 1.2], dtype=F64)

    def score(x, t):
        a, b = path.alpha(t), path.beta(t)  # (B, 2)
        return -((x @ ROTATION.T) / (a**2 + (b * std) ** 2)) @ ROTATION

    x = start(path, 16)
    run = {"method": method, "time_grid": [0.1, 0.4], "finish": "mean", "seed": 4}
    found = sample(LearnedFields(path, score=score, margin=0.0), x, **run).x @ ROTATION.T
    schedules = [(lambda t: 1 - t, lambda t: t**2), (lambda t: (1 - t) ** 2, lambda t: t)]
    for k, (alpha, beta) in enumerate(schedules):
        own = gaussian(SpatiallyLinear(alpha, beta, base=Gaussian()), std[k])
        assert_close(found[:, k], sample(own, x @ ROTATION.T, **run).x[:, k])


def gaussian(path, std):
    """Exact fields of data N(0, std^2), from the score."""
    return LearnedFields(
        path,
        score=lambda x, t: -x / (path.alpha(t[:, None]) ** 2 + (path.beta(t[:, None]) * std) ** 2),
        margin=0.0,
    )


def test_moves_say_what_they_do():
    fields = exact(VE(smin=0.1, smax=10.0))
    (move,) = transitions(fields, "reverse_diffusion", np.array([0.0, 0.5]))
    assert (move.keep, move.terms[0][0]) == (1.0, "score")
    assert [type(c) for c in (move.keep, move.mean, move.noise)] == [float] * 3
    # sigma^2 falls from 100 to 1
    assert move.terms[0][1] == pytest.approx(99.0)
    assert move.noise * 10 == pytest.approx(math.sqrt(99.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: sample(exact(VP()), start(VP(), 2), method="ancestral", eps=0.5),
            r"method='ancestral' has its own noise, got eps > 0. Leave eps at 0",
        ),
        (
            lambda: sample(exact(VP()), start(VP(), 2), method="ancestral", reverse=True),
            r"method='ancestral' runs from t = 0 to 1, got reverse=True",
        ),
        (
            lambda: sample(exact(OneSidedLinear()), start(VP(), 2), method="reverse_diffusion"),
            r"needs beta > 0 at its first time, got beta = 0 on OneSidedLinear. Begin with start > 0",
        ),
        (
            lambda: sample(
                GaussianMixtureBridge(DATA, DATA).fields(Linear()), start(VP(), 2), method="reverse_flow"
            ),
            r"method='reverse_flow' needs a path with a Gaussian base, got Linear",
        ),
        (lambda: sample(exact(VP()), start(VP(), 2), method="ancestrel"), r"Did you mean 'ancestral'"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


AGREEING = {
    "euler_maruyama": {"method": "euler", "eps": ReverseNoise()},
    "reverse_diffusion": {"method": "reverse_diffusion"},
    # Its steps have the variance of the posterior for one x1, too little by O(1/n): 4 % of a variance at 500 steps.
    "ancestral": {"method": "ancestral", "n_steps": 1000},
    "flow": {"method": "heun"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", AGREEING)
@pytest.mark.parametrize("path", [VP(), SubVP(), VE(smin=0.01, smax=20.0)])
def test_all_samplers_agree_with_the_distribution(path, name):
    """Weights of three modes within 0.03 in total variation, covariances in them to 5 %; 500 steps, ancestral 1,000.

    20,000 rows: standard errors are 0.004 and, in the smallest mode, 2 % of a variance; two of them are allowed for.
    """
    n = 20_000
    stop = 1.0 if isinstance(path, VE) else 1 - 1e-3
    base = GaussianMixture.from_gaussian(path.base, 2, dtype=torch.float32)
    fields = GaussianMixtureBridge(base, DATA.to(dtype=torch.float32)).fields(path)
    run = {"n_steps": 500, "stop": stop, "invariant": False, "chunk": n, "seed": 0, "finish": "denoise"}
    x = sample(fields, start(path, n).float(), **(run | AGREEING[name])).x.double()
    label = DATA.responsibilities(x).argmax(1)
    share = torch.bincount(label, minlength=3) / n
    # True samples are sorted in the same way: few of them lie nearer to another mode.
    true = DATA.sample(400_000, generator=torch.Generator().manual_seed(1))
    true_label = DATA.responsibilities(true).argmax(1)
    true_share = torch.bincount(true_label, minlength=3) / len(true)
    assert float((share - true_share).abs().sum() / 2) <= 0.03
    for k in range(3):
        wanted, found = true[true_label == k].T.cov(), x[label == k].T.cov()
        scale = wanted.diagonal().sqrt()
        error = (2 / float((label == k).sum())) ** 0.5  # of a variance, relative
        assert float(((found - wanted) / (scale[:, None] * scale)).abs().max()) <= 0.05 + 2 * error
