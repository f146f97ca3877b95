"""A method whose samples are known at every noise level: x0 plus a shift, plus eps times a standard normal."""

from dataclasses import dataclass

import torch

from interpolants.foundations.randomness import generator
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.task import Split, Task


@dataclass
class Carried:
    x: torch.Tensor
    nfe: int
    method: str
    times: torch.Tensor
    path: torch.Tensor | None


class NoisySampler(Method):
    shift: float = 0.0

    def roles(self):
        return (Role(name="x0", axis="x0", like="x1"), Role(name="x1", axis="x1"))

    def learn(self, data, run):
        return {"x0": data["x0"]}

    @capability(like="x1")
    def sample(self, n, *, eps=0.0, seed=0, details=False):
        raise AssertionError("rows of x0 are carried, not drawn")

    @capability(reads={"x": "x1"}, like="x")
    def transport(self, x, *, eps=0.0, seed=0, reverse=False, details=False, return_path=False):
        noise = torch.randn(x.shape, dtype=x.dtype, generator=generator(seed, "noisy"))
        end = x + (-self.shift if reverse else self.shift) + eps * noise
        if not details:
            return end
        return Carried(
            end, 7, "known", torch.tensor([0.0, 1.0]), torch.stack([x, end]) if return_path else None
        )


def noisy_task(shift=0.0, learnt=None, rows=4000, dim=2):
    """A fitted sampler that shifts by ``learnt``, and a task whose x1 is x0's distribution shifted by ``shift``."""
    g = torch.Generator().manual_seed(3)
    x0, x1 = (torch.randn(rows, dim, generator=g) for _ in range(2))
    method = NoisySampler(shift=shift if learnt is None else learnt)
    task = Task.of(method.roles(), {"x0": x0, "x1": x1 + shift}, Split(test=0.5))
    task.fit(method)
    return method, task
