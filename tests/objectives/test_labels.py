"""The loss of a label: its minimum is the posterior, its value there the conditional entropy; and score weightings."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.objectives import LabelLoss, NoiseLoss, ScoreLoss
from interpolants.paths import VE, VP, Linear, OneSidedLinear, SubVP
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

F64 = torch.float64
DATA = GaussianMixture(
    torch.tensor([0.6, 0.4], dtype=F64),
    torch.tensor([[1.0, 0.0], [-1.0, 0.5]], dtype=F64),
    torch.tensor([[0.5, 0.4], [0.3, 0.8]], dtype=F64),
)


def test_the_posterior_is_where_the_gradient_vanishes_and_its_loss_is_the_entropy():
    """20,000 draws, seed 0: means to five standard errors."""
    path, n = VP(), 20_000
    fields = GaussianMixtureBridge(path.base, DATA).fields(path)
    source = torch.Generator().manual_seed(0)
    drawn, t = DATA.sample_with_labels(n, generator=source), torch.rand(n, generator=source, dtype=F64)
    run = {"x1": drawn.x, "t": t, "cond": drawn.label}
    shift = torch.zeros(2, dtype=F64, requires_grad=True)
    seen = []

    def classifier(x, t):
        seen.append(fields.log_joint(x, t) + shift * torch.tanh(x[:, :1]))
        return seen[-1]

    loss = LabelLoss(path)(classifier, generator=torch.Generator().manual_seed(1), **run)
    posterior = seen[0].detach().log_softmax(1)
    entropy = -(posterior.exp() * posterior).sum(1)
    assert abs(float((loss.detach() - entropy).mean())) < 5 * float(
        (loss.detach() - entropy).std()
    ) / math.sqrt(n)
    (slope,) = torch.autograd.grad(loss.mean(), shift)
    assert float(slope.abs().max()) < 5 / math.sqrt(n)  # each term is at most one
    wrong = LabelLoss(path)(
        lambda x, t: fields.log_joint(x, t) * 0.5, generator=torch.Generator().manual_seed(1), **run
    )
    assert float((wrong - loss.detach()).mean()) > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda f: LabelLoss(VP())(f, x1=torch.zeros(3, 2), t=torch.ones(3)),
            r"cond must be integer labels \(3,\), got NoneType",
        ),
        (
            lambda f: LabelLoss(VP())(f, x1=torch.zeros(3, 2), t=torch.ones(3), cond=torch.ones(3)),
            r"cond must be integer labels \(3,\), got torch.float32 \(3,\)",
        ),
        (
            lambda f: LabelLoss(VP())(
                lambda x, t: x[:, 0],
                x1=torch.zeros(3, 2),
                t=torch.ones(3),
                cond=torch.ones(3, dtype=torch.long),
            ),
            r"the field must return logits \(3, K\), got \(3,\)",
        ),
        (
            lambda f: ScoreLoss(Linear(), weighting="likelihood"),
            r"Linear.g_squared: the path must be one-sided",
        ),
        (
            lambda f: ScoreLoss(VP(base=Gaussian(covariance=torch.eye(2) + 0.2)), weighting="likelihood"),
            r"all entries of the base must have one standard deviation",
        ),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make(lambda x, t: x)


def drawn(path, n=64):
    source = torch.Generator().manual_seed(2)
    return path.sample(
        x1=DATA.sample(n, generator=source),
        t=0.05 + 0.9 * torch.rand(n, generator=source, dtype=F64),
        generator=source,
    )


@pytest.mark.parametrize("path", [VP(), SubVP(), VE(smax=10.0), OneSidedLinear()])
@pytest.mark.parametrize("form", ["squared_error", "quadratic"])
def test_weighted_by_the_noise_the_score_has_the_loss_of_the_noise(path, form):
    """``sigma^2 |s + z/sigma|^2 = |sigma s + z|^2``: the error of the noise where it is ``-sigma s``."""
    at = drawn(path)
    guess = torch.sin(at.x_t)
    sigma = path.noise_std(at.t)[:, None]
    found = ScoreLoss(path, form=form, weighting="noise").compare(guess, at)
    wanted = NoiseLoss(path, form=form).compare(-sigma * guess, at)
    assert_close(found, wanted)


@pytest.mark.parametrize("path", [VP(), VE(smax=10.0)])
def test_the_likelihood_weighting_is_g_squared(path):
    at = drawn(path)
    guess = torch.sin(at.x_t)
    plain = ScoreLoss(path).compare(guess, at)
    assert_close(ScoreLoss(path, weighting="likelihood").compare(guess, at), plain * path.g_squared(at.t))


def test_pairs_are_used_where_the_target_is_singular_and_only_there():
    assert ScoreLoss(VP()).is_antithetic
    assert ScoreLoss(Linear()).is_antithetic
    assert not ScoreLoss(VE()).is_antithetic  # noise is left at the data
    assert not ScoreLoss(VP(), weighting="noise").is_antithetic


def test_half_the_weighted_loss_bounds_the_divergence_of_samples_of_a_wrong_score():
    """Data N(0, 1) and a score that is off by a factor c: the reversed SDE's samples are Gaussian, so all is known.

    ``KL(data | samples) <= KL(p_0 | base) + 1/2 int g^2 E|s - s_c|^2 dt``. The drift of the reversed SDE is linear, and
    the variance of its samples is integrated here on a fine grid.
    """
    path, c, n = VP(), 1.3, 20_000
    t = torch.linspace(0, 1, n + 1, dtype=F64)
    # data of unit variance: x_t has unit variance at all times, its score is -x, the wrong one -c x
    g2 = path.g_squared(t)
    rate = 0.5 * g2 - c * g2  # drift of the reversed SDE over x: r x + g^2 s_c, with r = g^2/2 for VP
    variance = torch.ones((), dtype=F64)
    for k in range(n):
        variance = variance + (2 * rate[k] * variance + g2[k]) / n
    divergence = 0.5 * (1 / variance - 1 + variance.log())
    bound = 0.5 * float(torch.trapezoid(g2, t)) * (c - 1) ** 2
    assert 0 < float(divergence) < bound
    # the same bound from the loss: what a draw costs above the least that any score can reach
    source = torch.Generator().manual_seed(0)
    x1, times = (
        torch.randn(200_000, 1, generator=source, dtype=F64),
        torch.rand(200_000, generator=source, dtype=F64),
    )
    loss = ScoreLoss(path, weighting="likelihood", antithetic=False)
    gaps = [
        loss(lambda x, t, cond, k=k: -k * x, x1=x1, t=times, generator=torch.Generator().manual_seed(3))
        for k in (c, 1.0)
    ]
    gap = 0.5 * (gaps[0] - gaps[1])
    assert abs(float(gap.mean()) - bound) < 5 * float(gap.std()) / math.sqrt(len(gap))
