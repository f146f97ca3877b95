"""An agent with critics that model their errors: the hooked loss, an environment whose returns are known, a pole."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants import load
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import global_generators
from interpolants.foundations.tell import DataWarning
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.sciml.rl import episode_return
from interpolants.sciml.rl.critic_loss import CriticLoss
from interpolants.sciml.rl.critics import Critics
from interpolants.sciml.rl.episode_return import EpisodeReturn, mean_over_steps
from interpolants.sciml.rl.hooked_ppo import Hook, make_ppo
from interpolants.sciml.rl.noisy_control import NoisyControl
from interpolants.sciml.rl.td_agent import TDAgent

gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("stable_baselines3")
SMALL = {"rollout": 32, "environments": 2, "batch_size": 32, "epochs": 2, "hidden": (8,)}


class Match(gymnasium.Env):
    """Ten steps; 1 for saying the sign of what is seen, which is drawn anew."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 10
        return self._draw(), {}

    def step(self, action):
        reward = float(int(action) == int(self.seen[0] > 0))
        self.left -= 1
        return self._draw(), reward, self.left == 0, False, {}

    def _draw(self):
        self.seen = self.np_random.uniform(-1, 1, (1,)).astype(np.float32)
        return self.seen


class Aim(Match):
    """Ten steps; minus the distance of the action from what is seen."""

    action_space = gymnasium.spaces.Box(-0.5, 0.5, (2,))

    def step(self, action):
        reward = -float(np.abs(action - self.seen).sum())
        self.left -= 1
        return self._draw(), reward, self.left == 0, False, {}


@pytest.mark.parametrize("head", ["generalized", "gaussian", "squared"])
def test_the_hooked_library_moves_critics_by_the_gradient_of_their_loss(head, monkeypatch):
    """One minibatch is the whole rollout: the gradient that its optimizer sees is that of half the loss."""
    monkeypatch.setattr("interpolants.sciml.rl.hooked_ppo._STEEPEST", 1e9)
    options = {"n_steps": 16, "batch_size": 32, "n_epochs": 1, "max_grad_norm": 1e9}
    with global_generators(0):
        _compare_gradients(head, monkeypatch, make_ppo(Match, 10.0, 2, options))


def _compare_gradients(head, monkeypatch, model):
    critics, loss = Critics(1, (8,), 5, torch.Generator().manual_seed(0)), CriticLoss(head)
    hook, seen = Hook(model, critics, loss), {}
    before = [p.detach().clone() for p in critics.parameters()]
    step = model.policy.optimizer.step
    gradients = lambda: [p.grad.clone() for p in critics.parameters()]  # noqa: E731
    monkeypatch.setattr(model.policy.optimizer, "step", lambda: (seen.update(g=gradients()), step())[1])
    model.env.seed(0)
    model.learn(32)
    buffer = model.rollout_buffer
    for own, first in zip(critics.parameters(), before, strict=True):
        own.data = first
    states = torch.as_tensor(buffer.observations).reshape(-1, 1)
    assert_close(torch.as_tensor(buffer.values).reshape(-1, 1), hook.values(states).detach())
    expected = torch.autograd.grad(
        0.5 * loss(critics(states), torch.as_tensor(buffer.returns).reshape(-1, 1)), [*critics.parameters()],
        allow_unused=True,
    )  # fmt: skip
    for found, known in zip(seen["g"], expected, strict=True):
        assert_close(found, known, rtol=2e-3, atol=2e-6)
    assert any(float(g.abs().max()) > 1e-3 for g in expected)


@pytest.mark.slow
def test_an_agent_learns_what_pays_and_its_values_are_the_sums_to_come():
    agent = TDAgent(
        steps=4000, rollout=50, environments=8, batch_size=50, hidden=(16,), gamma=0.9, lr=5e-3
    ).fit(Match)
    task = Task.of(agent.roles(), {"environment": Match}, Split(by="none"))
    found = ask(EpisodeReturn(episodes=10), agent, task)
    assert found["episode_return"].value > 9.0  # of 10; chance is 5
    assert float(agent.returns[-20:, 1].mean()) == pytest.approx(found["last_episodes"].value)
    assert agent.act([[0.6], [-0.6]]) == [[1.0], [0.0]]
    # The time that is left is not seen: a value is the mean over it of (1 - 0.9^left) / 0.1, which is 4.14.
    told = np.asarray(agent.assess(np.array([[0.5], [-0.5]])))
    assert told[:, 0] == pytest.approx([4.14, 4.14], abs=0.8)
    assert (told[:, 1] > 0.5).all()


def test_actions_of_several_numbers_stay_within_their_bounds():
    agent = TDAgent(steps=2400, **{**SMALL, "rollout": 50, "batch_size": 50}, gamma=0.5, lr=5e-3).fit(Aim)
    assert agent.columns("action") == ("action_0", "action_1")
    actions = np.asarray(agent.act(np.array([[0.4], [-0.4], [30.0]])))
    assert actions.shape == (3, 2)
    assert np.abs(actions).max() <= 0.5
    assert actions[0] == pytest.approx([0.4, 0.4], abs=0.2)


