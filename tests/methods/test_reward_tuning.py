"""Reward tuning: tilts in closed form, the bill, the bits of strength 0, learnt tilts, refusals."""

import functools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import interpolants as itp
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import FitWarning
from interpolants.framework.capabilities import NotAbleError
from interpolants.framework.task import Task
from interpolants.methods import Bridge, GaussianFit, RewardTuning
from interpolants.methods.reward_tuning import tilt
from interpolants.methods.reward_tuning.bill import weighted_energy_distance
from interpolants.metrics.energy_distance import energy_distance

DIRECTION = torch.tensor([0.6, 0.3], dtype=torch.float64)
NET = {"kind": "mlp", "width": 32, "depth": 2}


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(n, seed=0):
    return torch.randn(n, generator=source(seed), dtype=torch.float64)


def circle(n, seed=0, radius=3.0, sd=0.4):
    """Draws of eight Gaussians on a circle."""
    angle = torch.randint(8, (n,), generator=source(seed)) * (math.pi / 4)
    centres = radius * torch.stack([angle.cos(), angle.sin()], 1)
    noise = torch.randn(n, 2, generator=source(seed + 1000))
    return (centres + sd * noise).double()


def exact_circle(a, radius=3.0, sd=0.4):
    """Mean reward and KL divergence of the tilt by ``a r``, ``r = DIRECTION . x``, in closed form."""
    angle = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
    means = radius * torch.stack([angle.cos(), angle.sin()], 1) @ DIRECTION
    variance = sd**2 * float(DIRECTION.square().sum())
    weights = (a * means).softmax(0)
    reward = float(weights @ means) + a * variance
    log_z = float(torch.logsumexp(a * means, 0)) - math.log(8) + a**2 * variance / 2
    return reward, a * reward - log_z


def column(x):
    return x[:, 0]


# --- tilts


def test_weights_have_mean_one_and_do_not_overflow():
    rewards = torch.tensor([-5000.0, 0.0, 4000.0, 4000.0])
    weights = tilt.weights_of(rewards, 3.0)
    assert torch.equal(weights, torch.tensor([0, 0, 2, 2]).double())
    assert torch.allclose(tilt.weights_of(rewards / 1e4, 2.0), tilt.weights_of(rewards / 1e4 + 7, 2.0))


@pytest.mark.parametrize("a", [0.5, 1.0, 1.5])
def test_a_gaussian_has_its_closed_forms(a):
    """r = x under N(0, 1): mean a, KL a^2 / 2, effective fraction exp(-a^2)."""
    rewards = normal(200_000)
    mean, kl = tilt.tilted_mean(rewards, a), tilt.tilt_kl(rewards, a)
    assert abs(mean.value - a) < 4 * mean.error < 0.1
    assert abs(kl.value - a**2 / 2) < 4 * kl.error < 0.2
    assert tilt.effective_fraction(rewards, a) == pytest.approx(math.exp(-(a**2)), rel=0.15)


@pytest.mark.parametrize(("a", "reward", "kl"), [(1.0, 1.480, 0.612), (0.4, None, None), (2.0, None, None)])
def test_a_mixture_has_its_closed_forms(a, reward, kl):
    exact_reward, exact_kl = exact_circle(a)
    if reward is not None:
        assert (exact_reward, exact_kl) == (pytest.approx(reward, abs=5e-4), pytest.approx(kl, abs=5e-4))
    rewards = circle(200_000) @ DIRECTION
    found_reward, found_kl = tilt.tilted_mean(rewards, a), tilt.tilt_kl(rewards, a)
    assert abs(found_reward.value - exact_reward) < 4 * found_reward.error < 0.05
    assert abs(found_kl.value - exact_kl) < 4 * found_kl.error < 0.1


def test_kl_is_the_sum_over_the_draws_and_the_reward_grows_by_its_variance():
    rewards, a, h = circle(3000) @ DIRECTION, 0.8, 1e-4
    q = tilt.weights_of(rewards, a) / len(rewards)
    assert tilt.tilt_kl(rewards, a).value == pytest.approx(float((q * (q * len(q)).log()).sum()), abs=1e-12)
    mean = tilt.tilted_mean(rewards, a).value
    variance = float((q * (rewards - mean).square()).sum())
    slope = (tilt.tilted_mean(rewards, a + h).value - tilt.tilted_mean(rewards, a - h).value) / (2 * h)
    assert slope == pytest.approx(variance, rel=1e-6)
    assert tilt.tilted_mean(rewards, a, rewards.square()).value == pytest.approx(
        variance + mean**2, rel=1e-12
    )


