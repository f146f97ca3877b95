"""Questions to simulators: do simulations agree with their prompts, with their first frames, and with the equation?"""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Protocol, runtime_checkable

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.apps.simulation.data.mesh_fields import MeshField, mesh_field
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Count
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import with_seed
from interpolants.metrics.estimate import Estimate

_SHOWN = 3


@runtime_checkable
class Solver(Protocol):
    """A problem that finds its parameters in a field, and solves its equation with them."""

    def fit(self, field: MeshField) -> Any:
        """Parameters ``plume`` and what they leave, ``residual``."""
        ...

    def solution(self, plume: Tensor, points: Tensor, times: Tensor) -> Tensor:
        """The solution ``(T, M, C)``."""
        ...


def relative_l2(found: Tensor, truth: Tensor) -> float:
    """``|found - truth| / |truth|`` over all points, times and channels."""
    gap = (found.double() - truth.double()).norm()
    return float(gap / truth.double().norm().clamp(min=1e-300))


def _errors(found: Sequence[MeshField], truth: Sequence[MeshField], frames: slice = slice(None)) -> Tensor:
    pairs = zip(found, truth, strict=True)
    return torch.tensor([relative_l2(one.values[frames], own.values[frames]) for one, own in pairs]).double()


def _fields(parts: Any) -> list[MeshField]:
    """Simulations in whatever form they were given."""
    return [mesh_field(one, "ask", "fields") for one in parts]


def _mean_member(parts: Any) -> list[MeshField]:
    return [replace(one, values=one.values.mean(0)) for one in _fields(parts)]


