"""How well a method learns a new task from a few rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.data.arrays import is_table
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count
from interpolants.foundations.randomness import generator
from interpolants.framework.answers import Predictive
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.roles import take
from interpolants.framework.task import Task
from interpolants.methods.questions.distances import as_tensor
from interpolants.metrics.estimate import Estimate
from interpolants.sciml.bayes.episodes import Groups
from interpolants.sciml.bayes.metrics.calibration import expected_calibration_error

_UNKNOWN = "unknown: the tasks are"
# The stream of the rows that are known, of tasks and of classes.
_STREAM = "few shot"
# Tasks that are drawn, rows at which curves are drawn, standard deviations of a band of 90 %.
_PANELS, _PLACES, _BAND = 3, 100, 1.645


@dataclass(frozen=True, kw_only=True)
class FewShot(Question):
    """Adapt to some rows of a task, predict the others: once for each test group, or for episodes of test classes."""

    needs: ClassVar[str] = "adapt"
    numbers: ClassVar[Mapping[str, About]] = {
        "mse": About("Mean squared error", note="Of the rows that were not learnt from."),
        "nll": About("Negative log probability", unit="nats per row"),
        "accuracy": About("Share of right answers", "higher"),
        "calibration_error": About("Calibration error", note="Distance of confidence and accuracy, 10 bins."),
    }

    shots: Count = 5
    """Rows of a task, or of each class, that are learnt from."""
    ways: Literal[0] | Annotated[int, Ge(2)] = 0
    """Classes of an episode; 0 for regressions, whose groups are the tasks."""
    episodes: Count = 100
    """Episodes of classes; regressions have one per group."""
    queries: Count = 10
    """Rows of each class that are predicted."""
    seed: int = 0
    """Seed of the draws."""

    def measure(self, method: Method, task: Task) -> Measured:
        """One number per task."""
        return self._classes(method, task) if self.ways else self._regressions(method, task)

    # --- regressions

    def _regressions(self, method: Method, task: Task) -> Measured:
        rows = task.test
        arrays: dict[str, Tensor] = {}
        groups = Groups.of("few_shot", as_tensor(rows["groups"]), self.shots + 1)
        mse, nll = [], []
        for k, own in enumerate(groups.rows):
            order = own[torch.randperm(len(own), generator=generator(self.seed, _STREAM, k))]
            few, rest = order[: self.shots], order[self.shots :]
            adapted = method.adapt(take(rows["x"], few), take(rows["y"], few))  # type: ignore[attr-defined]
            found = adapted.predict(take(rows["x"], rest))
            truth = as_tensor(take(rows["y"], rest)).double().reshape(-1, 1)
            mse.append((_plain(found.mean) - truth).square().mean())
            nll.append(-found.log_prob(truth).double().mean())
            if k < _PANELS and as_tensor(rows["x"]).reshape(len(as_tensor(rows["x"])), -1).shape[1] == 1:
                arrays |= self._curve(adapted, rows, (few, rest), k)
        return Measured({"mse": torch.stack(mse), "nll": torch.stack(nll)}, arrays)

    def _curve(
        self, adapted: Any, rows: Mapping[str, Any], parts: tuple[Tensor, Tensor], k: int
    ) -> dict[str, Tensor]:
        """Predictions along x, and the rows of a task."""
        few, rest = parts
        x, y = (as_tensor(rows[name]).double().reshape(-1) for name in ("x", "y"))
        grid = torch.linspace(float(x.min()), float(x.max()), _PLACES, dtype=torch.float64)
        at = grid[:, None]
        if is_table(rows["x"]):
            at = type(rows["x"])(at.numpy(), columns=rows["x"].columns)
        found: Predictive = adapted.predict(at)
        mean, std = _plain(found.mean)[:, 0], _plain(found.std)[:, 0]
        curves = {"grid": grid, "mean": mean, "low": mean - _BAND * std, "high": mean + _BAND * std}
        points = {"few_x": x[few], "few_y": y[few], "rest_x": x[rest], "rest_y": y[rest]}
        return {f"{name}{k}": value for name, value in {**curves, **points}.items()}

    # --- classes

    def _classes(self, method: Method, task: Task) -> Measured:
        rows, labels = task.test["x"], as_tensor(task.test["y"])
        groups = Groups.of("few_shot", labels, self.shots + self.queries)
        if len(groups.rows) < self.ways:
            raise invalid("few_shot", f"the test must have at least {self.ways} classes", len(groups.rows))
        answer = torch.arange(self.ways)
        parts = []
        for k in range(self.episodes):
            source = generator(self.seed, _STREAM, k)
            drawn = groups.classes(self.ways, self.shots + self.queries, source)
            few, rest = drawn[:, : self.shots].flatten(), drawn[:, self.shots :].flatten()
            known = answer.repeat_interleave(self.shots)
            adapted = method.adapt(take(rows, few), known)  # type: ignore[attr-defined]
            parts.append(_plain(adapted.predict(take(rows, rest))))
        p = torch.stack(parts).clamp_min(1e-12)
        truth = answer.repeat_interleave(self.queries).expand(len(p), -1)
        nll = -p.gather(2, truth[..., None])[..., 0].log().mean(1)
        right = (p.argmax(2) == truth).double()
        p = p / p.sum(2, keepdim=True)
        error = expected_calibration_error(p.flatten(0, 1), truth.flatten())
        values: dict[str, Number] = {"accuracy": right.mean(1), "nll": nll, "calibration_error": error}
        return Measured(values, {"confidence": p.amax(2).flatten(), "right": right.flatten()})

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """None is known."""
        return dict.fromkeys(self.numbers, _UNKNOWN)

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Curves of some tasks, or confidence against accuracy."""
        named = {"the method": own, **rivals}
        if self.ways:
            return [_reliability(named)]
        shown = [k for k in range(_PANELS) if f"grid{k}" in own.arrays]
        return [_curves(named, shown, self.shots)] if shown else []


