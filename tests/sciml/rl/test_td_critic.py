"""Values of policies: exact ones of a random walk, of a linear process, and the noise of their errors."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from typer.testing import CliRunner

from interpolants.cli.app import app
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import generator
from interpolants.foundations.tell import FitWarning, SettingWarning
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.sciml.rl.assessments import assessed
from interpolants.sciml.rl.critic_loss import CriticLoss
from interpolants.sciml.rl.critics import Critics, Heads
from interpolants.sciml.rl.known_values import KnownValues
from interpolants.sciml.rl.least_squares_td import LeastSquaresTD
from interpolants.sciml.rl.problems.random_walk import RandomWalk
from interpolants.sciml.rl.td_critic import TDCritic, _Batches
from interpolants.sciml.rl.transitions import feature_units, features

F64 = torch.float64


def transitions(walk, n, seed=0):
    drawn = walk.sample(n, generator=generator(seed, "test of critics"))
    return {name: drawn[name] for name in ("state", "reward", "next_state", "done")}


def rmse(method, walk):
    states = torch.arange(walk.states, dtype=F64)[:, None]
    return float((method.predict(states)[:, 0] - walk.values()).square().mean().sqrt())


def test_least_squares_is_exact_where_every_transition_is_there_once():
    walk, n = RandomWalk(7, gamma=0.9, noise="none"), 7
    state = torch.arange(n).repeat_interleave(2)
    after = state + torch.tensor([-1, 1]).repeat(n)
    done = (after < 0) | (after >= n)
    reward = torch.where(done, after.sign().clamp(min=-1).double(), 0.0)
    rows = {"state": state.double(), "reward": reward, "next_state": after.double(), "done": done.double()}
    found = LeastSquaresTD(gamma=0.9, states=n, penalty=0.0).fit(**rows)
    assert_close(found.predict(torch.arange(n, dtype=F64)[:, None])[:, 0], walk.values())


def test_least_squares_that_the_rows_do_not_determine_are_refused():
    """Two equal columns gave values of rounding, and one state that goes on without discount a LinAlgError."""
    s = torch.randn(50, 1, dtype=F64, generator=torch.Generator().manual_seed(0))
    twice, none = torch.cat([s, s], 1), torch.zeros_like(s)
    rows = {"state": twice, "reward": s, "next_state": 0.5 * twice, "done": none}
    found = LeastSquaresTD(gamma=0.9).fit(**rows).predict(twice)
    assert_close(found, s / 0.55, atol=1e-3, rtol=0)
    with pytest.raises(InvalidInputError, match=r"no two columns alike.*penalty above 0"):
        LeastSquaresTD(gamma=0.9, penalty=0.0).fit(**rows)
    with pytest.raises(InvalidInputError, match="gamma < 1 or ends"):
        LeastSquaresTD(gamma=1.0, penalty=0.0).fit(state=s, reward=s, next_state=0.5 * s, done=none)


def test_least_squares_solves_a_linear_process():
    """``s' = 0.8 s + noise``, reward s: ``V = s / (1 - 0.8 gamma)``."""
    g = torch.Generator().manual_seed(0)
    s = torch.randn(20_000, 1, dtype=F64, generator=g)
    after = 0.8 * s + 0.1 * torch.randn(20_000, 1, dtype=F64, generator=g)
    found = LeastSquaresTD(gamma=0.5).fit(state=s, reward=s, next_state=after, done=torch.zeros_like(s))
    assert_close(
        found.predict(torch.tensor([[1.0]], dtype=F64)),
        torch.tensor([[1 / 0.6]], dtype=F64),
        atol=0.02,
        rtol=0,
    )


def test_a_table_of_critics_finds_exact_values_and_says_how_noisy_its_errors_are():
    """Gamma 0: values are mean rewards, and errors are the noise itself, whose standard deviation is 0.5."""
    walk = RandomWalk(5, gamma=0.9, noise="gaussian")
    options = {"states": 5, "steps": 250, "follow": 0.2, "lr": 0.03}
    assert rmse(TDCritic(gamma=0.9, **options).fit(**transitions(walk, 20_000)), walk) < 0.05
    noisy = RandomWalk(5, gamma=0.0, left=0.0, right=0.0, noise="gaussian")
    told = TDCritic(gamma=0.0, **options).fit(**transitions(noisy, 20_000)).assess(torch.arange(5.0)[:, None])
    assert told[:, 0].abs().max() < 0.06
    assert told[:, 1].tolist() == pytest.approx([0.5] * 5, rel=0.1)
    assert told[:, 3].tolist() == pytest.approx([2.0] * 5, abs=0.5)


