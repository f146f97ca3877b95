"""Quality of forecasts of a series: rolling origins behind the cut, scores and coverage by step ahead, fan charts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Interval
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, Whole
from interpolants.framework.figures import Axis, Figure, Panel
from interpolants.framework.figures import Series as Mark
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Question
from interpolants.framework.series import Series
from interpolants.framework.task import Task, rolling
from interpolants.methods.questions.calls import with_seed
from interpolants.methods.questions.series_parts import BANDS, all_series_of, beside, fan, lines, named
from interpolants.metrics.quantile_loss import loss_of_cases, quantile_loss, within

_SHOWN = 2  # origins with a fan chart


@dataclass(frozen=True, kw_only=True)
class ForecastByHorizon(Question):
    """Forecasts from origins that are evenly spread behind the cut, each given all that came before it.

    Several series are forecast together, and scored like columns of one: the normalised loss weighs each by its size.
    """

    needs: ClassVar[str] = "forecast"
    numbers: ClassVar[Mapping[str, About]] = {
        "quantile_loss": About(
            "Normalised quantile loss",
            note="Over deciles; 0.01 is roughly an error of one percent of the truth.",
        ),
        "median_error": About(
            "Error of the median", note="Absolute error of the ensemble's median over the size of the truth."
        ),
        "coverage": About(
            "Coverage", "neither", note="Share of what came within the central interval, 80 % unless said."
        ),
    }

    role: str = "series"
    """Role of the series."""
    steps: Count = 24
    """Steps ahead."""
    origins: Count = 10
    """Number of origins; they overlap where the test part is short."""
    members: Count = 20
    """Members of each ensemble."""
    history: Whole = 0
    """Most steps of history that a forecast is given; 0 for all."""
    level: Annotated[float, Interval(gt=0, lt=1)] = 0.8
    """Probability of the interval whose coverage is measured."""
    seed: int = 1
    """Seed of the ensembles."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Scores by origin, and what the figures need."""
        every = all_series_of("forecast_by_horizon", task, self.role)
        cut, length = int(task.rows[task.axes[self.role]]["test"][0]), len(every[0])
        windows = list(rolling(length, cut, self.history or length, self.steps, self.origins))
        drawn = [
            self._forecast(method, [one[past] for one in every], k) for k, (past, _) in enumerate(windows)
        ]
        members = torch.stack(drawn)
        truth = torch.stack([beside([one.values[future] for one in every]) for _, future in windows])
        seen = torch.stack([beside([one.seen[future] for one in every]) for _, future in windows])
        covered = (within(members, truth, self.level) & seen).double()
        count = seen.double().flatten(1).sum(1)
        some = count > 0  # origins behind which nothing was seen have no coverage
        median = members.quantile(0.5, 1)[:, None]
        return Measured(
            {
                "quantile_loss": loss_of_cases(members, truth, seen),
                "median_error": loss_of_cases(median, truth, seen, (0.5,)),
                "coverage": covered.flatten(1).sum(1)[some] / count[some],
            },
            self._arrays(every[0], windows, members, truth, seen),
        )

    def _forecast(self, method: Method, past: list[Series], k: int) -> Tensor:
        """Members ``(M, S, C)`` from one origin, the columns of all series side by side."""
        options: dict[str, Any] = with_seed(method, "forecast", self.seed + k)
        answer: Any = method
        context = past if len(past) > 1 else past[0]
        found: Tensor = answer.forecast(context, members=self.members, steps=self.steps, **options).x
        wanted = (len(past), self.members, self.steps, past[0].values.shape[1])
        if tuple(found.shape) != wanted:
            raise invalid("forecast_by_horizon", f"members must have shape {wanted}", tuple(found.shape))
        return beside(found.double().unbind())

    def _arrays(
        self, series: Series, windows: Any, members: Tensor, truth: Tensor, seen: Tensor
    ) -> dict[str, Tensor]:
        loss, size = quantile_loss(members, truth) * seen, (truth.abs() * seen).mean()
        inside = (within(members, truth, self.level) & seen).double()
        shown = [round(k * (len(windows) - 1) / max(_SHOWN - 1, 1)) for k in range(min(_SHOWN, len(windows)))]
        starts = [windows[k][1].start for k in shown]
        back = min(2 * self.steps, min(starts))
        return {
            "loss_by_step": loss.mean((0, 2)) / size,
            "coverage_by_step": inside.sum((0, 2)) / seen.double().sum((0, 2)),
            "bands": torch.stack(
                [members[k, ..., 0].quantile(torch.tensor(BANDS).double(), 0) for k in shown]
            ),
            "around": torch.stack([series.with_gaps()[s - back : s + self.steps, 0] for s in starts]),
        }

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Fan charts of two origins, and scores by step ahead beside those of the rivals."""
        ahead = Axis(label="steps ahead")
        name = named(all_series_of("forecast_by_horizon", task, self.role)[0])
        panels = tuple(
            Panel(series=fan(bands, around), title=title, x=ahead, y=Axis(label=name), legend="below")
            for bands, around, title in zip(
                own.arrays["bands"], own.arrays["around"], ("first origin", "last origin"), strict=False
            )
        )
        names = {"the method": own, **rivals}
        loss = {name: one.arrays["loss_by_step"] for name, one in names.items()}
        covered = {name: one.arrays["coverage_by_step"] for name, one in names.items()}
        wanted = Mark(mark="rule", arrays={"y": self.level}, hue="muted", dash="--")
        by_step = (
            Panel(
                series=lines(loss),
                x=ahead,
                y=Axis(label="normalised quantile loss", scale="log"),
                legend="below",
            ),
            Panel(series=(*lines(covered), wanted), x=ahead, y=Axis(label="coverage", low=0, high=1.02)),
        )
        caption = f"Median and central intervals of {self.members} members, and what came."
        return [
            Figure(name="fan", panels=panels, caption=caption, width=760, height=280),
            Figure(
                name="by_step",
                panels=by_step,
                caption=f"Scores by step ahead; {self.level:.0%} should be covered (dashed).",
                width=760,
                height=280,
            ),
        ]
