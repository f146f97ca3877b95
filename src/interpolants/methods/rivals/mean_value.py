"""Mean and spread of all values, whatever the point."""

from typing import Any, ClassVar

from torch import Tensor

from interpolants.framework.answers import Predictive
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run


class MeanValue(Method):
    """``N(mean, std^2)`` of the training values at every point: what costs nothing to learn."""

    noun: ClassVar[str] = "mean"

    def roles(self) -> tuple[Role, ...]:
        """Points, of which nothing is learnt, and their values."""
        return Role(name="points", exact=True, words=True), Role(name="values", exact=True)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Two moments."""
        values = data["values"].flatten(1)
        spread = values.std(0) if len(values) > 1 else values.new_zeros(values.shape[1])
        return {"mean": values.mean(0), "std": spread.clamp_min(1e-300)}

    @capability(reads={"x": "points"}, like="values")
    def predict(self, x: Tensor) -> Predictive:
        """The same Gaussian for each point."""
        shape = (1, len(x), -1)
        return Predictive(loc=self.state["mean"].expand(shape), scale=self.state["std"].expand(shape))
