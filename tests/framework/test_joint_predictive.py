"""Joint answers: draws, covariance and log density of rows together, against closed forms and brute force."""

import math

import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import FitWarning
from interpolants.framework import stored
from interpolants.framework.answers import JointRows, Predictive
from interpolants.framework.capabilities import NotAbleError
from interpolants.methods import ExactGP, MeanValue

LOC = torch.tensor([[0.5, -1.0, 2.0]], dtype=torch.float64)[..., None]
COVARIANCE = torch.tensor([[2.0, 0.9, 0.3], [0.9, 1.0, -0.2], [0.3, -0.2, 0.5]], dtype=torch.float64)
VARIANCE = COVARIANCE.diagonal()
POINTS = torch.tensor([0.1, -0.3, 2.5], dtype=torch.float64)


def together(df=math.inf, **more):
    joint = JointRows.of(COVARIANCE[None], VARIANCE[None])
    return Predictive(loc=LOC, scale=VARIANCE.sqrt()[None, :, None], df=df, joint=joint, **more)


def test_a_gaussian_is_the_multivariate_normal():
    answer = together()
    truth = stats.multivariate_normal(LOC[0, :, 0], COVARIANCE)
    assert_close(float(answer.log_prob(POINTS)), truth.logpdf(POINTS))
    assert_close(answer.covariance[0], COVARIANCE)


def test_one_scale_for_all_rows_is_the_multivariate_t():
    truth = stats.multivariate_t(LOC[0, :, 0], COVARIANCE, df=5.0)
    for df in (5.0, torch.full((3,), 5.0, dtype=torch.float64)):
        answer = together(df)
        assert_close(float(answer.log_prob(POINTS)), float(truth.logpdf(POINTS)))
        assert_close(answer.covariance[0], COVARIANCE * 5 / 3)


def test_a_mixture_shares_its_component_over_rows():
    loc = torch.cat([LOC, LOC + torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)[:, None]])
    scale = torch.stack([VARIANCE.sqrt(), 2 * VARIANCE.sqrt()])[..., None]
    weight = torch.tensor([0.3, 0.7], dtype=torch.float64)
    joint = JointRows.of(COVARIANCE[None], VARIANCE[None])
    answer = Predictive(loc=loc, scale=scale, log_weight=weight.log()[:, None].expand(2, 3), joint=joint)
    parts = [stats.multivariate_normal(loc[k, :, 0], (1, 4)[k] * COVARIANCE).pdf(POINTS) for k in (0, 1)]
    assert_close(float(answer.log_prob(POINTS)), math.log(0.3 * parts[0] + 0.7 * parts[1]))
    apart = loc[1, :, 0] - loc[0, :, 0]
    assert_close(answer.covariance[0], (0.3 + 4 * 0.7) * COVARIANCE + 0.21 * torch.outer(apart, apart))
    assert_close(answer.covariance[0].diagonal(), answer.std[:, 0].square())


def test_rows_independent_given_the_component_are_whole_functions():
    loc = torch.tensor([[0.0, 1.0], [5.0, -4.0]], dtype=torch.float64)[..., None]
    answer = Predictive(loc=loc, scale=torch.full_like(loc, 0.1), joint=JointRows())
    y = torch.tensor([5.1, -4.1], dtype=torch.float64)
    truth = math.log(0.5) + stats.norm(0, 0.1).logpdf([0.1, -0.1]).sum()
    assert_close(float(answer.log_prob(y)), float(truth))
    draws = answer.sample(400, seed=1)[..., 0]
    assert bool(((draws[:, 0] > 2.5) == (draws[:, 1] < -1.5)).all())
    assert_close(answer.covariance[0], torch.tensor([[6.26, -6.25], [-6.25, 6.26]], dtype=torch.float64))


@pytest.mark.parametrize("df", [math.inf, 7.0])
def test_the_log_density_is_the_product_of_conditionals(df):
    answer = together(df)
    total = torch.zeros((), dtype=torch.float64)
    for k in range(3):  # the density of the first k + 1 values over that of the first k
        first, before = (torch.where(torch.arange(3) < m, POINTS, math.nan) for m in (k + 1, k))
        total = total + answer.log_prob(first) - answer.log_prob(before)
    assert_close(answer.log_prob(POINTS), total)
    alone = torch.where(torch.arange(3) == 1, POINTS, math.nan)
    marginal = Predictive(loc=LOC, scale=VARIANCE.sqrt()[None, :, None], df=df)
    assert_close(answer.log_prob(alone), marginal.log_prob(alone)[1])


