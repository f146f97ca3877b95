"""Do motions that were drawn lead to the quantities that whole models have?

Letters: R runs, Q quantities, n draws.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.role import Role
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.methods.questions.distances import as_tensor
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.label_classifier import share
from interpolants.sciml.uq.monte_carlo import relative_distance
from interpolants.sciml.uq.submodel_generator import SubmodelGenerator

TRUTH = Role(name="quantities", exact=True, about="Quantities of the part in the same runs (R, Q).")
_SHOWN = 200


@dataclass(frozen=True, kw_only=True)
class SubmodelQuantities(Question):
    """Distances of the quantities of drawn motions to those of test runs, one a quantity, and a chance of exceedance.

    A distance is W1 over the standard deviation of the test runs, ``exceedance`` the chance that the first quantity is
    above a quantile of theirs. The bias of any mean over a function of slope 1 of a quantity is at most its W1.
    """

    needs: ClassVar[str] = "predict"
    front: ClassVar[tuple[str, ...]] = ("quantities",)
    numbers: ClassVar[Mapping[str, About]] = {
        "exceedance_error": About(
            "Error of the chance of exceedance", note="Of the first quantity; in absolute terms."
        ),
        "exceedance": About("Chance of exceedance", "neither"),
    }

    n: Annotated[int, Ge(10)] = 5000
    """Motions that are drawn."""
    level: Annotated[float, Interval(gt=0, lt=1)] = 0.9
    """The quantile."""
    seed: int = 0
    """Seed of the draws."""

    def reads(self) -> Sequence[Role]:
        """Quantities of the whole runs."""
        return (TRUTH,)

    def about(self, name: str) -> About:
        """Distances have the names of the quantities."""
        if name in self.numbers:
            return self.numbers[name]
        note = "Wasserstein-1 over the standard deviation of the test runs."
        return About(f"Distance of the {name}", note=note, floor_of="the quantities of the training runs")

    def cannot(self, method: Method) -> str:
        """Put to generators of motions."""
        return "" if isinstance(method, SubmodelGenerator) else "it draws no motions of an interface."

    def measure(self, method: Method, task: Task) -> Measured:
        """Draw motions, and drive the part by them."""
        assert isinstance(method, SubmodelGenerator)
        truth = as_tensor(task.test["quantities"])
        found = as_tensor(method.predict(method.sample(self.n, seed=self.seed)))
        if found.shape[1:] != truth.shape[1:]:
            text = f"The part has {found.shape[1]} quantities, the runs {truth.shape[1]}."
            return Measured(findings=[Finding(text=text, remedy="Give those of the part.")])
        values: dict[str, Number] = {
            name: relative_distance(found[:, k], truth[:, k])
            for k, name in enumerate(method.columns("quantities"))
        }
        limit = truth[:, 0].quantile(self.level)
        above, known = (share(x[:, 0] > limit, "mean") for x in (found, truth))
        error = math.hypot(above.error, known.error)
        values["exceedance_error"] = Estimate(abs(above.value - known.value), error, len(found), "difference")
        values["exceedance"] = above
        return Measured(values, {"found": _quantiles(found), "truth": _quantiles(truth)})

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """The training runs themselves, which is the best that could be learnt of them."""
        truth, train = (as_tensor(part["quantities"]) for part in (task.test, task.train))
        names = task.train["problem"].names
        return {name: relative_distance(train[:, k], truth[:, k]) for k, name in enumerate(names)}

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Distribution functions of the quantities."""
        if "truth" not in own.arrays:
            return []
        truth = own.arrays["truth"]
        below = torch.linspace(0, 1, len(truth), dtype=torch.float64)
        panels = []
        for k, name in enumerate(task.train["problem"].names):
            known = {"x": truth[:, k], "y": below}
            series = [Series(mark="line", arrays=known, name="whole model", hue="muted", size=3)]
            series += [
                Series(mark="line", arrays={"x": one.arrays["found"][:, k], "y": below}, name=who, hue=hue)
                for hue, (who, one) in enumerate({"the method": own, **rivals}.items())
                if "found" in one.arrays
            ]
            x, y = Axis(label=name), Axis(label="share of runs below" if not k else "")
            panels.append(Panel(series=tuple(series), x=x, y=y))
        caption = "Distribution functions: whole models, and the part driven by motions that were drawn."
        return [
            Figure(
                name="quantities",
                panels=tuple(panels),
                caption=caption,
                width=1080,
                height=340,
                legend_columns=5,
            )
        ]


def _quantiles(values: Tensor) -> Tensor:
    levels = torch.linspace(0, 1, _SHOWN, dtype=torch.float64)
    return values.double().quantile(levels, 0)


__all__ = ["TRUTH", "SubmodelQuantities", "relative_distance"]
