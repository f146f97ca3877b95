"""A random walk over a row of states whose values are known exactly, with noise on its rewards."""

import math

import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import number, one_of, whole
from interpolants.foundations.errors import invalid

NOISES = ("none", "gaussian", "student_t", "exponential")


class RandomWalk:
    """States 1 ... n; each step goes left or right with equal chance; stepping off an end pays, and ends the episode.

    Values solve ``V = R + gamma P V``; for ``gamma = 1`` they rise evenly from one end's reward to the other's. Noise
    has the mean 0 and is added to every reward, so values do not depend on it. Episodes begin in the middle.

    Args:
        states: n, odd.
        gamma: Discount, in [0, 1].
        left: Reward of the left end.
        right: Reward of the right end.
        noise: ``"none"``; ``"gaussian"``; ``"student_t"`` with 2 degrees of freedom, whose variance is infinite; or
            ``"exponential"`` less its mean, which is skewed.
        size: Factor of the noise.

    Raises:
        InvalidInputError: If a number is out of range.

    Source: Sutton (1988), Machine Learning 3, 9-44.
    """

    def __init__(
        self,
        states: int = 19,
        gamma: float = 1.0,
        left: float = -1.0,
        right: float = 1.0,
        noise: str = "student_t",
        size: float = 0.5,
    ) -> None:
        who = "RandomWalk"
        self.states = whole(who, "states", states, at_least=3)
        if states % 2 == 0:
            raise invalid(who, "states must be odd, so that there is a middle", states)
        self.gamma = number(who, "gamma", gamma, at_least=0, at_most=1)
        self.left, self.right = number(who, "left", left), number(who, "right", right)
        self.noise, self.size = one_of(who, "noise", noise, NOISES), number(who, "size", size, at_least=0)

    def values(self) -> Tensor:
        """Exact values, ``(n,)``, in units of the reward."""
        n = self.states
        step = torch.zeros(n, n, dtype=torch.float64)
        step.diagonal(1).fill_(0.5)
        step.diagonal(-1).fill_(0.5)
        reward = torch.zeros(n, dtype=torch.float64)
        reward[0], reward[-1] = 0.5 * self.left, 0.5 * self.right
        found: Tensor = torch.linalg.solve(torch.eye(n, dtype=torch.float64) - self.gamma * step, reward)
        return found

    def sample(self, n: int, *, generator: Generator | None = None) -> dict[str, Tensor]:
        """Draw transitions in the order in which they happened, episode after episode.

        Args:
            n: How many.
            generator: Randomness of the walk and of the noise.

        Returns:
            ``state``, ``reward``, ``next_state``, ``done`` and the exact ``value`` of the state, ``(n, 1)`` each.
            States are numbered from 0; the next state of a last step is the state itself.
        """
        right = torch.rand(n, generator=generator, dtype=torch.float64) < 0.5
        state, last = self._walk(right)
        ends = torch.tensor([self.left, self.right], dtype=torch.float64)  # not rounded to single precision
        pays = torch.where(last, ends[right.long()], 0.0)
        after = torch.where(last, state, state + torch.where(right, 1, -1))
        found = {"state": state, "reward": pays + self._draw(n, generator), "next_state": after, "done": last}
        found["value"] = self.values()[state]
        return {name: column.double()[:, None] for name, column in found.items()}

    def _walk(self, right: Tensor) -> tuple[Tensor, Tensor]:
        """States before each step, and which steps are the last of an episode."""
        middle, at = self.states // 2, self.states // 2
        states, last = [], []
        for goes_right in right.tolist():
            states.append(at)
            at += 1 if goes_right else -1
            last.append(not 0 <= at < self.states)
            at = middle if last[-1] else at
        return torch.tensor(states), torch.tensor(last)

    def _draw(self, n: int, source: Generator | None) -> Tensor:
        normal = torch.randn(n, generator=source, dtype=torch.float64)
        rate = -torch.log1p(-torch.rand(n, generator=source, dtype=torch.float64))  # of mean 1
        drawn = {
            "none": torch.zeros_like(normal),
            "gaussian": normal,
            "student_t": normal / rate.clamp(min=math.ulp(0.0)).sqrt(),
            "exponential": rate - 1,
        }
        return self.size * drawn[self.noise]