def test_groups_are_independent_and_have_tails_of_their_own():
    group = torch.tensor([4, 4, 9])
    joint = JointRows.of(COVARIANCE[None], VARIANCE[None], group)
    df = torch.tensor([3.0, 3.0, 6.0], dtype=torch.float64)
    answer = Predictive(loc=LOC, scale=VARIANCE.sqrt()[None, :, None], df=df, joint=joint)
    mean = LOC[0, :, 0]
    parts = stats.multivariate_t(mean[:2], COVARIANCE[:2, :2], df=3.0).logpdf(POINTS[:2])
    parts = parts + stats.t(6.0, mean[2], VARIANCE[2].sqrt()).logpdf(POINTS[2])
    assert_close(float(answer.log_prob(POINTS)), float(parts))
    assert answer.covariance[0, 0, 2] == 0
    assert_close(
        answer.rows(slice(2, 3)).log_prob(POINTS[2:]),
        answer.log_prob(torch.where(group == 9, POINTS, math.nan)),
    )


def test_draws_have_the_covariance_and_one_scale():
    answer = together(df=6.0)
    draws = answer.sample(3000, seed=3)[..., 0]
    error = (
        5 * 5.0 / 3000**0.5
    )  # five standard errors of a square of such a variable of variance 3: 3 sqrt(5) / sqrt(n)
    assert_close(draws.T.cov(), COVARIANCE * 1.5, atol=error, rtol=0)
    white = (draws - LOC[0, :, 0]) @ torch.linalg.inv(torch.linalg.cholesky(COVARIANCE)).T
    # For one scale the sizes of uncorrelated values are correlated: 0.17 for 6 degrees of freedom, 0 for three scales.
    sizes = white.abs().T.corrcoef()
    assert 0.08 < float(sizes[0, 1]) < 0.3
    ks = stats.kstest(draws[:, 0] - 0.5, stats.t(6.0, 0, 2**0.5).cdf)
    assert ks.pvalue > 1e-3


def test_the_quantile_of_a_sum_needs_a_joint_answer():
    n = 6
    covariance = 0.5 * torch.eye(n, dtype=torch.float64) + 0.5
    joint = JointRows.of(covariance[None], torch.ones(1, n, dtype=torch.float64))
    ones = torch.ones(1, n, 1, dtype=torch.float64)
    answer = Predictive(loc=0 * ones, scale=ones, joint=joint)
    closed = stats.norm.ppf(0.01) * float(covariance.sum()) ** 0.5
    draws = answer.sample(1500, seed=0)[..., 0].sum(1)
    apart = Predictive(loc=0 * ones, scale=ones).sample(1500, seed=0)[..., 0].sum(1)
    error = (
        5
        * (0.01 * 0.99 / 1500) ** 0.5
        / (stats.norm.pdf(stats.norm.ppf(0.01)) / float(covariance.sum()) ** 0.5)
    )
    assert abs(float(draws.quantile(0.01)) - closed) < error
    assert float(apart.quantile(0.01)) > closed + 4


def test_draws_belong_to_their_seed_and_equal_rows_are_equal():
    x = torch.tensor([[0.2], [0.2], [0.7]], dtype=torch.float64)
    noise = 0.1 * torch.randn(12, generator=torch.Generator().manual_seed(0))
    gp = ExactGP(steps=5).fit(torch.linspace(0, 1, 12)[:, None], (6 * torch.linspace(0, 1, 12)).sin() + noise)
    answer = gp.predict(x, noise=False, joint=True)
    draws = answer.sample(5, seed=2)
    assert torch.equal(draws, gp.predict(x, noise=False, joint=True).sample(7, seed=2)[:5])
    assert not torch.equal(draws, answer.sample(5, seed=3))
    spread = float(answer.scale.max())
    assert_close(draws[:, 0], draws[:, 1], atol=1e-3 * spread, rtol=0)
    with pytest.raises(InvalidInputError, match="no row of a joint answer may be certain, got row 1"):
        answer.log_prob(torch.zeros(3))


