"""Penalties: zero for exact fields, known values for wrong ones, and a training that they change."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.fields import continuity_residual
from interpolants.foundations.derivatives import gradient
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.registry import build
from interpolants.objectives import (
    ConservativityPenalty,
    EnergyLoss,
    FokkerPlanckResidual,
    JointLoss,
    LogDensityLoss,
    NoiseLoss,
    ScoreFokkerPlanckResidual,
    StratifiedTimes,
    VelocityLoss,
    joint_loss,
)
from interpolants.paths import VP, Linear, OneSidedLinear
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge
from interpolants.training import TrainSettings, learn_fields

F64 = torch.float64
DATA, START = GaussianMixture.random(3, 2, 1.0, 0), GaussianMixture.random(2, 2, 1.0, 1)
SMALL = {"kind": "mlp", "width": 16, "depth": 2}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def exact(path):
    return GaussianMixtureBridge(path.base if path.is_one_sided else START, DATA).fields(path)


def wrong(x, t, cond=None):
    return -0.3 * x.square().sum(1) + torch.sin(x[:, 0] + 2 * t)


# --- values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [OneSidedLinear(), VP(bmin=1.0, bmax=8.0)])
def test_exact_fields_pay_nothing(path):
    fields, x1 = exact(path), DATA.sample(30, generator=seeded())
    paid = FokkerPlanckResidual(path)(lambda x, t, c: fields.log_prob(x, t), x1=x1, generator=seeded())
    assert float(paid.detach().max()) < 1e-16
    for quantity in ("score", "noise", "velocity"):
        term = ScoreFokkerPlanckResidual(path, quantity=quantity)
        paid = term(lambda x, t, c, q=quantity: fields.evaluate(x, t, (q,))[q], x1=x1, generator=seeded())
        assert float(paid.detach().max()) < 1e-12
    paid = ConservativityPenalty(path)(lambda x, t, c: fields.score(x, t), x1=x1, generator=seeded())
    assert float(paid.detach().max()) < 1e-16


def test_a_two_sided_path_pays_for_the_density_that_does_not_belong_to_its_velocity():
    path = Linear()
    fields, term = exact(path), FokkerPlanckResidual(Linear())
    x1, x0 = DATA.sample(30, generator=seeded()), START.sample(30, generator=seeded(1))
    points = term.draw(x0, x1, None, seeded(2))
    beside = {"mean_rate": lambda x, t, c: fields.mean_rate(x, t)}
    paid = term.at(lambda x, t, c: fields.log_prob(x, t), points, beside=beside)
    assert float(paid.detach().max()) < 1e-15
    paid = term.at(lambda x, t, c: 0.9 * fields.log_prob(x, t), points, beside=beside)
    assert float(paid.detach().mean()) > 1e-2


def test_the_penalty_is_the_squared_residual_at_the_states_it_draws():
    term, x1 = FokkerPlanckResidual(OneSidedLinear(), points=50), DATA.sample(30, generator=seeded())
    points = term.draw(None, x1, None, seeded(3))
    assert points.x.shape == (50, 2)
    assert_close(points.t, points.t.sort().values)
    assert 1e-3 <= float(points.t.min()) < 0.03
    assert 0.97 < float(points.t.max()) <= 1 - 1e-3
    wanted = continuity_residual(OneSidedLinear(), wrong, points.x, points.t).value.square()
    assert_close(term(wrong, x1=x1, generator=seeded(3)), wanted)


def test_the_residual_of_a_score_is_the_gradient_of_that_of_its_density():
    path, x1 = OneSidedLinear(), DATA.sample(30, generator=seeded())
    points = FokkerPlanckResidual(path).draw(None, x1, None, seeded(3))

    def score(x, t, cond=None):
        return gradient(lambda y: wrong(y, t), x)

    wanted = gradient(lambda y: continuity_residual(path, wrong, y, points.t).value, points.x)
    found = ScoreFokkerPlanckResidual(path).at(score, points)
    assert_close(found, wanted.square().mean(1))


def test_each_stratum_of_the_times_has_one_that_is_uniform_in_it():
    """5 standard errors of 2000 draws, seed 0."""
    term = FokkerPlanckResidual(OneSidedLinear(), points=2000, margin=0.1)
    t = term.draw(None, DATA.sample(10, generator=seeded()), None, seeded()).t
    place = 2000 * (t - 0.1) / 0.8
    assert torch.equal(place.floor(), torch.arange(2000).to(place))
    within = place.frac()
    assert float(within.mean()) == pytest.approx(1 / 2, abs=5 * math.sqrt(1 / 12 / 2000))
    assert float(within.square().mean()) == pytest.approx(1 / 3, abs=5 * math.sqrt(4 / 45 / 2000))


def test_a_linear_field_pays_the_norm_of_its_skew_part():
    """E |(A - A^T) v|^2 / D = |A - A^T|^2 / D for signs v; 4000 states, seed 0, within 4.5 standard errors."""
    a = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=F64)
    term, x1 = ConservativityPenalty(OneSidedLinear(), points=4000), DATA.sample(100, generator=seeded())
    paid = term(lambda x, t, c: x @ a.T, x1=x1, generator=seeded())
    wanted = float((a - a.T).square().sum()) / 2
    assert abs(float(paid.mean()) - wanted) < 4.5 * float(paid.std()) / math.sqrt(4000) + 1e-12


def test_a_share_of_the_states_comes_from_the_box_and_conditions_stay_with_their_rows():
    term = FokkerPlanckResidual(OneSidedLinear(), points=400, box=(-50.0, 50.0), box_share=0.25)
    x1, labels = DATA.sample(100, generator=seeded()), torch.arange(100)
    points = term.draw(None, x1, labels, seeded(1))
    far = points.x.abs().amax(1) > 10
    assert 70 < int(far.sum()) <= 100  # 1 - (1/5)^2 of the hundred
    assert float(points.x.abs().max()) <= 50
    assert far.nonzero().flatten().diff().float().max() < 40  # at all times
    assert_close(points.cond, torch.arange(400) % 100)


# --- losses of a scalar -------------------------------------------------------------------------------------


def test_the_loss_of_a_log_density_is_that_of_the_noise_of_its_gradient():
    path = OneSidedLinear()
    x1, t = DATA.sample(20, generator=seeded()), StratifiedTimes().sample(20, generator=seeded()).t.double()
    found = LogDensityLoss(path)(wrong, x1=x1, t=t, generator=seeded(4))
    wanted = NoiseLoss(path)(
        lambda x, s, c: -path.alpha(s)[:, None] * gradient(lambda y: wrong(y, s), x),
        x1=x1,
        t=t,
        generator=seeded(4),
    )
    assert_close(found, wanted)
    assert_close(
        joint_loss(("log_density",), path)(wrong, x1=x1, t=t, generator=seeded(4))["log_density"], found
    )


def test_a_loss_that_differentiates_its_network_may_be_alone_and_nothing_else():
    path = OneSidedLinear()
    assert JointLoss([EnergyLoss(path)]).heads == ("energy",)
    with pytest.raises(InvalidInputError, match="cannot share a trunk, or be weighted, got LogDensityLoss"):
        JointLoss([VelocityLoss(path), LogDensityLoss(path)])


# --- training -----------------------------------------------------------------------------------------------


def residual_after(weight, steps=150):
    x1 = DATA.sample(2000, generator=seeded()).float()
    path = OneSidedLinear()
    settings = TrainSettings(steps=steps, batch_size=128, lr=3e-3, seed=0)
    term = FokkerPlanckResidual(path, weight=weight, points=64)
    learnt = learn_fields(
        path,
        None,
        x1,
        heads=("log_density",),
        net={**SMALL, "width": 32},
        penalties=[term],
        settings=settings,
    )
    points = FokkerPlanckResidual(path, points=1000).draw(None, x1, None, seeded(5))
    with torch.no_grad():
        found = continuity_residual(path, learnt.net, points.x, points.t).value
    return float(found.square().mean()), learnt


@pytest.mark.slow
def test_training_with_the_penalty_leaves_less_residual():
    without, plain = residual_after(0.0)
    with_it, learnt = residual_after(0.1)
    assert with_it < 0.7 * without
    assert "fokker_planck" in learnt.result.history[-1]
    assert "fokker_planck" not in plain.result.history[-1]  # a weight of zero costs nothing
    assert learnt.fields.log_density_of() is not None


# --- refusals -----------------------------------------------------------------------------------------------


def test_a_score_is_refused_where_a_density_is_asked_for():
    path = OneSidedLinear()
    with pytest.raises(
        InvalidInputError,
        match=r"log_density alone, got \('score',\).*ScoreFokker",
    ):
        learn_fields(
            path, None, DATA.sample(9).float(), heads=("score",), penalties=[FokkerPlanckResidual(path)]
        )
    with pytest.raises(InvalidInputError, match=r"must have shape \(9,\), got \(9, 2\)"):
        FokkerPlanckResidual(path)(lambda x, t, c: x, x1=DATA.sample(9))


def test_kinks_are_refused():
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU())
    with pytest.raises(InvalidInputError, match="FokkerPlanckResidual: activations must be smooth"):
        FokkerPlanckResidual(OneSidedLinear())(net, x1=DATA.sample(9))


def test_a_box_that_does_not_hold_the_data_is_refused():
    term = FokkerPlanckResidual(OneSidedLinear(), box=(-0.1, 0.1), box_share=0.5)
    with pytest.raises(
        InvalidInputError, match=r"box must cover the data, got \[-0.1, 0.1\] for data in .*Widen it"
    ):
        term(wrong, x1=DATA.sample(50, generator=seeded()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"box": (-1.0, 1.0)}, "box and box_share go together"),
        ({"box_share": 0.5}, "box and box_share go together"),
        ({"box": (1.0, -1.0), "box_share": 0.5}, "box must be a low and a high value"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InvalidInputError, match=message):
        FokkerPlanckResidual(OneSidedLinear(), **settings)


def test_a_penalty_is_made_by_its_name():
    made = build(
        "penalty", "fokker_planck_residual", path=OneSidedLinear(), weight=0.2, box=[-3, 3], box_share=0.1
    )
    assert made.weight == 0.2


def test_times_of_half_precision_states_keep_their_margin():
    """In bfloat16 the last of them would be 1 itself."""
    penalty, x1 = (
        ConservativityPenalty(OneSidedLinear(), points=1000),
        torch.zeros(6, 2, dtype=torch.bfloat16),
    )
    t = penalty.draw(None, x1, None, torch.Generator().manual_seed(0)).t
    assert t.dtype == torch.float32
    assert 1e-3 <= float(t.min()) <= float(t.max()) < 1
