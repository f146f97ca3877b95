"""The forecaster: learns a known transition, members that belong to (start, member), storage, refusals."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import interpolants
from interpolants.dynamics.sample_from_point import sample_from_point
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import key
from interpolants.framework.answers import Ensemble
from interpolants.methods import Climatology, Forecaster, Persistence
from interpolants.metrics import verify_forecast
from interpolants.paths import Diffusive
from interpolants.problems import NoisyLorenz, RotatingMixture

PROBLEM = RotatingMixture()
NET = {"kind": "mlp", "width": 64, "depth": 2}


def pairs(problem, n, seed=0):
    now, later = problem.pairs(n, generator=torch.Generator().manual_seed(seed))
    return now.float(), later.float()


@pytest.fixture(scope="module")
def quick():
    """A forecaster of four hundred steps: rough, and all that the mechanics need."""
    forecaster = Forecaster(net=NET, seed=1, steps=400, batch_size=256, lr=5e-3, ema=0.98)
    return forecaster.fit(*pairs(PROBLEM, 5000))


@pytest.mark.slow
def test_it_learns_far_more_than_climatology_and_persistence(quick):
    train, (now, later) = pairs(PROBLEM, 5000), pairs(PROBLEM, 500, seed=9)
    scores = verify_forecast(
        quick.forecast(now, members=20, n_steps=20).x,
        later,
        climatology=Climatology().fit(*train).forecast(now, members=20).x,
        persistence=Persistence().fit(*train).forecast(now).x,
        oracle=PROBLEM.members(now, 20, generator=torch.Generator().manual_seed(1)),
    )
    own = {name: one.crps.value for name, one in scores.scores.items()}
    assert own["oracle"] < 1.02 * own["model"]
    assert own["model"] < 0.98 * own["climatology"]
    assert own["model"] < 0.6 * own["persistence"]
    assert scores.excess.value < 0.08
    assert scores.scores["persistence"].ranks is None


def test_a_member_depends_on_its_start_and_number_alone(quick):
    x = pairs(PROBLEM, 40, seed=3)[0]

    def members(x, count, **options):
        return quick.forecast(x, members=count, n_steps=4, **{"seed": 7, **options}).x

    whole = members(x, 20)
    assert whole.shape == (40, 20, 2)
    assert torch.equal(members(x, 5), whole[:, :5])
    assert torch.equal(members(x[17:30], 11, first_index=17), whole[17:30, :11])
    assert not torch.equal(members(x, 5, seed=8), whole[:, :5])
    # different members, different starts, different noise
    assert len(torch.unique(whole.reshape(-1, 2), dim=0)) == 800


def test_torch_s_default_type_does_not_matter(float64, tmp_path):
    now, later = (x.double() for x in pairs(PROBLEM, 200))
    net = {"kind": "mlp", "width": 16, "depth": 2}
    learnt = Forecaster(net=net, steps=5, batch_size=32).fit(now, later)
    members = learnt.forecast(now[:3], members=4, n_steps=4).x
    assert members.dtype == torch.float64
    assert {p.dtype for p in learnt.state["net"].parameters()} == {torch.float32}
    again = interpolants.load(learnt.save(tmp_path / "f"))
    assert torch.equal(again.forecast(now[:3], members=4, n_steps=4).x, members)


def test_states_far_from_zero_lose_nothing_to_single_precision():
    now, later = (x.double() for x in pairs(PROBLEM, 200))
    near = Forecaster(net=NET, steps=5, batch_size=32).fit(now, later)
    far = Forecaster(net=NET, steps=5, batch_size=32).fit(now + 2.0**30, later + 2.0**30)
    answers = [f.forecast(x, members=3, n_steps=4).x for f, x in ((near, now[:4]), (far, now[:4] + 2.0**30))]
    torch.testing.assert_close(answers[1] - 2.0**30, answers[0], atol=1e-4, rtol=1e-4)


def test_a_roll_out_goes_on_from_each_member(quick):
    x = pairs(PROBLEM, 6, seed=3)[0]
    future = quick.forecast(x, members=9, steps=3, n_steps=4, seed=7)
    assert future.x.shape == (6, 9, 3, 2)
    assert future.dims == ("time", "feature")
    assert future.times.tolist() == [1, 2, 3]
    one = quick.forecast(x, members=9, n_steps=4, seed=7)
    assert one.dims == ("feature",)
    assert torch.equal(future.x[:, :, 0], one.x)
    part = quick.forecast(x[2:4], members=3, steps=2, n_steps=4, seed=7, first_index=2)
    assert torch.equal(part.x, future.x[2:4, :3, :2])
    # member 0 by hand: from where it was, with noise that belongs to the second lag
    frame = quick.state["frame"]
    second = sample_from_point(
        quick.fields, frame.encode(future.x[:, 0, 0]), n_steps=4, seed=key(7, "forecast member", 1, 0)
    )
    torch.testing.assert_close(frame.decode(second.x), future.x[:, 0, 1])


def test_it_is_saved_and_read_back_to_the_bit(quick, tmp_path):
    x = pairs(PROBLEM, 8, seed=3)[0]
    again = interpolants.load(quick.save(tmp_path / "f"))
    assert torch.equal(again.forecast(x, members=3, n_steps=4).x, quick.forecast(x, members=3, n_steps=4).x)
    assert again.state["path"] == quick.state["path"]
    assert again.history == quick.history


class Own(nn.Module):
    """Of the user's own; it takes the state now as it comes."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(2 + 2 + 1, 2)

    def forward(self, x, t, cond):
        return self.line(torch.cat([x, cond["vector"], t.expand(len(x))[:, None]], 1))


