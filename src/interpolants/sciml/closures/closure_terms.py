"""How well a closure tells the moment that it replaces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Question
from interpolants.framework.task import Task
from interpolants.methods.questions.distances import as_tensor
from interpolants.sciml.closures.moment_closure import MomentClosure
from interpolants.sciml.closures.order_closures import closed
from interpolants.sciml.closures.pde.active_fluid import complex_moments

_POINTS = 2000


@dataclass(frozen=True, kw_only=True)
class ClosureTerms(Question):
    """The error of z_2 at the points of the test runs, without any running; and the function F itself."""

    needs: ClassVar[str] = "predict"
    front: ClassVar[tuple[str, ...]] = ("factor",)
    numbers: ClassVar[Mapping[str, About]] = {
        "second_moment": About(
            "Error of z_2", note="Root mean square over that of z_2, run by run."
        )
    }  # fmt: skip

    def cannot(self, method: Method) -> str:
        """Put to closures."""
        return "" if isinstance(method, MomentClosure) else "it is no closure of moments."

    def measure(self, method: Method, task: Task) -> Measured:
        """Compare with the kinetic theory."""
        assert isinstance(method, MomentClosure)
        fields = as_tensor(task.test["fields"])
        if fields.shape[2] < 5:
            return Measured(texts={"Not asked": ["the test runs hold no z_2."]})
        c, z = complex_moments(fields.flatten(0, 1))
        with torch.no_grad():
            gap = (closed(method.factor, c, z) - z[:, 1]).abs().square()
            line = torch.linspace(0.02, 0.98, 97, dtype=torch.float64)
            factor = method.factor(line.square())
        runs, size = len(fields), z[:, 1].abs().square()
        error = (gap.reshape(runs, -1).mean(1) / size.reshape(runs, -1).mean(1)).sqrt()
        return Measured({"second_moment": error}, {"line": line, "factor": factor, "seen": _seen(c, z)})

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """F over the order, and what the kinetic theory has there."""
        if "seen" not in own.arrays:
            return []
        seen = own.arrays["seen"]
        series = [
            Series(
                mark="points",
                arrays={"x": seen[0], "y": seen[1]},
                name="kinetic",
                hue="muted",
                size=1.5,
                alpha=0.4,
            )
        ]
        series += [
            Series(
                mark="line", arrays={"x": one.arrays["line"], "y": one.arrays["factor"]}, name=name, hue=hue
            )
            for hue, (name, one) in enumerate({"the method": own, **rivals}.items())
            if "line" in one.arrays
        ]
        x, y = Axis(label="order |z₁| / c", low=0, high=1), Axis(label="F", low=-0.2, high=1.2)
        caption = "F in z_2 = F z_1^2 / c, and the real part of z_2 c / z_1^2 at points of the test runs."
        panel = Panel(series=tuple(series), x=x, y=y, legend="below", legend_columns=3)
        return [Figure(name="factor", panels=(panel,), caption=caption, width=560, height=400)]


def _seen(c: Tensor, z: Tensor) -> Tensor:
    """Order and ``Re(z_2 c / z_1^2)`` at evenly chosen points, ``(2, P)``."""
    first, second = z[:, 0].flatten(), z[:, 1].flatten()
    every = max(1, len(first) // _POINTS)
    first, second, c = first[::every], second[::every], c.flatten()[::every]
    ratio = (second * c / first.square()).real
    return torch.stack([first.abs() / c, ratio])
