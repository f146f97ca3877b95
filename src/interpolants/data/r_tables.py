"""Tables of R packages, as DataFrames; no code of R is run.

A package keeps a table in a file of its own (``.rda``), or many together: an index (``.rdx``) and a file of compressed
objects (``.rdb``).
"""

import bz2
import lzma
import struct
import warnings
import zlib
from typing import Any

from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.extras import require

_XZ: Any = [{"id": lzma.FILTER_LZMA2, "preset": 6}]


def saved_table(who: str, data: bytes, name: str) -> Any:
    """A table of an ``.rda`` file.

    Args:
        who: Public name of the loader.
        data: The bytes of the file.
        name: Name of the table.

    Raises:
        MissingExtraError: If rdata is not installed.
    """
    return _converted(who, data)[name]


def lazy_table(who: str, index: bytes, objects: bytes, name: str) -> Any:
    """A table of an ``.rdx`` and an ``.rdb`` file.

    Args:
        who: Public name of the loader.
        index: The bytes of the ``.rdx`` file.
        objects: Those of the ``.rdb`` file.
        name: Name of the table.

    Raises:
        MissingExtraError: If rdata is not installed.
        InvalidInputError: If there is no such table.
    """
    known = _converted(who, zlib.decompress(index, 47))["variables"]
    if name not in known:
        raise invalid(who, "the package must contain the table", repr(name), nearest(name, known))
    first, length = (int(number) for number in known[name])
    return _converted(who, _unpacked(objects[first : first + length]))


def _converted(who: str, data: bytes) -> Any:
    rdata = require("rdata", by=who)
    with warnings.catch_warnings():  # of classes of R that have no counterpart, such as tibbles
        warnings.simplefilter("ignore")
        return rdata.conversion.convert(rdata.parser.parse_data(data))


def _unpacked(data: bytes) -> bytes:
    """An object: its length in 4 bytes, a letter for the compression where it is none of zlib, and the stream."""
    (length,), letter = struct.unpack(">I", data[:4]), data[4:5]
    if letter == b"2":
        plain = bz2.decompress(data[5:])
    elif letter == b"Z":
        plain = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=_XZ).decompress(data[5:])
    elif letter == b"0":
        plain = data[5:]
    else:
        plain = zlib.decompress(data[4:])
    assert len(plain) == length, "an object of another length than its index says"
    return plain
