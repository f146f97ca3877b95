"""Sentences about settings and arguments, read from the source when help is requested.

A setting is documented by the string under its field::

    strength: Answer[NonNegative] = 4.0
    "Strength s of the guidance; 0 is none."

Python does not keep these strings: they are read from the source file. Where there is none, as in a prompt, the checks
hold and the sentences are missing. An argument of a function is documented in ``Args:`` of its docstring.
"""

import ast
import dataclasses
import functools
import inspect
import re
import textwrap
from collections.abc import Iterable
from typing import Any

from interpolants.foundations.kinds import plain, words

_SECTION = re.compile(r"^(Attributes|Returns|Yields|Raises|Examples?|Sources?):", re.MULTILINE)
_WIDTH = 110


def sentences(kind: type) -> dict[str, str]:
    """Setting -> the sentence under its field, of a class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        found |= _own_sentences(base)
    return found


@functools.cache
def _own_sentences(kind: Any) -> dict[str, str]:
    if kind.__module__ == "builtins":
        return {}
    try:
        (written,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (
        OSError,
        TypeError,
        ValueError,
        SyntaxError,
    ):  # no source: a prompt, or code that was made by code
        return {}
    if not isinstance(written, ast.ClassDef):
        return {}
    found = {}
    for field, below in zip(written.body, written.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = (
                below.value.value
                if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                else 0
            )
            if isinstance(text, str):
                found[field.target.id] = " ".join(text.split())
    return found


def arguments(function: Any, section: str = "Args") -> dict[str, str]:
    """Argument -> what a section of a docstring says of it, on one line."""
    doc = (inspect.getdoc(function) or "") if function is not None else ""
    return _listed(doc.partition(f"\n{section}:\n")[2].split("\n\n")[0])


def _listed(section: str) -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if line.startswith("    ") and not line.startswith("     "):
            name, _, text = line.strip().partition(": ")
            found[name] = text
        elif name:
            found[name] += f" {line.strip()}"
    return found


def arguments_of(kind: type) -> dict[str, str]:
    """Sentences of a class and its bases about each setting: under the field, or in ``Args:`` or ``Attributes:``."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        found |= arguments(base, "Attributes") | arguments(base)
    return found | sentences(kind)


def told_settings(kind: type) -> dict[str, str]:
    """Setting -> its kind in words and its sentence, of those that have a sentence."""
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}
    said = {name: text for name, text in sentences(kind).items() if name in fields}
    return {name: _told(name, fields[name].type, said[name]) for name in fields if name in said}


def _told(name: str, kind: Any, sentence: str) -> str:
    shown = words(kind)
    return f"{name} ({shown}): {sentence}" if shown else f"{name}: {sentence}"


class Told:
    """``__doc__`` of a class whose settings have sentences: the text that it wrote, with these in ``Args:``."""

    def __init__(self, text: str | None) -> None:
        self._text = text

    def __get__(self, instance: object, owner: type) -> str | None:
        # While dataclass() makes the class, there are no fields yet.
        return _with_settings(owner, self._text) if "__dataclass_fields__" in vars(owner) else self._text


@functools.cache
def _with_settings(kind: Any, text: str | None) -> str | None:
    told = told_settings(kind)
    if not told:
        return text
    before, _, rest = inspect.cleandoc(text or "").partition("\nArgs:\n")
    section, gap, after = rest.partition("\n\n")
    # What a class writes of a setting that it inherits holds for this class.
    written = {n: f"{n}: {line}" for n, line in _listed(section).items() if n not in _own_sentences(kind)}
    briefly = {
        n: base for base in getattr(kind, "told_briefly", ()) for n in sentences(base) if n not in written
    }
    lines = [*({n: line for n, line in told.items() if n not in briefly} | written).values()]
    if not rest and (found := _SECTION.search(before)):
        before, gap, after = before[: found.start()].rstrip(), "\n\n", before[found.start() :]
    before = before.rstrip()
    for base in dict.fromkeys(briefly.values()):
        names = ", ".join(f"``{n}``" for n in told if briefly.get(n) is base)
        before += "\n\n" + textwrap.fill(
            f"Further settings are those of :class:`{base.__name__}`: {names}.", _WIDTH
        )
    return f"{before}\n\nArgs:\n{_section(lines)}{gap}{after}" if lines else f"{before}{gap}{after}"


def said_of_settings(doc: str | None, kind: type, names: Iterable[str]) -> str | None:
    """The docstring of a verb, with the settings of answers where its ``Args:`` has ``settings``."""
    told = [text for name, text in told_settings(kind).items() if name in set(names)]
    if doc is None or not told:
        return doc
    text = inspect.cleandoc(doc)
    found = re.search(r"^    settings: .*(\n      .*)*", text, re.MULTILINE)
    return text if found is None else text[: found.start()] + _section(told) + text[found.end() :]


def _section(lines: Iterable[str]) -> str:
    """Entries of ``Args:``; name and kind of each stay on its first line."""
    wrap = functools.partial(
        textwrap.fill,
        width=_WIDTH,
        initial_indent="    ",
        subsequent_indent="        ",
        break_on_hyphens=False,
    )
    apart = ((head.replace(" ", "\0"), text) for head, _, text in (line.partition(": ") for line in lines))
    return "\n".join(wrap(f"{head}: {text}").replace("\0", " ") for head, text in apart)


class PlainSignature:
    """``__signature__`` of a class of settings: its arguments without the marks of their kinds."""

    def __get__(self, instance: object, owner: Any) -> inspect.Signature:
        # By its constructor: dataclass() asks for the signature of a class that has that of its base still.
        return _plain_signature(owner.__init__)


@functools.cache
def _plain_signature(constructor: Any) -> inspect.Signature:
    made = inspect.signature(constructor)
    own = list(made.parameters.values())[1:]
    return made.replace(
        parameters=[p.replace(annotation=plain(p.annotation)) for p in own], return_annotation=made.empty
    )
