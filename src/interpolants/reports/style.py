"""Colours, type and the style sheet: one palette for the page and its figures, in light and in dark.

The hues are those of Okabe & Ito (2008), which people with the common kinds of colour blindness can tell
apart; on the dark page they are lightened to keep their contrast. Meaning never rests on colour alone.
"""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolants.foundations.extras import require

PIXELS_PER_INCH = 100  # one inch of a figure is 100 CSS pixels of the page
PAGE = 920  # width of the text on a wide page, in CSS pixels
SMALL, NORMAL = 8.0, 8.8  # type in points; 8.8 pt is 12 CSS pixels


@dataclass(frozen=True, kw_only=True)
class Theme:
    """The colours of a figure, as hexadecimal RGB.

    Args:
        name: ``"light"`` or ``"dark"``.
        ink: Text and axes.
        muted: Secondary text, ticks.
        grid: Hairlines.
        paper: The page behind.
        hues: Colours of series.
    """

    name: str
    ink: str
    muted: str
    grid: str
    paper: str
    hues: tuple[str, ...]


LIGHT = Theme(
    name="light",
    ink="#1d2430",
    muted="#5b6472",
    grid="#dfe3e9",
    paper="#ffffff",
    hues=("#0072b2", "#d55e00", "#007d5c", "#cc79a7", "#8a6d00", "#56b4e9"),
)
DARK = Theme(
    name="dark",
    ink="#e6e9ee",
    muted="#a3acb9",
    grid="#333b47",
    paper="#13171d",
    hues=("#5cb8ee", "#f58b45", "#2fc79a", "#e9a3c9", "#d9bd5a", "#b9c6ff"),
)


def new_figure(width: float, height: float) -> Any:
    """An empty transparent figure of ``width`` x ``height`` CSS pixels that keeps its labels inside."""
    module = require("matplotlib.figure", by="report")
    size = (round(width) / PIXELS_PER_INCH, round(height) / PIXELS_PER_INCH)
    figure = module.Figure(figsize=size, layout="constrained")
    figure.patch.set_alpha(0.0)
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02)
    return figure


def dress(axes: Any, theme: Theme, *, title: str = "", x: str = "", y: str = "", grid: str = "") -> None:
    """Set an axes in the page's type: two spines, quiet ticks, hairline grid where asked (``"x"``, ``"y"``)."""
    axes.patch.set_alpha(0.0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(theme.muted)
        axes.spines[side].set_linewidth(0.7)
    axes.tick_params(
        which="both", colors=theme.muted, labelcolor=theme.muted, labelsize=SMALL, width=0.7, length=3
    )
    axes.xaxis.get_offset_text().set(color=theme.muted, fontsize=SMALL)
    axes.yaxis.get_offset_text().set(color=theme.muted, fontsize=SMALL)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=theme.grid, linewidth=0.7)
    if title:
        axes.set_title(plain(title), fontsize=NORMAL, color=theme.ink, loc="left", pad=5)
    if x:
        axes.set_xlabel(plain(x), fontsize=SMALL, color=theme.muted)
    if y:
        axes.set_ylabel(plain(y), fontsize=SMALL, color=theme.muted)


def plain(text: str, limit: int = 60) -> str:
    """Text that matplotlib prints as it is: no mathematics between dollars, one line, not too long."""
    line = " ".join(text.split())
    line = line if len(line) <= limit else line[: limit - 1] + "…"
    # What the figure's typeface lacks would be an empty box and a warning: boxes are kept, the warning is not.
    known = "".join(c if c.isprintable() and (ord(c) < 0x2200 or c in "√−∞≈≤≥") else "□" for c in line)
    return known.replace("$", r"\$")


def png(figure: Any, *, dpi: int = 200, photo: bool = False) -> bytes:
    """The figure as transparent PNG, exactly as large as it was made; ``dpi`` 200 is two pixels a CSS pixel.

    A palette of 200 colours with their opacity makes the file a third as large, and nobody sees it, except
    in coloured photographs: ``photo=True`` keeps all colours.
    """
    backend = require("matplotlib.backends.backend_agg", by="report")
    pillow = require("PIL.Image", by="report")  # matplotlib needs it too, so it is there
    figure.set_dpi(dpi)
    canvas = backend.FigureCanvasAgg(figure)
    canvas.draw()
    image = pillow.fromarray(np.asarray(canvas.buffer_rgba()))
    if not photo:
        image = image.quantize(200, method=pillow.Quantize.FASTOCTREE)
    buffer = io.BytesIO()
    image.save(buffer, "png", optimize=True)
    return buffer.getvalue()


