"""Do drawn networks do as a theory says, and do networks learn where it says that they can?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, Positive
from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.role import Role
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.kernels.layer_recursions import LayerStatistics
from interpolants.methods.questions.distances import as_tensor
from interpolants.metrics.estimate import Estimate
from interpolants.sciml.theory.deep_classifier import accuracy_after_training
from interpolants.sciml.theory.sampled_networks import NAMES
from interpolants.sciml.theory.signal_propagation import SignalPropagation

_TITLES = {
    "kernel": "K: variance of a pre-activation",
    "vertex": "V: covariance of two squares, times the width",
    "tangent": "T: tangent kernel",
    "a": "A: covariance of two diagonal entries",
    "b": "B: square of an entry off the diagonal",
    "d": "D: covariance of a square and a diagonal entry",
    "f": "F: mean of z_i z_j H_ij",
}
# A theory of first order is taken to be confirmed within three errors and a tenth.
_ERRORS, _SHARE = 3.0, 0.1


@dataclass(frozen=True, kw_only=True)
class TheoryAgainstNetworks(Question):
    """How far statistics of drawn networks are from what the theory says, in the last layer.

    ``excess`` is the largest ``|drawn - theory| / (3 errors + theory / 10)``: at most 1 where the theory holds to first
    order. Twins of another width show how differences shrink, by the inverse of the width.
    """

    needs: ClassVar[str] = "propagate"
    front: ClassVar[tuple[str, ...]] = ("layers", "Diagnosis")
    numbers: ClassVar[Mapping[str, About]] = {
        "excess": About(
            "Largest difference, over three errors and a tenth", "neither", note="At most 1 where the theory holds."
        ),
        "tangent_spread": About(
            "Relative variance of the tangent kernel between networks", "neither", note="(A + 2 B) / (n T^2)."
        ),
        **{f"{name}_gap": About(f"Relative difference of {title}", "neither", note="|drawn - theory| / theory.")
           for name, title in _TITLES.items()},
    }  # fmt: skip

    networks: Annotated[int, Ge(10)] = 1000
    """Networks that are drawn."""
    seed: int = 1
    """Seed of their weights."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Draw the networks of the method."""
        assert isinstance(method, SignalPropagation)
        typical = float(method.fitted_state("statistics")["mean_square"])
        drawn, theory = method.ensemble.statistics(typical, self.networks, self.seed), method.statistics
        values: dict[str, Number] = {"excess": 0.0}
        worst = Estimate(0.0, 0.0, self.networks, "difference")
        for name in NAMES:
            found, said = drawn[name][-1], float(getattr(theory, name)[-1])
            gap = abs(found.value - said)
            allowed = max(_ERRORS * found.error + _SHARE * abs(said), 1e-300)
            if gap / allowed > worst.value:
                worst = Estimate(gap / allowed, found.error / allowed, found.n, "difference")
            if said:
                values[f"{name}_gap"] = Estimate(
                    gap / abs(said), found.error / abs(said), found.n, "difference"
                )
        values |= {"excess": worst, "tangent_spread": float(theory.tangent_spread(method.width)[-1])}
        return Measured(values, _arrays(theory, drawn), {"Diagnosis": method.diagnosis})

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """What an exact theory would get, with as many networks as there may be."""
        return {
            "excess": "unknown: errors of order 1 / width are left",
            **{f"{name}_gap": 0.0 for name in NAMES},
        }

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Each statistic by layer, theory as a line, drawn networks as points."""
        panels = tuple(_panel(name, own.arrays) for name in NAMES)
        caption = "Theory (line) and drawn networks (points, two errors), layer by layer."
        return [Figure(name="layers", panels=panels, columns=4, caption=caption, width=1080, height=460)]


def _arrays(theory: LayerStatistics, drawn: Mapping[str, Sequence[Estimate]]) -> dict[str, Tensor]:
    found = {}
    for name in NAMES:
        points = torch.tensor([[one.value, one.error] for one in drawn[name]], dtype=torch.float64)
        found[name] = torch.cat([getattr(theory, name)[:, None], points], 1)
    return found


def _panel(name: str, arrays: Mapping[str, Tensor]) -> Panel:
    said, value, error = arrays[name].unbind(1)
    layer = torch.arange(1, len(said) + 1, dtype=torch.float64)
    line = Series(mark="line", arrays={"x": layer, "y": said}, name="theory", hue=1)
    points = Series(
        mark="line", arrays={"x": layer, "y": value, "error": 2 * error}, dash="", symbol="o", size=3
    )
    title, _, rest = _TITLES[name].partition(":")
    return Panel(series=(line, points), title=title, x=Axis(label="layer"), y=Axis(label=rest.strip()[:40]))


@dataclass(frozen=True, kw_only=True)
class DeepTraining(Question):
    """Accuracy of deep networks that are trained from this initialisation by plain gradient steps, on unseen rows."""

    needs: ClassVar[str] = "propagate"
    front: ClassVar[tuple[str, ...]] = ("training",)
    numbers: ClassVar[Mapping[str, About]] = {
        "accuracy": About("Accuracy after training", "higher", note="On unseen rows, mean over networks."),
        "chance": About("Share of the commonest class", "neither"),
    }

    labels: str = "y"
    """Role of the labels."""
    steps: Count = 500
    """Steps of 64 rows."""
    lr: Positive = 0.02
    """Their size."""
    networks: Count = 3
    """Networks, with seeds of their own."""
    seed: int = 1
    """Seed of the first."""

    def reads(self) -> Sequence[Role]:
        """Labels of the inputs."""
        return (Role(name=self.labels, kind="labels", about="Class of each row."),)

    def measure(self, method: Method, task: Task) -> Measured:
        """Train and test."""
        assert isinstance(method, SignalPropagation)
        train, test = self._rows(task.train), self._rows(task.test)
        sources = [generator(self.seed, "deep classifier", k) for k in range(self.networks)]
        found = [
            accuracy_after_training(method.ensemble, train, test, self.steps, self.lr, source)
            for source in sources
        ]
        chance = float(torch.bincount(test[1]).max()) / len(test[1])
        values: dict[str, Number] = {"accuracy": torch.tensor(found, dtype=torch.float64), "chance": chance}
        weight, _ = method.variances
        return Measured(
            values, {"weight": torch.tensor(weight), "accuracy": torch.tensor(found)}, findings=_told(found)
        )

    def _rows(self, part: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        x = as_tensor(part["x"]).float().flatten(1)
        labels = as_tensor(part[self.labels])
        if labels.is_floating_point():
            raise invalid("deep_training", f"{self.labels} must contain labels", str(labels.dtype))
        return x, labels.long()

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Accuracy over the variance of the weights."""
        series = []
        for hue, one in enumerate([own, *rivals.values()]):
            accuracy = one.arrays["accuracy"]
            arrays = {"x": one.arrays["weight"].expand(len(accuracy)), "y": accuracy}
            name = {0: "the method", 1: "twins"}.get(hue, "")
            series.append(Series(mark="points", arrays=arrays, hue=min(hue, 1), size=20, name=name))
        panel = Panel(
            series=tuple(series),
            x=Axis(label="variance of weights times fan-in"),
            y=Axis(label="accuracy on unseen rows", low=0, high=1.02),
            legend="below",
        )
        return [
            Figure(
                name="training",
                panels=(panel,),
                caption="One point a trained network.",
                width=520,
                height=340,
            )
        ]


def _told(found: Sequence[float]) -> list[Finding]:
    lost = sum(one != one for one in found)
    return [Finding(text=f"{lost} of {len(found)} trainings left the range of numbers.")] if lost else []