@pytest.mark.parametrize("measure", [tilt.tilt_kl, tilt.tilted_mean])
def test_standard_errors_are_those_of_repetitions(measure):
    repeats = [measure(circle(1000, seed) @ DIRECTION, 1.0) for seed in range(200)]
    std = torch.tensor([one.value for one in repeats]).std()
    assert sum(one.error for one in repeats) / 200 == pytest.approx(float(std), rel=0.2)


def test_the_largest_strength_is_where_the_condition_ends():
    rewards = normal(20_000)
    a = tilt.largest_strength(lambda s: tilt.tilt_kl(rewards, s).value <= 0.3, 5.0)
    assert tilt.tilt_kl(rewards, a).value == pytest.approx(0.3, abs=1e-9)
    assert tilt.largest_strength(lambda s: tilt.tilt_kl(rewards, s).value <= 0.3, 0.1) == 0.1


@pytest.mark.parametrize("a", [-1.5, -0.2, 0.3, 2.0])
def test_the_least_kl_for_a_reward_is_that_of_the_tilt(a):
    rewards = circle(3000) @ DIRECTION
    mean = tilt.tilted_mean(rewards, a).value
    assert tilt.least_kl(rewards, mean) == pytest.approx(tilt.tilt_kl(rewards, a).value, abs=1e-9)
    assert tilt.least_kl(rewards, float(rewards.max()) + 1) == math.inf


def test_the_frontier_starts_at_the_old_model_and_ends_at_the_target():
    rewards = circle(3000) @ DIRECTION
    kl, reward = tilt.frontier(rewards, 1.5)
    assert (float(kl[0]), float(reward[0])) == (0.0, pytest.approx(float(rewards.mean())))
    assert float(kl[-1]) == tilt.tilt_kl(rewards, 1.5).value
    assert float(reward[-1]) == tilt.tilted_mean(rewards, 1.5).value


# --- the energy distance to weighted rows


def test_the_weighted_energy_distance_is_the_sum_over_pairs():
    x, y = circle(30, 1), circle(20, 2)
    u, v = normal(30, 3).exp(), normal(20, 4).exp()

    def mean(p, w, q, z, same):
        pairs = [
            (float(w[i] * z[j]), float((p[i] - q[j]).norm()))
            for i in range(len(p))
            for j in range(len(q))
            if not (same and i == j)
        ]
        return sum(weight * distance for weight, distance in pairs) / sum(weight for weight, _ in pairs)

    expected = 2 * mean(x, u, y, v, False) - mean(x, u, x, u, True) - mean(y, v, y, v, True)
    assert weighted_energy_distance(x, u, y, v).value == pytest.approx(expected, abs=1e-12)
    expected = 2 * mean(x, u, x, u + 1, True) - mean(x, u, x, u, True) - mean(x, u + 1, x, u + 1, True)
    found = weighted_energy_distance(x, u, x, u + 1, same_rows=True)
    assert found.value == pytest.approx(expected, abs=1e-12)


def test_equal_weights_give_the_metric_and_its_error():
    x, y = circle(1000, 1), circle(800, 2) + 0.5
    found = weighted_energy_distance(x, torch.ones(1000).double(), y, torch.full((800,), 3.0).double())
    metric = energy_distance(x, y)
    assert found.value == pytest.approx(metric.value, abs=1e-12)
    assert 0.4 < found.error / metric.error < 2.5  # ten blocks
    weights = tilt.weights_of(x @ DIRECTION, 1.0)  # the tilt against exact draws of another seed
    chosen = circle(20_000, 9)
    keep = torch.rand(20_000, generator=source(5)) < (chosen @ DIRECTION - 3).exp()
    near = weighted_energy_distance(chosen[keep], torch.ones(int(keep.sum())).double(), x, weights)
    assert abs(near.value) < 4 * near.error < 0.1


def test_the_error_of_an_energy_distance_is_its_standard_deviation():
    def value(k):
        x, y = circle(200, k), circle(200, 1000 + k) + 1.0
        weights = tilt.weights_of(y @ DIRECTION, 0.3)
        return weighted_energy_distance(x, torch.ones(200).double(), y, weights)

    values = [value(k) for k in range(100)]
    deviation = float(torch.tensor([v.value for v in values]).std())
    assert sum(v.error for v in values) / 100 == pytest.approx(deviation, rel=0.25)


# --- learnt


@functools.cache
def old(**settings):
    """A bridge to N((0, 0), diag(1, .25))."""
    x = torch.randn(2000, 2, generator=source()) * torch.tensor([1.0, 0.5])
    how = {"net": NET, "steps": 300, "batch_size": 256, "lr": 5e-3, "seed": 0, **settings}
    return Bridge("one_sided_linear", **how).fit(x1=x, progress=False)