@pytest.mark.slow
def test_heavy_tails_harm_it_less_than_a_gaussian_law_and_skewed_noise_needs_the_mean():
    """Rewards with t(2) noise, over 3 seeds; then exponential noise, whose median is ln 2 - 1 below its mean of 0."""
    walk, errors = RandomWalk(9, gamma=0.8, noise="student_t", size=1.0), {"generalized": [], "gaussian": []}
    options = {"states": 9, "steps": 400, "follow": 0.2, "lr": 0.01}
    for head, found in errors.items():
        for seed in range(3):
            critic = TDCritic(gamma=0.8, head=head, seed=seed, **options)
            found.append(rmse(critic.fit(**transitions(walk, 10_000, seed)), walk))
    assert np.mean(errors["generalized"]) < 0.8 * np.mean(errors["gaussian"])
    options = {"states": 3, "steps": 400, "lr": 0.02, "gamma": 0.0}
    skewed = transitions(RandomWalk(3, gamma=0.0, left=0, right=0, noise="exponential", size=1.0), 20_000)
    bias = {
        centre: float(
            TDCritic(centre=centre, **options).fit(**skewed).predict(torch.arange(3.0)[:, None]).mean()
        )
        for centre in ("mean",)
    }
    with pytest.warns(SettingWarning):
        bias["likelihood"] = float(
            TDCritic(**options).fit(**skewed).predict(torch.arange(3.0)[:, None]).mean()
        )
    assert bias["likelihood"] < -0.15
    assert abs(bias["mean"]) < 0.05


def test_values_that_are_no_means_are_told():
    """Without noise on rewards an error has two values, and the likeliest centre is not their mean."""
    walk = RandomWalk(5, gamma=0.9, noise="none")
    options = {"gamma": 0.9, "states": 5, "steps": 250, "follow": 0.2, "lr": 0.04}
    rows = transitions(walk, 5000)
    with pytest.warns(SettingWarning, match="centre='mean'"):
        off = TDCritic(**options).fit(**rows)
    assert rmse(off, walk) > 0.1
    assert rmse(TDCritic(centre="mean", **options).fit(**rows), walk) < 0.08


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"head": "squared"}, {"centre": "mean"}])
def test_values_that_have_not_settled_are_told(options):
    """Rewards of 1 for ever are worth 100, of which 60 steps know little; a single one is learnt."""
    x = torch.randn(200, 1, generator=torch.Generator().manual_seed(0))
    rows = {"state": x, "reward": torch.ones(200), "next_state": x.roll(1, 0), "done": torch.zeros(200)}
    small = {"members": 2, "hidden": (), "steps": 60, "lr": 0.05, "follow": 0.5}
    with pytest.warns(FitWarning, match="not settled"):
        few = TDCritic(gamma=0.99, **small, **options).fit(**rows)
    assert float(few.predict(x).mean()) < 90
    near = TDCritic(gamma=0.0, **{**small, "steps": 400}, **options).fit(**rows)
    assert_close(near.predict(x), torch.ones(200, 1), atol=0.01, rtol=0)


@pytest.mark.slow
def test_small_errors_that_add_up_over_the_horizon_are_told():
    """Values were 0.06 too low, half of their size, without a word: each error alone is small beside the noise."""
    walk = RandomWalk(19, gamma=0.9, left=0.0, noise="gaussian")
    rows, states = transitions(walk, 20_000), torch.arange(19.0)[:, None]
    options = {"gamma": 0.9, "states": 19, "head": "squared", "agreement": 0.0}
    with pytest.warns(FitWarning, match=r"not settled: by these errors they would still move by 0\.\d+"):
        few = TDCritic(steps=200, lr=5e-3, **options).fit(**rows)
    assert float((few.predict(states)[:, 0] - walk.values()).mean()) < -0.04
    many = TDCritic(steps=1000, lr=5e-3, **options).fit(**rows)  # warnings are errors here
    assert abs(float((many.predict(states)[:, 0] - walk.values()).mean())) < 0.02


