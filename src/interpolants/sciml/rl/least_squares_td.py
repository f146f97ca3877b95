"""Values of a policy that are linear in features of the state, in closed form."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.foundations.checks import number, whole
from interpolants.foundations.errors import invalid
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.sciml.rl.transitions import ROLES, checked_transitions, feature_units, features


class LeastSquaresTD(Method):
    """``V(s) = phi(s) . w`` with ``sum phi (phi - gamma (1 - done) phi')^T w = sum phi r``: what temporal differences
    with squared errors converge to on these rows.

    Args:
        gamma: Discount, in [0, 1].
        states: Number of states where a state is its number, so that values are a table; 0 for measured states, whose
            features are a constant and the standardised columns.
        penalty: Added to the diagonal, per row, >= 0.

    Raises:
        InvalidInputError: If a setting is out of range, or a table does not fit.

    Source: Bradtke & Barto (1996), Machine Learning 22, 33-57.
    """

    noun: ClassVar[str] = "critic"
    only_cpu: ClassVar[str] = "it is one small linear system in float64"

    gamma: float = 0.99
    states: int = 0
    penalty: float = 1e-6

    def check_settings(self) -> None:
        """Refuse what is out of range."""
        number("LeastSquaresTD", "gamma", self.gamma, at_least=0, at_most=1)
        number("LeastSquaresTD", "penalty", self.penalty, at_least=0)
        whole("LeastSquaresTD", "states", self.states)

    def roles(self) -> tuple[Role, ...]:
        """Transitions, row by row."""
        return ROLES

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """One linear system."""
        rows = checked_transitions("LeastSquaresTD.fit", data, self.given)
        units = feature_units("LeastSquaresTD.fit", rows["state"], self.states)
        done = rows["done"][:, None]
        x = self._features("fit", units, rows["state"])
        after = self._features("fit", units, torch.where(done == 1, rows["state"], rows["next_state"]))
        matrix = x.T @ (x - self.gamma * (1 - done) * after) / len(x)
        matrix += self.penalty * torch.eye(len(matrix), dtype=matrix.dtype)
        self._check_determined(matrix)
        return {"units": units, "w": torch.linalg.solve(matrix, x.T @ rows["reward"] / len(x))}

    def _check_determined(self, matrix: Tensor) -> None:
        """Refuse a system whose solution is rounding: columns that tell the same, or a sum without discount or end."""
        sizes = torch.linalg.svdvals(matrix)
        lost = len(matrix) * torch.finfo(matrix.dtype).eps * float(sizes[0])
        if float(sizes[-1]) <= 10 * lost:
            rule = (
                "the rows must determine the values: all states seen, no two columns alike, gamma < 1 or ends"
            )
            raise invalid(
                "LeastSquaresTD.fit", rule, f"penalty = {self.penalty:g}", "Take a penalty above 0."
            )

    def _features(self, what: str, units: dict[str, Any], state: Tensor) -> Tensor:
        found = features(f"LeastSquaresTD.{what}", units, state)
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
        found: Tensor = self._features("predict", self.state["units"], x.flatten(1)) @ self.state["w"]
        return found[:, None]
