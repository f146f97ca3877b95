"""Questions about models with fractional noise: the Hurst index, the evidence, and what the approximation costs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from interpolants.foundations.kinds import Count
from interpolants.framework.figures import Axis, Figure, Panel
from interpolants.framework.figures import Series as Mark
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.series import Series
from interpolants.framework.task import Task
from interpolants.methods.questions.series_parts import part_series_of
from interpolants.metrics.estimate import Estimate
from interpolants.sciml.processes.exact_evidence import exact_log_evidence
from interpolants.sciml.processes.fractional_sde import FractionalSDE

_MOST = 1500  # values of a series whose exact evidence is calculated
_LAGS, _DRAWN = 12, 64


@runtime_checkable
class HasHurst(Protocol):
    """Something with a Hurst index, known or found."""

    hurst: float


@dataclass(frozen=True, kw_only=True)
class FractionalNoise(Question):
    """The Hurst index that was found, the evidence of the test series, and how far it is below that of the exact
    motion.
    """

    needs: ClassVar[str] = "log_prob"
    numbers: ClassVar[Mapping[str, About]] = {
        "hurst": About(
            "Hurst index", "neither", note="1/2 is Brownian motion; less is rougher, more persistent."
        ),
        "hurst_off": About("Distance of the Hurst index from the truth", floor_of="the truth"),
        "evidence": About(
            "Log evidence per value", "higher", unit="nats", note="Of the test series, in data units."
        ),
        "gap": About(
            "Log evidence of the exact motion less that of the method",
            unit="nats a series",
            note="With the parameters of the method; what its approximation costs.",
        ),
    }

    role: str = "series"
    """Role of the series."""
    values: Literal["levels", "increments"] = "levels"
    """As the method takes them; for the figure."""
    series: Count = 8
    """Most series whose exact evidence is calculated, in ``O(T^3)``."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Numbers, and the sizes of increments by lag."""
        many = part_series_of("fractional_noise", task, self.role)
        answer: Any = method
        counts = torch.stack([one.seen.sum() for one in many])
        evidence = answer.log_prob(many)
        found = answer.parameters
        hurst: Number = found["hurst"]
        if math.isfinite(found.get("hurst_error", math.nan)):
            hurst = Estimate(found["hurst"], found["hurst_error"], int(counts.sum()), "Hurst index")
        values: dict[str, Number] = {"hurst": hurst, "evidence": evidence / counts}
        truth = task.truths.get(self.role)
        if isinstance(truth, HasHurst):
            off = abs(found["hurst"] - truth.hurst)
            values["hurst_off"] = replace(hurst, value=off) if isinstance(hurst, Estimate) else off
        if isinstance(method, FractionalSDE) and (gap := self._gap(method, many)) is not None:
            values["gap"] = gap
        error = found.get("hurst_error", math.nan)
        arrays = {"hurst": torch.tensor([found["hurst"]]), "error": torch.tensor([error])}
        sizes = self._sizes(many)
        arrays |= {"model": self._model_sizes(answer, sizes["lags"], max(len(one) for one in many))}
        return Measured(values, {**arrays, **sizes})

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """The truth is 0 away from itself."""
        return {"hurst_off": 0.0, "gap": 0.0}

    def _gap(self, method: FractionalSDE, many: Sequence[Series]) -> Tensor | None:
        """By series; None where there is no exact evidence."""
        some = [one for one in many if len(one) <= _MOST][: self.series]
        if method.drift == "network" or method.kind == 2 or not some:
            return None
        state, model = method.state, method.model
        found = []
        for one in some:
            y = (one.values[:, 0] - state["shift"]) / state["unit"]
            exact = exact_log_evidence(model, y, one.seen[:, 0], method.substeps)
            found.append(exact - int(one.seen.sum()) * math.log(state["unit"]))
        scores: Tensor = method.log_prob(some)
        return torch.stack(found) - scores

    def _sizes(self, many: Sequence[Series]) -> dict[str, Tensor]:
        """Root mean square of increments of the levels over lags, where both values were seen."""
        longest = max(len(one) for one in many)
        lags = torch.logspace(0, math.log10(max(longest / 4, 2)), _LAGS).round().long().unique()  # type: ignore[no-untyped-call]
        return {"lags": lags.double(), "sizes": _sizes([self._path(one) for one in many], lags)}

    def _model_sizes(self, method: Any, lags: Tensor, longest: int) -> Tensor:
        """The same under a model: in closed form where increments are stationary, else of drawn paths.

        With a pull these have forgotten their start; a motion of kind 2 has none before it, as its series have.
        """
        found = method.parameters
        if "rate" in found:
            drawn = method.sample(_DRAWN, steps=2 * longest, seed=0)[:, longest:, 0]
            return _sizes(list(drawn), lags.long())
        if getattr(method, "kind", 1) == 2:
            drawn = method.sample(_DRAWN, steps=longest, seed=0)[:, :, 0]
            return _sizes(list(drawn if self.values == "levels" else drawn.cumsum(1)), lags.long())
        apart = found["noise"] if self.values == "levels" else 0.0
        size: Tensor = (found["scale"] ** 2 * lags ** (2 * found["hurst"]) + 2 * apart**2).sqrt()
        return size

    def _path(self, one: Series) -> Tensor:
        """Levels with NaN in gaps; those of increments are sums of their distance from the mean."""
        values = one.with_gaps()[:, 0]
        return values if self.values == "levels" else (values - values.nanmean()).cumsum(0)

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Sizes of increments by lag beside those of the models, and the Hurst indices."""
        every = {"the method": own, **rivals}
        lags = own.arrays["lags"]
        marks = [
            Mark(
                mark="line",
                arrays={"x": lags, "y": own.arrays["sizes"]},
                name="data",
                hue="muted",
                dash="",
                symbol="o",
            )
        ]
        for hue, (name, one) in enumerate(every.items()):
            arrays = {"x": lags, "y": one.arrays["model"]}
            marks.append(Mark(mark="line", arrays=arrays, name=name.replace("_", " "), hue=hue))
        sizes = Panel(
            series=tuple(marks),
            title="increments by lag",
            x=Axis(label="lag", unit="steps", scale="log"),
            y=Axis(label="root mean square", scale="log"),
            legend="below",
            legend_columns=2,
        )
        caption = "Left: size of increments over lags, of the data and of the models. Right: H."
        panels = (sizes, self._indices(every, task))
        return [Figure(name="fractional_noise", panels=panels, caption=caption, width=760, height=320)]

    def _indices(self, every: Mapping[str, Measured], task: Task) -> Panel:
        """Hurst indices with two standard errors."""
        marks = []
        for k, one in enumerate(every.values()):
            at, error = one.arrays["hurst"].double(), 2 * one.arrays["error"].double().nan_to_num()
            place = torch.tensor([float(k)])
            marks.append(
                Mark(mark="line", arrays={"x": place, "y": at, "error": error}, hue=k, dash="", symbol="o")
            )
        truth = task.truths.get(self.role)
        if isinstance(truth, HasHurst):
            marks.append(Mark(mark="rule", arrays={"y": truth.hurst}, name="truth", hue="muted", dash="--"))
        names = tuple(name.replace("_", "\n") for name in every)
        ticks = tuple(float(k) for k in range(len(names)))
        x = Axis(ticks=ticks, names=names, low=-0.5, high=len(names) - 0.5)
        return Panel(
            series=tuple(marks), title="Hurst index, two errors", x=x, y=Axis(label="H", low=0, high=1)
        )


def _sizes(paths: Sequence[Tensor], lags: Tensor) -> Tensor:
    """Root mean square of what paths move over lags, where both ends were seen."""
    sizes = []
    for lag in lags.tolist():
        gaps = torch.cat([path[lag:] - path[:-lag] for path in paths if len(path) > lag])
        sizes.append(gaps[gaps.isfinite()].square().mean().sqrt())
    return torch.stack(sizes)
