"""Figures as data: panels of named series, each a mark with its arrays. `interpolants.reports.draw` draws them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.kinds import OneOf
from interpolants.foundations.records import record

# Mark -> arrays it needs, arrays it may have; letters are sizes that must agree within a series.
MARKS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "line": ({"x": "n", "y": "n"}, {"error": "n", "low": "n", "high": "n"}),
    "band": ({"x": "n", "low": "n", "high": "n"}, {}),
    "points": ({"x": "n", "y": "n"}, {"value": "n"}),
    "rule": ({}, {"x": "", "y": "", "low": "", "high": ""}),
    "heat": ({"values": "h w"}, {"extent": "4"}),
    "histogram": ({"edges": "e", "counts": "n"}, {}),
    "images": ({"images": "r c h w *"}, {}),
    "map": ({"values": "h w", "lon": "w", "lat": "h"}, {}),
    "mesh": ({"points": "p 2", "faces": "f 3", "values": "p"}, {}),
    "spectrogram": ({"power": "f t", "frequency": "f", "time": "t"}, {}),
    "bars": ({"height": "n"}, {"x": "n", "error": "n"}),
    "phase": ({"x": "n", "y": "n", "u": "n", "v": "n"}, {}),
    "audio": ({"samples": "n", "rate": ""}, {}),
    "table": ({"values": "r c"}, {}),
    "contour": ({"values": "h w", "levels": "k"}, {"extent": "4"}),
    "text": ({"x": "", "y": ""}, {}),  # the name of the series, in letters of one width
}


@record("axis")
@dataclass(frozen=True, kw_only=True)
class Axis(Checked):
    """An axis of a panel.

    Raises:
        InvalidInputError: If the scale is unknown, or names and ticks differ in number.
    """

    label: str = ""
    """What it shows."""
    unit: str = ""
    """Its unit; empty for pure numbers."""
    scale: Literal["linear", "log", "log2", "symlog"] = "linear"
    """``linear``, ``log``, ``log2`` or ``symlog``."""
    low: float | None = None
    """Left or lower limit, if it is fixed."""
    high: float | None = None
    """Right or upper limit, if it is fixed; below ``low`` for an axis that runs the other way."""
    ticks: tuple[float, ...] | None = None
    """Places of the ticks; empty for automatic ones."""
    names: tuple[str, ...] = ()
    """Words at the ticks, one a tick; empty for the numbers."""
    near_zero: float = 1.0
    """A ``symlog`` scale is linear between this and its negative."""
    grid: bool = False
    """Whether it has hairlines."""

    def check_settings(self) -> None:
        """Check that there is one name per tick."""
        if self.names and len(self.names) != len(self.ticks or ()):
            raise asked.invalid("names must have one entry per tick", f"{self.names} at {self.ticks}")

    @property
    def text(self) -> str:
        """Label, followed by the unit in parentheses."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


@record("figure_series")
@dataclass(frozen=True, kw_only=True)
class Series(Checked):
    """One mark with its arrays.

    Raises:
        InvalidInputError: If the mark is unknown, an array is missing, unknown, or of a wrong shape.
    """

    mark: Annotated[str, OneOf(lambda: MARKS)]
    """Kind of mark."""
    arrays: Mapping[str, Any]
    """Arrays by the names that the mark knows; converted to tensors."""
    name: str = ""
    """Entry of the legend; empty for none. Of a ``text``, what is written, from its left end."""
    hue: int | Literal["muted"] = 0
    """Index of a colour that is told apart from the others, or ``"muted"``."""
    dash: str = "-"
    """``"-"``, ``"--"``, ``":"``, or empty for no line."""
    symbol: str = ""
    """Matplotlib's name of a marker, or empty for none."""
    size: float = 0.0
    """Size of symbols and text or width of lines without symbols, in points; 0 for the drawer's own."""
    alpha: float = 1.0
    """Opacity."""
    low: float | None = None
    """Number that gets the first colour of heat maps and images."""
    high: float | None = None
    """Number that gets the last."""

    def check_settings(self) -> None:
        """Make tensors of the arrays, and refuse those that the mark does not draw."""
        object.__setattr__(self, "arrays", {k: tensor(v) for k, v in self.arrays.items() if v is not None})
        needed, optional = MARKS[self.mark]
        if missing := needed.keys() - self.arrays.keys():
            raise asked.invalid(f"{self.mark} must have {', '.join(needed)}", f"no {sorted(missing)[0]}")
        sizes: dict[str, int] = {}
        for name, array in self.arrays.items():
            if name not in needed | optional:
                remedy = nearest(name, needed | optional)
                raise asked.invalid(
                    f"arrays of {self.mark} must be among those that it accepts", repr(name), remedy
                )
            _check_shape(self.mark, name, array, (needed | optional)[name], sizes)
        if self.mark == "histogram" and sizes["e"] != sizes["n"] + 1:
            raise asked.invalid("a histogram must have one edge more than counts", sizes)


