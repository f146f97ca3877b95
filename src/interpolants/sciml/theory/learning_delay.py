"""How long after training rows are learnt a network has learnt what is behind them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from interpolants.foundations.kinds import Positive
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.methods.questions.distances import as_tensor
from interpolants.sciml.theory.learning_curves import LearningCurves
from interpolants.sciml.theory.quadratic_network import QuadraticNetwork
from interpolants.sciml.theory.scaled_network import ScaledNetwork


@dataclass(frozen=True, kw_only=True)
class LearningDelay(Question):
    """Steps until training rows, and until watched rows, are learnt to a level, and what is known of one at the other.

    Needs held-out rows at the fit: those of the split, which nothing is learnt from.
    """

    needs: ClassVar[str] = "predict"
    front: ClassVar[tuple[str, ...]] = ("curves",)
    numbers: ClassVar[Mapping[str, About]] = {
        "delay": About(
            "Steps to learn watched rows over steps to learn training rows",
            note="A lower bound where watched rows are never learnt: all steps over those of the training rows.",
        ),
        "train_steps": About("Steps to learn the training rows", "neither"),
        "held_steps": About(
            "Steps to learn the watched rows", "neither", note="All steps where they never are."
        ),
        "held_when_trained": About("Loss on watched rows when training rows are learnt"),
        "held_at_end": About("Loss on watched rows at the end"),
        "drift": About("Relative change of the tangent kernel", "neither", note="0 for lazy training."),
    }

    level: Positive = 0.1
    """Loss over that of the answer 0, or share of wrong classes, below which rows count as learnt."""
    curve: Literal["loss", "errors"] = "loss"
    """``"errors"`` for the shares of a classifier."""

    def cannot(self, method: Method) -> str:
        """Put to networks whose training is recorded."""
        if not isinstance(method, QuadraticNetwork | ScaledNetwork):
            return "its training is not recorded."
        if self.curve == "errors" and not isinstance(method, ScaledNetwork):
            return "it gives no classes; use curve = 'loss'."
        return ""

    def measure(self, method: Method, task: Task) -> Measured:
        """Read the curves; a network with frozen features has an end alone."""
        if isinstance(method, QuadraticNetwork) and method.frozen:
            held = task.part("held")
            gap = as_tensor(method.predict(held["x"])).reshape(-1) - as_tensor(held["y"]).reshape(-1)
            size = as_tensor(task.train["y"]).square().mean()
            found = float(gap.square().mean() / size)
            return Measured({"held_at_end": found}, {"end": torch.tensor(found)})
        assert isinstance(method, QuadraticNetwork | ScaledNetwork)
        curves = (
            method.errors if self.curve == "errors" and isinstance(method, ScaledNetwork) else method.curves
        )
        return self._measured(curves)

    def _measured(self, curves: LearningCurves) -> Measured:
        last, held = float(curves.column("step")[-1]), curves.column("held")
        train, watched = curves.first_below("train", self.level), curves.first_below("held", self.level)
        values: dict[str, Number] = {}
        findings = []
        if bool(held.isnan().all()):
            findings.append(
                Finding(
                    text="No rows were watched: nothing is known of the delay.",
                    remedy="Give the split held rows.",
                )
            )
        elif math.isinf(train):
            findings.append(
                Finding(text=f"The training rows are not learnt to {self.level:g} within {last:,.0f} steps.")
            )
        else:
            end = min(watched, last)
            values |= {"delay": end / max(train, 1), "train_steps": train, "held_steps": end}
            values["held_when_trained"] = curves.at("held", train)
        if not bool(held.isnan().all()):
            values["held_at_end"] = float(held[-1])
            if math.isinf(watched) and not math.isinf(train):
                findings.append(
                    Finding(
                        text=f"Watched rows are not learnt to {self.level:g} within {last:,.0f} steps.",
                        grave=False,
                    )
                )
        values["drift"] = float(curves.column("drift")[-1])
        return Measured(values, {"curves": curves.values}, findings=findings)

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Losses over steps: training rows dashed, watched rows solid."""
        series = []
        for hue, (name, one) in enumerate({"the method": own, **rivals}.items()):
            if "curves" not in one.arrays:
                continue
            step, train, held = one.arrays["curves"][1:, :3].unbind(1)
            for y, dash, label in ((train, "--", ""), (held, "-", name)):
                if not bool(y.isnan().any()):
                    series.append(
                        Series(
                            mark="line",
                            arrays={"x": step, "y": y.clamp_min(1e-6)},
                            name=label,
                            hue=hue,
                            dash=dash,
                        )
                    )
        series.append(Series(mark="rule", arrays={"y": self.level}, hue="muted", dash=":"))
        frozen = [
            (name, float(one.arrays["end"])) for name, one in rivals.items() if "curves" not in one.arrays
        ]
        series += [
            Series(mark="rule", arrays={"y": y}, name=name, hue="muted", dash="--") for name, y in frozen
        ]
        label = "share of wrong classes" if self.curve == "errors" else "loss over that of the answer 0"
        panel = Panel(
            series=tuple(series),
            x=Axis(label="gradient steps", scale="log"),
            y=Axis(label=label, scale="log"),
            legend="below",
            legend_columns=3,
        )
        return [
            Figure(
                name="curves",
                panels=(panel,),
                caption="Training rows dashed, watched rows solid.",
                width=720,
                height=400,
            )
        ]
