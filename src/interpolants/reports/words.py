"""Numbers, times, sizes and lists in words, for reports and terminals."""

import html
import math
import re
from collections.abc import Sequence
from typing import Any

MINUS, TIMES = "−", "×"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

# What is set in another way in a formula: the state, the ends, powers, small letters that stand alone, and minus.
_SYMBOLS = re.compile(r"[A-Za-z]{2,}-\w+|x_t|x([01])|\^\(([^)]*)\)|(?<![A-Za-z_])([a-df-z])(?![A-Za-z_])|-")


def formula(text: str) -> str:
    """A formula in plain text, ``x_t = (1 - t) x0 + e^(-B/2) x1``, as HTML of our own."""
    return _SYMBOLS.sub(_symbol, html.escape(text, quote=False))


def _symbol(found: re.Match[str]) -> str:
    end, power, letter = found.groups()
    if end:
        return f"<var>x</var><sub>{end}</sub>"
    if power:
        return f"<sup>{formula(html.unescape(power))}</sup>"
    if letter:
        return f"<var>{letter}</var>"
    return {"-": MINUS, "x_t": "<var>x<sub>t</sub></var>"}.get(found[0], found[0])  # or a word with a hyphen


def number(x: float, digits: int = 3) -> str:
    """A number in ``digits`` significant digits; a dash where there is none."""
    if not math.isfinite(x):
        return "–" if math.isnan(x) else f"{MINUS if x < 0 else ''}∞"
    if x == 0:
        return "0"
    size = math.floor(math.log10(abs(x)))
    if size < -4 or size >= 7:
        mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
        return f"{mantissa} {TIMES} 10".replace("-", MINUS) + str(int(exponent)).translate(_RAISED)
    if x == round(x) and size >= 0:
        return f"{x:,.0f}".replace("-", MINUS)
    return f"{x:,.{max(0, digits - 1 - size)}f}".replace("-", MINUS)


def with_error(x: float, error: float) -> str:
    """``0.123 ± 0.004``: the error in two digits, the value to the same place."""
    if not (math.isfinite(x) and math.isfinite(error)) or error <= 0:
        return number(x)
    size = max(abs(x), error)
    if size >= 1e7 or size < 1e-4 or error < 1e-6:
        return f"{number(x)} ± {number(error, 2)}"
    places = min(max(0, 1 - math.floor(math.log10(error))), 6)
    return f"{x:,.{places}f} ± {error:,.{places}f}".replace("-", MINUS)


def count(n: int, one: str = "", many: str = "") -> str:
    """An integer with thousands apart and its noun: ``1,797 images``."""
    noun = one if n == 1 else (many or (one and f"{one}s"))
    return f"{n:,}{' ' + noun if noun else ''}"


def duration(seconds: float) -> str:
    """A time as people say it: ``0.4 s``, ``42 s``, ``3 min 12 s``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(whole / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def times(ratio: float) -> str:
    """A ratio, ``1.3×``; a huge one says that it is."""
    if ratio > 1e4:
        return f"more than 10 000{TIMES}"
    return f"{ratio:.1f}{TIMES}" if ratio < 9.95 else f"{ratio:.0f}{TIMES}"


def listing(items: Sequence[str], most: int = 0) -> str:
    """``a``, ``a and b``, ``a, b and c``; with ``most``, the first ones and how many more."""
    shown = list(items)
    if most and len(shown) > most + 1:
        shown = [*shown[:most], f"{len(shown) - most} more"]
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def spaced(name: str) -> str:
    """A name for programs as words."""
    return name.replace("_", " ").replace("-", " ")


def named(name: str) -> str:
    """A name of data as words, unless it is that of a file."""
    return name if "/" in name or "." in name else name.replace("_", " ")


def sentence(text: str) -> str:
    """A text that begins large and ends in a stop; empty stays empty."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}" if text else ""


def setting(value: Any) -> str:
    """A setting in one line: ``mlp (width 256, depth 4)``, ``0.5``, ``velocity, noise``."""
    if isinstance(value, dict):
        rest = ", ".join(f"{spaced(k)} {setting(v)}" for k, v in value.items() if k != "kind")
        return f"{spaced(value['kind'])}{f' ({rest})' if rest else ''}" if "kind" in value else rest
    if isinstance(value, list | tuple):
        return ", ".join(map(setting, value)) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def slug(text: str) -> str:
    """A file name that is safe everywhere, from any text."""
    plain = re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")
    return plain[:80] or "figure"
