"""Limits on what small packed files may become, and one refusal for content that is damaged or lies about itself.

Deflate packs zeros a thousandfold, and formats with fill values or run lengths pack them without a bound. Data that are
worth reading shrink by less than a hundredfold, so what is larger than both limits is refused by its size.

Packages that read files share no class of errors: a header that lies ends in a ValueError of one, a MemoryError of the
next and a RuntimeError of a third. What they raise is one error here, which names the file.
"""

import bz2
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from interpolants.foundations.errors import InterpolantsError, invalid

# Bytes that anything may unpack to, and how many times its own size beyond.
SMALL, TIMES = 1 << 26, 100
# Maximum memory of xz in addition to its output.
_XZ_MEMORY = 1 << 28
_GZIP, _WITH_HEADER = b"\x1f\x8b", 16 + zlib.MAX_WBITS
# How gzip, bzip2 and xz begin.
_PACKED = (_GZIP, b"BZh", b"\xfd7zXZ\0")
# Bytes that are unpacked at a time; they become at most a thousand times as many.
_BLOCK = 1 << 14
# Characters of another package's message that are shown.
_TOLD = 160


@contextmanager
def refusing_content(who: str, rule: str, remedy: str = "") -> Iterator[None]:
    """Within it, whatever a reader ends in because of a file's content is one error that names the file.

    Args:
        who: Name of the caller, used in error messages.
        rule: Requirement on the file, with its name.
        remedy: What to do about it, one sentence.

    Raises:
        InvalidInputError: In place of any error but those of this library, and of packages that are missing.
    """
    try:
        yield
    except (InterpolantsError, ImportError):
        raise
    except Exception as error:
        told = " ".join(str(error).split())[:_TOLD] or type(error).__name__
        outside = (
            isinstance(error, OSError) and error.errno is not None
        )  # no file there, or none that may be read
        raise invalid(who, rule, told if outside else f"a damaged one ({told})", remedy) from error


def check_unpacked(who: str, name: str, packed: int, unpacked: int, times: int = TIMES) -> None:
    """Check that the unpacked size is in proportion.

    Args:
        who: Name of the caller, used in error messages.
        name: Name of the file.
        packed: Its bytes.
        unpacked: Bytes that it would take in memory.
        times: How many times its own size it may take, where its format packs good data by more than a hundred.

    Raises:
        InvalidInputError: If these are more than 64 MiB and more than the allowed multiple of its own.
    """
    if unpacked > max(SMALL, times * packed):
        rule = f"{name} must unpack to at most {times} times its size"
        raise invalid(who, rule, f"{packed} bytes that become {unpacked}", "Save it without compression.")


def gunzipped(who: str, name: str, data: bytes, form: str = "whole") -> bytes:
    """The bytes without gzip's compression; unchanged if they have none.

    Args:
        who: Name of the caller, used in error messages.
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


def unpacked(who: str, name: str, data: bytes) -> bytes:
    """The bytes without the compression of gzip, bzip2 or xz; unchanged if they have none.

    Args:
        who: Name of the caller, used in error messages.
        name: Name of the file.
        data: Its bytes.

    Raises:
        InvalidInputError: If they become out of all proportion, are damaged, or are packed again.
    """
    stream: bz2.BZ2Decompressor | lzma.LZMADecompressor
    with refusing_content(who, f"{name} must be whole"):
        if data.startswith(_PACKED[1]):
            stream = bz2.BZ2Decompressor()
        elif data.startswith(_PACKED[2]):
            stream = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
        else:
            return _once(who, name, gunzipped(who, name, data))
        found = stream.decompress(data, max(SMALL, TIMES * len(data)) + 1)
        check_unpacked(who, name, len(data), len(found))
        if not stream.eof:
            raise EOFError("a part of it")
        return _once(who, name, found)


def _once(who: str, name: str, data: bytes) -> bytes:
    """Raise an error for bytes that a reader would unpack again, without this limit."""
    if data.startswith(_PACKED):
        raise invalid(who, f"{name} must be packed once", "more often", "Unpack it first.")
    return data


def check_deflated(who: str, name: str, data: bytes) -> None:
    """Check that a bare stream of deflate, without gzip's header, is undamaged and unpacks in proportion.

    Args:
        who: Name of the caller, used in error messages.
        name: Name of the file.
        data: The stream; what follows it is left alone.

    Raises:
        InvalidInputError: If it does.
    """
    stream, unpacked = zlib.decompressobj(-zlib.MAX_WBITS), 0
    with refusing_content(who, f"{name} must be whole"):
        for at in range(0, len(data), _BLOCK):
            unpacked += len(stream.decompress(data[at : at + _BLOCK]))
            check_unpacked(who, name, len(data), unpacked)
            if stream.eof:
                return


def check_zip(who: str, path: str | PathLike[str]) -> None:
    """Check that the files of a zip archive, such as a .npz, unpack in proportion; anything else passes.

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