def test_draws_of_a_smooth_function_at_neighbours_agree():
    x = torch.linspace(0, 1, 8, dtype=torch.float64)[:, None]
    gp = ExactGP(smoothness=2.5, steps=20).fit(x, (7 * x[:, 0]).sin())
    near = torch.tensor([[0.49], [0.51]], dtype=torch.float64)
    correlation = gp.predict(near, noise=False, joint=True).sample(600)[..., 0].T.corrcoef()[0, 1]
    apart = gp.predict(near, noise=False).sample(600)[..., 0].T.corrcoef()[0, 1]
    assert correlation > 0.95
    assert abs(apart) < 0.2


def test_the_joint_answer_of_a_process_is_the_posterior_by_brute_force():
    g = torch.Generator().manual_seed(0)
    x, y = (
        torch.rand(20, 2, dtype=torch.float64, generator=g),
        torch.randn(20, 2, dtype=torch.float64, generator=g),
    )
    gp = ExactGP(steps=8).fit(x, y)
    new = torch.rand(70, 2, dtype=torch.float64, generator=g)
    answer = gp.predict(new, joint=True)
    marginal = gp.predict(new)
    assert_close(answer.mean, marginal.mean)
    assert_close(answer.std, marginal.std)
    # p(new | data) = p(new, data) / p(data), both by the prior covariance of all rows.
    state = gp.state
    lag = torch.cat([new, x])[:, None] - torch.cat([new, x])
    size = 3**0.5 * lag.abs() / state["log_shape"].exp()
    prior = state["log_variance"].exp() * ((1 + size) * (-size).exp()).prod(-1)
    noise = float(state["log_noise"].exp())
    prior = prior + noise * torch.eye(90, dtype=torch.float64)
    prior[70:, 70:] += 1e-8 * (1 + state["log_variance"].exp()) * torch.eye(20, dtype=torch.float64)
    gain = torch.linalg.solve(prior[70:, 70:], prior[70:, :70]).T
    truth = prior[:70, :70] - gain @ prior[:70, 70:].T
    for c in (0, 1):
        assert_close(answer.covariance[c], state["scale"][c] ** 2 * truth, atol=1e-8, rtol=1e-6)


def test_where_there_is_no_joint_distribution_it_is_refused_with_a_sentence():
    x, y = torch.arange(5.0)[:, None], torch.arange(5.0)
    with pytest.raises(NotAbleError, match=r"MeanValue.predict: joint must be False, got True"):
        MeanValue().fit(x, y).predict(x, joint=True)
    MeanValue().fit(x, y).predict(x, joint=False)
    with pytest.raises(InvalidInputError, match="joint must be True or False, got 'yes'"):
        ExactGP(steps=2).fit(x, y).predict(x, joint="yes")
    with pytest.raises(InvalidInputError, match="a joint answer must have at most 5000 rows, got 5001"):
        ExactGP(steps=2).fit(x, y).predict(torch.zeros(5001, 1), joint=True)
    with pytest.raises(
        InvalidInputError, match=r"Predictive.covariance: the answer must be joint.* joint=True"
    ):
        ExactGP(steps=2).fit(x, y).predict(x).covariance  # noqa: B018


def test_an_infinite_spread_warns():
    with pytest.warns(FitWarning, match="3 of 3 rows have 2 <= 2 degrees of freedom"):
        assert bool(torch.isinf(together(df=2.0).std).all())
    with pytest.warns(FitWarning, match="Predictive.covariance"):
        assert bool(torch.isinf(together(df=1.5).covariance).all())
    together(df=2.1).std  # noqa: B018


def test_a_joint_answer_is_kept_and_shows_its_covariance(tmp_path):
    answer = together(df=4.0)
    back = stored.read(stored.write(tmp_path / "t", {"answer": answer}))["answer"]
    assert_close(back.log_prob(POINTS), answer.log_prob(POINTS))
    columns = answer.columns()
    assert_close(columns["y0_cov_2"], answer.covariance[0, :, 2])
    assert "y0_cov_0" not in Predictive(loc=LOC, scale=LOC.abs()).columns()