def test_of_many_features_values_are_away_by_a_constant(monkeypatch):
    monkeypatch.setattr("interpolants.sciml.rl.td_critic._MOST_FEATURES", 3)
    rows = transitions(RandomWalk(7, gamma=0.9, noise="gaussian"), 500)
    checked = {name: column.double().reshape(-1, 1) for name, column in rows.items()}
    checked |= {"reward": checked["reward"][:, 0], "done": checked["done"][:, 0]}
    units = feature_units(checked["state"], 7)
    batches = _Batches(TDCritic(gamma=0.9, states=7), units, checked, 1.0, generator(0))
    away, _ = batches.away(batches.reward.double())
    constant = batches.reward.double().mean() / (1 - batches.goes_on.double()).mean()
    assert_close(away, constant.expand_as(away))


def test_what_values_are_away_is_exact_for_a_table():
    """Values of 0 are away by the least squares solution; those of that solution by nothing."""
    walk = RandomWalk(7, gamma=0.9, noise="gaussian")
    rows = transitions(walk, 4000)
    checked = {name: column.double().reshape(-1, 1) for name, column in rows.items()}
    checked |= {"reward": checked["reward"][:, 0], "done": checked["done"][:, 0]}
    method = TDCritic(gamma=0.9, states=7)
    units = feature_units(checked["state"], 7)
    batches = _Batches(method, units, checked, 1.0, generator(0))
    solution = (
        LeastSquaresTD(gamma=0.9, states=7, penalty=0.0).fit(**rows).predict(torch.arange(7.0)[:, None])
    )
    now, after = (batches.x.double() @ solution.double(), batches.after.double() @ solution.double())
    away, _ = batches.away(batches.reward.double())
    assert_close(away, now, rtol=1e-6, atol=1e-6)
    left = batches.reward.double() + batches.goes_on.double() * after - now
    assert float(batches.away(left)[0].abs().max()) < 1e-6
    # Over other draws of the rows the solution varies by as much as the doubt says.
    drawn = [
        LeastSquaresTD(gamma=0.9, states=7, penalty=0.0).fit(**transitions(walk, 4000, seed))
        for seed in range(1, 25)
    ]
    each = torch.stack([one.predict(torch.arange(7.0)[:, None])[:, 0] for one in drawn])
    share = batches.x.double().mean(0)
    told = float((each.var(0) * share).sum().sqrt())
    assert batches.away(left)[1] == pytest.approx(told, rel=0.3)


@pytest.mark.slow
def test_networks_learn_the_values_of_measured_states_and_disagree_where_they_saw_none():
    g = torch.Generator().manual_seed(0)
    s = torch.randn(4000, 1, generator=g)
    after = 0.8 * s + 0.3 * torch.randn(4000, 1, generator=g)
    critic = TDCritic(gamma=0.9, steps=800, lr=5e-3, hidden=(32, 32)).fit(
        state=s, reward=s, next_state=after, done=torch.zeros(4000, 1)
    )
    told = critic.assess(torch.tensor([[1.0], [-1.0], [5.0]]))
    assert told[:2, 0].tolist() == pytest.approx([1 / 0.28, -1 / 0.28], rel=0.1)
    assert told[:2, 1].tolist() == pytest.approx(
        [0.3 * 0.9 / 0.28] * 2, rel=0.25
    )  # gamma V' slope times the noise
    assert told[2, 2] > 1.5 * told[:2, 2].max()


def test_the_question_tells_an_error_that_is_known():
    walk = RandomWalk(5, gamma=0.9, noise="none")
    drawn = walk.sample(2000, generator=generator(0, "test of critics"))
    exact = LeastSquaresTD(gamma=0.9, states=5).fit(**transitions(walk, 400_000))
    method = LeastSquaresTD(gamma=0.9, states=5)
    task = Task.of(
        (*method.roles(), *KnownValues().reads()), {**drawn, "value": drawn["value"] + 0.25}, Split()
    )
    found = ask(KnownValues(), exact, task)
    assert found["bias"].value == pytest.approx(-0.25, abs=0.03)
    assert found["rmse"].value == pytest.approx(0.25, abs=0.03)