def test_a_network_of_ones_own_is_passed_again(tmp_path):
    now, later = pairs(PROBLEM, 100)
    first = Forecaster(net=Own(), steps=3, batch_size=16).fit(now, later)
    again = interpolants.load(first.save(tmp_path / "f"), net=Own())
    answers = [f.forecast(now[:4], members=3, n_steps=4).x for f in (first, again)]
    assert torch.equal(*answers)


@pytest.mark.parametrize("path", ["auto", "linear"])
def test_what_was_read_back_is_fitted_again_like_the_first(path, tmp_path):
    """With its network, its times and a scale of the path that is found anew."""
    net = {"kind": "mlp", "width": 24, "depth": 1}
    first = Forecaster(path, net=net, times="logit_normal", steps=20, batch_size=32, seed=3)
    again = interpolants.load(first.fit(*pairs(PROBLEM, 300)).save(tmp_path / "f"))
    now, later = pairs(PROBLEM, 300, seed=4)
    for one in (first, again):
        one.fit(now, 3 * later)
    assert again.state["path"] == first.state["path"]
    answers = [f.forecast(now[:4], members=3, n_steps=4).x for f in (first, again)]
    assert torch.equal(*answers)


def test_an_interrupted_fit_goes_on_to_the_same_bits(tmp_path):
    net = {"kind": "mlp", "width": 8, "depth": 1}
    made = {"net": net, "steps": 6, "batch_size": 16, "times": "importance", "checkpoint_every": 2}
    now, later = pairs(PROBLEM, 100)
    straight = Forecaster(**made).fit(now, later)

    def stop(stage, k, steps):
        if k == 4:
            raise KeyboardInterrupt

    parts = Forecaster(**made)
    with pytest.raises(KeyboardInterrupt):
        parts.fit(now, later, out=tmp_path / "t", watch=stop)
    parts.fit(now, later, out=tmp_path / "t", resume=True)
    answers = [f.forecast(now[:4], members=3, n_steps=4).x for f in (straight, parts)]
    assert torch.equal(*answers)


def test_tables_bring_the_names_of_their_columns(quick):
    x = pairs(PROBLEM, 4)[0].numpy()
    found = quick.forecast(x, members=2, n_steps=3)
    assert isinstance(found, Ensemble)
    assert isinstance(found.to_numpy(), np.ndarray)
    now, later = (pd.DataFrame(x.numpy(), columns=["u", "v"]) for x in pairs(PROBLEM, 50))
    named = Forecaster(net=NET, steps=1).fit(now, later).forecast(now[:3][["v", "u"]], members=2, steps=2)
    table = named.table()
    assert list(table.columns) == ["u", "v"]
    assert table.index.names == ["case", "member", "time"]
    assert len(table) == 12


@pytest.mark.slow
def test_the_scale_follows_what_is_uncertain():
    """The default path is as wide as the law of later given now, not as the states."""
    noisy = Forecaster(net=NET, steps=1).fit(*pairs(PROBLEM, 4000))
    calm = Forecaster(net=NET, steps=1).fit(*pairs(NoisyLorenz(), 4000))
    for forecaster, problem in ((noisy, PROBLEM), (calm, NoisyLorenz())):
        now = problem.sample(500, generator=torch.Generator().manual_seed(1))
        inner = problem.covariance(now).diagonal(dim1=1, dim2=2).mean(0)
        share = float((inner / forecaster.state["frame"].scale.square()).mean())
        assert isinstance(forecaster.state["path"], Diffusive)
        assert 0.3 * share < 2 * forecaster.state["path"].scale < 1.5 * share