QUICK = {"n": 2000, "steps": 150, "batch_size": 256, "lr": 5e-3}


@functools.cache
def tuned():
    return old().tune(column, 1.0, **QUICK)


def test_a_learnt_tilt_of_a_gaussian_is_moved_by_its_variance():
    """p e^x of N(0, diag(1, .25)) has the mean (1, 0) and the same variances; KL 1/2."""
    x = tuned().sample(2000, seed=1)
    old_mean = old().sample(2000, seed=1).mean(0)
    assert torch.allclose(x.mean(0) - old_mean, torch.tensor([1.0, 0.0]), atol=0.15)
    assert torch.allclose(x.std(0), torch.tensor([1.0, 0.5]), atol=0.12)
    bill = tuned().bill()
    values = bill.values
    assert abs(values["reward_new"] - values["reward_target"]) < 0.15
    assert values["kl_target"] == pytest.approx(0.5, abs=0.12)
    assert values["kl_new"] > values["kl_least"] - 2 * bill.errors["kl_new"]
    assert values["kl_new"] == pytest.approx(0.5, abs=0.15)
    assert values["energy_distance_new"] < 0.1 * values["energy_distance_old"]
    assert bill.effective_fraction == pytest.approx(math.exp(-1), abs=0.1)
    assert bill.strength == bill.asked_strength == 1.0
    assert "0.5" in str(bill)
    assert "strength 1;" in str(bill)


def test_densities_fields_and_reverse_runs_are_those_of_the_tilt():
    x = torch.tensor([[1.0, 0.0], [0.0, 0.3], [2.0, -0.5]])
    ratio = tuned().log_prob(x) - old().log_prob(x)
    assert torch.allclose(ratio, x[:, 0] - 0.5, atol=0.35)  # log e^r / Z
    at = torch.full((3,), 0.5)
    assert torch.equal(tuned().fields.velocity(x, at), tuned().state["model"].fields.velocity(x, at))
    assert not torch.equal(tuned().fields.velocity(x, at), old().fields.velocity(x, at))
    assert tuned().frame.encode(x).equal(old().frame.encode(x))
    back = tuned().transport(tuned().transport(x), reverse=True)
    assert torch.allclose(back, x, atol=1e-2)
    # Reverse runs start from rows of the tilt, and end in the base.
    start = tuned().state["model"].start_points(2000, reverse=True)
    assert float(start[:, 0].mean()) == pytest.approx(1.0, abs=0.15)


def test_the_old_model_stays_as_it_was():
    before = old().sample(20, seed=3)
    old().tune(column, 0.5, n=100, steps=3)
    assert torch.equal(old().sample(20, seed=3), before)


def test_strength_zero_returns_the_bits_of_the_old_model():
    same = old().tune(column, 0.0, n=100)
    x = old().sample(30, seed=2)
    assert torch.equal(same.sample(30, seed=2), x)
    assert torch.equal(same.log_prob(x), old().log_prob(x))
    assert torch.equal(same.transport(x, reverse=True), old().transport(x, reverse=True))
    assert same.bill().values["kl_target"] == same.bill().values["kl_new"] == 0


def test_a_constant_in_the_reward_changes_nothing():
    models = [old().tune(lambda x, c=c: column(x) + c, 1.0, n=400, steps=20, lr=5e-3) for c in (0.0, 8.0)]
    first, second = (model.sample(50, seed=1) for model in models)
    assert torch.allclose(first, second, atol=1e-3)
    assert not torch.allclose(first, old().sample(50, seed=1), atol=1e-2)
    kl = [model.bill().values["kl_target"] for model in models]
    assert kl[0] == pytest.approx(kl[1], abs=1e-6)


def test_the_call_of_the_bridge_is_the_fit_and_rewards_may_be_black_boxes():
    def black_box(x):
        assert not x.requires_grad
        assert not torch.is_grad_enabled()
        return [float(value) for value in np.asarray(x)[:, 0]]

    barely = {"n": 100, "steps": 3}
    called = old().tune(column, **barely).sample(10, seed=0)
    fitted = RewardTuning(strength=1.0, **barely).fit(old(), reward=black_box)
    by_table = old().tune({"kind": "column", "column": 0, "scale": 1.0}, **barely)
    assert torch.equal(called, fitted.sample(10, seed=0))
    assert torch.equal(called, by_table.sample(10, seed=0))


