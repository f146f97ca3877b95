"""What a functional decomposition has learnt: its latent functions, lengthscales and noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.task import Task
from interpolants.metrics.estimate import Estimate
from interpolants.sciml.gp.functional_tucker import FunctionalTucker
from interpolants.sciml.gp.latent_functions import LevelPosterior

# Functions of a mode that are drawn at most, as many hues are told apart; levels that have a tick each.
_FUNCTIONS, _TICKS = 6, 12


@dataclass(frozen=True, kw_only=True)
class LearntFunctions(Question):
    """Latent functions of a `FunctionalTucker` with their bands, its noise, and how its bound rose."""

    needs: ClassVar[str] = "encode"
    numbers: ClassVar[Mapping[str, About]] = {
        "noise_std": About("Standard deviation of the noise", "neither", "units of the values"),
        "bound": About("Bound of the log evidence", "higher", "nats", "Of standardised values."),
        "sweeps": About(
            "Rounds of all factors", "neither", note="After the starts; at most the setting sweeps."
        ),
    }

    places: Annotated[int, Ge(2)] = 200
    """Coordinates at which functions are drawn."""

    def cannot(self, method: Method) -> str:
        """Methods without latent functions."""
        return "" if isinstance(method, FunctionalTucker) else "it has no functions of single coordinates"

    def measure(self, method: Method, task: Task) -> Measured:
        """Numbers of the fit, and functions on even grids."""
        assert isinstance(method, FunctionalTucker)
        values: dict[str, Number] = {
            "noise_std": method.noise_std,
            "bound": method.posterior.bound,
            "sweeps": float(len(method.history)),
        }
        arrays = {
            "bound": -torch.tensor([row["negative_bound"] for row in method.history], dtype=torch.float64)
        }
        names = [str(name) for name in method.given["points"].columns]
        lines = []
        for k, mode in enumerate(method.posterior.modes):
            known, levels = mode.posterior.places, isinstance(mode.posterior, LevelPosterior)
            x = (
                known
                if levels
                else torch.linspace(float(known[0]), float(known[-1]), self.places, dtype=torch.float64)
            )
            mean, covariance = mode.posterior.at(x)
            arrays |= {f"x{k}": x, f"mean{k}": mean, f"std{k}": covariance.diagonal(dim1=1, dim2=2).sqrt()}
            name = names[k] if names else f"coordinate {k + 1}"
            scale = "discrete" if levels else f"lengthscale {method.found_lengthscales[k]:.3g}"
            lines.append(f"{name}: rank {mean.shape[1]}, {scale}")
        return Measured(values, arrays, {"Modes": lines})

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """None: these are findings, no scores."""
        return dict.fromkeys(self.numbers, "unknown: it is a finding, no score")

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Functions of each mode, and the bound."""
        lines = [str(line) for line in own.texts["Modes"]]
        panels = tuple(_mode(own.arrays, k, line) for k, line in enumerate(lines))
        told = "Latent functions of each coordinate, mean and two standard deviations; they are determined up to a "
        functions = Figure(
            name="functions",
            panels=panels,
            caption=told + "change of basis.",
            width=290 * len(panels),
            height=260,
        )
        bound = own.arrays["bound"]
        steps = torch.arange(1, len(bound) + 1, dtype=torch.float64)
        rise = Series(mark="line", arrays={"x": steps, "y": bound})
        panel = Panel(series=(rise,), x=Axis(label="round"), y=Axis(label="bound", unit="nats"))
        caption = "Lower bound of the log evidence; it cannot fall."
        return [functions, Figure(name="bound", panels=(panel,), caption=caption, width=380, height=260)]


def _mode(arrays: Mapping[str, Tensor], k: int, told: str) -> Panel:
    x, mean, std = (arrays[f"{name}{k}"] for name in ("x", "mean", "std"))
    name, _, rest = told.partition(": ")
    levels = rest.endswith("discrete")
    style: dict[str, Any] = {"symbol": "o", "size": 4, "dash": ""} if levels else {}
    series = []
    for r in range(min(mean.shape[1], _FUNCTIONS)):
        low, high = mean[:, r] - 2 * std[:, r], mean[:, r] + 2 * std[:, r]
        if not levels:
            series.append(Series(mark="band", arrays={"x": x, "low": low, "high": high}, hue=r))
        bars = {"error": 2 * std[:, r]} if levels else {}
        series.append(Series(mark="line", arrays={"x": x, "y": mean[:, r], **bars}, hue=r, **style))
    ticks = tuple(x.tolist()) if levels and len(x) <= _TICKS else None
    return Panel(series=tuple(series), title=rest.partition(", ")[2], x=Axis(label=name, ticks=ticks))
