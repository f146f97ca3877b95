"""Ridge regression for each task by itself: what can be had from a few rows alone."""

from typing import Any, ClassVar

from torch import Tensor

from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.sciml.bayes.task_posterior import GROUPS, XY, TaskPosterior, check_columns


class PerTaskRidge(Method):
    """Learns nothing from other tasks; adapts by linear regression whose penalty and noise maximise the evidence."""

    noun: ClassVar[str] = "regression"

    def roles(self) -> tuple[Role, ...]:
        """Rows of all tasks, and whose they are."""
        return *XY, GROUPS

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Nothing."""
        check_columns(data["x"], data["y"])
        return {}

    @capability()
    def adapt(self, x: Tensor, y: Tensor) -> TaskPosterior:
        """A regression of these rows, at least two.

        Args:
            x: Inputs ``(n, D)``.
            y: Values ``(n,)`` or ``(n, 1)``.
        """
        return TaskPosterior(local="ridge").fit(x, y[:, 0] if self.given["y"].flat else y)
