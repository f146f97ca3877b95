"""Questions to models of tracks: displacement errors beside rivals, and how exactly forecasts turn with contexts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.apps.trajectories.data.tracks import Tracks
from interpolants.apps.trajectories.metrics.displacement_errors import displacement
from interpolants.apps.trajectories.track_role import tracks_role
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, Real
from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Axis, Figure, Panel, Series, trails
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.role import Reading, kind_of
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import options_for, takes, with_seed
from interpolants.metrics.estimate import Estimate

_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class TrackDisplacement(Question):
    """How far forecasts of tracks are from where nodes went, in the unit of the positions.

    Of each test case the first ``context`` frames are given, and the ``horizon`` frames that follow are forecast.
    """

    needs: ClassVar[str] = "forecast"
    front: ClassVar[tuple[str, ...]] = ("tracks", "error_by_frame")

    context: Count = 10
    """Frames that are given."""
    horizon: Count = 20
    """Frames ahead."""
    members: Count = 5
    """Members of each ensemble."""
    seed: int = 1
    """Seed of the ensembles."""
    options: Mapping[str, Any] | None = None
    """Further options of ``forecast`` for methods that take them, such as ``n_steps``."""
    unit: str = ""
    """Unit of the positions."""
    axes: Sequence[str] = ()
    """Names of the first two dimensions, for pictures."""
    map: bool = False
    """Whether the positions are on a map: all cases are then drawn on one pair of axes."""

    def about(self, name: str) -> About:
        """What a number means."""
        titles = {
            "ade": ("Average displacement error", "Mean over frames and nodes, averaged over members."),
            "fde": ("Final displacement error", "In the last frame."),
            "min_ade": ("Least average displacement error of a member", "Falls with the number of members."),
            "mean_ade": ("Average displacement error of the members' mean", ""),
            "energy_score": (
                "Energy score of the tracks",
                "Proper, in its fair form; of whole tracks, per frame and node.",
            ),
        }
        title, note = titles[name]
        return About(title, "lower", self.unit, note)

    def measure(self, method: Method, task: Task) -> Measured:
        """Errors by case."""
        tracks = _test_tracks(task)
        given, truth = self._parts(tracks)
        options: dict[str, Any] = with_seed(method, "forecast", self.seed)
        options |= options_for(method, "forecast", self.options)
        drawn: Tensor = method.forecast(given, members=self.members, steps=self.horizon, **options).x  # type: ignore[attr-defined]
        seen = truth.seen & given.seen.any(1, keepdim=True)
        found = displacement(drawn, truth.x, seen)
        values: dict[str, Number] = {
            "ade": found.average,
            "fde": found.final,
            "min_ade": found.least_average,
            "energy_score": found.energy,
            "mean_ade": displacement(drawn.mean(1, keepdim=True), truth.x, seen).average,
        }
        arrays = {"by_frame": found.by_frame.nanmean(0), "members": drawn[:_SHOWN].flatten(2, 3)}
        arrays |= {"given": given.with_gaps()[:_SHOWN], "truth": truth.with_gaps()[:_SHOWN]}
        return Measured(values, arrays)

    def _parts(self, tracks: Tracks) -> tuple[Tracks, Tracks]:
        """Given frames, and those ahead, of the cases that show something of both."""
        length = self.context + self.horizon
        if tracks.x.shape[1] < length:
            raise invalid("track_displacement", f"test tracks must have {length} frames", tracks.x.shape[1])
        given, truth = tracks.frames(0, self.context), tracks.frames(self.context, length)
        shown = (given.seen.any(1, keepdim=True) & truth.seen).flatten(1).any(1) & given.seen[:, -1].any(1)
        if not bool(shown.any()):
            raise invalid("track_displacement", "some test case must be seen in both parts", "none")
        rows = shown.nonzero()[:, 0]
        return given[rows], truth[rows]

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Forecasts of a few cases, and errors by frame."""
        names = self.axes or _test_tracks(task).columns
        axes = _axes(names, self.unit)
        cases = range(len(own.arrays["given"]))
        if self.map:
            panels = [_panel([mark for k in cases for mark in self._marks(own, k)], axes)]
            size: dict[str, Any] = {"width": 620, "height": 460}
        else:
            panels = [_panel(self._marks(own, k), axes) for k in cases]
            size = {"width": 250 * min(3, len(panels)), "height": 250 * -(-len(panels) // 3)}
        caption = "Test cases: frames given (grey), what came (points), members of the forecast (colour)."
        shown = Figure(
            name="tracks", panels=tuple(panels), caption=caption, columns=0 if self.map else 3, **size
        )
        return [shown, self._errors(own, rivals)]

    def _marks(self, own: Measured, case: int) -> list[Series]:
        given, truth = own.arrays["given"][case], own.arrays["truth"][case]
        nodes = truth.shape[1]
        members = own.arrays["members"][case].reshape(-1, self.horizon, nodes, truth.shape[2])  # (M, S, N, D)
        start = given[-1:].expand(len(members), 1, nodes, given.shape[-1])
        ahead = torch.cat([start, members], 1).transpose(0, 1).flatten(1, 2)
        marks = [trails(given, hue="muted", alpha=1.0), trails(ahead, hue=0, alpha=0.6)]
        came = truth.flatten(0, 1)
        came = came[came.isfinite().all(-1)]
        arrays = {"x": came[:, 0], "y": came[:, min(1, came.shape[1] - 1)]}
        return [*marks, Series(mark="points", arrays=arrays, hue=1, size=3)]

    def _errors(self, own: Measured, rivals: Mapping[str, Measured]) -> Figure:
        frames = torch.arange(1, self.horizon + 1, dtype=torch.float64)
        lines = [
            Series(mark="line", arrays={"x": frames, "y": one.arrays["by_frame"]}, name=name, hue=hue)
            for hue, (name, one) in enumerate({"the method": own, **rivals}.items())
        ]
        y = Axis(label="mean displacement", unit=self.unit, low=0.0)
        panel = Panel(
            series=tuple(lines), x=Axis(label="frames ahead"), y=y, legend="below", legend_columns=2
        )
        caption = "Mean distance between forecast and outcome by frame, over nodes, members and test cases."
        return Figure(name="error_by_frame", panels=(panel,), caption=caption, width=460, height=340)


def _axes(names: Sequence[str], unit: str) -> dict[str, Axis]:
    shown = list(names) if len(names) >= 2 else ["x", "y"]
    told = [Axis(label=name, unit="" if name.startswith(unit) else unit) for name in shown[:2]]
    return {"x": told[0], "y": told[1]}


def _panel(marks: Sequence[Series], axes: Mapping[str, Axis]) -> Panel:
    """Marks on axes of one scale."""
    return Panel(series=tuple(marks), equal=True, x=axes["x"], y=axes["y"])


def _test_tracks(task: Task) -> Tracks:
    role = tracks_role()
    found, _ = kind_of(role).read(task.test[role.name], role, Reading("tracks"))
    assert isinstance(found, Tracks)
    return found


@dataclass(frozen=True, kw_only=True)
class TrackSymmetry(Question):
    """How exactly forecasts turn, mirror and shift with the frames that are given, seed by seed."""

    needs: ClassVar[str] = "forecast"
    numbers: ClassVar[Mapping[str, About]] = {
        "gap": About(
            "Forecast of turned frames less turned forecast", note="Largest, over the spread of positions."
        ),
        "gap_exact": About("The same in float64", note="For methods that sample in float64."),
    }

    cases: Count = 20
    """Test cases to turn."""
    members: Count = 2
    """Members of each."""
    context: Count = 10
    """Frames that are given."""
    shift: Real = 3.0
    """Length of the shift, in units of the spread of the positions."""
    seed: int = 1
    """Seed of the orthogonal matrix, of the shift and of the ensembles."""
    mirror: bool = True
    """Whether the matrix mirrors."""
    options: Mapping[str, Any] | None = None
    """Further options of ``forecast``."""

    def measure(self, method: Method, task: Task) -> Measured:
        """The largest gaps, in both precisions."""
        tracks = _test_tracks(task)
        given = tracks[: self.cases].frames(0, self.context)
        given = given[given.seen[:, -1].any(1).nonzero()[:, 0]]
        values: dict[str, Number] = {"gap": self._gap(method, given, {})}
        if takes(method, "forecast", "exact"):
            values["gap_exact"] = self._gap(method, given, {"exact": True})
        return Measured(values)

    def _gap(self, method: Any, given: Tracks, options: Mapping[str, Any]) -> Estimate:
        """The largest gap: what was calculated, without an error of sampling."""
        asked = {"members": self.members, "seed": self.seed, **(self.options or {})}
        options = {**options_for(method, "forecast", asked), **options}
        dim, source = given.x.shape[-1], generator(self.seed, "turned tracks")
        size = float(given.x[given.seen].std())
        matrix, upper = torch.linalg.qr(torch.randn(dim, dim, dtype=torch.float64, generator=source))
        matrix = matrix * upper.diagonal().sign()
        if (float(torch.linalg.det(matrix)) < 0) != self.mirror:
            matrix = torch.cat([-matrix[:, :1], matrix[:, 1:]], 1)
        move = self.shift * size * torch.randn(dim, dtype=torch.float64, generator=source)
        turned = (given.x @ matrix.T + move) * given.seen[..., None]
        first = method.forecast(given, **options).x
        second = method.forecast(replace(given, x=turned), **options).x
        gap = (second - (first @ matrix.T + move)).nan_to_num(0.0).abs().max()
        return Estimate(float(gap) / size, 0.0, len(given), "largest gap")