CSS = """
:root { color-scheme: light dark;
  --paper: #ffffff; --panel: #f5f7f9; --ink: #1d2430; --muted: #56606e; --rule: #dfe3e9; --link: #005f96;
  --good: #00694d; --good-bg: #e3f4ee; --warn: #7a4b00; --warn-bg: #fdf1dc; --bad: #a33400; --bad-bg: #fde9df;
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, "Book Antiqua", "URW Palladio L", Georgia, serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #13171d; --panel: #1b2129; --ink: #e6e9ee; --muted: #a3acb9; --rule: #333b47; --link: #7cc4f2;
  --good: #6fdcb8; --good-bg: #12342b; --warn: #f3c06b; --warn-bg: #3a2b10; --bad: #ff9d70; --bad-bg: #40200f; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1.0625rem/1.6 var(--serif);
  font-variant-numeric: oldstyle-nums; text-rendering: optimizeLegibility; overflow-wrap: break-word; }
main, header, footer { width: 100%; max-width: 60rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 3.5rem; } main { padding-bottom: 2rem; }
p, ul, ol, dl { max-width: 42rem; } p { margin: 0 0 1rem; hyphens: manual; }
h1, h2, h3 { line-height: 1.2; text-wrap: balance; font-weight: 600; }
h1 { font-size: clamp(1.75rem, 5vw, 2.5rem); margin: .35rem 0 .75rem; letter-spacing: -.012em; max-width: 48rem; }
h2 { font-size: 1.65rem; margin: 3.5rem 0 1rem; padding-top: 1.5rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1.2rem; margin: 2.5rem 0 .6rem; }
a { color: var(--link); text-underline-offset: .15em; text-decoration-thickness: .06em; }
a:focus-visible, summary:focus-visible, .scroll:focus-visible { outline: 2px solid var(--link); outline-offset: 3px; }
.kicker, .meta, nav, figcaption, caption, table, .verdict, details, .note {
  font-family: var(--sans); font-variant-numeric: lining-nums tabular-nums; }
.kicker { color: var(--muted); font-size: .8rem; letter-spacing: .09em; text-transform: uppercase; margin: 0; }
.meta { color: var(--muted); font-size: .875rem; margin-bottom: 1.5rem; }
nav { font-size: .875rem; margin: 1.5rem 0 0; } nav ul { list-style: none; margin: 0; padding: 0; display: flex;
  flex-wrap: wrap; gap: .35rem 1.25rem; max-width: none; }
nav a { display: inline-block; padding: .2rem 0; }
.told { max-width: 52rem; margin: 1.5rem 0; } .told dt { color: var(--muted); font: .8rem/1.4 var(--sans); }
.told dd { margin: 0 0 .9rem; font-size: 1.1rem; line-height: 1.5; }
figure { margin: 1.5rem 0 2rem; } figure img { display: block; width: 100%; height: auto; }
.panels { display: grid; gap: 1rem 1.25rem; align-items: start; justify-content: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, var(--cell, 17rem)), 1fr)); }
.panels > * { max-width: var(--most, 22rem); width: 100%; }
.single { max-width: var(--most, 30rem); }
.sound { display: flex; flex-wrap: wrap; align-items: center; gap: .25rem 1rem; font: .875rem var(--sans);
  margin: .5rem 0; }
.sound span { min-width: 8rem; } audio { max-width: 100%; height: 2.25rem; }
.works { font-size: .875rem; color: var(--muted); padding-left: 1.1rem; }
figcaption { color: var(--muted); font-size: .875rem; line-height: 1.5; margin-top: .75rem; max-width: 46rem; }
figcaption b, caption b { color: var(--ink); font-weight: 600; }
.scroll { overflow-x: auto; margin: 1.25rem 0 2rem; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; font-size: .9rem; line-height: 1.45; min-width: min(100%, 34rem); }
caption > span { display: block; max-width: min(46rem, calc(100vw - 2.5rem)); }
caption { text-align: left; color: var(--muted); font-size: .875rem; padding-bottom: .6rem; }
th, td { padding: .5rem 1rem .5rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--rule); }
thead th { color: var(--muted); font-weight: 500; font-size: .8rem; vertical-align: bottom;
  border-bottom: 1px solid var(--muted); }
tbody th { font-weight: 400; } .unit { color: var(--muted); }
tbody tr:last-child > * { border-bottom: 1px solid var(--muted); }
.num { text-align: right; white-space: nowrap; } th:last-child, td:last-child { padding-right: 0; }
.num .note { min-width: 0; }
.note { display: block; color: var(--muted); font-weight: 400; font-size: .84rem; max-width: 27rem; min-width: 13rem;
  white-space: normal; margin-top: .1rem; }
.facts { display: grid; grid-template-columns: minmax(6.5rem, max-content) 1fr; gap: .3rem 1.25rem;
  margin: 1rem 0 1.5rem;
  font-size: .9375rem; font-family: var(--sans); font-variant-numeric: lining-nums tabular-nums; line-height: 1.5; }
.facts dt { color: var(--muted); } .facts dd { margin: 0; min-width: 0; }
.formula { font-size: 1.2rem; font-variant-numeric: lining-nums; margin: 1.1rem 0 1.1rem 1.5rem; line-height: 1.5; }
.formula var, p var { font-style: italic; } sub, sup { line-height: 0; font-size: .72em; }
.verdict { display: inline-block; font-size: .8rem; font-weight: 600; padding: .08rem .5rem; border-radius: 1rem;
  white-space: nowrap; }
.pass { color: var(--good); background: var(--good-bg); } .warn { color: var(--warn); background: var(--warn-bg); }
.fail { color: var(--bad); background: var(--bad-bg); }
.absent { color: var(--muted); font-style: italic; }
.issues { padding: 0; list-style: none; } .issues li { margin: 0 0 .6rem; padding: .6rem .9rem; border-radius: .4rem;
  background: var(--warn-bg); font-family: var(--sans); font-size: .9375rem; line-height: 1.5; }
.issues li.fail { background: var(--bad-bg); color: inherit; } .issues li.warn { color: inherit; }
.issues li.note-box { background: var(--panel); }
pre { background: var(--panel); border-radius: .5rem; padding: .9rem 1rem; font: .84rem/1.5 var(--mono);
  white-space: pre-wrap; overflow-wrap: anywhere; margin: .75rem 0 1.25rem; } code { font: .88em var(--mono); }
thead .num { white-space: normal; }
details { font-size: .9375rem; margin: 1rem 0; } details.seed { font: 1.0625rem/1.6 var(--serif); }
summary { cursor: pointer; padding: .3rem 0; color: var(--link); }
footer { color: var(--muted); font-size: .875rem; padding-top: 1.5rem; padding-bottom: 3rem; }
footer p { border-top: 1px solid var(--rule); padding-top: 1rem; max-width: none; }
@media (max-width: 40rem) { header { padding-top: 2rem; } body { font-size: 1rem; }
  .formula { margin-left: .5rem; font-size: 1.1rem; }
  .facts { grid-template-columns: minmax(5rem, 8rem) 1fr; gap: .3rem .75rem; } th, td { padding-right: .9rem; }
  .wide { overflow-x: auto; } .wide img { min-width: 30rem; }
  .stacked { min-width: 0; width: 100%; overflow-wrap: anywhere; } .stacked thead { display: none; }
  .stacked tr, .stacked tbody th, .stacked td { display: block; border: 0; padding: .1rem 0; }
  .stacked tr, .stacked tbody tr:last-child { border-bottom: 1px solid var(--rule); padding: .7rem 0; }
  .stacked tbody tr:last-child > * { border: 0; } .stacked td:empty { display: none; }
  .stacked td[data-label] { display: grid; grid-template-columns: 9.5rem 1fr; gap: .75rem; text-align: left;
    white-space: normal; }
  .stacked td[data-label]::before { content: attr(data-label); color: var(--muted); font-size: .84rem; }
  .stacked .note { grid-column: 2; } .stacked th .note { margin-bottom: .35rem; max-width: none; } }
@media print { :root { --paper: #fff; } @page { margin: 16mm 15mm; } html { font-size: 11.5px; } nav { display: none; }
  header { padding-top: 0; } main, header, footer { max-width: none; padding-left: 0; padding-right: 0; }
  p, ul, ol, figcaption, caption > span { max-width: none; }
  h2 { margin-top: 2.2rem; } h3 { margin-top: 1.6rem; } figure { margin: 1rem 0 1.2rem; }
  figure, tr, pre { break-inside: avoid; } h2, h3, caption { break-after: avoid; }
  details > pre { break-inside: auto; } .scroll { overflow: visible; } .note { max-width: none; }
  .panels { grid-template-columns: repeat(4, 1fr); gap: .8rem; }
  .panels:has(> :nth-child(2):last-child) { grid-template-columns: repeat(2, 1fr); }
  .panels:has(> :nth-child(3):last-child) { grid-template-columns: repeat(3, 1fr); }
  .panels > * { max-width: 19rem; } .single { max-width: 24rem; }
  .verdict, pre, .issues li { border: 1px solid var(--rule); } }
"""
