"""Limits on what small packed files may become: a file that unpacks to gigabytes is refused before it does.

Deflate packs zeros a thousandfold, and formats with fill values or run lengths pack them without a bound. Data that are
worth reading shrink by less than a hundredfold, so what is larger than both limits is refused by its size.
"""

import zipfile
import zlib
from os import PathLike
from pathlib import Path

from interpolants.foundations.errors import invalid

# Bytes that anything may unpack to, and how many times its own size beyond.
SMALL, TIMES = 1 << 26, 100
_GZIP, _WITH_HEADER = b"\x1f\x8b", 16 + zlib.MAX_WBITS
# Bytes that are unpacked at a time; they become at most a thousand times as many.
_BLOCK = 1 << 14


def check_unpacked(who: str, name: str, packed: int, unpacked: int) -> None:
    """Refuse what becomes out of all proportion.

    Args:
        who: Public name for errors.
        name: Name of the file.
        packed: Its bytes.
        unpacked: Bytes that it would take in memory.

    Raises:
        InvalidInputError: If these are more than 64 MiB and more than a hundred times its own.
    """
    if unpacked > max(SMALL, TIMES * packed):
        rule = f"{name} must unpack to at most {TIMES} times its size"
        raise invalid(who, rule, f"{packed} bytes that become {unpacked}", "Save it without compression.")


def gunzipped(who: str, name: str, data: bytes, form: str = "whole") -> bytes:
    """The bytes without gzip's compression; as they are where they have none.

    Args:
        who: Public name for errors.
        name: Name of the file.
        data: Its bytes.
        form: What it must be, for errors.

    Raises:
        InvalidInputError: If they become out of all proportion, or are damaged.
    """
    if data[:2] != _GZIP:
        return data
    found = bytearray()
    stream = zlib.decompressobj(_WITH_HEADER)
    try:
        for at in range(0, len(data), _BLOCK):
            block = data[at : at + _BLOCK]
            while block:  # a file may have several members, and zeros after the last
                if stream.eof:
                    block = block.lstrip(b"\0")
                    stream = zlib.decompressobj(_WITH_HEADER) if block else stream
                    continue
                found += stream.decompress(block)
                check_unpacked(who, name, len(data), len(found))
                block = stream.unused_data
    except zlib.error as error:
        raise invalid(who, f"{name} must be {form}", f"damaged bytes ({error})") from error
    if not stream.eof:
        raise invalid(who, f"{name} must be {form}", "a part of it")
    return bytes(found)


def check_zip(who: str, path: str | PathLike[str]) -> None:
    """Refuse a zip archive, such as a .npz, whose files become out of all proportion; anything else passes.

    Raises:
        InvalidInputError: If they do, or the archive is damaged.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(one.file_size for one in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise invalid(who, f"{Path(path).name} must be a whole archive", str(error)) from error
    check_unpacked(who, Path(path).name, Path(path).stat().st_size, unpacked)


def size_on_disk(path: str | PathLike[str]) -> int:
    """Bytes of a file, or of all files of a folder."""
    place = Path(path)
    files = place.rglob("*") if place.is_dir() else [place]
    return sum(file.stat().st_size for file in files if file.is_file())