@pytest.mark.slow
def test_conditions_reach_the_network():
    """Label 1 shifts what comes by 4: without it, the spread is wrong."""
    source = torch.Generator().manual_seed(0)
    now = torch.randn(4000, 1, generator=source)
    label = torch.randint(0, 2, (4000,), generator=source)
    later = 0.5 * now + 4.0 * label[:, None] + 0.3 * torch.randn(4000, 1, generator=source)
    forecaster = Forecaster(net=NET, steps=300, lr=5e-3, ema=0.98, seed=2).fit(now, later, cond=label)
    for value in (0, 1):
        cond = torch.full((50,), value)
        drawn = forecaster.forecast(now[:50], members=40, cond=cond, n_steps=20)
        assert float((drawn.mean - 0.5 * now[:50] - 4.0 * value).abs().mean()) < 0.3
        assert float(drawn.std.mean()) == pytest.approx(0.3, abs=0.15)
    vector = Forecaster(net=NET, steps=1).fit(now, later, cond=label.float())
    assert vector.forecast(now[:3], members=2, cond=label[:3].float(), n_steps=3).x.shape == (3, 2, 1)
    with pytest.raises(
        InvalidInputError, match=r"fitted with cond needs it in every call, got none\. Pass cond="
    ):
        vector.forecast(now[:3], members=2, n_steps=3)
    with pytest.raises(InvalidInputError, match=r"cond must be labels of the fit, 0 to 1, got 5"):
        forecaster.forecast(now[:3], members=2, cond=torch.tensor([0, 1, 5]), n_steps=3)


@pytest.mark.slow
def test_images_are_forecast_by_a_network_of_images():
    source = torch.Generator().manual_seed(0)
    now = torch.randn(32, 1, 8, 8, generator=source)
    forecaster = Forecaster(steps=1, batch_size=4).fit(now, now.roll(1, 3))
    assert forecaster.forecast(now[:2], members=2, n_steps=2).x.shape == (2, 2, 1, 8, 8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Forecaster("one_sided_linear"), "two-sided"),
        (lambda: Forecaster("mirror"), "lead from x0 to x1"),
        (lambda: Forecaster("difusive"), "diffusive"),
        (lambda: Forecaster(stepz=3), "every argument must be a setting, got 'stepz'. Did you mean 'steps'"),
        (lambda: Forecaster(train={"steps": 3}), "Pass the settings of the training directly"),
        (lambda: Forecaster(seed=-1), "seed must be a whole number >= 0, got -1"),
        (lambda: Forecaster(times="logitnormal"), "Forecaster: times must be .* mean 'logit_normal'"),
        (
            lambda: Forecaster(net={"kind": "mlp", "cond_dim": 3}).fit(*pairs(PROBLEM, 9)),
            "net must not set cond_dim",
        ),
        (lambda: Forecaster().forecast(torch.zeros(2, 2)), "must be fitted"),
        (lambda: Forecaster().fit(torch.zeros(4, 2), torch.zeros(5, 2)), "as many rows"),
        (lambda: Forecaster().fit(torch.zeros(4, 2), torch.zeros(4, 3)), "the same event shape"),
        (lambda: Forecaster().fit(torch.zeros(4, 2), torch.zeros(4, 2).long()), "floating point"),
    ],
)
def test_bad_calls_are_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_bad_forecasts_are_refused(quick):
    x = torch.zeros(12, 2)
    for call, message in (
        (lambda: quick.forecast(torch.zeros(2, 3)), "event shape"),
        (lambda: quick.forecast(x, members=0), "members must be a whole number >= 1, got 0"),
        (lambda: quick.forecast(x, steps=0), "steps must be a whole number >= 1, got 0"),
        (lambda: quick.forecast(x, cond=torch.zeros(12, 1)), "fitted without cond takes none"),
        (lambda: quick.forecast(x, member=3), "Did you mean 'members'"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            call()


@pytest.mark.parametrize(
    ("name", "instead"), [("ensemble", "members=M"), ("rollout", "steps=S"), ("verify", "verify_forecast")]
)
def test_former_names_say_what_took_their_place(quick, name, instead):
    with pytest.raises(AttributeError, match=instead):
        getattr(quick, name)


@pytest.mark.slow  # about 40 s
@pytest.mark.parametrize("make", [RotatingMixture, NoisyLorenz])
def test_learnt_forecasts_are_within_three_percent_of_the_oracle(make):
    problem = make()
    forecaster = Forecaster(net={"kind": "mlp", "width": 128, "depth": 3}, seed=0, steps=2500, batch_size=512)
    forecaster.fit(*pairs(problem, 50_000))
    now = pairs(problem, 1000, seed=5)[0]
    for eps in ("reference", 0.0, "follmer"):
        found = problem.excess(forecaster.forecast(now, members=20, eps=eps, n_steps=30).x, now)
        assert found.value + 2 * found.error < 0.03
