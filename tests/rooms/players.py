"""Two players with an optimizer each: a generator and its critic."""

from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.framework.capabilities import capability
from interpolants.framework.frames import Standard
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from rooms.parts import ToyNet, moons, noise


class Players(Method):
    """The critic moves ``inner`` times for one move of the generator; its weights are clipped."""

    steps: int = 400
    inner: int = 4
    width: int = 4

    def roles(self) -> tuple[Role, ...]:
        return (Role(name="x1", axis="x1"),)

    def learn(self, data: dict[str, Any], run: Run) -> Any:
        frame = Standard().fit(data["x1"])
        x = frame.encode(data["x1"]).float()
        maker, critic = ToyNet(self.width, x.shape[1], self.seed), ToyNet(x.shape[1], 1, self.seed + 1)
        moves = torch.optim.RMSprop(maker.parameters(), lr=1e-3)
        judges = torch.optim.RMSprop(critic.parameters(), lr=2e-3)

        def step(k: int, g: Generator) -> dict[str, float]:
            real = x[torch.randint(len(x), (64,), generator=g)]
            fake = maker(torch.randn(64, self.width, generator=g))
            turn = k % (self.inner + 1) == 0
            gap = critic(real).mean() - critic(fake if turn else fake.detach()).mean()
            for one in (moves, judges):
                one.zero_grad()
            (gap if turn else -gap).backward()
            (moves if turn else judges).step()
            with torch.no_grad():
                for weight in critic.parameters():
                    weight.clamp_(-0.1, 0.1)
            return {"gap": float(gap.detach())}

        parts = {"maker": maker, "critic": critic, "moves": moves, "judges": judges}
        run.live("play", parts, step, self.steps, every=15)
        return {"maker": maker.eval().requires_grad_(False), "frame": frame}

    @capability(like="x1")
    def sample(self, n: int, *, seed: int = 0) -> Tensor:
        """Rows of x1."""
        made: Tensor = self.state["maker"](noise(n, self.width, seed))
        return self.state["frame"].decode(made)


def quick() -> tuple[Players, dict[str, Any]]:
    return Players(steps=40), {"x1": moons()}
