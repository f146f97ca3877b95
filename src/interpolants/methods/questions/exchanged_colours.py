"""Two pictures, each with the colours of the other by a transport between their colours."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from interpolants.data.picture_pixels import colours_of, levels_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count
from interpolants.framework.figures import Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.question_form import Ask, question
from interpolants.framework.questions import About, Number
from interpolants.framework.role import Role
from interpolants.methods.questions.calls import takes, unknown_option
from interpolants.methods.questions.distances import as_tensor

_WIDTH = 690  # of the figure in CSS pixels
# Fraction of clipped values above which a warning is issued.
_CLIPPED = 0.01
_CAPTION = (
    "Two pictures, and each with the colours of the other: one model, forwards and backwards, transports colour by "
    "colour. A map between distributions of colours knows no objects: equal colours stay equal, wherever they are."
)


_REVERSE = "its transport goes one way only."
_PICTURES = [
    Role(
        name=f"picture{k}", kind="picture", axis="", about="the whole picture, to be drawn with other colours"
    )
    for k in (0, 1)
]
_NUMBERS = {
    f"clipped{k}": About(
        f"Fraction of channel values outside [0, 1], picture {k}",
        "neither",
        note="Clipped to the range of colours; values within half a level of it do not count.",
    )
    for k in (0, 1)
}


def _why_unavailable(question: Any, method: Method) -> str:
    if not takes(method, "transport", "reverse"):
        return _REVERSE
    return unknown_option(method, "transport", question.options)


@question(
    needs="transport",
    numbers=_NUMBERS,
    reads=_PICTURES,
    figures=lambda question, measured, rivals, task: [pictures_figure(measured.arrays)],
    front=("pictures",),
    cannot=_why_unavailable,
)
def exchanged_colours(
    ask: Ask, *, n: Count = 70_000, options: Mapping[str, Any] | None = None
) -> dict[str, Number]:
    """Two pictures and each with the colours of the other, for a method between their pixels.

    The rows of ``x0`` and ``x1`` must be pixels of the pictures ``picture0`` and ``picture1``: red, green and blue in
    [0, 1]. Pictures of more than ``n`` pixels are shown with each second, third, ... row and column. Each distinct
    colour is transported once.

    Args:
        ask: Task and method.
        n: Maximum number of pixels of a picture that is shown.
        options: Options of ``transport``, such as ``method`` and ``n_steps``.
    """
    values: dict[str, Number] = {}
    for k in (0, 1):
        picture = _thinned(as_tensor(ask.task.values[f"picture{k}"]), k, n)
        colours, indices = torch.unique(picture.reshape(-1, 3), dim=0, return_inverse=True)
        rows = torch.from_numpy(colours_of(colours.numpy()))
        transported = as_tensor(ask.method.transport(rows, reverse=k == 1, **(options or {})))
        levels, clipped = levels_of(transported[indices].numpy())
        values[f"clipped{k}"] = clipped
        ask.arrays |= {f"before{k}": picture, f"after{k}": torch.from_numpy(levels).reshape(picture.shape)}
        ask.find(_clipped(clipped, k), grave=False)
    return values


def _thinned(picture: Tensor, k: int, max_pixels: int) -> Tensor:
    if picture.dtype != torch.uint8 or picture.ndim != 3 or picture.shape[-1] != 3:
        rule = f"picture{k} must be a picture (H, W, 3) of uint8"
        remedy = f'Use the picture that comes with x{k}, as in the recipe "demo".'
        raise invalid("exchanged_colours", rule, f"{picture.dtype} {tuple(picture.shape)}", remedy)
    stride = 1
    while -(-picture.shape[0] // stride) * -(-picture.shape[1] // stride) > max_pixels:
        stride += 1
    return picture[::stride, ::stride]


def _clipped(fraction: float, k: int) -> str:
    if fraction <= _CLIPPED:
        return ""
    text = f"{100 * fraction:.1f} % of the channel values of picture {k} left [0, 1] and were clipped"
    return f"{text}: the picture has other colours there than the method gave."


def pictures_figure(arrays: Mapping[str, Tensor]) -> Figure:
    """Two pictures at the left, each with the colours of the other at its right."""
    rows = [(arrays[f"before{k}"], arrays[f"after{k}"]) for k in (0, 1)]
    titles = (
        ("the first picture", "with the colours of the second"),
        ("the second", "with those of the first"),
    )
    heights = [float(pair[0].shape[0] / pair[0].shape[1]) for pair in rows]
    panels = tuple(
        _panel(picture, title, height)
        for pair, names, height in zip(rows, titles, heights, strict=True)
        for picture, title in zip(pair, names, strict=True)
    )
    height = sum(_WIDTH / 2 * ratio + 30 for ratio in heights)
    return Figure(
        name="pictures", panels=panels, caption=_CAPTION, columns=2, width=_WIDTH, height=height, photo=True
    )


def _panel(picture: Tensor, title: str, height: float) -> Panel:
    images = picture[None, None]
    return Panel(
        series=(Series(mark="images", arrays={"images": images}, low=0, high=255),),
        title=title,
        bare=True,
        height=height,
    )