def test_a_saved_model_needs_no_reward(tmp_path):
    for name, model in (
        ("role", tuned()),
        ("setting", RewardTuning(reward=column, n=100, steps=3).fit(old())),
    ):
        model.save(tmp_path / name)
        again = itp.load(tmp_path / name)
        assert torch.equal(again.sample(10, seed=0), model.sample(10, seed=0))
        assert again.bill() == model.bill()


def test_max_kl_reduces_the_strength():
    with pytest.warns(FitWarning, match="strength 0.* is used"):
        model = old().tune(column, 2.0, max_kl=0.1, n=2000, steps=1)
    bill = model.bill()
    assert bill.values["kl_target"] == pytest.approx(0.1, abs=1e-9)
    assert bill.strength == pytest.approx(math.sqrt(0.2), abs=0.06)
    assert "in place of 2" in str(bill)


def test_tables_come_back_as_tables_and_ends_stay_where_they_start():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(600, 2)), columns=["a", "b"])
    bridge = Bridge(net=NET, steps=10, seed=0).fit(x0=frame, x1=frame + 1, progress=False)
    seen_kinds = []

    def reward(rows):
        seen_kinds.append(type(rows))
        return rows["b"]

    model = RewardTuning(strength=0.5, n=400, steps=5).fit(bridge, frame + 1, reward=reward)
    assert set(seen_kinds) == {pd.DataFrame}
    assert list(model.sample(3, seed=0).columns) == ["a", "b"]
    assert list(model.transport(frame[:3]).columns) == ["a", "b"]
    by_table = RewardTuning(strength=0.5, n=400, steps=5, reward={"kind": "column", "column": "b"}).fit(
        bridge
    )
    assert np.allclose(model.sample(3, seed=0), by_table.sample(3, seed=0))
    assert torch.equal(model.state["model"].state["pool0"].x, bridge.state["pool0"].x)
    assert model.bill().values["reward_data"] == pytest.approx((frame["b"] + 1).mean())
    data_tilt = tilt.tilted_mean(torch.tensor((frame["b"] + 1).tolist(), dtype=torch.float64), 0.5).value
    assert model.bill().values["reward_data_target"] == pytest.approx(data_tilt)
    with pytest.raises(NotAbleError, match="has no density"):
        model.log_prob(frame)
    with pytest.raises(InvalidInputError, match="x1 must have the columns"):
        RewardTuning(n=400, reward=reward).fit(bridge, frame[["b", "a"]])


def test_masks_and_several_heads_are_trained_by_their_own_losses():
    x = torch.randn(500, 2, generator=source())
    for settings in ({"masks": True}, {"heads": ["denoised", "noise"]}):
        bridge = Bridge("one_sided_linear", net=NET, steps=10, **settings).fit(x1=x, progress=False)
        model = bridge.tune(column, 0.5, n=100, steps=3)
        assert bool(torch.isfinite(model.sample(20, seed=0)).all())


def test_the_question_has_the_numbers_of_the_bill():
    task = Task.of(tuned().roles(), {"model": old()})
    answer, bill = tuned().ask("tuning_bill", task), tuned().bill()
    assert answer["reward_new"].value == bill.values["reward_new"]
    assert answer["kl_target"].error == bill.errors["kl_target"]
    assert answer["effective_fraction"].value == bill.effective_fraction
    curve, point = answer.figures[0].panels[0].series
    assert float(curve.arrays["y"][-1]) == bill.values["reward_target"]
    assert float(point.arrays["x"]) == pytest.approx(bill.values["kl_new"], rel=1e-6)
    assert not answer.findings
    barely = old().tune(column, 1.0, n=1000, steps=1, lr=1e-6).ask("tuning_bill", task)
    assert "below that of its target" in str(barely.findings[0])


@pytest.mark.parametrize(("lacking", "told"), [(0.05, False), (0.15, True)])
def test_a_tenth_of_the_gain_may_be_lacking(lacking, told):
    model = old().tune(column, 1.0, n=100, steps=1)
    values = {"reward_old": 2.0, "reward_target": 3.0, "reward_new": 3.0 - lacking}
    errors = {**model.bill().errors, "reward_target": 0.0, "reward_new": 0.0}
    bill = replace(model.bill(), values={**model.bill().values, **values}, errors=errors)
    model.state = {**model.state, "bill": bill}
    answer = model.ask("tuning_bill", Task.of(model.roles(), {"model": old()}))
    assert bool(answer.findings) == told


def test_a_model_whose_divergence_is_unknown_has_no_point_in_the_figure():
    model = old().tune(column, 1.0, n=100, steps=1)
    bill = replace(model.bill(), values={**model.bill().values, "kl_new": math.nan})
    model.state = {**model.state, "bill": bill}
    answer = model.ask("tuning_bill", Task.of(model.roles(), {"model": old()}))
    assert [series.name for series in answer.figures[0].panels[0].series] == ["tilts of the old model"]


