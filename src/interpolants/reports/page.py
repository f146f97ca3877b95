"""HTML builder without templates: text is escaped unless this module made it."""

import base64
import html
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from interpolants.reports.style import CSS

_VOID = {"img", "source", "meta", "br"}
# The page may show its own inline images and styles and nothing else, whatever text a user put into it.
_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)


class Markup(str):
    """HTML that is safe to insert as it is; every other string is escaped."""

    __slots__ = ()


Child = str | int | float | None | Iterable["Child"]


def join(children: Child) -> Markup:
    """Children as HTML: markup as it is, text escaped, lists in order, None left out."""
    if children is None:
        return Markup("")
    if isinstance(children, Markup):
        return children
    if isinstance(children, str | int | float):
        return Markup(html.escape(str(children), quote=True))
    return Markup("".join(join(child) for child in children))


def el(tag: str, *children: Child, **attributes: str | int | None) -> Markup:
    """One element; ``cls`` stands for ``class``, underscores for hyphens, None leaves an attribute out."""
    shown = "".join(
        f' {"class" if key == "cls" else key.replace("_", "-")}="{html.escape(str(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Markup(f"<{tag}{shown}>")
    return Markup(f"<{tag}{shown}>{join(children)}</{tag}>")


def link(address: str, text: str | None = None) -> Markup:
    """A link to a citation; anything that is not a plain web address stays text."""
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return join(text or address)
    return el("a", text or address, href=address, rel="noopener noreferrer")


def data_uri(image: bytes) -> str:
    """PNG bytes as an address that needs no network."""
    return "data:image/png;base64," + base64.b64encode(image).decode()


def picture(light: bytes, dark: bytes | None, *, alt: str, width: int, height: int) -> Markup:
    """An inline image that follows the reader's colour scheme; ``width`` and ``height`` in CSS pixels."""
    image = el("img", src=data_uri(light), alt=alt, width=width, height=height)
    if dark is None:
        return image
    source = el("source", srcset=data_uri(dark), media="(prefers-color-scheme: dark)")
    return el("picture", source, image)


def table(
    caption: Child,
    header: Sequence[Child],
    rows: Iterable[Sequence[Child]],
    *,
    label: str,
    text: int | Sequence[bool] = 1,
    stacked: bool = False,
) -> Markup:
    """A table that scrolls inside itself on a narrow page.

    Args:
        caption: What it shows.
        header: Column heads.
        rows: Cells; the first of each row is its head.
        label: Name of the scrolling region, for people who do not see it.
        text: So many leading columns are text, and the others numbers, set flush right; or which columns are numbers.
        stacked: Set the cells of a row below each other on a narrow page, each behind its column's head.
    """

    def kind(column: int) -> str | None:
        return "num" if (column >= text if isinstance(text, int) else text[column]) else None

    def cell(column: int, value: Child) -> Markup:
        head = header[column] if stacked else None
        named = (
            head
            if isinstance(head, str) and not isinstance(head, Markup) and value not in ("", None)
            else None
        )
        return el("td", el("div", value) if named else value, cls=kind(column), data_label=named)

    head = el("tr", [el("th", cell, scope="col", cls=kind(i)) for i, cell in enumerate(header)])
    body = [
        el("tr", el("th", row[0], scope="row"), [cell(i, c) for i, c in enumerate(row[1:], 1)])
        for row in rows
    ]
    parts = (el("caption", el("span", caption)), el("thead", head), el("tbody", body))
    whole = el("table", parts, cls="stacked" if stacked else None)
    return el("div", whole, cls="scroll", tabindex=0, role="region", aria_label=label)


def facts(pairs: Iterable[tuple[Child, Child]]) -> Markup:
    """A short list of names and values; pairs without a value are left out."""
    kept = [(name, value) for name, value in pairs if value not in (None, "")]
    return el("dl", [[el("dt", n), el("dd", v)] for n, v in kept], cls="facts") if kept else Markup("")


def document(title: str, header: Child, body: Child, footer: Child) -> str:
    """The whole page, complete in one file."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="generator", content="interpolants"),
        el("title", title),
        el("style", Markup(CSS)),
    )
    parts = (el("header", header), el("main", body), el("footer", footer))
    return f'<!doctype html>\n<html lang="en">{head}\n{el("body", parts)}</html>\n'