def _check_shape(mark: str, name: str, array: Tensor, letters: str, sizes: dict[str, int]) -> None:
    """Compare one array with the shape that its mark needs; ``sizes`` stores the letters."""
    wanted = letters.split()
    free = wanted[-1:] == ["*"]
    fixed = wanted[:-1] if free else wanted
    fits = array.ndim >= len(fixed) if free else array.ndim == len(fixed)
    for letter, size in zip(fixed, array.shape, strict=False):
        fits = fits and size == (int(letter) if letter.isdigit() else sizes.setdefault(letter, size))
    if not fits:
        known = {letter: sizes[letter] for letter in fixed if letter in sizes}
        rule = f"{name} of {mark} must have shape ({', '.join(wanted)})" + (f" with {known}" if known else "")
        raise invalid("Series", rule, tuple(array.shape))


@record("panel")
@dataclass(frozen=True, kw_only=True)
class Panel:
    """Series on shared axes.

    Attributes:
        series: What it shows, from back to front.
        title: Its title.
        x: Horizontal axis.
        y: Vertical axis.
        legend: Where the legend is: ``"below"`` the panel, or in it, in matplotlib's words; empty for none.
        legend_columns: Columns of the legend.
        equal: Whether a unit is as long on both axes.
        bare: Whether axes are omitted, as for images.
        width: Share of the figure's width, relative to other panels of the row.
        height: Share of the figure's height, relative to other rows.
    """

    series: tuple[Series, ...]
    title: str = ""
    x: Axis = field(default_factory=Axis)
    y: Axis = field(default_factory=Axis)
    legend: str = ""
    legend_columns: int = 1
    equal: bool = False
    bare: bool = False
    width: float = 1.0
    height: float = 1.0


@record("figure")
@dataclass(frozen=True, kw_only=True)
class Figure:
    """Panels in a grid, row by row; one picture.

    Attributes:
        name: Name of its file, without suffix.
        caption: What it shows, in a sentence; empty for its name.
        panels: From the upper left.
        columns: Columns of the grid; 0 for all panels in one row.
        width: Width in CSS pixels.
        height: Height in CSS pixels.
        legend_columns: Columns of one legend below all panels; 0 for none.
        photo: Whether it has more colours than a palette of 200 can show.

    Raises:
        InvalidInputError: If there is no panel, or the name is not a valid file name.
    """

    name: str
    panels: tuple[Panel, ...]
    caption: str = ""
    columns: int = 0
    width: float = 480
    height: float = 330
    legend_columns: int = 0
    photo: bool = False

    def __post_init__(self) -> None:
        if not self.panels:
            raise invalid("Figure", f"{self.name!r} must have panels", "none")
        if not self.name or not self.name.replace("_", "a").replace("-", "a").isalnum():
            raise invalid("Figure", "name must be of letters, digits, - and _", repr(self.name))


def curve(x: Any, y: Any, name: str = "", hue: int | Literal["muted"] = 0, **style: Any) -> Series:
    """A line through points; ``style`` are other settings of its series."""
    return Series(mark="line", arrays={"x": x, "y": y}, name=name, hue=hue, **style)


def cloud(
    x: Any, name: str = "", hue: int | Literal["muted"] = 0, *, size: float = 3, alpha: float = 1.0
) -> Series:
    """Points ``(N, 2)`` as dots; further columns are ignored."""
    columns = tensor(x)
    arrays = {"x": columns[:, 0], "y": columns[:, 1]}
    return Series(mark="points", arrays=arrays, name=name, hue=hue, size=size, alpha=alpha)


def across(
    value: float, name: str = "true samples", hue: int | Literal["muted"] = "muted", dash: str = "--"
) -> Series:
    """A horizontal line from edge to edge."""
    return Series(mark="rule", arrays={"y": value}, name=name, hue=hue, dash=dash)


def shaded(values: Any, edge: float, *, high: float | None = None, hue: int | Literal["muted"] = 0) -> Series:
    """Non-negative values ``(N, N)`` over the square ``[-edge, edge]^2``, the first index along x."""
    arrays = {"values": tensor(values).T, "extent": (-edge, edge, -edge, edge)}
    return Series(mark="heat", arrays=arrays, low=0, high=high, hue=hue)


def trails(x: Any, *, hue: int | Literal["muted"] = "muted", alpha: float = 0.7) -> Series:
    """Paths ``(T, N, 2)`` as one line with gaps."""
    paths = tensor(x)[..., :2].double().transpose(0, 1)
    gaps = paths.new_full((len(paths), 1, 2), float("nan"))
    joined = torch.cat([paths, gaps], 1).flatten(0, 1)
    return Series(mark="line", arrays={"x": joined[:, 0], "y": joined[:, 1]}, hue=hue, size=0.5, alpha=alpha)


def strips(
    rows: Sequence[Any], *, low: float = -1.0, high: float = 1.0, names: Sequence[str] = (), **panel: Any
) -> Panel:
    """A panel of images, one row of ``(N, H, W)`` above the other, with their names at the left."""
    stacked = torch.stack([tensor(row).float() for row in rows])
    names_axis = (
        Axis(ticks=tuple(k + 0.5 for k in range(len(names))), names=tuple(names)) if names else Axis()
    )
    series = Series(mark="images", arrays={"images": stacked}, low=low, high=high)
    return Panel(**{"series": (series,), "y": names_axis, "bare": True, **panel})


def tensor(value: Any) -> Tensor:
    """Numbers in any container as a new dense tensor on the CPU; Python's numbers become float64."""
    if not isinstance(value, Tensor) and not hasattr(value, "dtype"):
        return torch.tensor(value, dtype=torch.float64)
    return torch.as_tensor(value).detach().cpu().clone()
