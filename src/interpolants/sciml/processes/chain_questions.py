"""Questions to generators of paths: how near their law is, and how long a chain remembers where it began."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.foundations.checks import positive, whole
from interpolants.framework.figures import Axis, Figure, Panel
from interpolants.framework.figures import Series as Mark
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.methods.questions.series_parts import part_series_of
from interpolants.metrics.estimate import Estimate
from interpolants.sciml.processes.chain_paths import windows_of
from interpolants.sciml.processes.directed_chain import DirectedChainGenerator
from interpolants.sciml.processes.metrics.path_scores import (
    discriminative_score,
    marginal_distances,
    path_dependence,
    peaks,
    predictive_score,
)
from interpolants.sciml.processes.signature_loss import ExpectedSignature

_SHOWN, _BINS = 40, 40


@dataclass(frozen=True, kw_only=True)
class PathQuality(Question):
    """How near the law of generated paths is to that of test paths; the floor is that of the training paths.

    Test paths are whole series, or windows that do not overlap.

    Attributes:
        role: Role of the series.
        window: Times of a path, where series are cut; None for whole series.
        relative: Measure all paths from their first value.
        depth: Levels of the signatures.
        n: Most paths to draw; as many as there are test paths, if these are fewer, for the recurrent scores.
        recurrent: Whether recurrent networks judge too, in some seconds each.
        repeats: Networks of each recurrent score.
        seed: Seed of the paths and of the networks.
    """

    needs: ClassVar[str] = "sample"
    numbers: ClassVar[Mapping[str, About]] = {
        "marginal": About(
            "Distance of marginals", note="Wasserstein-1 over the test's deviation, mean over times and columns.",
            floor_of="training paths",
        ),
        "terminal": About(
            "Distance of the last marginal", unit="data units", note="Wasserstein-1.", floor_of="training paths"
        ),
        "peaks": About("Peaks of the last marginal", "neither", note="Of the first column."),
        "peaks_missed": About("Peaks of the last marginal that are missed or made up"),
        "signature": About(
            "Distance of expected signatures", note="Root mean square, in deviations.", floor_of="training paths"
        ),
        "discriminative": About(
            "Discriminative score", note="0 is best, 0.5 worst.", floor_of="training paths"
        ),
        "predictive": About("Predictive score", unit="deviations", floor_of="training paths"),
    }  # fmt: skip

    role: str = "series"
    window: int | None = None
    relative: bool = False
    depth: int = 4
    n: int = 2048
    recurrent: bool = True
    repeats: int = 5
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("depth", "repeats"):
            whole("path_quality", name, getattr(self, name), at_least=1)
        whole("path_quality", "n", self.n, at_least=8)

    def measure(self, method: Method, task: Task) -> Measured:
        """Scores, some paths, and the last values."""
        answer: Any = method
        made = answer.sample(self.n, seed=self.seed).double()
        return self._scores(self._seen(made), self._real(task, "test"))

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """Scores of training paths, as many as there are test paths."""
        found = self._scores(self._real(task, "train"), self._real(task, "test")).values
        return {
            name: value for name, value in found.items() if not isinstance(value, Tensor) and name != "peaks"
        }

    def _scores(self, made: Tensor, real: Tensor) -> Measured:
        apart = marginal_distances(made, real)
        scale = real.flatten(0, 1).std(0)
        target = ExpectedSignature.of(real / scale, self.depth)
        counts = [peaks(one[:, -1, 0]) for one in (made, real)]
        values: dict[str, Number] = {
            "marginal": float((apart / scale).mean()),
            "terminal": float(apart[-1].mean()),
            "peaks": float(counts[0]),
            "peaks_missed": float(abs(counts[0] - counts[1])),
            "signature": target.gap(made / scale),
        }
        if self.recurrent:
            options = {"repeats": self.repeats, "seed": self.seed}
            values["discriminative"] = discriminative_score(made[: len(real)], real, **options)
            values["predictive"] = predictive_score(made, real, **options)
        shown = {"made": made[:_SHOWN, :, 0], "real": real[:_SHOWN, :, 0]}
        return Measured(values, {**shown, "made_last": made[:, -1, 0], "real_last": real[:, -1, 0]})

    def _seen(self, paths: Tensor) -> Tensor:
        return paths - paths[:, :1] if self.relative else paths

    def _real(self, task: Task, part: str) -> Tensor:
        return self._seen(real_paths("path_quality", task, self.role, part, self.window))

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Some paths, and the last marginal."""
        every = {"test": own.arrays["real"], "the method": own.arrays["made"]}
        every |= {name.replace("_", " "): one.arrays["made"] for name, one in rivals.items()}
        low, high = (float(own.arrays["real"].min()), float(own.arrays["real"].max()))
        edge = 0.1 * (high - low)
        axis = Axis(label="value", low=low - edge, high=high + edge)
        panels = [_bundle(name, paths, axis, k) for k, (name, paths) in enumerate(every.items())]
        last = {"test": own.arrays["real_last"], "the method": own.arrays["made_last"]}
        last |= {name.replace("_", " "): one.arrays["made_last"] for name, one in rivals.items()}
        marginal = _densities(last, low - edge, high + edge)
        caption = "Some paths, of the first column."
        return [
            Figure(name="paths", panels=tuple(panels), caption=caption, width=300 * len(panels), height=280),
            Figure(
                name="last",
                panels=(marginal,),
                caption="Distribution of the last value, of the first column.",
            ),
        ]


