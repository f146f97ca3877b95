"""A method with an environment: a table of values for a corridor whose state cannot be stored."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.foundations.randomness import generator, key
from interpolants.framework.capabilities import capability, verb
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run

verb("act", "observation")
FRESH = 10  # steps between two fresh starts of the environment


@dataclass
class Corridor:
    """States in a row; action 1 goes right, with slips; the end pays 1."""

    length: int = 6
    slip: float = 0.2

    def reset(self, seed: int | None = None) -> int:
        if seed is not None:
            self.generator = generator(seed, "corridor")
        self.at = 0
        return self.at

    def step(self, action: int) -> tuple[int, float, bool]:
        slips = float(torch.rand((), generator=self.generator)) < self.slip
        self.at = max(0, self.at + (1 if (action == 1) != slips else -1))
        over = self.at == self.length - 1
        return self.at, float(over), over


class Walker(Method):
    """Q-learning; a step is 20 moves, and runs across episodes."""

    steps: int = 100
    rate: float = 0.2

    def roles(self) -> tuple[Role, ...]:
        return (Role(name="environment", kind="environment", axis=""),)

    def learn(self, data: dict[str, Any], run: Run) -> Any:
        world = data["environment"]

        def step(table: Tensor, k: int, g: Generator) -> Tensor:
            # The boundary: an undisturbed run begins anew where a resumed one must.
            at = world.reset(key(self.seed, "fresh", k) >> 32) if k % FRESH == 1 else world.at
            table = table.clone()
            for _ in range(20):
                explore = float(torch.rand((), generator=g)) < 0.3
                action = int(torch.randint(2, (), generator=g)) if explore else int(table[at].argmax())
                after, reward, over = world.step(action)
                target = reward + (0.0 if over else 0.95 * float(table[after].max()))
                table[at, action] += self.rate * (target - table[at, action])
                at = world.reset() if over else after
            return table

        return {"q": run.loop("moves", lambda g: torch.zeros(world.length, 2), step, self.steps, every=FRESH)}

    @capability(reads={"observation": Role(name="observation", kind="labels")})
    def act(self, observation: Tensor) -> Tensor:
        """The best action in each state."""
        return self.state["q"][observation].argmax(-1)


def quick() -> tuple[Walker, dict[str, Any]]:
    return Walker(steps=30), {"environment": Corridor()}


PROBE = {"observation": torch.tensor([0, 1, 2, 3])}
