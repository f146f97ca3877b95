"""Figures of nowcasts: one case as maps, scores by lead, and what is uncertain where."""

from collections.abc import Mapping

import torch
from torch import Tensor

from interpolants.data.gridded import Gridded
from interpolants.framework.figures import Axis, Figure, Panel, Series


def nowcast_figure(context: Gridded, came: Tensor, drawn: Tensor, rivals: Mapping[str, Tensor]) -> Figure:
    """The first variable of one case: what was seen, what came first and last, and what was told of the last frame.

    Args:
        context: Past frames.
        came: ``(K, C, H, W)``.
        drawn: ``(M, K, C, H, W)``.
        rivals: Those of rivals by name; such with a single answer are shown.
    """
    last, first = (f"what came {k} ahead" for k in (len(came), 1))
    shown = {"the last frame seen": context.values[0, -1, 0].double(), last: came[-1, 0]}
    shown |= {"one member": drawn[0, -1, 0], "mean of members": drawn[:, -1, 0].mean(0), first: came[0, 0]}
    single = {name: one for name, one in rivals.items() if len(one) == 1}
    shown |= {name: one[0, -1, 0].double() for name, one in list(single.items())[-1:]}
    low, high = _ends(torch.stack(list(shown.values())))
    panels = tuple(_panel(values, name, low, high) for name, values in shown.items())
    unit = f" {context.grid.units[0]}" if context.grid.units and context.grid.units[0] else ""
    caption = (
        f"A test case, {context.grid.variables[0]} from {low:.3g} to {high:.3g}{unit}. Members and extrapolation are "
        f"of the last frame, {len(came)} ahead."
    )
    return Figure(name="nowcast", panels=panels, columns=3, caption=caption, width=900, height=520)


def _ends(x: Tensor) -> tuple[float, float]:
    x = x[x.isfinite()]
    return float(x.min()), float(x.max())


def _panel(values: Tensor, title: str, low: float, high: float) -> Panel:
    heat = Series(mark="heat", arrays={"values": values}, low=low, high=high)
    return Panel(series=(heat,), title=title, x=Axis(label="column"), y=Axis(label="row"), equal=True)


def leads_figure(scores: Mapping[str, Tensor]) -> Figure:
    """Scores ``(K, B)`` by lead, with twice the standard error over cases."""
    marks = []
    for hue, (name, one) in enumerate(scores.items()):
        x = torch.arange(1, len(one) + 1, dtype=torch.float64)
        error = 2 * one.std(1) / one.shape[1] ** 0.5 if one.shape[1] > 1 else torch.zeros_like(x)
        line = {"x": x, "y": one.mean(1), "error": error}
        marks.append(Series(mark="line", arrays=line, hue=hue, name=name))
    ticks = tuple(float(k) for k in range(1, 1 + max(map(len, scores.values()))))
    panel = Panel(series=tuple(marks), x=Axis(label="frames ahead", ticks=ticks), y=Axis(label="fair CRPS", low=0.0),
                  legend="below", legend_columns=2)  # fmt: skip
    caption = "Score by lead, mean over cases with two standard errors; absolute errors of single forecasts."
    return Figure(name="by_lead", panels=(panel,), caption=caption, width=520, height=360)


def uncertainty_figure(context: Gridded, maps: Mapping[str, Tensor]) -> Figure:
    """Logarithms of what is uncertain in the first and last frame, mean over cases, each scaled to its largest value.

    Args:
        context: Past frames.
        maps: ``uncertainty``, and ``spread`` and ``true_variance`` where they are known, ``(K, C, H, W)``.
    """
    names = {
        "true_variance": "truth",
        "spread": "of members",
        "uncertainty": "estimate U",
    }
    panels = []
    for key, name in names.items():
        if key not in maps:
            continue
        found = maps[key][:, 0]
        top = float(found[found.isfinite()].max())
        for k in (0, len(found) - 1):
            shown = (found[k] / top).clamp_min(1e-3).log10()
            panels.append(_panel(shown, f"{name}, {k + 1} ahead", -3.0, 0.0))
    caption = (
        "Where the future cannot be known: variances of the truth, where it is known, of members, and of the model's "
        "estimate along runs, mean over test cases. Logarithm to base 10 over the largest value of each, -3 to 0."
    )
    return Figure(name="uncertainty", panels=tuple(panels), columns=2, caption=caption, width=620,
                  height=250 * (len(panels) // 2))  # fmt: skip