def test_the_force_varies_about_its_mean_and_follows_the_seed():
    world = NoisyControl("CartPole-v1", noise=0.3)()
    world.reset(seed=1)
    forces = []
    for _ in range(2000):
        over = world.step(1)[2]
        forces.append(world.unwrapped.force_mag)
        if over:
            world.reset()
    assert np.mean(forces) == pytest.approx(10, abs=4 * 10 * 0.3 / 3**0.5 / 2000**0.5)
    assert min(forces) >= 7
    assert max(forces) <= 13
    assert np.std(forces) == pytest.approx(10 * 0.3 / 3**0.5, rel=0.05)
    plain, known = NoisyControl("CartPole-v1", noise=0.0)(), gymnasium.make("CartPole-v1")
    plain.reset(seed=3), known.reset(seed=3)
    assert np.array_equal(plain.step(0)[0], known.step(0)[0])


def test_the_mean_over_a_training_weighs_by_steps():
    assert mean_over_steps(torch.tensor([[10.0, 1.0], [20.0, 3.0], [50.0, 9.0]])) == pytest.approx(
        (10 + 90) / 40
    )


@pytest.mark.slow
def test_it_answers_in_a_fresh_process_without_the_library_that_trained_it(tmp_path):
    agent = TDAgent(steps=64, **SMALL).fit(NoisyControl())
    agent.save(tmp_path / "agent")
    np.savetxt(tmp_path / "seen.csv", np.eye(4), delimiter=",", header="a,b,c,d", comments="")
    command = f"""
import sys
from interpolants.cli.app import main
sys.argv = ["interpolants", "act", {str(tmp_path / "agent")!r}, {str(tmp_path / "seen.csv")!r},
            "--out", {str(tmp_path / "actions.csv")!r}]
try:
    main()
finally:
    assert "stable_baselines3" not in sys.modules and "gymnasium" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", command], check=True, capture_output=True)
    found = np.loadtxt(tmp_path / "actions.csv", delimiter=",", skiprows=1)
    assert (
        found.reshape(-1).tolist() == np.asarray(load(tmp_path / "agent").act(np.eye(4))).reshape(-1).tolist()
    )
    assert not [file for file in (tmp_path / "agent").rglob("*") if file.suffix in (".zip", ".pkl", ".pt")]


def test_bad_input_is_refused():
    with pytest.raises(InvalidInputError, match="batch_size must divide"):
        TDAgent(batch_size=100)
    with pytest.raises(InvalidInputError, match="members must be 2 or more"):
        TDAgent(members=1)
    agent = TDAgent(steps=64, **SMALL)
    with pytest.raises(InvalidInputError, match="function without arguments"):
        agent.fit(gymnasium.make("CartPole-v1"))
    with pytest.raises(InvalidInputError, match="must be a row of numbers"):
        agent.fit("FrozenLake-v1")
    one = Match()
    for shared in (lambda: one, lambda: gymnasium.wrappers.TimeLimit(one, 10)):
        with pytest.raises(InvalidInputError, match="a new one in each call, got the same object twice"):
            agent.fit(shared)
    for strange in (gymnasium.make, "CartPoole-v1"):
        with pytest.raises(InvalidInputError, match="function without arguments that makes one, or its name"):
            agent.fit(strange)
    with pytest.raises(InvalidInputError, match="an environment with a known force"):
        NoisyControl("Acrobot-v1", noise=0.1)
    with pytest.raises(InvalidInputError, match="registered environment"):
        NoisyControl("my_module:Env-v0", noise=0.0)
    with pytest.warns(DataWarning, match="longer rollout"):
        agent.set_params(rollout=4, batch_size=8, steps=8).fit(Match)
    agent.set_params(rollout=32, batch_size=32).fit(Match)
    with pytest.raises(InvalidInputError, match="rows of 1 numbers"):
        agent.act(np.zeros((2, 3)))
    with pytest.raises(InvalidInputError):
        agent.act(np.array([[np.nan]]))


@pytest.mark.slow
def test_it_balances_a_pole_whose_force_varies():
    """30,000 steps, seed 0. With 100,000 steps and ten seeds it is measured by the study td_error."""
    agent = TDAgent(steps=30_000).fit(NoisyControl())
    task = Task.of(agent.roles(), {"environment": NoisyControl()}, Split(by="none"))
    assert ask(EpisodeReturn(episodes=5), agent, task)["episode_return"].value > 300


@pytest.mark.parametrize(("most", "cut"), [(10, 0), (9, 1)])
def test_an_episode_is_cut_where_it_would_take_more_steps_than_are_allowed(most, cut, monkeypatch):
    """An episode of `Match` has ten steps."""
    monkeypatch.setattr(episode_return, "_MOST", most)

    class Constant:
        state = {"spaces": {"discrete": True}}  # noqa: RUF012
        act = staticmethod(lambda seen: torch.zeros(len(seen), 1))

    total, many = episode_return.play(Constant(), [Match()], [0])
    assert many == cut
    assert 0 <= float(total) <= most
