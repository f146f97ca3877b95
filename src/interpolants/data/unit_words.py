"""Words of units as files have them: whether two of them mean the same, such as ``m s**-1`` and ``m/s``."""

import re

# Spellings of one unit, of which the first stands for all.
_SPELLINGS = (
    ("K", "kelvin", "kelvins", "degK", "deg_K", "degree_K", "degrees_K"),
    ("degC", "deg_C", "°C", "celsius", "degree_C", "degrees_C", "degree_Celsius", "degrees_Celsius"),
    ("degF", "deg_F", "°F", "fahrenheit", "degree_F", "degrees_F"),
    ("Pa", "pascal", "pascals"),
    ("hPa", "hectopascal", "mbar", "mb", "millibar", "millibars"),
    ("m", "metre", "metres", "meter", "meters", "gpm"),
    ("mm", "millimetre", "millimetres", "millimeter", "millimeters"),
    ("km", "kilometre", "kilometres", "kilometer", "kilometers"),
    ("s", "sec", "secs", "second", "seconds"),
    ("min", "minute", "minutes"),
    ("h", "hr", "hrs", "hour", "hours"),
    ("d", "day", "days"),
    ("1", "dimensionless", "none", "-", "fraction", "0-1", "(0-1)", "(0_-_1)"),
    ("%", "percent"),
    ("kt", "kts", "knot", "knots"),
    ("dBZ", "dBz"),
)
_EXACT = {word: names[0] for names in _SPELLINGS for word in names}
_ANY_CASE = {word.lower(): names[0] for names in _SPELLINGS for word in names if len(word) > 2}
_FACTOR = re.compile(r"([A-Za-z°%µ_]+)(?:\*\*|\^)?([+-]?\d+)?")


def same_unit(first: str, second: str) -> bool:
    """Whether two words mean one unit, as far as that can be told; an empty word goes with any.

    Products are compared factor by factor, ``m s-1``, ``m s**-1``, ``m/s`` and ``metres / second`` alike. Units of one
    kind but another size, such as degrees and kelvin, are not the same.
    """
    first, second = first.strip(), second.strip()
    return not first or not second or first == second or _canonical(first) == _canonical(second)


def _canonical(text: str) -> object:
    """A unit as its factors with exponents; the words themselves where they are no product of factors."""
    if (known := _named(text)) is not None:
        return frozenset(() if known == "1" else {(known, 1)})
    found: dict[str, int] = {}
    sign = 1
    for part in re.split(r"(/)|[\s.·]+|(?<!\*)\*(?!\*)", re.sub(r"\bper\b", "/", text)):
        if part in (None, "", "1"):
            continue
        if part == "/":
            sign = -1
            continue
        factor = _FACTOR.fullmatch(part)
        if factor is None:
            return text
        name = _named(factor[1]) or factor[1]
        found[name] = found.get(name, 0) + sign * int(factor[2] or 1)
        sign = 1
    if found.get("kg") == 1 and found.get("m") == -2:  # of water: a millimetre
        found |= {"kg": 0, "m": 0, "mm": found.get("mm", 0) + 1}
    return frozenset((name, power) for name, power in found.items() if power)


def _named(word: str) -> str | None:
    """The usual spelling of a unit that is known by this one; short words are told by their case: mm is not MM."""
    plain = word.replace(" ", "_")
    return _EXACT.get(plain) or _ANY_CASE.get(plain.lower())
