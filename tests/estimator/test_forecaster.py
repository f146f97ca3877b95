"""The forecaster: learns a known transition law, members that belong to (start, member), storage, refusals."""

import numpy as np
import pytest
import torch

from interpolants.estimator import Forecaster
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.storage import write_folder
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
    return forecaster.fit(*pairs(PROBLEM, 5000), progress=False)


def test_it_learns_far_more_than_climatology_and_persistence(quick):
    scores = quick.verify(*pairs(PROBLEM, 500, seed=9), 20, oracle=PROBLEM, n_steps=20)
    own = {name: one.crps.value for name, one in scores.scores.items()}
    assert own["oracle"] < 1.02 * own["model"]
    assert own["model"] < 0.98 * own["climatology"]
    assert own["model"] < 0.6 * own["persistence"]
    assert scores.excess.value < 0.08
    assert scores.scores["persistence"].ranks is None
    text = str(scores)
    assert "spread/skill" in text
    assert "CRPS above the oracle's" in text


def test_a_member_depends_on_its_start_and_number_alone(quick):
    x = pairs(PROBLEM, 40, seed=3)[0]
    whole = quick.ensemble(x, 20, n_steps=4, seed=7)
    assert whole.shape == (40, 20, 2)
    assert torch.equal(quick.ensemble(x, 5, n_steps=4, seed=7), whole[:, :5])
    assert torch.equal(quick.ensemble(x[17:30], 11, n_steps=4, seed=7, first_index=17), whole[17:30, :11])
    assert not torch.equal(quick.ensemble(x, 5, n_steps=4, seed=8), whole[:, :5])
    # different members, different starts, different noise
    assert len(torch.unique(whole.reshape(-1, 2), dim=0)) == 800


def test_torch_s_default_type_does_not_matter(float64, tmp_path):
    now, later = (x.double() for x in pairs(PROBLEM, 200))
    net = {"kind": "mlp", "width": 16, "depth": 2}
    learnt = Forecaster(net=net, steps=5, batch_size=32).fit(now, later, progress=False)
    members = learnt.ensemble(now[:3], 4, n_steps=4, seed=0)
    assert members.dtype == torch.float64
    assert next(learnt.net.parameters()).dtype == torch.float32
    again = Forecaster.load(learnt.save(tmp_path / "f"))
    assert torch.equal(again.ensemble(now[:3], 4, n_steps=4, seed=0), members)
    assert learnt.verify(now[:20], later[:20], 4, n_steps=4).scores["model"].crps.value > 0


def test_a_rollout_goes_on_from_each_member(quick):
    x = pairs(PROBLEM, 6, seed=3)[0]
    future = quick.rollout(x, 3, 9, n_steps=4, seed=7)
    assert future.shape == (4, 6, 9, 2)
    assert torch.equal(future[1], quick.ensemble(x, 9, n_steps=4, seed=7))
    torch.testing.assert_close(future[0], x[:, None].expand(-1, 9, 2), rtol=0, atol=1e-5)
    assert torch.equal(quick.rollout(x[2:4], 3, 3, n_steps=4, seed=7, first_index=2), future[:, 2:4, :3])
    # a step never repeats the noise of the step before
    steps = future[1:] - future[:-1]
    assert float((steps[0] - steps[1]).abs().min()) > 0


def test_it_is_saved_and_read_back_to_the_bit(quick, tmp_path):
    x = pairs(PROBLEM, 8, seed=3)
    quick.save(tmp_path / "f")
    again = Forecaster.load(tmp_path / "f")
    assert torch.equal(again.ensemble(x[0], 3, n_steps=4), quick.ensemble(x[0], 3, n_steps=4))
    assert again.path == quick.path
    write_folder(tmp_path / "g", {}, {"a.json": {}})
    with pytest.raises(InvalidInputError, match="must hold a forecaster"):
        Forecaster.load(tmp_path / "g")


@pytest.mark.parametrize("path", ["auto", "linear"])
def test_what_was_read_back_is_fitted_again_like_the_first(path, tmp_path):
    """With its network, its times and a scale of the path that is found anew; and it tells how the training went."""
    made = {
        "net": {"kind": "mlp", "width": 24, "depth": 1},
        "times": "logit_normal",
        "steps": 20,
        "batch_size": 32,
    }
    first = Forecaster(path, seed=3, **made).fit(*pairs(PROBLEM, 300), progress=False)
    again = Forecaster.load(first.save(tmp_path / "f"))
    assert again.history == first.history
    assert again.path == first.path
    now, later = pairs(PROBLEM, 300, seed=4)
    for one in (first, again):
        one.fit(now, 3 * later, progress=False)
    assert again.path == first.path
    assert torch.equal(again.ensemble(now[:4], 3, n_steps=4), first.ensemble(now[:4], 3, n_steps=4))


def test_arrays_come_back_as_arrays(quick):
    x = pairs(PROBLEM, 4)[0].numpy()
    found = quick.ensemble(x, 2, n_steps=3)
    assert isinstance(found, np.ndarray)
    assert found.shape == (4, 2, 2)


