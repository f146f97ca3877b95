"""Figures of a page: drawn panel by panel for light and dark, numbered, embedded, and kept as files beside it."""

import base64
import io
import wave
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from interpolants.foundations.storage import write_bytes
from interpolants.framework.figures import Figure, Panel, Series
from interpolants.reports.draw import draw
from interpolants.reports.page import Child, Markup, el, picture
from interpolants.reports.style import DARK, PAGE
from interpolants.reports.words import sentence, spaced

_GAP = 20  # between panels, in CSS pixels
_NARROW, _WIDE = (
    200,
    520,
)  # panels are not set narrower; figures of one piece scroll on a phone if they are wider


@dataclass
class Embedded:
    """Draws the figures of one page.

    Attributes:
        folder: Where PNG files go.
        dpi: Resolution; 200 is two pixels for each CSS pixel.
        dark: Whether to draw the dark variants too.
        seconds: Most seconds of sound.
    """

    folder: Path
    dpi: int = 200
    dark: bool = True
    seconds: float = 10.0
    _figures: int = 0
    _tables: int = 0

    def show(self, figure: Figure, name: str = "") -> Markup:
        """A figure with its caption; panels that stand for themselves wrap as the page gets narrower.

        Args:
            figure: The figure.
            name: Name of its files, without suffix; its own if empty.
        """
        self._figures += 1
        stem = name or figure.name
        parts = list(panels_of(figure))
        shown = [
            self._picture(part, stem if len(parts) == 1 else f"{stem}-{k}") for k, part in enumerate(parts, 1)
        ]
        caption = el(
            "figcaption", el("b", f"Figure {self._figures}. "), figure.caption or _named(figure.name)
        )
        return el("figure", _laid_out(figure, parts, shown), [*self._sounds(figure)], caption)

    def table_label(self) -> Markup:
        """``Table 2.`` and so on."""
        self._tables += 1
        return el("b", f"Table {self._tables}. ")

    def _picture(self, figure: Figure, stem: str) -> Markup:
        light = draw(figure, dpi=self.dpi, clear=True)
        dark = draw(figure, dpi=self.dpi, theme=DARK, clear=True) if self.dark else None
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(self.folder / f"{stem}.png", light)
        if dark is not None:
            write_bytes(self.folder / f"{stem}-dark.png", dark)
        width, height = round(figure.width), round(figure.height)
        return picture(light, dark, alt=described(figure), width=width, height=height)

    def _sounds(self, figure: Figure) -> Iterator[Markup]:
        for panel in figure.panels:
            for series in panel.series:
                if series.mark == "audio":
                    yield self._sound(panel, series)

    def _sound(self, panel: Panel, series: Series) -> Markup:
        rate = round(float(series.arrays["rate"]))
        samples = series.arrays["samples"].double().numpy()
        most = int(rate * self.seconds)
        cut = f", the first {self.seconds:g} s" if len(samples) > most else ""
        sound = base64.b64encode(wav(samples[:most], rate)).decode()
        name = (series.name or panel.title or "sound") + cut
        player = el("audio", src=f"data:audio/wav;base64,{sound}", controls="", aria_label=name)
        return el("p", el("span", name), player, cls="sound")


def wav(samples: np.ndarray, rate: int) -> bytes:
    """Sound as a WAV file of 16 bits; samples beyond -1 .. 1 are made smaller together."""
    loudest = max(1.0, float(np.abs(np.nan_to_num(samples)).max(initial=0.0)))
    whole = np.round(np.nan_to_num(samples) / loudest * 32767).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(whole.tobytes())
    return buffer.getvalue()


def panels_of(figure: Figure) -> Iterator[Figure]:
    """Each panel as a figure of its own, as wide as the page shows it; the whole if panels share a legend."""
    columns = figure.columns or len(figure.panels)
    if len(figure.panels) == 1 or figure.legend_columns:
        yield figure
        return
    shares = [panel.width for panel in figure.panels[:columns]]
    heights = [panel.height for panel in figure.panels[::columns]]
    for k, panel in enumerate(figure.panels):
        width = figure.width * shares[k % columns] / sum(shares)
        height = figure.height * heights[k // columns] / sum(heights)
        scale = min(1.0, _cell(_side_by_side(figure, len(figure.panels), width)) / width)
        yield replace(
            figure, panels=(panel,), columns=0, width=width * scale, height=height * scale, caption=""
        )


def _side_by_side(figure: Figure, panels: int, width: float) -> int:
    """How many panels stand in a row of a wide page, so that rows are as equal as may be; photographs as they ask."""
    if figure.photo and figure.columns:
        return figure.columns
    fit = max(1, int((PAGE + _GAP) // (max(_NARROW, min(width, _cell(4))) + _GAP)))
    return -(-panels // -(-panels // fit))


def _cell(columns: int) -> float:
    """Width of a panel where so many stand side by side on a wide page."""
    return (PAGE - _GAP * (columns - 1)) / columns


def _laid_out(figure: Figure, parts: list[Figure], shown: list[Markup]) -> Markup:
    if len(parts) == 1:
        width = round(parts[0].width)
        cls = "single wide" if width > _WIDE else "single"
        return el("div", shown, cls=cls, style=f"--most: {width}px")
    widest = max(part.width for part in parts)
    columns = _side_by_side(figure, len(parts), widest)
    most = min(round(widest if figure.photo else 1.3 * widest), int(_cell(columns)))
    style = f"--cell: {round(widest)}px; --most: {most}px; max-width: {columns * (most + _GAP)}px"
    return el("div", shown, cls="panels", style=style)


def described(figure: Figure) -> str:
    """A figure in words, for people who do not see it: its panels, what their axes show, and the named series."""
    opening = f"{figure.caption} " if figure.caption else ""
    return f"{opening}{'; '.join(_panel(panel) for panel in figure.panels)}."


def _panel(panel: Panel) -> str:
    marks = dict.fromkeys(series.name or series.mark for series in panel.series)
    axes = " against ".join(axis.text for axis in (panel.y, panel.x) if axis.label)
    return ", ".join(part for part in (panel.title, axes, " and ".join(marks)) if part)


def _named(name: str) -> Child:
    """A name of a file as words: what the question is, and what the figure shows."""
    return sentence(": ".join(spaced(part) for part in name.split("-")))
