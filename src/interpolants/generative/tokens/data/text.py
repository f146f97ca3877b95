"""Text as tokens: the King James Bible, letter by letter."""

import re
import struct
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile, held_out
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.foundations.checks import whole
from interpolants.generative.tokens.data.lzw import unpack

KJV = BundledFile(
    package="bible-kjv-text",
    path="/usr/lib/bible.data",
    sha256="6c746c2acc8a34bfded980883ff1701a5d68934a1c853ebf88a07b978fe0ae0e",
    version="4.39",
    install="apt-get install bible-kjv-text",
)

SYMBOLS = " abcdefghijklmnopqrstuvwxyz"
_CHAPTER = re.compile(r"(\S+?):\d+")
# Where the file keeps the size of a window, their number, and where each begins.
_SIZES, _HEADER = 84, 92


@packaged(KJV, licence="public domain")
def load_kjv(file: Opened, *, length: int = 64) -> Found:
    """The King James Bible as sequences of letters: 27 symbols, the space first, as in the data set text8.

    Capitals become small letters; whatever is no letter becomes one space. Each chapter is cut into sequences from its
    beginning, without overlap, and what is left at its end is dropped. One chapter in five is the test set, from a
    fixed seed.

    Args:
        length: L, letters per sequence, 1 ... 1000.

    Returns:
        ``x`` (N, L) int64 in 0 ... 26, no labels; ``info.symbols`` are the letters. For L = 64 there are 49,647
        training sequences and 12,467 for the test.

    Source: the Authorised Version of 1611, in the public domain in most of the world.
    """
    whole(file.who, "length", length, at_least=1, at_most=1000, remedy="Chapters are some 3,000 letters.")
    chapters = [encode(text) for text in _chapters(file.raw()).values()]
    parts = [codes[: len(codes) // length * length].reshape(-1, length) for codes in chapters]
    chapter = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Found(
        x=np.concatenate(parts),
        part=np.where(held_out(len(parts), None)[chapter], "test", "train"),
        symbols=tuple(SYMBOLS),
        scaling="letters as numbers",
    )


def encode(text: str) -> NDArray[np.int64]:
    """Letters as numbers: small and capital ones alike, anything else as one space."""
    plain = re.sub("[^a-z]+", " ", text.lower()).strip()
    codes = np.frombuffer(plain.encode("ascii"), np.uint8).astype(np.int64)
    return np.where(codes == ord(" "), 0, codes - ord("a") + 1)


def kjv_chapters() -> dict[str, str]:
    """Every chapter by its name, e.g. ``"Ge1"``, as the file has it: verses joined by spaces.

    Raises:
        MissingExtraError: If the Debian package is not installed.
        InvalidInputError: If its file is another one.
    """
    return _chapters(KJV.read("load_kjv"))


@lru_cache(maxsize=1)
def _chapters(data: bytes) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for line in _lines(data):
        reference, _, verse = line.partition(" ")
        if match := _CHAPTER.fullmatch(reference):
            found.setdefault(match[1], []).append(verse)
    return {name: " ".join(verses) for name, verses in found.items()}


def _lines(data: bytes) -> list[str]:
    """The text of the archive: windows, each packed by itself, one verse per line."""
    _, count = struct.unpack_from(">II", data, _SIZES)
    begins = struct.unpack_from(f">{count + 1}I", data, _HEADER)
    text = b"".join(unpack(data[a:b]) for a, b in pairwise(begins))
    return text.decode("ascii").splitlines()
