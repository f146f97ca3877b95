"""Random scales of data sets: conditioning by hand, laws that are recovered, wide networks, refusals."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.foundations.tell import FitWarning
from interpolants.sciml.gp.kernels.infinite_width import NNGP
from interpolants.sciml.gp.scale_evidence import Groups
from interpolants.sciml.gp.scale_mixture_gp import ScaleMixtureGP

KNOWN = {"weight": math.sqrt(2), "bias": 0.3, "noise": 0.1, "standardize": False, "depth": 2}


def simulated(tasks, n=12, shape=1.5, rate=1.5, seed=0):
    """Data sets with a scale each: inputs ``(T, n, 3)`` and values ``(T, n)``."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(tasks, n, 3, dtype=torch.float64, generator=g)
    k = NNGP(2).covariance(x, x, weight=math.sqrt(2), bias=0.3) + 0.01 * torch.eye(n, dtype=torch.float64)
    scale = rate / torch._standard_gamma(torch.full((tasks,), shape, dtype=torch.float64), generator=g)
    z = torch.randn(tasks, n, 1, dtype=torch.float64, generator=g)
    return x, scale.sqrt()[:, None] * (torch.linalg.cholesky(k) @ z)[..., 0]


def fit(x, y, **settings):
    group = torch.arange(len(x))[:, None].expand(y.shape).reshape(-1)
    model = ScaleMixtureGP(**{**KNOWN, **settings})
    return model.fit(x.reshape(-1, x.shape[-1]), y.reshape(-1), group=group)


def test_a_prediction_is_the_conditional_of_a_multivariate_t():
    x, y = simulated(1, 8)
    model = ScaleMixtureGP(shape=1.7, rate=0.9, **KNOWN).fit(x[0, :6], y[0, :6])
    k = NNGP(2).covariance(x[0], x[0], weight=math.sqrt(2), bias=0.3) + 0.01 * torch.eye(
        8, dtype=torch.float64
    )
    solved = torch.linalg.solve(k[:6, :6], torch.stack([y[0, :6], k[:6, 6]], 1))
    mean, variance = k[6, :6] @ solved[:, 0], k[6, 6] - k[6, :6] @ solved[:, 1]
    scale = (0.9 + y[0, :6] @ solved[:, 0] / 2) / (1.7 + 3)
    law = stats.t(df=2 * 1.7 + 6, loc=float(mean), scale=float((scale * variance).sqrt()))
    answer = model.predict(x[0, 6:7])
    assert float(answer.log_prob(y[0, 6:7, None])) == pytest.approx(law.logpdf(float(y[0, 6])), abs=1e-6)
    assert float(answer.quantile(0.95)) == pytest.approx(law.ppf(0.95), abs=1e-6)
    asked = model.predict(x[0, 6:7], law="ensemble")
    before = model.set_params(law="ensemble").predict(x[0, 6:7])
    assert torch.equal(asked.quantile(0.95), before.quantile(0.95))
    law = stats.t(df=3.4, loc=float(mean), scale=float((0.9 / 1.7 * variance).sqrt()))
    assert float(before.quantile(0.95)) == pytest.approx(law.ppf(0.95), abs=1e-6)


def test_evidences_add_up_to_predictions():
    """``log p(y_1, y_2) = log p(y_1) + log p(y_2 | y_1)``, for padded groups too."""
    x, y = simulated(2, 4)
    group = torch.tensor([0, 0, 0, 0, 1, 1])
    rows, values = torch.cat([x[0], x[1, :2]]), torch.cat([y[0], y[1, :2]])
    settings = {"shape": 2.0, "rate": 1.0, **KNOWN}
    less = ScaleMixtureGP(**settings).fit(rows[:5], values[:5], group=group[:5])
    more = ScaleMixtureGP(**settings).fit(rows, values, group=group)
    added = float(less.predict(rows[5:], group=group[5:]).log_prob(values[5:, None]))
    assert more.log_evidence - less.log_evidence == pytest.approx(added, abs=1e-6)


def test_the_law_of_the_scale_is_found_and_it_beats_one_scale_for_all():
    """300 data sets to learn from, 500 others of 6 + 6 values."""
    x, y = simulated(800)
    shape, rate = fit(x[:300], y[:300]).scale_law
    assert shape == pytest.approx(1.5, rel=0.2)
    assert rate == pytest.approx(1.5, rel=0.2)
    _, one = fit(x[:300], y[:300], shape="infinite").scale_law
    loss = {}
    for name, law in (
        ("t", {"shape": shape, "rate": rate}),
        ("gaussian", {"shape": "infinite", "rate": one}),
    ):
        known, whole = (fit(x[300:, :n], y[300:, :n], **law).log_evidence for n in (6, 12))
        loss[name] = -(whole - known) / 3000
    assert loss["t"] < loss["gaussian"] - 0.15


