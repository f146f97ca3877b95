"""Does a fluid with a closure come to the same averages as the kinetic theory, and by the same flow?

Letters: R runs, T frames, n points of a side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Interval
from torch import Tensor

from interpolants.foundations.errors import DivergedError
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Question
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.methods.questions.distances import as_tensor
from interpolants.metrics.estimate import Estimate
from interpolants.sciml.closures.moment_closure import MomentClosure
from interpolants.sciml.closures.order_closures import closed
from interpolants.sciml.closures.pde.active_fluid import ActiveFluid, complex_moments
from interpolants.sciml.closures.pde.fourier_box import FourierBox


@dataclass(frozen=True, kw_only=True)
class LongRunAverages(Question):
    """Averages over space and late times, from the first frames of the test runs on, beside those of these runs.

    Each start is chaotic: an error is that of the mean over all of them, and its own error is between starts.
    """

    needs: ClassVar[str] = "forecast"
    front: ClassVar[tuple[str, ...]] = ("averages", "order")
    numbers: ClassVar[Mapping[str, About]] = {
        "order_error": About(
            "Error of the mean order", note="Of |z_1| / c, over the kinetic theory's; late times, all starts."
        ),
        "flow_error": About(
            "Error of the mean square velocity", note="Over the kinetic theory's; late times, all starts."
        ),
        "spectrum_error": About(
            "Error of the flow's spectrum", note="Mean absolute error of its logarithm; shells with 1e-4 of the energy."
        ),
        "order": About("Mean order |z_1| / c", "neither"),
        "flow": About("Mean square velocity", "neither"),
    }  # fmt: skip

    burn: Annotated[float, Interval(ge=0, le=0.9)] = 1 / 3
    """Share of the frames that come before the averages."""

    def cannot(self, method: Method) -> str:
        """Put to closures."""
        return "" if isinstance(method, MomentClosure) else "it is no closure of moments."

    def measure(self, method: Method, task: Task) -> Measured:
        """Run from the first frames of the test runs."""
        assert isinstance(method, MomentClosure)
        fields, parameters = as_tensor(task.test["fields"]), as_tensor(task.test["parameters"])
        fluid = ActiveFluid(parameters, FourierBox(fields.shape[-1], method.length))
        kinetic = _averages(fluid, fields, method)
        try:
            ahead = as_tensor(method.forecast(fields[:, :1], parameters, frames=fields.shape[1] - 1))
        except DivergedError as error:
            told = str(error).split(". ")[0]
            lost = dict.fromkeys(("order_error", "flow_error", "spectrum_error"), float("inf"))
            return Measured(lost, {"kinetic": kinetic.series}, findings=[Finding(text=told)])
        own = _averages(fluid, torch.cat([fields[:, :1, :3], ahead], 1), method)
        late = range(round(self.burn * fields.shape[1]), fields.shape[1])
        values: dict[str, float | Tensor | Estimate] = {}
        for k, name in enumerate(("order", "flow")):
            mine, theirs = (one.series[:, late, k].mean(1) for one in (own, kinetic))
            values[f"{name}_error"] = _mean_error(mine, theirs)
            values[name] = Estimate(float(mine.mean()), _error_of(mine), len(mine), "mean")
        spectra = torch.stack([one.spectrum[:, late].mean((0, 1)) for one in (own, kinetic)])
        seen = spectra[1] > 1e-4 * spectra[1].sum()
        values["spectrum_error"] = float((spectra[0, seen] / spectra[1, seen]).log().abs().mean())
        arrays = {"own": own.series, "kinetic": kinetic.series, "spectra": spectra}
        arrays["length"] = torch.tensor(method.length)
        arrays["times"] = method.interval * torch.arange(fields.shape[1], dtype=torch.float64)
        arrays["pictures"] = _order(torch.stack([fields[0, 0, :3], fields[0, -1, :3], ahead[0, -1]]))
        return Measured(values, arrays)

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Averages over time and the spectrum of the flow; the order of one run, kinetic above, closed below."""
        if "own" not in own.arrays:
            return []
        everyone = {"the method": own, **{k: one for k, one in rivals.items() if "own" in one.arrays}}
        kinetic = own.arrays["kinetic"].mean(0)
        time = own.arrays["times"]
        panels = []
        for k, label in enumerate(("mean order |z₁| / c", "mean square velocity")):
            lines = [Series(mark="line", arrays={"x": time, "y": kinetic[:, k]}, name="kinetic", hue="muted")]
            lines += [
                Series(
                    mark="line", arrays={"x": time, "y": one.arrays["own"].mean(0)[:, k]}, name=name, hue=hue
                )
                for hue, (name, one) in enumerate(everyone.items())
            ]
            panels.append(
                Panel(
                    series=tuple(lines),
                    x=Axis(label="time"),
                    y=Axis(label=label),
                )
            )
        panels.append(_spectra(everyone))
        caption = "Means over the test starts, and the spectrum of the flow at late times."
        averages = Figure(
            name="averages", panels=tuple(panels), caption=caption, width=1080, height=340, legend_columns=6
        )
        return [averages, _pictures(own, float(own.arrays["length"]))]


