"""Questions to generators of paths: how near their law is, and how long a chain remembers where it began."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.asked import who
from interpolants.foundations.checks import whole
from interpolants.foundations.kinds import Count, Positive
from interpolants.framework.figures import Axis, Figure, Panel
from interpolants.framework.figures import Series as Mark
from interpolants.framework.method import Method
from interpolants.framework.question_form import Ask, question
from interpolants.framework.questions import About, Measured, Number
from interpolants.framework.task import Task
from interpolants.methods.questions.series_parts import part_series_of
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
_TRAIN = "training paths"


def _path_figures(
    question: Any, own: Measured, rivals: Mapping[str, Measured], task: Task
) -> Sequence[Figure]:
    """Some paths, and the last marginal."""
    shown = {"the method": own.arrays, **{name.replace("_", " "): one.arrays for name, one in rivals.items()}}
    low, high = (float(own.arrays["real"].min()), float(own.arrays["real"].max()))
    edge = 0.1 * (high - low)
    axis = Axis(label="value", low=low - edge, high=high + edge)
    every = {"test": own.arrays["real"], **{name: arrays["made"] for name, arrays in shown.items()}}
    panels = [_bundle(name, paths, axis, k) for k, (name, paths) in enumerate(every.items())]
    last = {"test": own.arrays["real_last"], **{name: arrays["made_last"] for name, arrays in shown.items()}}
    marginal = _densities(last, low - edge, high + edge)
    caption = "Some paths, of the first column."
    told = "Distribution of the last value, of the first column."
    return [
        Figure(name="paths", panels=tuple(panels), caption=caption, width=300 * len(panels), height=280),
        Figure(name="last", panels=(marginal,), caption=told),
    ]


@question(
    needs="sample",
    numbers={
        "marginal": About(
            "Distance of marginals", note="Wasserstein-1 over the test's deviation, mean over times and columns.",
            floor_of=_TRAIN,
        ),
        "terminal": About("Distance of the last marginal", unit="data units", note="Wasserstein-1.", floor_of=_TRAIN),
        "peaks": About("Peaks of the last marginal", "neither", note="Of the first column."),
        "peaks_missed": About("Peaks of the last marginal that are missed or made up", floor_of=_TRAIN),
        "signature": About(
            "Distance of expected signatures", note="Root mean square, in deviations.", floor_of=_TRAIN
        ),
        "discriminative": About("Discriminative score", note="0 is best, 0.5 worst.", floor_of=_TRAIN),
        "predictive": About("Predictive score", unit="deviations", floor_of=_TRAIN),
    },
    floors="train",
    figures=_path_figures,
)  # fmt: skip
def path_quality(
    ask: Ask,
    *,
    role: str = "series",
    window: Annotated[int, Ge(2)] | None = None,
    relative: bool = False,
    depth: Count = 4,
    n: Annotated[int, Ge(8)] = 2048,
    recurrent: bool = True,
    repeats: Count = 5,
    seed: int = 1,
) -> dict[str, Number]:
    """How near the law of generated paths is to that of test paths; the floor is that of the training paths.

    Test paths are whole series, or windows that do not overlap.

    Args:
        ask: Task and method.
        role: Role of the series.
        window: Times of a path, where series are cut; None for whole series.
        relative: Measure all paths from their first value.
        depth: Levels of the signatures.
        n: Most paths to draw; as many as there are test paths, if these are fewer, for the recurrent scores.
        recurrent: Whether recurrent networks judge too, in some seconds each.
        repeats: Networks of each recurrent score.
        seed: Seed of the paths and of the networks.
    """
    real = real_paths(ask.task, role, "test", window)
    if ask.method is None:
        made = real_paths(ask.task, role, "train", window)
    else:
        made = ask.method.sample(n, seed=seed).double()
    made, real = (x - x[:, :1] if relative else x for x in (made, real))
    ask.keep(
        made=made[:_SHOWN, :, 0], real=real[:_SHOWN, :, 0], made_last=made[:, -1, 0], real_last=real[:, -1, 0]
    )
    apart, scale = marginal_distances(made, real), real.flatten(0, 1).std(0)
    counts = [peaks(one[:, -1, 0]) for one in (made, real)]
    values: dict[str, Number] = {
        "marginal": float((apart / scale).mean()),
        "terminal": float(apart[-1].mean()),
        "peaks": float(counts[0]),
        "peaks_missed": float(abs(counts[0] - counts[1])),
        "signature": ExpectedSignature.of(real / scale, depth).gap(made / scale),
    }
    if recurrent:
        values["discriminative"] = discriminative_score(made[: len(real)], real, repeats=repeats, seed=seed)
        values["predictive"] = predictive_score(made, real, repeats=repeats, seed=seed)
    return values


def _no_chain(question: Any, method: Method) -> str:
    return "" if isinstance(method, DirectedChainGenerator) else "it is no directed chain"


def _asked_within(question: Any) -> None:
    if question.asked is not None:
        whole(who(), "asked", question.asked, at_least=1, at_most=question.links)


def _curves(question: Any, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
    """Both curves by links."""
    steps = torch.arange(1, question.links + 1, dtype=torch.float64)
    method, strangers = (own.arrays[key] for key in ("dependence", "strangers"))
    marks = [
        Mark(mark="line", arrays={"x": steps, "y": method}, name="the method", symbol="o"),
        Mark(mark="line", arrays={"x": steps, "y": strangers}, name="strangers", hue="muted", symbol="o"),
        Mark(mark="rule", arrays={"y": question.most}, hue="muted", dash="--"),
    ]
    links = Axis(label="links")
    first = Panel(series=tuple(marks), title="dependence on the ancestor", x=links,
                  y=Axis(label="largest correlation", low=0), legend="below")  # fmt: skip
    line = Mark(mark="line", arrays={"x": steps, "y": own.arrays["marginal"]}, symbol="o")
    second = Panel(series=(line,), title="distance of marginals", x=links, y=Axis(label="deviations", low=0))
    caption = "Left: dependence on the real path a chain began at, and that on other real paths. Right: law."
    return [Figure(name="independence", panels=(first, second), caption=caption, width=720, height=300)]


@question(
    needs="transport",
    numbers={
        "dependence": About(
            "Dependence on the ancestor",
            note="Largest absolute correlation over times and columns, of values or of squares.",
        ),
        "strangers": About("Dependence on other real paths", "neither", note="What chance gives."),
        "first": About("Dependence after one link"),
        "needed": About("Links until the dependence is small enough", note="Or no larger than that on strangers."),
        "ratio": About("Distance of marginals over that after one link", note="1 means that the law is kept."),
    },
    figures=_curves,
    cannot=_no_chain,
    check=_asked_within,
)  # fmt: skip
def chain_independence(
    ask: Ask,
    *,
    role: str = "series",
    links: Count = 8,
    asked: Count | None = None,
    branches: Count = 8,
    most: Positive = 0.1,
    seed: int = 2,
) -> dict[str, Number]:
    """How much paths depend on the test paths that their chain began at, and how well they keep the law, by links.

    Ancestors do not overlap, else they would be counted as more than they are. Each has several chains.

    Args:
        ask: Task and method.
        role: Role of the series.
        links: Longest chain.
        asked: Link whose numbers are told; the method's own if None.
        branches: Chains of each ancestor.
        most: Dependence that is allowed.
        seed: Seed of the chains.
    """
    method: DirectedChainGenerator = ask.method
    real = real_paths(ask.task, role, "test", method.window)
    real = real - real[:, :1] if method.relative else real
    ancestors = real.repeat_interleave(branches, 0)
    curve, strangers, apart = [], [], []
    for walk in method.walk(ancestors, links, seed=seed):
        curve.append(float(path_dependence(ancestors, walk).max()))
        moved = walk.roll(branches * (len(real) // 2), 0)
        strangers.append(float(path_dependence(ancestors, moved).max()))
        apart.append(float((marginal_distances(walk, real) / real.flatten(0, 1).std(0)).mean()))
    ask.keep(**{
        name: torch.tensor(one).double()
        for name, one in {"dependence": curve, "strangers": strangers, "marginal": apart}.items()
    })  # fmt: skip
    place = (asked or min(method.links, links)) - 1
    if curve[place] >= max(most, 1.5 * strangers[place]):
        told = f"After {place + 1} links paths still depend on their ancestors: {curve[place]:.2f}, more than {most}."
        ask.find(told)
    below = [k + 1 for k, one in enumerate(curve) if one < max(most, strangers[k])]
    return {
        "dependence": curve[place],
        "strangers": strangers[place],
        "first": curve[0],
        "needed": float(below[0] if below else links + 1),
        "ratio": apart[place] / apart[0],
    }


def real_paths(task: Task, role: str, part: str, window: int | None) -> Tensor:
    """Paths ``(n, T, C)`` of a part: whole series, or windows without gaps that do not overlap."""
    many = part_series_of(who(), task, role, part)
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
