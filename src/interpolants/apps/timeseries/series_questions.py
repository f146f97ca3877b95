"""Questions to models of windows: how refined forecasts and synthetic windows compare with what they were made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.apps.timeseries.metrics.linear_predictive import linear_predictive_score, predictive_errors
from interpolants.data.windows import all_windows, phase_randomised
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, Positive
from interpolants.foundations.randomness import generator
from interpolants.foundations.registry import build
from interpolants.framework.figures import Axis, Figure, Panel
from interpolants.framework.figures import Series as Mark
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.scores import Finding
from interpolants.framework.series import Series
from interpolants.framework.task import Task, rolling
from interpolants.methods.questions.calls import with_seed
from interpolants.methods.questions.series_parts import all_series_of, beside, named
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.quantile_loss import loss_of_cases


@dataclass(frozen=True, kw_only=True)
class RefinedForecasts(Question):
    """Another method's forecasts before and after refinement, from origins behind the cut.

    Several series are refined one by one, and scored like columns of one: the normalised loss weighs each by its size.
    """

    needs: ClassVar[str] = "refine"
    numbers: ClassVar[Mapping[str, About]] = {
        "quantile_loss": About("Normalised quantile loss, refined"),
        "before": About("The same before refinement", "neither"),
        "gain": About("What refinement takes away", "higher", note="Before less after, origin by origin."),
    }

    role: str = "series"
    """Role of the series."""
    of: Any = "seasonal_naive"
    """The method whose forecasts are refined: an id or a table; it is fitted on the training part."""
    steps: Count = 24
    """Steps ahead: the horizon of the model."""
    origins: Count = 10
    """Number of origins."""
    members: Count = 16
    """Members of the refined ensembles."""
    options: Mapping[str, Any] | None = None
    """Settings of the refinement."""
    seed: int = 1
    """Seed of the noise."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Losses by origin."""
        every = all_series_of("refined_forecasts", task, self.role)
        cut, length = int(task.rows[task.axes[self.role]]["test"][0]), len(every[0])
        other = self._other(task)
        windows = list(rolling(length, cut, length, self.steps, self.origins))
        pairs = [
            self._forecasts(method, other, [one[past] for one in every], k)
            for k, (past, _) in enumerate(windows)
        ]
        before, after = (torch.stack(part).double() for part in zip(*pairs, strict=True))
        truth = torch.stack([beside([one.values[future] for one in every]) for _, future in windows])
        seen = torch.stack([beside([one.seen[future] for one in every]) for _, future in windows])
        losses = [loss_of_cases(one, truth, seen) for one in (before, after)]
        values: dict[str, Number] = {
            "quantile_loss": losses[1],
            "before": losses[0],
            "gain": losses[0] - losses[1],
        }
        arrays = {"before": before[0, :, :, 0], "after": after[0, :, :, 0], "truth": truth[0, :, 0]}
        return Measured(values, arrays, findings=_worse(float((losses[0] - losses[1]).mean())))

    def _other(self, task: Task) -> Method:
        if isinstance(self.of, Method):  # a recipe has made it
            return task.fit(self.of.clone())
        table = {"kind": self.of} if isinstance(self.of, str) else dict(self.of)
        made: Method = build("method", table.pop("kind"), **table)
        return task.fit(made)

    def _forecasts(self, method: Any, other: Any, past: list[Series], k: int) -> tuple[Tensor, Tensor]:
        """Members ``(M, S, C)`` before and after, the columns of all series side by side."""
        given = {"members": self.members, "steps": self.steps, **with_seed(other, "forecast", self.seed + k)}
        first = other.forecast(past if len(past) > 1 else past[0], **given).x
        refined = [
            method.refine(
                one,
                context,
                members=self.members,
                seed=self.seed + k + b * self.origins,
                **(self.options or {}),
            ).x[0]
            for b, (one, context) in enumerate(zip(first, past, strict=True))
        ]
        return beside(first.unbind()), beside(refined)

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """The first origin: members before and after, and what came."""
        steps = torch.arange(self.steps, dtype=torch.float64) + 1
        name = named(all_series_of("refined_forecasts", task, self.role)[0])
        marks = [Mark(mark="line", arrays={"x": steps, "y": own.arrays["truth"]}, name="came", hue="muted")]
        for hue, (key, label) in enumerate((("before", "before"), ("after", "refined"))):
            mean = own.arrays[key].mean(0)
            marks.append(Mark(mark="line", arrays={"x": steps, "y": mean}, name=label, hue=hue))
        panel = Panel(series=tuple(marks), x=Axis(label="steps ahead"), y=Axis(label=name), legend="below")
        caption = "Mean of the members before and after refinement, first origin."
        return [Figure(name="refined", panels=(panel,), caption=caption, width=420, height=290)]