class _Averages:
    """Averages of runs: series ``(R, T, 2)`` of order and square velocity, spectra of the flow ``(R, T, n / 2)``."""

    def __init__(self, series: Tensor, spectrum: Tensor) -> None:
        self.series, self.spectrum = series, spectrum


def _averages(fluid: ActiveFluid, fields: Tensor, method: MomentClosure) -> _Averages:
    """Of runs that hold z_2, or of a fluid whose z_2 the closure tells."""
    series, spectra = [], []
    for frame in fields.unbind(1):
        c, z = complex_moments(frame)
        with torch.no_grad():
            second = z[:, 1] if z.shape[1] > 1 else closed(method.factor, c, z)
            velocity = fluid.flow(c, z[:, 0], second).velocity
        series.append(torch.stack([_order(frame).mean((1, 2)), velocity.square().sum(1).mean((1, 2))], 1))
        spectra.append(fluid.box.spectrum(velocity).sum(1))
    return _Averages(torch.stack(series, 1), torch.stack(spectra, 1))


def _order(fields: Tensor) -> Tensor:
    c, z = complex_moments(fields)
    return z[:, 0].abs() / c


def _mean_error(mine: Tensor, theirs: Tensor) -> Estimate:
    """``|mean of the differences| / mean``, with the error between starts."""
    gap = (mine - theirs) / theirs.mean()
    return Estimate(float(gap.mean().abs()), _error_of(gap), len(gap), "difference")


def _error_of(values: Tensor) -> float:
    return float(values.std() / len(values) ** 0.5) if len(values) > 1 else float("nan")


def _spectra(everyone: Mapping[str, Measured]) -> Panel:
    first = next(iter(everyone.values())).arrays["spectra"]
    shell = torch.arange(1, first.shape[1], dtype=torch.float64)
    lines = [Series(mark="line", arrays={"x": shell, "y": first[1, 1:]}, name="kinetic", hue="muted")]
    lines += [
        Series(mark="line", arrays={"x": shell, "y": one.arrays["spectra"][0, 1:]}, name=name, hue=hue)
        for hue, (name, one) in enumerate(everyone.items())
    ]
    x, y = Axis(label="shell of |k|", scale="log"), Axis(label="energy of the flow", scale="log")
    return Panel(series=tuple(lines), x=x, y=y)


def _pictures(own: Measured, length: float) -> Figure:
    """The order of the first run at its start, and at the end of both theories."""
    titles = "first frame", "last frame, kinetic", "last frame, with the closure"
    panels = [
        Panel(series=(_heat(order, length),), title=title, equal=True)
        for title, order in zip(titles, own.arrays["pictures"], strict=True)
    ]
    caption = (
        "Order |z_1| / c of the first test run. The flow is chaotic: of the last frame, compare the kind."
    )
    return Figure(name="order", panels=tuple(panels), caption=caption, width=1080, height=360)


def _heat(order: Tensor, length: float) -> Series:
    extent = torch.tensor([0.0, length, 0.0, length])
    return Series(mark="heat", arrays={"values": order.T, "extent": extent}, low=0.0, high=1.0)