def test_the_loss_weighs_by_the_power_and_refuses_other_shapes():
    """One member, two rows, powers 1 and 3: weights 1/4 and 3/4, without a gradient of their own."""
    critics = Critics(2, (), 4, torch.Generator(), fixed_scale=True)
    heads = critics(torch.eye(2))
    power = torch.tensor([[1.0], [3.0]], requires_grad=True)
    heads = type(heads)(heads.value[:, :1], power, heads.scale[:, :1])
    target = torch.tensor([[0.5], [2.0]])
    loss = CriticLoss(agreement=0.0)(heads, target)
    told = [0.5 + np.log(2), 8 - np.log(3) + np.log(2) + float(torch.lgamma(torch.tensor(1 / 3)))]
    assert float(loss.detach()) == pytest.approx(0.25 * told[0] + 0.75 * told[1])
    (slope,) = torch.autograd.grad(loss, power)
    by_hand = 8 * np.log(2) - 1 / 3 - float(torch.digamma(torch.tensor(1 / 3))) / 9
    assert float(slope[1]) == pytest.approx(0.75 * by_hand)
    with pytest.raises(InvalidInputError, match="targets must be"):
        CriticLoss()(critics(torch.eye(2)), torch.zeros(4, 2))


def test_rewards_are_divided_by_the_size_of_their_sums_of_either_sign():
    """0.5 on average over a horizon of 1 / (1 - 0.9 * 0.75) steps."""
    rows = {"reward": torch.tensor([0.2, -0.8, 0.5, 0.5]), "done": torch.tensor([0.0, 0.0, 0.0, 1.0])}
    assert TDCritic(gamma=0.9)._unit(rows) == pytest.approx(0.5 / (1 - 0.9 * 0.75) ** 0.5)
    assert TDCritic(gamma=0.9, reward_scale=3.0)._unit(rows) == 3.0


def test_what_is_said_of_a_state_is_in_units_of_rewards():
    """Values 1 and 5 lie 2 from their mean; a Gaussian of scale s has the deviation s / sqrt(2)."""
    one = torch.ones(1, 2)
    heads = Heads(torch.tensor([[1.0, 5.0]]), 2 * one, 3 * one)
    assert assessed(heads, CriticLoss(), 10.0)[0].tolist() == pytest.approx([30, 30 / 2**0.5, 20, 2])


@pytest.mark.parametrize("least", [1.0, 1.5])
def test_training_begins_with_a_gaussian_law_of_scale_one(least):
    heads = Critics(2, (), 3, torch.Generator(), least_power=least)(torch.eye(2))
    assert_close(heads.power, torch.full((2, 3), 2.0))
    assert_close(heads.scale, torch.ones(2, 3), atol=2e-3, rtol=0)


