"""Works that cards cite: title, authors, year and link by key, from ``references.bib``."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

_FILE = "references.bib"
_ENTRY = re.compile(r"^@\w+\{([^,\s]+),\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^  (\w+) = \{(.*?)\},?$(?=\n  \w+ = |\n*\Z)", re.MULTILINE | re.DOTALL)
# LaTeX for letters with accents, as combining characters, and for separate letters.
_ACCENTS = {"'": "\u0301", '"': "\u0308", "`": "\u0300", "^": "\u0302", "~": "\u0303", "c": "\u0327"}
_LETTERS = {r"\o": "ø", r"\ss": "ß", r"\l": "ł", r"\L": "Ł"}
_ACCENT = re.compile(r"""\\(['"`^~]|c(?=\{))\{?(\w)\}?""")
_MOST_NAMES = 3


@dataclass(frozen=True, kw_only=True)
class Work:
    """A work of the bibliography.

    Args:
        key: Its key, as cards have it.
        title: Its title.
        authors: Their names, ``Family, Given``.
        year: Year of publication.
        arxiv: Number on arXiv, or ``""``.
        doi: Digital object identifier, or ``""``.
    """

    key: str
    title: str
    authors: tuple[str, ...]
    year: str
    arxiv: str = ""
    doi: str = ""

    @property
    def link(self) -> str:
        """Link to the work, or ``""``."""
        if self.arxiv:
            return f"https://arxiv.org/abs/{self.arxiv}"
        return f"https://doi.org/{self.doi}" if self.doi else ""

    def __str__(self) -> str:
        names = [name.partition(",")[0] for name in self.authors]
        told = f"{names[0]} et al." if len(names) > _MOST_NAMES else " & ".join(filter(None, _grouped(names)))
        return f"{told} ({self.year}), {self.title}"


def read_works(packages: Sequence[str] = ("interpolants",)) -> dict[str, Work]:
    """All works by key.

    Args:
        packages: Importable packages that may hold a ``references.bib``; of two works with one key the first stays.

    Returns:
        The works; empty where no bibliography is installed.
    """
    found: dict[str, Work] = {}
    for package in packages:
        found = {**_works(package), **found}
    return found


def parse_works(text: str) -> dict[str, Work]:
    """The works in BibTeX's text, as this project writes it: an entry's fields start with two spaces."""
    return {key: _work(key, dict(_FIELD.findall(body))) for key, body in _ENTRY.findall(text)}


@cache
def _works(package: str) -> dict[str, Work]:
    file = next((file for file in _places(package) if file.is_file()), None)
    return {} if file is None else parse_works(file.read_text(encoding="utf-8"))


def _places(package: str) -> Iterator[Traversable]:
    yield files(package) / _FILE
    if package == "interpolants":  # a checkout: the wheel takes the file from there
        yield Path(__file__).parents[3] / "docs" / _FILE


def _work(key: str, fields: dict[str, str]) -> Work:
    plain = {name: _plain(value) for name, value in fields.items()}
    return Work(
        key=key,
        title=plain.get("title", ""),
        authors=tuple(plain.get("author", "").split(" and ")),
        year=plain.get("year", ""),
        arxiv=plain.get("eprint", ""),
        doi=plain.get("doi", ""),
    )


def _plain(text: str) -> str:
    """LaTeX as plain text: accents as letters, no braces, one space between words."""
    text = _ACCENT.sub(lambda found: found[2] + _ACCENTS[found[1]], text)
    for name, letter in _LETTERS.items():
        text = text.replace(f"{{{name}}}", letter)
    bare = re.sub(r"[{}]", "", text).replace("--", "–")
    return unicodedata.normalize("NFC", " ".join(bare.split()))


def _grouped(names: list[str]) -> tuple[str, str]:
    """All names but the last with commas between, and the last."""
    return ", ".join(names[:-1]), names[-1]
