"""Values of a random walk: in closed form, and as means of the discounted rewards of its own episodes."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.rl.problems.random_walk import RandomWalk


def test_values_rise_evenly_without_discount_and_need_no_walk_with_all():
    expected = 2 * torch.arange(1, 20, dtype=torch.float64) / 20 - 1
    assert_close(RandomWalk(19).values(), expected)
    assert_close(RandomWalk(5, gamma=0.0).values(), torch.tensor([-0.5, 0, 0, 0, 0.5], dtype=torch.float64))


@pytest.mark.parametrize("noise", ["none", "exponential"])
def test_values_are_means_of_discounted_rewards(noise):
    """About 3,800 episodes of 5 states from the middle and what follows; seed 0, four standard errors."""
    walk = RandomWalk(5, gamma=0.8, left=0.0, right=2.0, noise=noise, size=0.5)
    drawn = {k: v[:, 0] for k, v in walk.sample(40_000, generator=torch.Generator().manual_seed(0)).items()}
    total, sums = 0.0, []
    for reward, done in zip(drawn["reward"].flip(0).tolist(), drawn["done"].flip(0).tolist(), strict=True):
        total = reward + (0.0 if done else 0.8 * total)
        sums.append(total)
    sums = torch.tensor(sums, dtype=torch.float64).flip(0)
    for state, value in enumerate(walk.values()):
        found = sums[(drawn["state"] == state)]
        assert (
            abs(float(found.mean() - value)) < 4 * float(found.std()) / len(found) ** 0.5 * 2
        )  # they overlap


def test_transitions_hang_together_and_the_tails_are_those_of_t_2():
    drawn = RandomWalk(noise="student_t").sample(50_000, generator=torch.Generator().manual_seed(1))
    flat = {k: v[:, 0] for k, v in drawn.items()}
    goes_on = flat["done"][:-1] == 0
    assert_close(flat["next_state"][:-1][goes_on], flat["state"][1:][goes_on])
    assert bool((flat["state"][1:][~goes_on] == 9).all())
    assert_close(flat["value"], RandomWalk().values()[flat["state"].long()])
    inside = flat["reward"][flat["done"] == 0] / 0.5
    share = float((inside.abs() > 4.303).double().mean())  # 5 % beyond, by the table of t
    assert share == pytest.approx(0.05, abs=4 * (0.05 * 0.95 / 50_000) ** 0.5)


def test_noise_is_finite_whatever_is_drawn(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda n, **_: torch.zeros(n, dtype=torch.float64))
    drawn = RandomWalk(noise="student_t").sample(10, generator=torch.Generator().manual_seed(0))
    assert bool(drawn["reward"].isfinite().all())


def test_bad_settings_are_refused():
    with pytest.raises(InvalidInputError, match="must be odd"):
        RandomWalk(4)
    with pytest.raises(InvalidInputError, match=r"gamma must lie in \[0, 1\]"):
        RandomWalk(gamma=1.5)
    with pytest.raises(InvalidInputError, match="noise"):
        RandomWalk(noise="cauchy")


def test_rewards_are_what_was_set_to_the_last_bit():
    """They had been those of single precision, and 1e308 none at all."""
    for right in (0.1, 1e308):
        rewards = RandomWalk(states=3, left=-0.1, right=right, noise="none").sample(200)["reward"]
        assert set(rewards.flatten().tolist()) == {-0.1, 0.0, right}