def _plain(x: Any) -> Tensor:
    found = as_tensor(x).double()
    return found if found.ndim > 1 else found[:, None]


def _curves(named: Mapping[str, Measured], shown: Sequence[int], shots: int) -> Figure:
    """A row of tasks for the method and for its first rivals."""
    panels: list[Panel] = []
    for name, one in list(named.items())[:2]:
        for k in shown:
            a = {key.removesuffix(str(k)): value for key, value in one.arrays.items() if key.endswith(str(k))}
            band = Series(
                mark="band", arrays={"x": a["grid"], "low": a["low"], "high": a["high"]}, name="90%"
            )
            line = Series(mark="line", arrays={"x": a["grid"], "y": a["mean"]}, name="mean")
            rest = Series(
                mark="points",
                arrays={"x": a["rest_x"], "y": a["rest_y"]},
                name="not seen",
                hue="muted",
                size=3,
            )
            few = Series(
                mark="points", arrays={"x": a["few_x"], "y": a["few_y"]}, name="learnt from", hue=1, size=6
            )
            low, high = float(a["rest_y"].min()), float(a["rest_y"].max())
            margin = 0.4 * (high - low)
            y = Axis(low=low - margin, high=high + margin)
            panels.append(Panel(series=(band, line, rest, few), title=name, x=Axis(label="x"), y=y))
    caption = f"Three test tasks, learnt from {shots} rows each (large dots; small ones were not seen), with the mean "
    caption += "that is predicted and a band of 90 %; above the method, below its first rival."
    width, height = 300 * len(shown), 230 * (len(panels) // len(shown))
    return Figure(
        name="tasks", panels=tuple(panels), caption=caption, columns=len(shown), width=width, height=height
    )


def _reliability(named: Mapping[str, Measured]) -> Figure:
    """Accuracy by confidence, in bins of a tenth."""
    line = torch.linspace(0, 1, 2, dtype=torch.float64)
    series = [Series(mark="line", arrays={"x": line, "y": line}, name="calibrated", hue="muted", dash="--")]
    for k, (name, one) in enumerate(list(named.items())[:6]):
        place = (one.arrays["confidence"] * 10).ceil().long().clamp(1, 10)
        kept = [b for b in range(1, 11) if int((place == b).sum()) >= 10]
        x = torch.tensor([float(one.arrays["confidence"][place == b].mean()) for b in kept])
        y = torch.tensor([float(one.arrays["right"][place == b].mean()) for b in kept])
        series.append(
            Series(
                mark="line", arrays={"x": x.double(), "y": y.double()}, name=name, hue=k, symbol="o", size=4
            )
        )
    panel = Panel(
        series=tuple(series),
        x=Axis(label="confidence"),
        y=Axis(label="share of right answers"),
        legend="below",
    )
    caption = "Share of right answers among predictions of similar confidence; below the line: overconfident."
    return Figure(name="reliability", panels=(panel,), caption=caption, width=420, height=340)


__all__ = ["FewShot"]
