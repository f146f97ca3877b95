"""Which frequencies a fitted kernel has found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Each, Positive, Whole
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.task import Task
from interpolants.methods.questions.distances import as_tensor
from interpolants.metrics.estimate import Estimate


@dataclass(frozen=True, kw_only=True)
class SpectralLines(Question):
    """Peaks of the power spectral density of a kernel, beside frequencies that are known."""

    needs: ClassVar[str] = "spectrum"
    numbers: ClassVar[Mapping[str, About]] = {
        "strongest": About("Frequency of the highest peak", "neither", "cycles per unit"),
        "line_error": About(
            "Largest relative distance of a known frequency from the next peak",
            note="Peaks are local maxima of the density, above a ten-thousandth of the highest.",
        ),
    }

    top: Positive = 1.0
    """Highest frequency, in cycles per unit of the coordinate."""
    known: Annotated[tuple[Positive, ...], Each("known")] = field(default=())
    """Frequencies that should be found."""
    axis: Whole = 0
    """Number of the coordinate."""
    grid: Annotated[int, Ge(10)] = 40_000
    """Frequencies at which the density is taken."""
    unit: str = ""
    """Unit of the coordinate."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Maxima of the density."""
        f = torch.linspace(0, self.top, self.grid, dtype=torch.float64)
        answer = as_tensor(task.call(method, "spectrum", frequencies=f[:, None]))
        if self.axis >= answer.shape[1]:
            raise invalid("spectral_lines", f"axis must be below {answer.shape[1]}", self.axis)
        density = answer[:, self.axis]
        lines = peaks_of(f, density)
        values: dict[str, Number] = {"strongest": float(f[density.argmax()])}
        if self.known:
            worst = max(_distance(lines, one) for one in self.known)
            resolution = float(f[1]) / min(self.known)
            values["line_error"] = Estimate(worst, resolution, len(lines), "distance of known frequencies")
        shown = sorted(lines.tolist(), key=lambda at: -float(density[(f - at).abs().argmin()]))[:8]
        told = [f"{at:.6g} cycles per {self.unit or 'unit'}" for at in shown]
        return Measured(values, {"frequency": f, "density": density}, {"Peaks, the highest first": told})

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """A spectrum with the known lines."""
        return {"line_error": 0.0, "strongest": "unknown: it is a finding, no score"}

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """The density, with the known frequencies."""
        series = [Series(mark="rule", arrays={"x": one}, hue="muted", dash="--",
                         name="known" if i == 0 else "") for i, one in enumerate(self.known)]  # fmt: skip
        for hue, (name, one) in enumerate({"the method": own, **rivals}.items()):
            if "density" in one.arrays:
                arrays = {"x": one.arrays["frequency"], "y": one.arrays["density"].clamp_min(1e-12)}
                series.append(Series(mark="line", arrays=arrays, name=name, hue=hue))
        axis = Axis(label="frequency", unit=f"cycles per {self.unit or 'unit'}")
        panel = Panel(series=tuple(series), x=axis, y=Axis(label="density", scale="log"), legend="below")
        return [Figure(name="spectrum", panels=(panel,), caption="Learnt spectrum.", width=620, height=320)]


def peaks_of(f: Tensor, density: Tensor) -> Tensor:
    """Frequencies of the local maxima of a density on a grid, those below a ten-thousandth of the highest left out."""
    padded = torch.cat([density.new_full((1,), -1.0), density, density.new_full((1,), -1.0)])
    highest = (density >= padded[:-2]) & (density > padded[2:]) & (density > 1e-4 * density.max())
    return f[highest]


def _distance(lines: Tensor, known: float) -> float:
    return float((lines - known).abs().min()) / known