def test_a_fifth_of_the_draws_is_not_learnt_from():
    model = old().tune(column, 0.01, n=1000, steps=1)
    assert len(torch.unique(model.state["model"].state["pool1"].x, dim=0)) == 800


# --- refusals


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (lambda x: x, r"reward must return numbers of shape \(200,\), got shape \(200, 2\)"),
        (lambda x: torch.where(x[:, 0] > 0, torch.nan, torch.inf), "NaN, .*inf among 200 rows"),
        (lambda x: torch.where(x[:, 0] > 0, 0.0, -torch.inf), "-inf among 200 rows"),
        (lambda x: torch.ones(len(x)), "must vary among samples of the model, got 1 everywhere"),
        (lambda x: x[:, 0] - x[:, 0].mean(), "reward must depend on each row alone"),
        (lambda x: x[:, 0].sort().values, "reward must depend on each row alone"),
        (3, "reward must be a function or a table, got 3"),
        (None, "reward is needed"),
        ({"kind": "colum", "column": 0}, "reward must be one of column, got 'colum'"),
        ({"kind": "column"}, "missing 1 required positional argument: 'column'"),
        ({"kind": "column", "column": 0, "scal": 1.0}, "Did you mean 'scale'"),
        ({"kind": "column", "column": 5}, "column must be one of the rows, got 5"),
        ({"kind": "column", "column": "a"}, "column must be one of the rows, got 'a'"),
    ],
)
def test_rewards_that_cannot_be_used_are_refused(reward, message):
    with pytest.raises(InvalidInputError, match=message):
        old().tune(reward, 0.1, n=200, steps=1)


def test_too_few_effective_draws_are_refused_with_a_strength_that_works():
    with pytest.raises(InvalidInputError, match=r"must be at least 0.01, got .* at strength 40") as error:
        old().tune(column, 40.0, n=2000, steps=1)
    possible = float(str(error.value).split("strength=")[1].split(" ")[0])
    with pytest.warns(FitWarning, match="few draws have most of the weight"):
        model = old().tune(column, possible, n=2000, steps=1)
    assert model.bill().effective_fraction == pytest.approx(0.05, abs=2e-3)


def test_models_that_cannot_be_tilted_are_refused():
    x, label = torch.randn(60, 2, generator=source()), torch.arange(60) % 2
    how = {"net": NET, "steps": 1}
    cases = {
        "without conditions": Bridge("one_sided_linear", **how).fit(x1=x, cond=label, progress=False),
        "unpaired sets": Bridge(coupling="paired", **how).fit(x0=x, x1=x, progress=False),
        "must start from a base": Bridge("mirror", **how).fit(x1=x, progress=False),
    }
    for message, model in cases.items():
        with pytest.raises(InvalidInputError, match=message):
            RewardTuning(reward=column, n=100, steps=1).fit(model)
    with pytest.raises(InvalidInputError, match="fitted"):
        Bridge().tune(column)
    with pytest.raises(InvalidInputError, match="model must be"):
        RewardTuning(reward=column).fit(GaussianFit().fit(x1=x))
    with pytest.raises(InvalidInputError, match="strength must be"):
        RewardTuning(strength=-1.0)


# --- at full size


@pytest.mark.slow
def test_eight_gaussians_have_the_tilt_of_the_old_model():
    x = circle(20_000).float()
    net = {"kind": "mlp", "width": 96, "depth": 2}
    bridge = Bridge("one_sided_linear", net=net, steps=3000, seed=0).fit(x1=x, progress=False)
    model = bridge.tune(lambda rows: rows.double() @ DIRECTION)
    bill, values = model.bill(), model.bill().values
    reward, kl = exact_circle(1.0)
    assert values["reward_new"] == pytest.approx(values["reward_target"], abs=0.06)
    assert values["reward_new"] == pytest.approx(reward, abs=0.1)
    assert values["kl_target"] == pytest.approx(kl, abs=0.05)
    assert values["kl_least"] - 2 * bill.errors["kl_new"] < values["kl_new"] < values["kl_target"] + 0.1
    assert values["energy_distance_new"] < 0.02 < 0.1 * values["energy_distance_old"]
    exact = circle(100_000, 7)
    keep = torch.rand(100_000, generator=source(8)) < (exact @ DIRECTION - 3).exp()
    assert energy_distance(model.sample(3000, seed=4), exact[keep][:3000].float()).value < 0.03