def _worse(gain: float) -> list[Finding]:
    if gain >= 0:
        return []
    return [Finding(f"Refinement makes the forecasts worse, by {-gain:.2g} in quantile loss.")]


@dataclass(frozen=True, kw_only=True)
class SyntheticWindows(Question):
    """What a linear predictor learns from synthetic windows, beside real ones and surrogates with random phases.

    Errors are those over test windows, which overlap: they are too small rather than too large. Windows of several
    series lie in one pool: one predictor learns from all, and its error is relative to the mean size of them all.
    """

    needs: ClassVar[str] = "sample"
    numbers: ClassVar[Mapping[str, About]] = {
        "score": About("Linear predictive score", floor_of="real training windows"),
        "ratio": About("The same over that of real windows", note="1 is as good as real windows."),
        "surrogates": About("Score of surrogates with random phases", "neither"),
        "lead": About("Score of the surrogates less the own", "higher"),
    }

    role: str = "series"
    """Role of the series."""
    context: Count = 48
    """Times that the predictor knows."""
    horizon: Count = 24
    """Times that it predicts; both together are the length of the windows."""
    n: Annotated[int, Ge(10)] = 1000
    """Windows of each kind, at most."""
    ridge: Positive = 1e-3
    """Penalty of the predictor."""
    seed: int = 1
    """Seed of windows and phases."""
    options: Mapping[str, Any] | None = None
    """Further arguments of the method's ``sample``."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Scores on the windows of the test part."""
        train, test = self._real(task, "train"), self._real(task, "test")
        answer: Any = method
        made = answer.sample(self.n, seed=self.seed, **(self.options or {})).double()
        if made.shape[1:] != train.shape[1:]:
            rule = f"context and horizon must be the {made.shape[1]} times of the model's windows together"
            raise invalid("synthetic_windows", rule, train.shape[1])
        surrogates = phase_randomised(train, generator=generator(self.seed, "surrogates"))
        own, real, other = (self._errors(one, test) for one in (made, train, surrogates))
        ratio = float(own.mean() / real.mean())
        error = float((own - ratio * real).std() / real.mean()) / len(own) ** 0.5
        values: dict[str, Number] = {
            "score": own, "ratio": Estimate(ratio, error, len(own), "ratio of scores"),
            "surrogates": float(other.mean()), "lead": other - own,
        }  # fmt: skip
        return Measured(
            values, {"made": made[:3, :, 0], "real": train[:3, :, 0], "surrogate": surrogates[:3, :, 0]}
        )

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """The score of real windows."""
        real = self._real(task, "train"), self._real(task, "test")
        return {"score": linear_predictive_score(*real, context=self.context, ridge=self.ridge), "ratio": 1.0}

    def _errors(self, made: Tensor, test: Tensor) -> Tensor:
        return predictive_errors(made, test, context=self.context, ridge=self.ridge)

    def _real(self, task: Task, part: str) -> Tensor:
        """Windows ``(n, L, C)`` of a part without gaps, evenly spread over the series one after the other."""
        whole_series = all_series_of("synthetic_windows", task, self.role)
        rows = task.rows[task.axes[self.role]][part]
        every = [one[rows] for one in whole_series]
        length = self.context + self.horizon
        if len(rows) < length:
            raise invalid(
                "synthetic_windows", f"the {part} part must have at least {length} times", len(rows)
            )
        starts = [
            (b, int(k))
            for b, one in enumerate(every)
            for k in all_windows(one.seen, length).all(2).all(1).nonzero()[:, 0]
        ]
        if len(starts) < 2:
            raise invalid("synthetic_windows", f"the {part} part must have windows without gaps", len(starts))
        kept = torch.linspace(0, len(starts) - 1, min(self.n, len(starts))).long()
        return torch.stack([every[b].values[k : k + length] for b, k in (starts[i] for i in kept)]).double()

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Three windows of each kind."""
        name = named(all_series_of("synthetic_windows", task, self.role)[0])
        kinds = (("real", "real windows"), ("made", "synthetic"), ("surrogate", "random phases"))
        panels = tuple(self._panel(own.arrays[key], title, name) for key, title in kinds)
        caption = "Windows of the training part, of the model, and with random phases."
        return [Figure(name="windows", panels=panels, caption=caption, width=900, height=250)]

    def _panel(self, windows: Tensor, title: str, name: str) -> Panel:
        steps = torch.arange(windows.shape[1], dtype=torch.float64)
        marks = tuple(
            Mark(mark="line", arrays={"x": steps, "y": window}, hue=k) for k, window in enumerate(windows)
        )
        return Panel(series=marks, title=title, x=Axis(label="step"), y=Axis(label=name))
