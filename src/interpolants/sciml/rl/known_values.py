"""How far values of a policy are from those that are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.role import Role
from interpolants.framework.task import Task
from interpolants.methods.questions.distances import as_tensor
from interpolants.metrics.estimate import Estimate

_SHOWN = 400


@dataclass(frozen=True, kw_only=True)
class KnownValues(Question):
    """Errors of values over the different states of the test rows, each state once."""

    needs: ClassVar[str] = "predict"
    front: ClassVar[tuple[str, ...]] = ("values",)
    numbers: ClassVar[Mapping[str, About]] = {
        "rmse": About("Root mean square error of values", unit="reward", note="Each state counts once."),
        "bias": About("Mean error of values", "neither", unit="reward"),
        "noise_std": About("Standard deviation of an error by its law", "neither", unit="reward"),
        "ensemble_std": About("Standard deviation over the ensemble", "neither", unit="reward"),
        "power": About(
            "Power of the law of errors", "neither", note="2 is Gaussian, 1 Laplace; mean over states."
        ),
    }

    role: str = "value"
    """Role of the known values, row by row beside the states."""

    def reads(self) -> Sequence[Role]:
        """Known values."""
        return (Role(name=self.role, about="Known value of each state."),)

    def measure(self, method: Method, task: Task) -> Measured:
        """Errors, and what else the method says of these states."""
        states, truth = self._different(task)
        asked: Any = method
        found = as_tensor(asked.predict(states)).double().reshape(-1)
        error = found - truth
        values: dict[str, Number] = {"rmse": float(error.square().mean().sqrt()), "bias": float(error.mean())}
        arrays = {"truth": truth, "found": found}
        if method.can("assess"):
            told = as_tensor(asked.assess(states)).double()
            means = dict(
                zip(("noise_std", "ensemble_std", "power"), told[:, 1:].mean(0).tolist(), strict=True)
            )
            values |= {name: mean for name, mean in means.items() if mean == mean}
            arrays["spread"] = told[:, 2]
        return Measured(values, arrays)

    def _different(self, task: Task) -> tuple[Tensor, Tensor]:
        """Different states with their values, in the order of the values."""
        states = as_tensor(task.test["state"]).double().flatten(1)
        truth = as_tensor(task.test[self.role]).double().reshape(len(states), -1)
        if truth.shape[1] != 1:
            raise invalid("known_values", f"{self.role} must have one column", truth.shape[1])
        both = torch.unique(torch.cat([states, truth], 1), dim=0)
        both = both[both[:, -1].argsort()]
        return both[:, :-1], both[:, -1]

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """The truth is 0 away from itself; what rows of this number allow is not known."""
        return {"rmse": 0.0, "bias": 0.0}

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Errors over the known values, for each method."""
        marks = []
        for hue, (name, one) in enumerate({"the method": own, **rivals}.items()):
            some = torch.linspace(
                0, len(one.arrays["truth"]) - 1, min(_SHOWN, len(one.arrays["truth"]))
            ).long()
            truth, found = one.arrays["truth"][some], one.arrays["found"][some]
            error = 2 * one.arrays["spread"][some] if hue == 0 and "spread" in one.arrays else None
            arrays = {"x": truth, "y": found - truth, "error": error}
            symbol = "o" if hue == 0 else ""
            marks.append(
                Series(
                    mark="line", arrays=arrays, name=name.replace("_", " "), hue=hue, symbol=symbol, size=2
                )
            )
        zero = Series(mark="rule", arrays={"y": 0.0}, hue="muted", dash="--")
        x, y = Axis(label="known value", unit="reward"), Axis(label="error", unit="reward")
        panel = Panel(series=(zero, *marks), x=x, y=y, legend="below", legend_columns=3)
        caption = "Errors of values; bars of the method are two standard deviations over its ensemble."
        return [Figure(name="values", panels=(panel,), caption=caption, width=560, height=360)]