def test_everything_may_be_learnt_and_units_come_back():
    x, y = simulated(60)
    model = fit(x, 100 * y + 5, **dict.fromkeys(("weight", "bias", "noise"), "auto"), standardize=True)
    shape, rate = model.scale_law
    assert shape == pytest.approx(1.5, rel=0.4)
    assert rate == pytest.approx(1.5e4, rel=0.8)
    plain = fit(x, y, **dict.fromkeys(("weight", "bias", "noise"), "auto"), standardize=True)
    group = torch.zeros(12, dtype=torch.long)
    assert_close(
        model.predict(x[0], group=group).mean,
        100 * plain.predict(x[0], group=group).mean + 5,
        rtol=1e-3,
        atol=1e-3,
    )
    assert model.log_evidence == pytest.approx(plain.log_evidence - y.numel() * math.log(100), rel=1e-4)


def test_wide_networks_with_a_random_last_layer_are_students_t():
    """8000 networks of width 400 at one input: t with 4 degrees of freedom, and no Gaussian of its variance."""
    g, n, width = torch.Generator().manual_seed(0), 8000, 400
    x = torch.tensor([[0.7, -1.2, 0.4]], dtype=torch.float64)
    hidden = (torch.randn(n, width, 3, generator=g, dtype=torch.float64) @ x[0] / math.sqrt(3)).relu()
    scale = 1.5 / torch._standard_gamma(torch.full((n,), 2.0, dtype=torch.float64), generator=g)
    last = torch.randn(n, width, generator=g, dtype=torch.float64) * (scale / width).sqrt()[:, None]
    output = (hidden * last).sum(1).numpy()
    k = float(NNGP(1).variance(x))
    spread = math.sqrt(1.5 / 2 * k)
    assert stats.kstest(output, stats.t(df=4, scale=spread).cdf).pvalue > 0.05
    assert stats.kstest(output, stats.norm(scale=spread * math.sqrt(2)).cdf).pvalue < 1e-6


def test_for_one_data_set_the_process_is_nearly_gaussian():
    """The honest negative: 200 values tell the scale, and a random one gains nothing."""
    x, y = simulated(1, 260)
    law = {"weight": "auto", "bias": "auto", "noise": "auto"}
    t, one = (
        ScaleMixtureGP(**{**KNOWN, **law, "shape": shape, "steps": 15}).fit(x[0, :200], y[0, :200])
        for shape in (2.0, "infinite")
    )
    loss = [float(-m.predict(x[0, 200:]).log_prob(y[0, 200:, None]).mean()) for m in (t, one)]
    assert abs(loss[0] - loss[1]) < 0.02


def test_white_values_of_a_table_with_named_groups():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"month": np.tile(np.arange(6), 20), "stock": np.repeat([f"s{i:02}" for i in range(20)], 6)}
    )
    values = pd.Series(rng.normal(0, np.repeat(np.where(np.arange(20) < 10, 0.1, 1.0), 6)), name="return")
    model = ScaleMixtureGP(kernel="white").fit(frame[["month"]], values, group=frame["stock"])
    answer = model.predict(pd.DataFrame({"month": [7, 7]}), group=["s03", "s13"]).table()
    assert list(answer.columns)[:2] == ["return_mean", "return_std"]
    assert answer["return_std"][0] < 0.3 < 0.5 < answer["return_std"][1]
    assert model.noise_std == 1.0


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"shape": 0.0}, "shape must be .* > 0"),
        ({"shape": "infinit"}, "shape must be one of"),
        ({"rate": -1.0}, "rate"),
        ({"kernel": "tanh"}, "kernel must be one of"),
        ({"law": "prior"}, "law must be one of"),
        ({"depth": 0}, "depth"),
    ],
)
def test_settings_that_are_none_are_refused(settings, told):
    with pytest.raises(InvalidInputError, match=told):
        ScaleMixtureGP(**settings)


def test_data_that_do_not_fit_are_refused():
    x, y = torch.zeros(4, 2), torch.ones(4)
    with pytest.raises(InvalidInputError, match=r"values \(N,\) or \(N, 1\)"):
        ScaleMixtureGP().fit(x, torch.zeros(4, 2))
    with pytest.raises(InvalidInputError, match="finite"):
        ScaleMixtureGP().fit(x, torch.tensor([1.0, math.nan, 0, 0]))
    model = ScaleMixtureGP(kernel="white").fit(x, y, group=torch.tensor([0, 0, 2, 2]))
    with pytest.raises(InvalidInputError, match="group must be one of the fit, got 1"):
        model.predict(x[:2], group=torch.tensor([0, 1]))