@dataclass(frozen=True, kw_only=True)
class PromptedSimulations(Question):
    """Simulations of test prompts, on the meshes of the truth, beside those without a prompt and those of one frame.

    Agreement with the equation is measured by solving it: where the problem is known, its parameters are fitted to the
    first frames of a sampled simulation, the equation is solved from them, and the later frames are compared. That says
    nothing of the prompt, so that the parameters are compared with those of the truth too.
    """

    needs: ClassVar[str] = "sample"
    numbers: ClassVar[Mapping[str, About]] = {
        "relative_l2": About(
            "Relative error with the prompt", note="Norm of the error over the norm of the truth."
        ),
        "unprompted": About("Relative error without a prompt", "neither"),
        "ratio": About("Error with the prompt over that without"),
        "first_frame": About("Error of the first frame, with the prompt"),
        "framed_first_frame": About("The same, given that frame instead", "neither"),
        "frame_gain": About("What the frame tells more than the prompt of the first frame", "higher"),
        "resolved_error": About(
            "Error against the equation", note="Solved from the sample's own first frames."
        ),
        "fit_residual": About("What the fit of the equation leaves of these frames"),
        "place_error": About("Distance of the place from the truth's"),
        "velocity_error": About("Distance of the velocity from the truth's"),
        "width_error": About("Distance of the width from the truth's"),
    }
    front: ClassVar[tuple[str, ...]] = ("simulations",)

    role: str = "fields"
    """Role of the simulations."""
    prompts: str = "prompt"
    """Role of the prompts."""
    cases: Count = 40
    """Test rows, at most."""
    fitted: Annotated[int, Ge(2)] = 4
    """First frames that the parameters are fitted to."""
    seed: int = 1
    """Seed of the samples."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Errors by case."""
        asked: Any = method
        truth, prompts = (list(task.test[name])[: self.cases] for name in (self.role, self.prompts))
        truth = _fields(truth)
        told = _fields(asked.sample(len(truth), prompt=prompts, points=truth, seed=self.seed))
        free = _fields(asked.sample(len(truth), points=truth, seed=self.seed + 1))
        framed = _mean_member(asked.forecast(truth, frames=1, seed=self.seed + 2))
        own, without = _errors(told, truth), _errors(free, truth)
        first, seen = (_errors(one, truth, slice(1)) for one in (told, framed))
        values: dict[str, Number] = {
            "relative_l2": own, "unprompted": without, "ratio": _ratio(own, without),
            "first_frame": first, "framed_first_frame": seen, "frame_gain": first - seen,
        }  # fmt: skip
        texts = {"prompts": [f"{k + 1}. {text}" for k, text in enumerate(prompts[:_SHOWN])]}
        arrays: dict[str, Tensor] = {}
        for name, parts in (("truth", truth), ("told", told), ("free", free)):
            arrays |= {f"{name}{k}": one.values[..., 0] for k, one in enumerate(parts[:_SHOWN])}
        arrays |= {f"points{k}": one.points for k, one in enumerate(truth[:_SHOWN])}
        return Measured(values | self._solved(told, truth, task), arrays, texts)

    def _solved(self, told: Sequence[MeshField], truth: Sequence[MeshField], task: Task) -> dict[str, Number]:
        """Errors against the equation, and of its parameters; none where the problem is not known."""
        problem = task.truths.get(self.role)
        if not isinstance(problem, Solver):
            return {}
        fits = [problem.fit(one.first(self.fitted)) for one in told]
        exact = torch.stack([problem.fit(one).plume for one in truth])
        plumes = torch.stack([one.plume for one in fits])
        later = slice(self.fitted, None)
        solved = [
            relative_l2(one.values[later], problem.solution(fit.plume, one.points, one.times)[later])
            for one, fit in zip(told, fits, strict=True)
        ]
        gap = plumes - exact
        return {
            "resolved_error": torch.tensor(solved).double(),
            "fit_residual": torch.tensor([fit.residual for fit in fits]).double(),
            "place_error": gap[:, :2].norm(dim=1),
            "velocity_error": gap[:, 2:4].norm(dim=1),
            "width_error": gap[:, 4].abs(),
        }

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """The first cases in the middle and at the end: the truth, with the prompt, and without one."""
        shown = [
            k for k in range(_SHOWN) if f"points{k}" in own.arrays and own.arrays[f"points{k}"].shape[1] == 2
        ]
        if not shown:
            return []
        rows = (("truth", "truth"), ("told", "from the prompt"), ("free", "without a prompt"))
        panels = []
        for k in shown:
            for key, name in rows:
                points, values = own.arrays[f"points{k}"], own.arrays[f"{key}{k}"]
                high = float(own.arrays[f"truth{k}"].max())
                panels.append(mesh_panel(points, values[len(values) // 2], high, f"{name}, {k + 1}"))
        caption = "Halfway, on the meshes of the truth; the numbers are those of the prompts."
        height = 190 * len(shown)
        return [
            Figure(
                name="simulations",
                panels=tuple(panels),
                columns=len(rows),
                caption=caption,
                width=570,
                height=height,
            )
        ]


def _ratio(own: Tensor, without: Tensor) -> Estimate:
    ratio = float(own.mean() / without.mean())
    error = float((own - ratio * without).std() / without.mean()) / len(own) ** 0.5 if len(own) > 1 else 0.0
    return Estimate(ratio, error, len(own), "ratio of mean errors")


def mesh_panel(points: Tensor, values: Tensor, high: float, title: str) -> Panel:
    """One frame on its mesh as triangles, or as points where there is no scipy."""
    if importlib.util.find_spec("scipy") is None or len(points) < 4:
        arrays = {"x": points[:, 0], "y": points[:, 1], "value": values}
        mark = Series(mark="points", arrays=arrays, low=0.0, high=high, size=3)
    else:
        faces = require("scipy.spatial", by="prompted_simulations").Delaunay(points.numpy()).simplices
        arrays = {"points": points, "faces": torch.from_numpy(faces).long(), "values": values}
        mark = Series(mark="mesh", arrays=arrays, low=0.0, high=high)
    return Panel(series=(mark,), title=title, equal=True, bare=True)


@dataclass(frozen=True, kw_only=True)
class ContinuedSimulations(Question):
    """What follows the first frames of test simulations, frame by frame."""

    needs: ClassVar[str] = "forecast"
    numbers: ClassVar[Mapping[str, About]] = {
        "relative_l2": About("Relative error over all frames"),
        "first_frame": About("Relative error of the first frame"),
        "last_frame": About("Relative error of the last frame"),
    }

    role: str = "fields"
    """Role of the simulations."""
    frames: Count = 2
    """First frames that are given."""
    cases: Count = 40
    """Test rows, at most."""
    members: Count = 1
    """Members of an answer, whose mean is compared: it is nearer to the truth than a member is."""
    seed: int = 1
    """Seed of the samples, of methods that draw."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Errors by case; frames that were given count as they are answered."""
        asked: Any = method
        truth = _fields(task.test[self.role][: self.cases])
        given = {"frames": self.frames, "members": self.members, **with_seed(method, "forecast", self.seed)}
        found = _mean_member(asked.forecast(truth, **given))
        count = len(truth[0].times)
        by_frame = torch.stack([_errors(found, truth, slice(k, k + 1)) for k in range(count)])
        values: dict[str, Number] = {
            "relative_l2": _errors(found, truth), "first_frame": by_frame[0], "last_frame": by_frame[-1]
        }  # fmt: skip
        error = by_frame.std(1) / len(truth) ** 0.5
        return Measured(values, {"by_frame": by_frame.mean(1), "error": error, "times": truth[0].times})

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Error by frame, those of the rivals beside it."""
        found = {"simulated at once": own, **rivals}
        marks = [
            Series(
                mark="line",
                arrays={"x": one.arrays["times"], "y": one.arrays["by_frame"], "error": one.arrays["error"]},
                name=name.replace("_", " "),
                hue=hue,
            )
            for hue, (name, one) in enumerate(found.items())
        ]
        x, y = Axis(label="time"), Axis(label="relative error of the frame", low=0.0)
        panel = Panel(series=tuple(marks), x=x, y=y, legend="below", legend_columns=2)
        caption = (
            f"Error frame by frame, with {self.frames} first frame{'s' if self.frames > 1 else ''} given."
        )
        return [Figure(name="error_by_frame", panels=(panel,), caption=caption, width=440, height=320)]
