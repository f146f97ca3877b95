"""How good nowcasts are, and whether the model knows where the future cannot be known.

Letters: B cases, M members, P past and K future frames, C variables, H rows, W columns.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from interpolants.apps.weather.metrics.event_scores import critical_success_index
from interpolants.apps.weather.nowcast_figures import leads_figure, nowcast_figure, uncertainty_figure
from interpolants.apps.weather.sequences import maps, sequences_role
from interpolants.data.gridded import Gridded
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, Real, Whole
from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Figure
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.roles import read
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import options_for
from interpolants.metrics.crps import crps_of_cases, score_estimate
from interpolants.metrics.ensemble import spread_skill
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.ranks import rank_correlation

_ROLE = "sequences"
_DRAWS = 400


@runtime_checkable
class KnownBirths(Protocol):
    """A problem that knows what the past does not tell."""

    def birth_variance(self, ahead: int) -> Tensor:
        """Variance of each cell given all frames so far, ``(K, H, W)``."""
        ...

    def sample_births(self, n: int, *, ahead: int, generator: Generator | None = None) -> Tensor:
        """Draws of what the past does not tell, ``(n, K, H, W)``."""
        ...


@dataclass(frozen=True, kw_only=True)
class NowcastSkill(Question):
    """Scores of the frames that follow the first P of the last P + K frames of each test sequence.

    Cells that were not seen when they came, or that the nowcast does not know, do not count. Points count alike.
    """

    needs: ClassVar[str] = "forecast"
    front: ClassVar[tuple[str, ...]] = ("nowcast", "by_lead", "uncertainty")
    numbers: ClassVar[Mapping[str, About]] = {
        "crps": About(
            "CRPS, fair", floor_of="one that knows all frames so far",
            note="Over cells and leads, in data units; the absolute error of a single forecast.",
        ),
        "error": About("Error of the ensemble mean", note="Root mean square."),
        "csi": About("Critical success index", "higher", note="Hits over hits, misses and false alarms."),
        "spread_skill": About("Spread over skill", "neither", note="1 if reliable, less if overconfident."),
        "spread_rank": About(
            "Rank correlation of spread and true variance", "higher",
            note="Variance of members, mean over cases, against the truth, within frames.",
        ),
        "uncertainty_rank": About(
            "Rank correlation of uncertainty and true variance", "higher",
            note="Fluctuation of the estimate, mean over cases and runs, against the truth, within frames.",
        ),
        "one_run_rank": About(
            "The same of single runs", "neither", note="Mean over cases; one run of one case each."
        ),
    }  # fmt: skip

    past: Count = 4
    """P."""
    future: Count = 4
    """K."""
    members: Count = 8
    """M; methods that give one answer are scored by it, as their CRPS is then the absolute error."""
    threshold: Real | None = None
    """An event is a value above it, in data units; None for the 90 % quantile of the training part. It is forecast
    where half of the members have it."""
    cases: Count = 40
    """Test sequences, at most."""
    runs: Count = 2
    """Runs by which uncertainty is measured."""
    seed: Whole = 1
    """Seed of the members."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Scores by case."""
        context, truth = self._parts(task)
        asked: Any = method
        drawn = asked.forecast(context, **self._options(method, "forecast", self.members)).x.double()
        if bool((drawn == drawn[:, :1]).logical_or(drawn.isnan()).all()):
            drawn = drawn[:, :1]  # copies of a single answer are no ensemble
        if drawn.shape[2] != self.future:
            raise invalid("nowcast_skill", f"answers must have {self.future} frames", drawn.shape[2])
        known = truth.isfinite() & drawn.isfinite().all(1)
        by_lead = torch.stack([_crps(drawn[:, :, k], truth[:, k], known[:, k]) for k in range(self.future)])
        limit = self._threshold(task)
        values: dict[str, Number] = {
            "crps": _crps(drawn, truth, known),
            "error": _root((drawn.mean(1) - truth)[known].square(), known),
            **_events(drawn, truth, known, limit),
        }
        arrays = {"by_lead": by_lead, "drawn": drawn[0]}
        if drawn.shape[1] > 1:
            # What is not known is the same in all members and in the truth: no spread, and no error.
            values["spread_skill"] = spread_skill(*_filled(drawn, truth, known))
        return Measured(values | self._variances(method, context, task, drawn, arrays), arrays)

    def _options(self, method: Method, verb: str, members: int) -> dict[str, Any]:
        return options_for(method, verb, {"members": members, "seed": self.seed})

    def _variances(
        self, method: Method, context: Gridded, task: Task, drawn: Tensor, arrays: dict[str, Tensor]
    ) -> dict[str, Number]:
        """Rank correlations with the true variance where it is known; maps into ``arrays``."""
        found: dict[str, Number] = {}
        truth = task.truths.get(_ROLE)
        true = truth.birth_variance(self.future)[:, None] if isinstance(truth, KnownBirths) else None
        if true is not None:
            arrays["true_variance"] = true
        if drawn.shape[1] > 1:
            spread = drawn.var(1)
            arrays["spread"] = spread.nanmean(0)
            found |= {} if true is None else {"spread_rank": _rank(spread, true, "spread")}
        if method.can("uncertainty"):
            asked: Any = method
            u = asked.uncertainty(context, **self._options(method, "uncertainty", self.runs)).x.double()
            arrays["uncertainty"] = u.mean(1).nanmean(0)
            if true is not None:
                found["uncertainty_rank"] = _rank(u.mean(1), true, "uncertainty")
                found["one_run_rank"] = torch.tensor([_within_frames(one[0], true) for one in u]).double()
        return found

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """CRPS of a forecast that knows all frames so far: half the distance of two draws of what they do not tell."""
        truth = task.truths.get(_ROLE)
        if not isinstance(truth, KnownBirths):
            return {}
        x = truth.sample_births(
            _DRAWS, ahead=self.future, generator=generator(self.seed, "births of a floor")
        )
        return {"crps": score_estimate((x[::2] - x[1::2]).abs().flatten(1).mean(1) / 2, "CRPS")}

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """One case, scores by lead, and maps of what is uncertain."""
        context, truth = self._parts(task)
        found = [nowcast_figure(context, truth[0], own.arrays["drawn"], _of(rivals, "drawn"))]
        found.append(leads_figure({"this nowcast": own.arrays["by_lead"]} | _of(rivals, "by_lead")))
        if "uncertainty" in own.arrays:
            found.append(uncertainty_figure(context, own.arrays))
        return found

    def _parts(self, task: Task) -> tuple[Gridded, Tensor]:
        """The P frames that are told, and those that came, ``(B, K, C, H, W)`` float64."""
        fields = self._read(task.test)[: self.cases]
        values, length = maps("nowcast_skill", fields), self.past + self.future
        if values.shape[1] < length:
            rule = f"test sequences must have past + future = {length} frames"
            raise invalid("nowcast_skill", rule, values.shape[1])
        first = values.shape[1] - length
        return fields.some_members(slice(first, first + self.past)), values[:, first + self.past :].double()

    def _threshold(self, task: Task) -> float:
        if self.threshold is not None:
            return self.threshold
        x = self._read(task.train).values.flatten()
        x = x[x.isfinite()]
        return float(x[:: max(1, len(x) // 100_000)].double().quantile(0.9))

    @staticmethod
    def _read(part: Mapping[str, Any]) -> Gridded:
        found: Gridded = read((sequences_role(),), {_ROLE: part[_ROLE]}, "nowcast_skill")[0][_ROLE]
        return found


def _filled(x: Tensor, y: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Members ``(B, M, D)`` and truth ``(B, D)``, both 0 where nothing is known."""
    return torch.where(known[:, None], x, 0.0).flatten(2), torch.where(known, y, 0.0).flatten(1)


def _crps(x: Tensor, y: Tensor, known: Tensor) -> Tensor:
    """The score of each case over what is known, ``(B,)``; NaN where that is nothing."""
    found = crps_of_cases(*_filled(x, y, known), fair=x.shape[1] > 1)
    return found / known.flatten(1).double().mean(1)


def _root(squares: Tensor, known: Tensor) -> Estimate:
    """Root of the mean of squares of known entries, with its error by the delta method over cases."""
    each = torch.zeros(known.shape, dtype=torch.float64)
    each[known] = squares
    top, bottom = each.flatten(1).sum(1), known.flatten(1).double().sum(1)
    mean, n = float(top.sum() / bottom.sum()), len(top)
    error = float((top - mean * bottom).std() / bottom.mean()) / n**0.5 if n > 1 else math.nan
    return Estimate(mean**0.5, error / (2 * mean**0.5) if mean else 0.0, n, "error")


def _events(x: Tensor, y: Tensor, known: Tensor, limit: float) -> dict[str, Number]:
    """The critical success index, where an event came or was forecast."""
    forecast, came = ((x > limit).double().mean(1) >= 0.5).double(), (y > limit).double()
    forecast, came = (torch.where(known, one, torch.nan) for one in (forecast, came))
    if not bool(((forecast > 0) | (came > 0)).any()):
        return {}
    return {"csi": critical_success_index(forecast, came)}


def _within_frames(found: Tensor, true: Tensor) -> float:
    """Mean over frames of the rank correlation over cells, both ``(K, C, H, W)``."""
    return float(
        torch.stack(
            [rank_correlation(a.flatten(), b.flatten()) for a, b in zip(found, true, strict=True)]
        ).mean()
    )


def _rank(each: Tensor, true: Tensor, name: str) -> Estimate:
    """Rank correlation of the mean over cases ``(B, K, C, H, W)`` with the truth; error by leaving out each case."""
    n, total = len(each), each.nansum(0)
    value = _within_frames(total, true)
    if n < 2:
        return Estimate(value, math.nan, n, name)
    without = torch.tensor([_within_frames(total - one.nan_to_num(), true) for one in each]).double()
    error = float(((n - 1) / n * (without - without.mean()).square().sum()).sqrt())
    return Estimate(value, error, n, name)


def _of(rivals: Mapping[str, Measured], name: str) -> dict[str, Tensor]:
    return {key.replace("_", " "): one.arrays[name] for key, one in rivals.items() if name in one.arrays}
