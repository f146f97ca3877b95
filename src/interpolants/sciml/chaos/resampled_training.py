"""Is it better to ask a simulator for new series where the forecasts are bad?

Letters: B systems, T times, d coordinates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from interpolants.foundations.checks import number, whole
from interpolants.foundations.kinds import Count, NonNegative, Positive
from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.task import Task
from interpolants.metrics.estimate import Estimate
from interpolants.sciml.chaos.problems.chaotic_systems import ChaoticSystem, chaotic_systems

_ORIGINS, _AHEAD, _SMOOTH = 100, 10, 5


def importance_weights(errors: Tensor, *, power: float = 4.0, smooth: int = _SMOOTH) -> Tensor:
    """Chances of starting anew at each of T places, as a power of the errors of forecasts from there, ``(T,)``.

    Args:
        errors: Squared errors, >= 0, in the order of time.
        power: 0 is uniform, 4 the published choice.
        smooth: Places that are averaged over, an odd number.

    Source: Gilpin (2021), arXiv:2110.05266, section 5.
    """
    number("importance_weights", "power", power, at_least=0)
    whole("importance_weights", "smooth", smooth, at_least=1)
    half = smooth // 2
    near = (
        torch.cat([errors[:1].expand(half), errors, errors[-1:].expand(half)])
        .unfold(0, 2 * half + 1, 1)
        .mean(-1)
    )
    # Of perfect forecasts none is better than another.
    scaled = (near / near.max()) ** power if bool(near.any()) else torch.ones_like(near)
    found: Tensor = scaled / scaled.sum()
    return found


@dataclass(frozen=True, kw_only=True)
class ResampledTraining(Question):
    """In rounds, the method forecasts its training series, and new series start where the error is large, or anywhere.

    Both ways get as many new values and fits of the same settings, and are judged by forecasts along a later path of
    the system. Places of a backtest are those of the path itself.
    """

    needs: ClassVar[str] = "forecast"
    numbers: ClassVar[Mapping[str, About]] = {
        "importance_error": About("Error, new series where forecasts are bad", note="Squared, in variances."),
        "uniform_error": About("Error, new series anywhere", "neither"),
        "first_error": About("Error before new series", "neither"),
        "share_better": About(
            "Share of systems where bad places are better", "higher", note="0.5 is no gain."
        ),
    }

    systems: int | Sequence[str] = 20
    """Names, or a number of systems spread evenly over the alphabet."""
    points: Annotated[int, Ge(60)] = 500
    """Times of the first series."""
    per_period: Annotated[float, Ge(2)] = 15
    """Times per dominant period."""
    rounds: Count = 2
    """Rounds."""
    starts: Count = 10
    """New series in a round."""
    length: Annotated[int, Ge(20)] = 60
    """Their times."""
    jitter: NonNegative = 0.01
    """Deviation of their starts from the place, as a share of that of each coordinate."""
    power: Positive = 4.0
    """Power of the smoothed error."""
    seed: int = 0
    """Seed of places and jitter."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the systems."""
        known = chaotic_systems()
        if not isinstance(self.systems, int):
            return tuple(self.systems)
        return tuple(known[k * len(known) // self.systems] for k in range(self.systems))

    def measure(self, method: Method, task: Task) -> Measured:
        """Both ways on each system."""
        rows = torch.tensor([self._of(method, name) for name in self.names], dtype=torch.float64)
        first, uniform, chosen = rows.T
        better = (chosen < uniform).double()
        error = float((better.mean() * (1 - better.mean()) / len(better)).sqrt())
        values: dict[str, Number] = {
            "importance_error": chosen,
            "uniform_error": uniform,
            "first_error": first,
            "share_better": Estimate(
                float(better.mean()), max(error, 0.5 / len(better)), len(better), "systems"
            ),
        }
        return Measured(values, {"uniform": uniform, "chosen": chosen})

    def _of(self, method: Method, name: str) -> tuple[float, float, float]:
        """Errors before new series, after uniform and after chosen ones."""
        system = ChaoticSystem(name)
        path = system.trajectory(2 * self.points, per_period=self.per_period, bounded=False)
        known, later = path[: self.points], path[self.points :, 0]
        model = self._fitted(method, [known[:, 0]])
        before, scale = self._errors(model, known[:, 0]), known[:, 0].var()
        found = [float(self._errors(model, later).mean() / scale)]
        for power in (0.0, self.power):
            errors, series, current = before, [known[:, 0]], model
            for round_ in range(self.rounds):
                source = generator(self.seed, "new series", name, round_)
                series = series + self._new(system, known, importance_weights(errors, power=power), source)
                current = self._fitted(method, series)
                errors = self._errors(current, known[:, 0])
            found.append(float(self._errors(current, later).mean() / scale))
        first, uniform, chosen = found
        return first, uniform, chosen

    def _fitted(self, method: Method, series: Sequence[Tensor]) -> Any:
        model: Any = method.clone()
        return model.fit([one[:, None] for one in series], progress=False)

    def _places(self, length: int) -> list[int]:
        """Times at which forecasts of a path begin."""
        first = max(length // 10, 40)
        return torch.linspace(first, length - _AHEAD, min(_ORIGINS, length - _AHEAD - first)).long().tolist()

    def _errors(self, model: Any, path: Tensor) -> Tensor:
        """Mean square error of forecasts from places along a path; that of the mean where one is not finite."""
        places = self._places(len(path))
        drawn = [
            torch.as_tensor(model.forecast(path[:k, None], steps=_AHEAD, members=1).x)[0, 0, :, 0]
            for k in places
        ]
        truth = torch.stack([path[k : k + _AHEAD] for k in places])
        return (torch.stack(drawn).double() - truth).square().mean(1).nan_to_num(float(path.var()))

    def _new(self, system: ChaoticSystem, known: Tensor, weights: Tensor, source: Generator) -> list[Tensor]:
        """New series from near states of the path."""
        rows = torch.multinomial(weights, self.starts, replacement=True, generator=source)
        places = torch.tensor(self._places(len(known)))[rows]
        noise = torch.randn(self.starts, known.shape[1], generator=source, dtype=known.dtype)
        starts = known[places] + self.jitter * known.std(0) * noise
        return [
            system.trajectory(self.length, per_period=self.per_period, start=one, bounded=False)[:, 0]
            for one in starts
        ]

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Errors of both ways, system by system."""
        both = torch.cat([own.arrays["uniform"], own.arrays["chosen"]]).clamp_min(1e-6)
        span = [float(both.min()), float(both.max())]
        marks = (
            Series(
                mark="points", arrays={"x": own.arrays["uniform"], "y": own.arrays["chosen"]}, name="systems"
            ),
            Series(mark="line", arrays={"x": span, "y": span}, name="equal", hue="muted", dash="--"),
        )
        panel = Panel(
            series=marks, x=Axis(label="error, new series anywhere", scale="log"),
            y=Axis(label="error, where forecasts are bad", scale="log"), legend="best",
        )  # fmt: skip
        caption = "Squared errors of forecasts, in variances, after as many new values."
        return [Figure(name="resampled", panels=(panel,), caption=caption, width=460, height=360)]
