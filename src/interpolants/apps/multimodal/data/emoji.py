"""Emoji with their categories: the pictures of a colour font, and Unicode's list of emoji."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile, held_out
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.foundations.checks import one_of, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require

_INSTALL = "apt-get install fonts-noto-color-emoji unicode-data"
FONT = BundledFile(
    package="fonts-noto-color-emoji",
    path="/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf",
    sha256="dac5c27651082d6c53dab5081f50d2022ddf6877d730fa919cf6a4fc2af22de0",
    version="2.051-0+deb13u1",
    install=_INSTALL,
)
LIST = BundledFile(
    package="unicode-data",
    path="/usr/share/unicode/emoji/emoji-test.txt",
    sha256="d876ee249aa28eaa76cfa6dfaa702847a8d13b062aa488d465d0395ee8137ed9",
    version="15.1.0-1",
    install=_INSTALL,
)
_LINE = re.compile(r"([0-9A-F ]+?)\s*; fully-qualified\s*# \S+ E[0-9.]+ (.+)")
_JOINER, _PICTURE = 0x200D, 0xFE0F
_TONES = range(0x1F3FB, 0x1F400)
# What tells variants of one emoji apart: skin tones, signs of men and women, hair, the way somebody looks.
_DETAILS = {_PICTURE, 0x2640, 0x2642, 0x27A1, *_TONES, *range(0x1F9B0, 0x1F9B4)}
# Men and women, boys and girls, ... that have characters of their own -> one of them.
_ALIKE = {
    "\U0001f468\U0001f469": 0x1F9D1,  # man, woman: person
    "\U0001f466\U0001f467": 0x1F9D2,  # boy, girl: child
    "\U0001f474\U0001f475": 0x1F9D3,  # old man, old woman: older person
    "\U0001f934\U0001f478": 0x1FAC5,  # prince, princess: person with crown
    "\U0001f930\U0001fac3": 0x1FAC4,  # pregnant woman, pregnant man: pregnant person
    "\U0001f57a": 0x1F483,  # man dancing: woman dancing
    "\U0001f936": 0x1F385,  # Mrs. Claus: Santa Claus
    "\U0001f46c\U0001f46d": 0x1F46B,  # two men, two women holding hands
}
_BASES = {ord(one): base for many, base in _ALIKE.items() for one in many}
# Sequences of people that also have a character: (person, Christmas tree), (person, handshake, person), couples.
_PERSON = 0x1F9D1
_SEQUENCES = {
    (_PERSON, 0x1F384): (0x1F385,),
    (_PERSON, 0x1F91D, _PERSON): (0x1F46B,),
    (_PERSON, 0x2764, _PERSON): (0x1F491,),
    (_PERSON, 0x2764, 0x1F48B, _PERSON): (0x1F48F,),
}


@dataclass(frozen=True)
class Emoji:
    """A line of Unicode's list.

    Attributes:
        characters: Its code points.
        category: Group of the list, e.g. ``"Food & Drink"``.
        name: Its name in English.
    """

    characters: tuple[int, ...]
    category: str
    name: str

    @property
    def has_tone(self) -> bool:
        """Whether it shows a skin tone that was chosen."""
        return any(one in _TONES for one in self.characters)

    @property
    def kin(self) -> tuple[int, ...]:
        """What it has in common with its variants: no skin tone, hair or gender; couples and families of any kind."""
        plain = [_BASES.get(one, one) for one in self.characters if one not in _DETAILS and one != _JOINER]
        key = _SEQUENCES.get(tuple(plain), tuple(plain))
        is_family = len(key) > 1 and set(key) <= {_PERSON, 0x1F9D2}
        return (0x1F46A,) if is_family else key


@packaged(
    FONT,
    LIST,
    licence="OFL-1.1 (font), Unicode-3.0 (list)",
    own="a folder with NotoColorEmoji.ttf (with bitmaps, CBDT) and emoji-test.txt, such as of "
    "github.com/googlefonts/noto-emoji and unicode.org/Public/emoji",
)
def load_emoji(file: Opened, *, size: int = 16, tones: bool = False) -> Found:
    """Emoji as small pictures in colour on white, with their nine categories; scaled to [-1, 1].

    The pictures are those of the font Noto Color Emoji, 136 x 128 pixels, filled to a square and averaged by area. A
    level v in 0 .. 255 becomes ``v / 127.5 - 1``. One kind of emoji in five is the test, evenly over the categories.
    Variants of one emoji (skin tone, gender, hair, direction; couples, and families, of any members) are in one part,
    so that the test shows none whose like the training has seen.

    Args:
        size: Pixels along each side, 8 to 128.
        tones: Also those with a chosen skin tone, half of all emoji.

    Returns:
        ``x`` (N, 3, size, size) red, green and blue; labels 0 .. 8, the categories in the order of Unicode's list.

    Source: Unicode, Inc., emoji-test.txt (UTS #51); Google, Noto Color Emoji.
    """
    whole(file.who, "size", size, at_least=8, at_most=128), one_of(file.who, "tones", tones, (True, False))
    font, text = file.raw(FONT.name), file.raw(LIST.name)
    every = emoji_list(text.decode("utf-8", "replace"))
    if not every:
        rule = "emoji-test.txt must list fully-qualified emoji"
        raise invalid(file.who, rule, "none", "Use Unicode's own file.")
    kept = [one for one in every if tones or not one.has_tone]
    classes = tuple(dict.fromkeys(one.category for one in every))
    labels = np.array([classes.index(one.category) for one in kept])
    test = _of_test(kept, labels)
    rows = np.flatnonzero({"train": ~test, "test": test, "all": test | ~test}[file.split])
    return Found(
        x=_pictures(file.who, font, [kept[k] for k in rows], size),
        labels=labels[rows],
        is_cut=True,
        classes=classes,
        scaling="v / 127.5 - 1, on white",
    )


def emoji_list(text: str) -> list[Emoji]:
    """The fully-qualified emoji of ``emoji-test.txt`` in its order.

    Args:
        text: Its text.
    """
    found, category = [], ""
    for line in text.splitlines():
        if line.startswith("# group:"):
            category = line.partition(":")[2].strip()
        elif (match := _LINE.fullmatch(line.strip())) is not None:
            characters = tuple(int(one, 16) for one in match[1].split())
            found.append(Emoji(characters, category, match[2]))
    return found


def _of_test(emoji: Sequence[Emoji], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which are the test: one kind of emoji in five with all its variants, evenly over the categories."""
    kinds: dict[tuple[int, ...], int] = {}
    for one, label in zip(emoji, labels, strict=True):
        kinds.setdefault(one.kin, int(label))
    test = dict(zip(kinds, held_out(len(kinds), np.array(list(kinds.values()))), strict=True))
    return np.array([test[one.kin] for one in emoji])


# --- the pictures of the font --------------------------------------------------------------------------------


def _pictures(who: str, font: bytes, emoji: Sequence[Emoji], size: int) -> NDArray[np.float32]:
    """Pictures ``(N, 3, size, size)`` in [-1, 1]."""
    image: Any = require("PIL.Image", by=who)
    bitmaps, glyphs = _bitmaps(who, font)
    found = np.empty((len(emoji), 3, size, size), dtype=np.float32)
    for k, one in enumerate(emoji):
        name = glyphs.get(tuple(c for c in one.characters if c != _PICTURE))
        if name is None or name not in bitmaps:
            remedy = "Use a list that is no newer than the font."
            raise invalid(
                who, "the font must have a picture of each emoji of the list", repr(one.name), remedy
            )
        with image.open(BytesIO(bitmaps[name].imageData)) as picture:
            levels = np.asarray(picture.convert("RGBA"), dtype=np.float64)
        found[k] = shrunk(on_white(levels), size).transpose(2, 0, 1) / 127.5 - 1
    return found


def _bitmaps(who: str, font: bytes) -> tuple[Mapping[str, Any], Mapping[tuple[int, ...], str]]:
    """Bitmaps by glyph, and glyphs by characters: those of one character, and ligatures of several."""
    tools: Any = require("fontTools.ttLib", by=who)
    try:
        read = tools.TTFont(BytesIO(font), lazy=True)
        bitmaps, characters = read["CBDT"].strikeData[0], read.getBestCmap()
        tables = [table for lookup in read["GSUB"].table.LookupList.Lookup for table in lookup.SubTable]
    except Exception as error:  # fontTools has no common class for what is wrong with a font
        remedy = "Use the font with bitmaps, not the one with outlines (COLR)."
        raise invalid(
            who, "the font must contain bitmaps (CBDT) and ligatures", str(error)[:120], remedy
        ) from error
    glyphs: dict[tuple[int, ...], str] = {(code,): name for code, name in characters.items()}
    codes = {name: code for code, name in characters.items()}
    for table in tables:
        for first, ligatures in getattr(getattr(table, "ExtSubTable", table), "ligatures", {}).items():
            for one in ligatures:
                parts = (first, *one.Component)
                if all(part in codes for part in parts):
                    glyphs[tuple(codes[part] for part in parts)] = one.LigGlyph
    return bitmaps, glyphs


def on_white(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Levels ``(H, W, 3)`` of a picture with transparency ``(H, W, 4)`` before white."""
    share = levels[..., 3:] / 255
    return levels[..., :3] * share + 255 * (1 - share)


def shrunk(levels: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """A picture ``(H, W, C)`` filled up with white to a square about its middle, then averaged by area.

    Args:
        levels: The picture.
        size: Pixels along each side of what is returned.
    """
    side = max(levels.shape[:2])
    square = np.full((side, side, levels.shape[2]), 255.0)
    top, left = ((side - length) // 2 for length in levels.shape[:2])
    square[top : top + levels.shape[0], left : left + levels.shape[1]] = levels
    means = _means(side, size)
    return np.tensordot(means, means @ square.transpose(2, 0, 1), ([1], [2])).transpose(2, 0, 1)


@cache
def _means(side: int, size: int) -> NDArray[np.float64]:
    """Share of each of ``side`` pixels in the mean of each of ``size`` larger ones, ``(size, side)``."""
    edges = np.arange(size + 1) * side / size
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(side)
    overlap = np.minimum(high, pixel + 1) - np.maximum(low, pixel)
    found: NDArray[np.float64] = np.clip(overlap, 0, None) * size / side
    return found
