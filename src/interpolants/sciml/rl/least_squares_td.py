"""Values of a policy that are linear in features of the state, in closed form."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.kinds import NonNegative, Share, Whole
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.sciml.rl.transitions import ROLES, checked_transitions, feature_units, features


class LeastSquaresTD(Method):
    """``V(s) = phi(s) . w`` with ``sum phi (phi - gamma (1 - done) phi')^T w = sum phi r``: what temporal differences
    with squared errors converge to on these rows.

    Raises:
        InvalidInputError: If a setting is out of range, or a table does not fit.

    Source: Bradtke & Barto (1996), Machine Learning 22, 33-57.
    """

    noun: ClassVar[str] = "critic"
    only_cpu: ClassVar[str] = "it is one small linear system in float64"

    gamma: Share = 0.99
    """Discount."""
    states: Whole = 0
    """Number of states where a state is its number, so that values are a table; 0 for measured states, whose features
    are a constant and the standardised columns."""
    penalty: NonNegative = 1e-6
    """Added to the diagonal, per row."""

    def roles(self) -> tuple[Role, ...]:
        """Transitions, row by row."""
        return ROLES

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """One linear system."""
        rows = checked_transitions(data, self.given)
        units = feature_units(rows["state"], self.states)
        done = rows["done"][:, None]
        x = self._features(units, rows["state"])
        after = self._features(units, torch.where(done == 1, rows["state"], rows["next_state"]))
        matrix = x.T @ (x - self.gamma * (1 - done) * after) / len(x)
        matrix += self.penalty * torch.eye(len(matrix), dtype=matrix.dtype)
        # Columns that tell the same, or a sum without discount or end: the solution would be rounding.
        sizes = torch.linalg.svdvals(matrix)
        lost = len(matrix) * torch.finfo(matrix.dtype).eps * float(sizes[0])
        if float(sizes[-1]) <= 10 * lost:
            rule = (
                "the rows must determine the values: all states seen, no two columns alike, gamma < 1 or ends"
            )
            raise invalid(rule, f"penalty = {self.penalty:g}", "Use a penalty above 0.")
        return {"units": units, "w": torch.linalg.solve(matrix, x.T @ rows["reward"] / len(x))}

    def _features(self, units: dict[str, Any], state: Tensor) -> Tensor:
        found = features(units, state)
        return found if self.states else torch.cat([found, found.new_ones(len(found), 1)], 1)

    def columns(self, name: str) -> tuple[str, ...]:
        """Names of what is predicted."""
        return ("value",) if name == "value" else ()

    @capability(reads={"x": "state"}, like="value", blocks=True)
    def predict(self, x: Tensor) -> Tensor:
        """Values of states.

        Args:
            x: States ``(B, D)``.

        Returns:
            ``(B, 1)``, in units of the reward.
        """
        found: Tensor = self._features(self.state["units"], x.flatten(1)) @ self.state["w"]
        return found[:, None]
