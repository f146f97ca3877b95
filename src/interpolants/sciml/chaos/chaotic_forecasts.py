"""A benchmark of forecasts over chaotic systems whose exponents are known.

Letters: B systems, T times, S steps ahead.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from interpolants.foundations.checks import one_of, whole
from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.foundations.kinds import Check, Count, NonNegative
from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import with_seed
from interpolants.metrics.energy_distance import energy_distance
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.path_errors import normalised_error, smape, valid_time
from interpolants.metrics.ranks import rank_correlation
from interpolants.sciml.chaos.chaotic_series import load_chaotic_series
from interpolants.sciml.chaos.problems.chaotic_invariants import known_invariants
from interpolants.sciml.chaos.problems.chaotic_systems import ChaoticSystem, chaotic_systems

_REDRAWN, _SHOWN = 400, 3


def _systems(who: str, value: Any) -> Any:
    """A number of systems, or known names."""
    if isinstance(value, int):
        return whole(who, "systems", value, at_least=0, at_most=len(chaotic_systems()))
    return tuple(one_of(who, "systems", name, chaotic_systems()) for name in value)


@dataclass(frozen=True, kw_only=True)
class ChaoticForecasts(Question):
    """The method is fitted anew to a series of each system, and forecasts what follows from a single origin.

    Medians over systems, and the rank correlation of the error with the largest Lyapunov exponent per dominant period,
    with errors from systems that are redrawn. Exponents are the library's own, not the package's annotations. A
    forecast is the median of the members.
    """

    needs: ClassVar[str] = "forecast"
    front: ClassVar[tuple[str, ...]] = ("errors",)
    numbers: ClassVar[Mapping[str, About]] = {
        "smape": About("Median error (sMAPE)", unit="%", note="From 0 to 200, over the systems."),
        "mean_smape": About("Mean error (sMAPE)", unit="%", note="Compared with rivals system by system."),
        "error": About("Median error over the deviation", note="Root mean square; 1 is about that of the mean."),
        "valid_time": About(
            "Median valid time", "higher", "Lyapunov times", "Before the error first exceeds 0.4 deviations."
        ),
        "chaos_correlation": About(
            "Rank correlation of the error with the largest exponent", "neither",
            note="High where what limits the forecast is the chaos and not the method.",
        ),
        "distance": About(
            "Median energy distance of the path", note="Of three successive values, forecast and true, in deviations."
        ),
        "failed": About(
            "Systems without a forecast", "neither", note="They count as forecasts by the mean of the training part."
        ),
    }  # fmt: skip

    systems: Annotated[Any, Check(_systems, "whole number | several names")] = 0
    """Names, or a number of systems spread evenly over the alphabet; 0 for all 129."""
    points: Annotated[int, Ge(60)] = 1200
    """Times of each series, of which the last sixth is forecast."""
    per_period: Annotated[float, Ge(2)] = 15
    """Times per dominant period."""
    noise: NonNegative = 0.0
    """Noise of the values, as a share of the deviation."""
    transient: NonNegative = 0.0
    """Periods to go before the first time."""
    members: Count = 8
    """Members of each forecast."""
    coordinate: Annotated[int, Interval(ge=0, le=2)] = 0
    """Zero-based coordinate of the systems that is forecast."""
    seed: int = 0
    """Seed of noise, members and redrawn systems."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the systems."""
        known = chaotic_systems()
        if not isinstance(self.systems, int):
            return tuple(self.systems)
        count = self.systems or len(known)
        return tuple(known[k * len(known) // count] for k in range(count))

    def measure(self, method: Method, task: Task) -> Measured:
        """A fit and a forecast of each system."""
        paths = [self._series(name) for name in self.names]
        found, failed = zip(*(self._forecast(method, path) for path in paths), strict=True)
        cut = self._cut
        forecast, truth = torch.stack(found), torch.stack([path[cut:] for path in paths])
        scale = torch.stack([path[:cut].std() for path in paths])
        known = known_invariants()
        per_period = [known[name].exponents[0] * ChaoticSystem(name).period for name in self.names]
        exponent = torch.tensor(per_period, dtype=torch.float64)
        errors = smape(forecast, truth)
        times = valid_time(forecast, truth, scale) / self.per_period * exponent.clamp_min(0)
        distances = torch.stack([_distance(*one) for one in zip(forecast, truth, scale, strict=True)])
        values: dict[str, Number] = {
            "smape": self._estimate(torch.median, errors),
            "mean_smape": errors,
            "error": self._estimate(torch.median, normalised_error(forecast, truth, scale)),
            "valid_time": self._estimate(torch.median, times),
            "chaos_correlation": self._estimate(_correlation, errors, exponent),
            "distance": self._estimate(torch.median, distances),
            "failed": float(sum(map(bool, failed))),
        }
        arrays = {
            "smape": errors,
            "exponent": exponent,
            "forecast": forecast[:_SHOWN],
            "truth": truth[:_SHOWN],
        }
        why = [(name, text) for name, text in zip(self.names, failed, strict=True) if text]
        findings = []
        if why:
            told = f"{len(why)} of {len(self.names)} systems have no forecast; {why[0][0]}: {why[0][1]}"
            findings.append(Finding(told))
        return Measured(values, arrays, findings=findings)

    @property
    def _cut(self) -> int:
        return 5 * self.points // 6

    def _series(self, name: str) -> Tensor:
        """The forecast coordinate, ``(T,)``."""
        found = load_chaotic_series(
            "all", system=name, points=self.points, per_period=self.per_period, transient=self.transient,
            noise=self.noise, seed=self.seed, coordinates=self.coordinate + 1,
        )  # fmt: skip
        return found.x[:, self.coordinate]

    def _forecast(self, method: Method, path: Tensor) -> tuple[Tensor, str]:
        """What follows the training part, ``(S,)``, and why there is none."""
        cut, steps = self._cut, len(path) - self._cut
        template: Any = method.clone()
        try:
            template.fit(path[:cut, None], progress=False)
            options = with_seed(template, "forecast", self.seed)
            members = template.forecast(members=self.members, steps=steps, **options).x
            found = torch.as_tensor(members)[0, :, :, 0].double().quantile(0.5, 0)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other systems and methods are asked
            said = str(error)
            known = isinstance(error, DivergedError | InvalidInputError)
            return path[:cut].mean().expand(steps), said if known else f"{type(error).__name__}: {said}"
        if not bool(found.isfinite().all()):
            return path[:cut].mean().expand(steps), "the forecast is not finite"
        return found, ""

    def _estimate(self, statistic: Callable[..., Any], *sets: Tensor) -> Estimate:
        """A statistic of the systems, with the deviation of those of systems that are redrawn."""
        source = generator(self.seed, "redrawn systems")
        count = len(sets[0])
        rows = torch.randint(count, (_REDRAWN, count), generator=source)
        redrawn = torch.stack([torch.as_tensor(statistic(*(x[r] for x in sets))) for r in rows])
        kept = redrawn[redrawn.isfinite()]
        error = float(kept.std()) if len(kept) > 1 else float("nan")
        return Estimate(float(statistic(*sets)), error, count, "over systems")

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Errors of the methods over the systems, errors beside exponents, and some forecasts."""
        share = torch.linspace(0, 1, len(own.arrays["smape"]), dtype=torch.float64)
        named = {"the method": own, **rivals}
        sorted_errors = tuple(
            Series(
                mark="line", arrays={"x": one.arrays["smape"].sort().values, "y": share}, name=name, hue=hue
            )
            for hue, (name, one) in enumerate(named.items())
        )
        dots = {"x": own.arrays["exponent"].clamp_min(1e-3), "y": own.arrays["smape"]}
        panels = (
            Panel(
                series=sorted_errors, x=Axis(label="sMAPE", unit="%"), y=Axis(label="share of systems"),
                legend="below",
            ),
            Panel(
                series=(Series(mark="points", arrays=dots, name="the method"),),
                x=Axis(label="largest exponent times period", scale="log"), y=Axis(label="sMAPE", unit="%", low=0),
            ),
        )  # fmt: skip
        caption = f"Forecasts of {len(share)} systems: sorted errors, and errors beside the largest Lyapunov exponent."
        return [
            Figure(name="errors", panels=panels, caption=caption, width=820, height=330),
            self._examples(own),
        ]

    def _examples(self, own: Measured) -> Figure:
        panels = []
        for name, forecast, truth in zip(
            self.names, own.arrays["forecast"], own.arrays["truth"], strict=False
        ):
            periods = (torch.arange(len(truth), dtype=torch.float64) + 1) / self.per_period
            marks = (
                Series(mark="line", arrays={"x": periods, "y": truth}, name="came", hue="muted"),
                Series(mark="line", arrays={"x": periods, "y": forecast}, name="forecast", hue=0),
            )
            panels.append(Panel(series=marks, title=name, x=Axis(label="periods ahead")))
        caption = "What came and the forecast, for the first systems."
        return Figure(
            name="examples", panels=tuple(panels), caption=caption, width=960, height=270, legend_columns=2
        )


def _distance(forecast: Tensor, truth: Tensor, scale: Tensor) -> Tensor:
    """Energy distance of triples of successive values, in units of the deviation."""
    a, b = (one.unfold(0, 3, 1) / scale for one in (forecast, truth))
    return torch.tensor(energy_distance(a, b).value, dtype=torch.float64)


def _correlation(errors: Tensor, exponents: Tensor) -> Tensor:
    """NaN where one of the two is constant, as errors of a forecast that always fails are."""
    if bool((errors == errors[0]).all()) or bool((exponents == exponents[0]).all()):
        return torch.tensor(torch.nan, dtype=torch.float64)
    return rank_correlation(errors, exponents)
