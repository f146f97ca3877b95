"""Figures in the style of the reports: one palette, labelled axes, white ground."""

from pathlib import Path
from typing import Any

from interpolants.reports.style import LIGHT, dress, new_figure, png

__all__ = ["HUES", "figure", "label", "legend", "save"]

HUES = LIGHT.hues


def figure(width: float, height: float) -> Any:
    """An empty figure of ``width`` x ``height`` CSS pixels on white."""
    made = new_figure(width, height)
    made.patch.set(facecolor="white", alpha=1.0)
    return made


def label(axes: Any, *, title: str = "", x: str = "", y: str = "", grid: str = "") -> None:
    """Title, axis labels and type of the reports."""
    dress(axes, LIGHT, title=title, x=x, y=y, grid=grid)


def legend(axes: Any, *, loc: str = "best", **options: Any) -> None:
    """A legend in the type of the labels.

    The place is always named: without a name, matplotlib warns when the machine was slow to find the best one.
    """
    axes.legend(loc=loc, frameon=False, fontsize=8, labelcolor=LIGHT.ink, **options)


def save(made: Any, path: Path, *, dpi: int = 130, photo: bool = False) -> None:
    """Write the figure as a small PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(made, dpi=dpi, photo=photo))
