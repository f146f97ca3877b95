"""How good an ensemble forecast is: proper scores of each case, spread, and ranks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol, runtime_checkable

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import with_seed
from interpolants.methods.questions.distances import as_rows
from interpolants.metrics.crps import crps_of_cases, energy_of_cases, forecast_arrays, score_estimate
from interpolants.metrics.ensemble import rank_histogram, spread_skill
from interpolants.metrics.estimate import Estimate


@runtime_checkable
class Oracle(Protocol):
    """A process whose distribution of the later state can be drawn from."""

    def members(self, x: Tensor, count: int, *, generator: Generator | None = None) -> Tensor:
        """Later states of each ``x (B, D)``: ``(B, count, D)``."""
        ...


@dataclass(frozen=True, kw_only=True)
class ForecastQuality(Question):
    """How good ensembles one lag ahead are: proper scores against what came, their spread, and ranks."""

    needs: ClassVar[str] = "forecast"
    numbers: ClassVar[Mapping[str, About]] = {
        "crps": About(
            "CRPS of the ensemble",
            unit="data units",
            note="Mean over coordinates; the fair form.",
            floor_of="the true distribution",
        ),
        "energy_score": About(
            "Energy score of the ensemble",
            unit="data units",
            note="Of whole states; the fair form.",
            floor_of="the true distribution",
        ),
        "spread_skill": About(
            "Spread over skill", "neither", note="1 for a reliable ensemble, less for an overconfident one."
        ),
        "rank_p": About(
            "Flatness of the ranks, p",
            "neither",
            note="Chance of ranks at least as uneven if the ensemble is reliable; below 0.01 it is not.",
        ),
    }

    context: str = "now"
    """Role of the states now."""
    truth: str = "later"
    """Role of what became of them."""
    members: Annotated[int, Ge(2)] = 20
    """Members of each ensemble."""
    seed: int = 1
    """Seed of the ensembles, of the oracle's, and of random ranks."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Scores by case, and the ranks of what came."""
        options: dict[str, Any] = with_seed(method, "forecast", self.seed)
        drawn = task.call(method, "forecast", members=self.members, **options).x
        truth = as_rows(task.test[self.truth])
        ranks = rank_histogram(drawn, truth, generator=generator(self.seed, "random ranks"))
        crps, energy = _cases(drawn, truth)
        values: dict[str, Number] = {
            "crps": crps,
            "energy_score": energy,
            "spread_skill": spread_skill(drawn, truth),
            "rank_p": ranks.p,
        }
        told = f"The ensembles are not reliable: their ranks are uneven (p = {float(ranks.p):.2g})."
        findings = [] if float(ranks.p) >= 0.01 else [Finding(told, grave=False)]
        return Measured(values, {"ranks": ranks.counts.sum(0)}, findings=findings)

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """Scores of as many members of the true distribution, where the process behind the states is known."""
        law = task.truths.get(self.context)
        if not isinstance(law, Oracle):
            return {}
        source = generator(self.seed, "members of the truth")
        now = as_rows(task.test[self.context])
        crps, energy = _cases(
            law.members(now, self.members, generator=source), as_rows(task.test[self.truth])
        )
        return {"crps": score_estimate(crps, "CRPS"), "energy_score": score_estimate(energy, "energy score")}

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Rank histograms of the method and its rivals."""
        named = {"the method": own, **rivals}
        panels = tuple(
            _ranks(title.replace("_", " "), one.arrays["ranks"]) for title, one in list(named.items())[:4]
        )
        caption = (
            "Rank of what came among the members of its ensemble; even (dashed) for a reliable ensemble."
        )
        return [Figure(name="ranks", panels=panels, caption=caption, width=260 * len(panels), height=230)]


def _cases(members: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    x, y = forecast_arrays("forecast_quality", members, truth)
    return crps_of_cases(x, y, fair=True), energy_of_cases(x, y, fair=True)


def _ranks(title: str, counts: Tensor) -> Panel:
    share = counts.double() / counts.sum()
    edges = torch.arange(len(share) + 1, dtype=torch.float64) - 0.5
    series = Series(mark="histogram", arrays={"edges": edges, "counts": share})
    even = Series(mark="rule", arrays={"y": torch.tensor(1 / len(share))}, hue="muted", dash="--")
    return Panel(series=(series, even), title=title, x=Axis(label="rank"), y=Axis(label="share", low=0.0))