def test_few_degrees_of_freedom_have_an_infinite_variance_and_it_is_told_as_such():
    model = ScaleMixtureGP(kernel="white", shape=0.4, rate=1.0, law="ensemble", standardize=False)
    answer = model.fit(torch.zeros(3, 1), torch.tensor([0.0, 1.0, 2.0])).predict(torch.zeros(1, 1))
    with pytest.warns(FitWarning, match="1 of 1 rows"):
        assert math.isinf(float(answer.std))
    assert math.isfinite(float(answer.quantile(0.9)))


def test_values_without_noise_are_interpolated():
    draw = np.random.default_rng(0)
    x = np.stack([draw.uniform(0, 1, 40), draw.uniform(0, 100, 40)], 1)
    y = np.sin(6 * x[:, 0]) + x[:, 1] / 50
    model = ScaleMixtureGP(depth=2, steps=8).fit(x, y)  # trial steps of the search lead to what has no factor
    assert model.predict(x).mean == pytest.approx(y, abs=0.05)


def test_a_trial_with_infinite_hyperparameters_is_one_too_far():
    """The line search goes there for linear values of eight columns; the eigenvalues of NaN ended in LinAlgError."""
    x = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = ScaleMixtureGP()
    groups = Groups.of(x, x[:, 0], torch.zeros(6, dtype=torch.long))
    found = {
        n: torch.tensor(v, dtype=torch.float64) for n, v in (("weight", 0.3), ("bias", 400.0), ("noise", 0.0))
    }
    with pytest.raises(DivergedError, match=r"a covariance is not finite\. Use a larger noise"):
        model._factored(groups, found)


@pytest.mark.parametrize("prior", ["gamma", "lognormal"])
def test_other_laws_of_the_scale_condition_by_quadrature(prior):
    """``log p(y_1, y_2) = log p(y_1) + log p(y_2 | y_1)`` for rows together and one by one; groups are independent."""
    x, y = simulated(2, 6)
    settings = {"shape": 2.0, "rate": 1.2, "prior": prior, **KNOWN}
    group = torch.tensor([0, 0, 0, 1, 1, 1, 0, 0, 1])
    rows, values = (
        torch.cat([x[0, :3], x[1, :3], x[0, 3:5], x[1, 3:4]]),
        torch.cat([y[0, :3], y[1, :3], y[0, 3:5], y[1, 3:4]]),
    )
    less = ScaleMixtureGP(**settings).fit(rows[:6], values[:6], group=group[:6])
    more = ScaleMixtureGP(**settings).fit(rows, values, group=group)
    together = less.predict(rows[6:], group=group[6:], joint=True)
    assert float(together.log_prob(values[6:])) == pytest.approx(
        more.log_evidence - less.log_evidence, abs=1e-6
    )
    one = ScaleMixtureGP(**settings).fit(rows[:7], values[:7], group=group[:7])
    alone = less.predict(rows[6:7], group=group[6:7])
    assert float(alone.log_prob(values[6:7])) == pytest.approx(one.log_evidence - less.log_evidence, abs=1e-6)
    before = less.set_params(law="ensemble").predict(rows[:1], group=group[:1])
    assert before.log_weight.exp().sum(0).tolist() == pytest.approx([1.0])


def test_a_gamma_law_is_found_again():
    g = torch.Generator().manual_seed(5)
    scale = torch._standard_gamma(torch.full((400,), 3.0, dtype=torch.float64), generator=g) * 0.5 / 3
    x = torch.zeros(400, 12, 3, dtype=torch.float64)
    z = torch.randn(400, 12, dtype=torch.float64, generator=g) * scale.sqrt()[:, None]
    settings = {"kernel": "white", "standardize": False, "prior": "gamma"}
    group = torch.arange(400)[:, None].expand(z.shape).reshape(-1)
    model = ScaleMixtureGP(**settings).fit(x.reshape(-1, 3), z.reshape(-1), group=group)
    a, rate = model.scale_law
    assert a == pytest.approx(3.0, rel=0.25)
    assert rate / a == pytest.approx(0.5, rel=0.1)
    other = ScaleMixtureGP(**{**settings, "prior": "inverse_gamma"}).fit(
        x.reshape(-1, 3), z.reshape(-1), group=group
    )
    assert model.log_evidence > other.log_evidence


def test_joint_draws_of_a_group_share_one_scale():
    x, y = simulated(1, 4)
    model = ScaleMixtureGP(shape=1.5, rate=1.5, law="ensemble", **{**KNOWN, "kernel": "white"}).fit(
        x[0], y[0]
    )
    answer = model.predict(x[0, :2], joint=True)
    truth = stats.multivariate_t(answer.loc[0, :, 0], torch.diag(answer.scale[0, :, 0].square()), df=3.0)
    assert float(answer.log_prob(y[0, :2])) == pytest.approx(truth.logpdf(y[0, :2]))