@dataclass(frozen=True, kw_only=True)
class ChainIndependence(Question):
    """How much paths depend on the test paths that their chain began at, and how well they keep the law, by links.

    Ancestors do not overlap, else they would be counted as more than they are. Each has several chains.

    Attributes:
        role: Role of the series.
        links: Longest chain.
        asked: Link whose numbers are told; the method's own if None.
        branches: Chains of each ancestor.
        most: Dependence that is allowed.
        seed: Seed of the chains.
    """

    needs: ClassVar[str] = "transport"
    numbers: ClassVar[Mapping[str, About]] = {
        "dependence": About(
            "Dependence on the ancestor",
            note="Largest absolute correlation over times and columns, of values or of squares.",
        ),
        "strangers": About("Dependence on other real paths", "neither", note="What chance gives."),
        "first": About("Dependence after one link"),
        "needed": About("Links until the dependence is small enough", note="Or no larger than that on strangers."),
        "ratio": About("Distance of marginals over that after one link", note="1 means that the law is kept."),
    }  # fmt: skip

    role: str = "series"
    links: int = 8
    asked: int | None = None
    branches: int = 8
    most: float = 0.1
    seed: int = 2

    def __post_init__(self) -> None:
        for name in ("links", "branches"):
            whole("chain_independence", name, getattr(self, name), at_least=1)
        positive("chain_independence", "most", self.most)
        if self.asked is not None:
            whole("chain_independence", "asked", self.asked, at_least=1, at_most=self.links)

    def cannot(self, method: Method) -> str:
        """It is about chains."""
        return "" if isinstance(method, DirectedChainGenerator) else "it is no directed chain"

    def measure(self, method: Method, task: Task) -> Measured:
        """Dependence and distance after each number of links."""
        assert isinstance(method, DirectedChainGenerator)
        real = real_paths("chain_independence", task, self.role, "test", method.window)
        real = real - real[:, :1] if method.relative else real
        ancestors = real.repeat_interleave(self.branches, 0)
        curve, strangers, apart = [], [], []
        for walk in method.walk(ancestors, self.links, seed=self.seed):
            curve.append(float(path_dependence(ancestors, walk).max()))
            moved = walk.roll(self.branches * (len(real) // 2), 0)
            strangers.append(float(path_dependence(ancestors, moved).max()))
            apart.append(float((marginal_distances(walk, real) / real.flatten(0, 1).std(0)).mean()))
        place = (self.asked or min(method.links, self.links)) - 1
        below = [k + 1 for k, one in enumerate(curve) if one < max(self.most, strangers[k])]
        values: dict[str, Number] = {
            "dependence": curve[place],
            "strangers": strangers[place],
            "first": curve[0],
            "needed": float(below[0] if below else self.links + 1),
            "ratio": apart[place] / apart[0],
        }
        arrays = {"dependence": curve, "strangers": strangers, "marginal": apart}
        found = {name: torch.tensor(one).double() for name, one in arrays.items()}
        finding = self._finding(curve[place], 1.5 * strangers[place], place + 1)
        return Measured(values, found, findings=finding)

    def _finding(self, value: float, chance: float, links: int) -> list[Finding]:
        if value < max(self.most, chance):
            return []
        told = (
            f"After {links} links paths still depend on their ancestors: {value:.2f}, more than {self.most}."
        )
        return [Finding(told)]

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Both curves by links."""
        steps = torch.arange(1, self.links + 1, dtype=torch.float64)
        kinds = (("dependence", "the method", 0), ("strangers", "strangers", "muted"))
        marks = [
            Mark(mark="line", arrays={"x": steps, "y": own.arrays[key]}, name=name, hue=hue, symbol="o")  # type: ignore[arg-type]
            for key, name, hue in kinds
        ]
        marks.append(Mark(mark="rule", arrays={"y": self.most}, hue="muted", dash="--"))
        links = Axis(label="links")
        first = Panel(series=tuple(marks), title="dependence on the ancestor", x=links,
                      y=Axis(label="largest correlation", low=0), legend="below")  # fmt: skip
        line = Mark(mark="line", arrays={"x": steps, "y": own.arrays["marginal"]}, symbol="o")
        second = Panel(
            series=(line,), title="distance of marginals", x=links, y=Axis(label="deviations", low=0)
        )
        caption = (
            "Left: dependence on the real path a chain began at, and that on other real paths. Right: law."
        )
        return [Figure(name="independence", panels=(first, second), caption=caption, width=720, height=300)]


def real_paths(who: str, task: Task, role: str, part: str, window: int | None) -> Tensor:
    """Paths ``(n, T, C)`` of a part: whole series, or windows without gaps that do not overlap."""
    many = part_series_of(who, task, role, part)
    return windows_of(many, window, window or 1, "skip").values


def _bundle(title: str, paths: Tensor, axis: Axis, hue: int) -> Panel:
    """Paths ``(n, T)`` as one line with gaps."""
    steps = torch.arange(paths.shape[1] + 1, dtype=torch.float64).expand(len(paths), -1)
    broken = torch.nn.functional.pad(paths, (0, 1), value=math.nan)
    arrays = {"x": steps.flatten(), "y": broken.flatten()}
    colour: Any = hue - 1 if hue else "muted"
    mark = Mark(mark="line", arrays=arrays, hue=colour, size=0.6, alpha=0.6)
    return Panel(series=(mark,), title=title, x=Axis(label="step"), y=axis)


def _densities(values: Mapping[str, Tensor], low: float, high: float) -> Panel:
    """Histograms as lines."""
    marks = []
    for hue, (name, x) in enumerate(values.items()):
        counts = torch.histc(x.clamp(low, high), _BINS, low, high).double()
        middle = low + (torch.arange(_BINS).double() + 0.5) * (high - low) / _BINS
        colour: Any = hue - 1 if hue else "muted"
        density = counts / (len(x) * (high - low) / _BINS)
        marks.append(Mark(mark="line", arrays={"x": middle, "y": density}, name=name, hue=colour))
    value = Axis(label="value")
    return Panel(
        series=tuple(marks), title="last marginal", x=value, y=Axis(label="density", low=0), legend="below"
    )
