"""A method over a trained model: one step learns where the model carries each point of its base in several."""

import functools
from typing import Any

import torch

from interpolants.data.arrays import restore
from interpolants.framework.capabilities import capability
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.methods.flow_map.flow_map import FlowMap
from rooms.parts import ToyNet, moons, noise


class Student(Trained):
    """``x1 = x0 + net(x0)``.

    Args:
        teacher_steps: Steps of the model.
    """

    teacher_steps: int = 2

    def roles(self) -> tuple[Role, ...]:
        return (
            Role(name="model", kind="model", axis="", needs="transport", about="a model from Gaussian noise"),
        )

    def learn(self, data: dict[str, Any], run: Run) -> Any:
        model = data["model"]
        (width,) = model.shapes["x1"]

        def batches(step: int, g: torch.Generator, rank: int, world: int) -> Any:
            z = torch.randn(self.batch_size, width, generator=g)
            return {"z": z, "y": torch.as_tensor(model.transport(z, n_steps=self.teacher_steps))}

        def loss(net: Any, batch: Any, g: Any) -> Any:
            return {"gap": (batch["z"] + net(batch["z"]) - batch["y"]).square().mean(1)}

        net = ToyNet(width, width, self.seed)
        run.train("distil", net, loss, batches, self.training(ema=None))
        return {"net": net.eval().requires_grad_(False), "like": model.given["x1"], "width": width}

    @capability()
    def sample(self, n: int, *, seed: int = 0, first_index: int = 0) -> Any:
        """Rows as the model's x1."""
        z = noise(n, self.state["width"], seed, first_index)
        return restore(z + self.state["net"](z), self.state["like"])


@functools.cache
def teacher() -> FlowMap:
    """One small trained model for all rooms that need one."""
    net = {"kind": "mlp", "width": 16, "depth": 2}
    return FlowMap(path="one_sided_linear", net=net, steps=60, batch_size=64).fit(x1=moons())


def quick() -> tuple[Student, dict[str, Any]]:
    return Student(steps=24, batch_size=32, checkpoint_every=10, lr=5e-3), {"model": teacher()}
