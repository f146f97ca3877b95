"""Pictures of a report: drawn for light and dark pages, embedded, and kept as files beside the page."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interpolants.reports.page import Child, Markup, el, picture
from interpolants.reports.style import DARK, LIGHT, PIXELS_PER_INCH, Theme, png

Draw = Callable[[Theme], Any]


@dataclass
class Album:
    """Draws, numbers and stores the figures of a page.

    Args:
        folder: Where the PNG files go.
        dpi: Resolution; 200 is two pixels for each CSS pixel.
        dark: Whether to draw the dark variants too.
    """

    folder: Path
    dpi: int = 200
    dark: bool = True
    _figures: int = 0
    _tables: int = 0
    _names: set[str] = field(default_factory=set)

    def panel(self, name: str, alt: str, draw: Draw, *, photo: bool = False) -> Markup:
        """One picture, inline; ``alt`` says in words what it shows; ``photo`` where colours are data."""
        figure = draw(LIGHT)
        width, height = (round(size * PIXELS_PER_INCH) for size in figure.get_size_inches())
        light = png(figure, dpi=self.dpi, photo=photo)
        dark = png(draw(DARK), dpi=self.dpi, photo=photo) if self.dark else None
        stem = self._store(name, light, dark)
        assert stem
        return picture(light, dark, alt=alt, width=width, height=height)

    def figure(
        self, panels: Sequence[Markup], caption: Child, *, cell: int = 0, small: bool = False
    ) -> Markup:
        """Panels side by side under one numbered caption.

        Args:
            panels: From :meth:`panel`.
            caption: What to see.
            cell: Least width of a panel in CSS pixels; 0 sets a single one at its own width.
            small: Whether two panels fit side by side on a phone.
        """
        self._figures += 1
        label = el("b", f"Figure {self._figures}. ")
        if cell:
            style = f"--cell: {cell}px; --most: {round(cell * 1.35)}px"
            inner = el("div", panels, cls="panels small" if small else "panels", style=style)
        else:
            inner = el("div", panels, cls="single", style=f"--most: {self._width(panels)}px")
        return el("figure", inner, el("figcaption", label, caption))

    def table_label(self) -> Markup:
        """``Table 2.`` and so on."""
        self._tables += 1
        return el("b", f"Table {self._tables}. ")

    @staticmethod
    def _width(panels: Sequence[Markup]) -> int:
        found = [int(width) for panel in panels for width in re.findall(r' width="(\d+)"', panel)]
        return max(found, default=480)

    def _store(self, name: str, light: bytes, dark: bytes | None) -> str:
        stem = base = slug(name)
        serial = 2
        while stem in self._names:
            stem, serial = f"{base}-{serial}", serial + 1
        self._names.add(stem)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{stem}.png").write_bytes(light)
        if dark is not None:
            (self.folder / f"{stem}-dark.png").write_bytes(dark)
        return stem


def slug(text: str) -> str:
    """A file name that is safe everywhere, from any text."""
    plain = re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")
    return re.sub(r"\.{2,}", ".", plain)[:80] or "figure"