def test_measured_states_are_standardised():
    x = 5 + 3 * torch.randn(50, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    found = features(feature_units(x, 0), x)
    assert_close(found.mean(0), torch.zeros(2, dtype=F64))
    assert_close(found.std(0), torch.ones(2, dtype=F64))


def test_tables_go_in_by_name_and_out_by_the_command(tmp_path):
    pandas = pytest.importorskip("pandas")
    drawn = transitions(RandomWalk(5, gamma=0.9), 500)
    table = pandas.DataFrame({name: column[:, 0].numpy() for name, column in drawn.items()})
    critic = TDCritic(gamma=0.9, states=5, steps=20).fit(
        state=table[["state"]], reward=table["reward"], next_state=table[["next_state"]], done=table["done"]
    )
    asked = pandas.DataFrame({"state": range(5)}, index=list("abcde"), dtype=float)
    assert list(critic.assess(asked).columns) == ["value", "noise_std", "ensemble_std", "power"]
    assert list(critic.predict(asked).index) == list("abcde")
    critic.save(tmp_path / "critic")
    asked.to_csv(tmp_path / "states.csv", index=False)
    words = ["predict", tmp_path / "critic", tmp_path / "states.csv", "--out", tmp_path / "values.csv"]
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, done.output
    found = pandas.read_csv(tmp_path / "values.csv")
    assert found["value"].tolist() == pytest.approx(critic.predict(asked)["value"].tolist(), rel=1e-6)


def test_bad_input_is_refused():
    rows = transitions(RandomWalk(5), 50)
    critic = TDCritic(states=5, steps=5)
    with pytest.raises(InvalidInputError, match="done is needed"):
        critic.fit(**{k: v for k, v in rows.items() if k != "done"})
    with pytest.raises(InvalidInputError, match="done must be 0 or 1"):
        critic.fit(**{**rows, "done": rows["done"] * 2})
    with pytest.raises(InvalidInputError, match="numbers from 0 to 4"):
        critic.fit(**{**rows, "state": rows["state"] + 1})
    with pytest.raises(InvalidInputError, match="same columns"):
        TDCritic(steps=5).fit(**{**rows, "next_state": torch.zeros(50, 2)})
    with pytest.raises(InvalidInputError, match="finite"):
        critic.fit(**{**rows, "reward": rows["reward"].index_fill(0, torch.tensor([3]), torch.nan)})
    with pytest.raises(InvalidInputError, match="members must be 2 or more"):
        TDCritic(members=1)


def tables(n=200):
    pandas = pytest.importorskip("pandas")
    g = torch.Generator().manual_seed(0)
    state = torch.randn(n, 2, dtype=F64, generator=g) * torch.tensor([1.0, 10.0], dtype=F64)
    done = (torch.arange(n) % 10 == 0).double()
    names = ["p", "v"]
    tables_ = [pandas.DataFrame(x.numpy(), columns=names) for x in (state, 0.9 * state)]
    return {"state": tables_[0], "reward": state[:, 0], "next_state": tables_[1], "done": done}


def test_columns_of_next_states_are_known_by_name():
    rows = tables()
    after = rows["next_state"]
    found = LeastSquaresTD(gamma=0.9).fit(**rows).predict(rows["state"])
    for other in (after[["v", "p"]], after.rename(columns={"p": "next_p", "v": "next_v"})):
        again = LeastSquaresTD(gamma=0.9).fit(**{**rows, "next_state": other}).predict(rows["state"])
        assert np.array_equal(again, found)
    with pytest.raises(InvalidInputError, match="p, v and v, q"):
        LeastSquaresTD().fit(**{**rows, "next_state": after[["v", "p"]].rename(columns={"p": "q"})})


def test_next_states_behind_an_end_may_be_missing_and_no_others():
    rows = tables()
    found = LeastSquaresTD(gamma=0.9).fit(**rows).predict(rows["state"])
    after = rows["next_state"].copy()
    after[rows["done"].numpy() == 1] = np.nan
    again = LeastSquaresTD(gamma=0.9).fit(**{**rows, "next_state": after}).predict(rows["state"])
    assert np.array_equal(again, found)
    with pytest.raises(
        InvalidInputError, match=r"must not be NaN where done is 0, got NaN in 180 rows \(row 1 first"
    ):
        LeastSquaresTD().fit(**{**rows, "next_state": rows["next_state"] * np.nan})


@pytest.mark.filterwarnings("ignore::interpolants.foundations.tell.SettingWarning")
def test_the_question_means_what_a_critic_says_of_its_noise_and_its_members():
    walk = RandomWalk(5, gamma=0.9, noise="none")
    drawn = walk.sample(200, generator=generator(0, "test of critics"))
    critic = TDCritic(gamma=0.9, states=5, members=2, steps=5).fit(**transitions(walk, 200))
    task = Task.of((*critic.roles(), *KnownValues().reads()), drawn, Split())
    found = ask(KnownValues(), critic, task)
    states, _ = KnownValues()._different(task)
    told = torch.as_tensor(critic.assess(states)).double()
    assert found["noise_std"].value == pytest.approx(float(told[:, 1].mean()))
    assert found["ensemble_std"].value == pytest.approx(float(told[:, 2].mean()))
