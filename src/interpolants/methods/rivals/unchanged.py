"""What costs nothing between two distributions: rows of the other end as they are."""

from typing import Any, ClassVar

from torch import Tensor

from interpolants.foundations.kinds import Count
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.methods.parts.start_points import Pool


class Unchanged(Method):
    """Rows of x0 in place of rows of x1: the identity as a transport, stored rows of x0 as samples."""

    noun: ClassVar[str] = "rival"

    def roles(self) -> tuple[Role, ...]:
        """Samples of both ends; those of x1 only tell the shape."""
        return (Role(name="x0", axis="x0", like="x1"), Role(name="x1", axis="x1"))

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Rows of x0."""
        return {"pool": Pool.of(data["x0"], None, 0)}

    @capability(like="x1")
    def sample(self, n: Count, *, seed: int = 0, first_index: int = 0) -> Any:
        """Stored rows of x0, ``(n, *D)``, with replacement; draw i belongs to (seed, i)."""
        pool: Pool = self.state["pool"]
        return pool.draw(n, seed, first_index)

    @capability(reads={"x": "x1"}, like="x")
    def transport(self, x: Tensor) -> Tensor:
        """The rows as they are, ``(B, *D)``; so in both directions."""
        return x