def test_the_scale_follows_what_is_uncertain():
    """The default path is as wide as the law of later given now, not as the states."""
    noisy = Forecaster(net=NET, steps=1).fit(*pairs(PROBLEM, 4000), progress=False)
    calm = Forecaster(net=NET, steps=1).fit(*pairs(NoisyLorenz(), 4000), progress=False)
    for forecaster, problem in ((noisy, PROBLEM), (calm, NoisyLorenz())):
        now = problem.sample(500, generator=torch.Generator().manual_seed(1))
        inner = problem.covariance(now).diagonal(dim1=1, dim2=2).mean(0)
        share = float((inner / forecaster.normaliser.scale.double().square()).mean())
        assert isinstance(forecaster.path, Diffusive)
        assert 0.3 * share < 2 * forecaster.path.scale < 1.5 * share


def test_conditions_reach_the_network():
    """Label 1 shifts what comes by 4: without it, the spread is wrong."""
    source = torch.Generator().manual_seed(0)
    now = torch.randn(4000, 1, generator=source)
    label = torch.randint(0, 2, (4000,), generator=source)
    later = 0.5 * now + 4.0 * label[:, None] + 0.3 * torch.randn(4000, 1, generator=source)
    forecaster = Forecaster(net=NET, steps=300, lr=5e-3, ema=0.98, seed=2).fit(
        now, later, cond=label, progress=False
    )
    for value in (0, 1):
        cond = torch.full((50,), value)
        drawn = forecaster.ensemble(now[:50], 40, cond=cond, n_steps=20)
        assert float((drawn.mean(1) - 0.5 * now[:50] - 4.0 * value).abs().mean()) < 0.3
        assert float(drawn.std(1).mean()) == pytest.approx(0.3, abs=0.15)
    vector = Forecaster(net=NET, steps=1).fit(now, later, cond=label.float(), progress=False)
    assert vector.ensemble(now[:3], 2, cond=label[:3].float(), n_steps=3).shape == (3, 2, 1)
    with pytest.raises(InvalidInputError, match="cond must be what the forecaster was fitted with"):
        vector.ensemble(now[:3], 2, n_steps=3)
    with pytest.raises(InvalidInputError, match=r"fitted with, labels of size 2, got labels of size 6"):
        forecaster.ensemble(now[:3], 2, cond=torch.tensor([0, 1, 5]), n_steps=3)


def test_images_are_forecast_by_a_network_of_images():
    source = torch.Generator().manual_seed(0)
    now = torch.randn(32, 1, 8, 8, generator=source)
    forecaster = Forecaster(steps=1, batch_size=4).fit(now, now.roll(1, 3), progress=False)
    assert forecaster.ensemble(now[:2], 2, n_steps=2).shape == (2, 2, 1, 8, 8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Forecaster("one_sided_linear"), "two-sided"),
        (lambda: Forecaster("mirror"), "lead from x0 to x1"),
        (lambda: Forecaster("difusive"), "diffusive"),
        (lambda: Forecaster(stepz=3), "Forecaster: every setting must be known, got 'stepz'"),
        (lambda: Forecaster(seed=-1), "seed must be an integer >= 0, got -1"),
        (lambda: Forecaster().ensemble(torch.zeros(2, 2)), "must be fitted"),
        (lambda: Forecaster().fit(torch.zeros(4, 2), torch.zeros(5, 2)), "later must have the shape of now"),
        (lambda: Forecaster().fit(torch.zeros(4, 2), torch.zeros(4, 2).long()), "floating point"),
    ],
)
def test_bad_calls_are_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_bad_forecasts_are_refused(quick):
    x = torch.zeros(12, 2)
    for call, message in (
        (lambda: quick.ensemble(torch.zeros(2, 3)), "event shape"),
        (lambda: quick.ensemble(x, 0), "members must be an integer >= 1, got 0"),
        (lambda: quick.rollout(x, 0), "steps must be an integer >= 1, got 0"),
        (lambda: quick.verify(x, x, 1), "members must be >= 2"),
        (lambda: quick.verify(x, x, 3, oracle=lambda now, m, generator: now, n_steps=2), "oracle must give"),
        (lambda: quick.ensemble(x, 2, cond=torch.zeros(12, 1)), "fitted with, none"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            call()


@pytest.mark.slow  # about 40 s
@pytest.mark.parametrize("make", [RotatingMixture, NoisyLorenz])
def test_learnt_forecasts_are_within_three_percent_of_the_oracle(make):
    problem = make()
    forecaster = Forecaster(net={"kind": "mlp", "width": 128, "depth": 3}, seed=0, steps=2500, batch_size=512)
    forecaster.fit(*pairs(problem, 50_000), progress=False)
    now = pairs(problem, 1000, seed=5)[0]
    for eps in ("reference", 0.0, "follmer"):
        found = problem.excess(forecaster.ensemble(now, 20, eps=eps, n_steps=30), now)
        assert found.value + 2 * found.error < 0.03
