"""Sound files as they are found: endings and encodings, files that were cut short, and sound that is not read."""

import struct
from collections.abc import Iterable
from pathlib import Path

from interpolants.foundations.tell import FileWarning, tell

ENDINGS = (".wav", ".flac", ".ogg")
# Encodings that are written as they were read. Others are compressed in blocks, which changes the number of samples, or
# belong to one container.
_KEPT = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "VORBIS")
FLOATS = ("FLOAT", "DOUBLE")
_OTHER_SOUND = (
    ".aac",
    ".aif",
    ".aiff",
    ".amr",
    ".au",
    ".caf",
    ".m4a",
    ".mp3",
    ".oga",
    ".opus",
    ".w64",
    ".wma",
)
_UNKNOWN_SIZE = 0x7FFFF000  # programs that write to a pipe state the largest size they can


def kept_encoding(encoding: str) -> str | None:
    """The encoding if answers are written in it."""
    return encoding if encoding in _KEPT else None


def samples_stated(file: Path, channels: int) -> int | None:
    """Samples of a channel by the header of a WAV file of whole bytes; None where it does not say."""
    with file.open("rb") as stream:
        head = stream.read(12)
        if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return None
        width = 0
        while len(chunk := stream.read(8)) == 8:
            name, size = chunk[:4], struct.unpack("<I", chunk[4:])[0]
            if name == b"data":
                known = width and 0 < size < _UNKNOWN_SIZE
                return size // (width * channels) if known else None
            body = stream.read(size + size % 2)
            if name == b"fmt " and len(body) >= 16:
                kind, width = struct.unpack("<H", body[:2])[0], struct.unpack("<H", body[14:16])[0] // 8
                width = width if kind in (1, 3, 6, 7, 0xFFFE) else 0  # blocks of others are not whole samples
    return None


def warn_if_cut_short(file: Path, found: int, channels: int) -> None:
    """Tell of a WAV file that holds less than its header says, as one does whose copy was interrupted."""
    stated = samples_stated(file, channels)
    if stated is not None and found < stated:
        told = (
            f"{file.name} holds {found} of the {stated} samples that its header states: the rest is missing"
        )
        tell(FileWarning, f"{told}. Copy the file again, or go on with what is there.")


def warn_of_sound_left_out(files: Iterable[Path]) -> None:
    """Tell of sound files of a folder whose kind is not read."""
    found = sorted(file.name for file in files if file.suffix.lower() in _OTHER_SOUND)
    if found:
        names = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        told = f"{names}: left out, folders are searched for {', '.join(ENDINGS)}"
        tell(FileWarning, f"{told}. Convert them, or pass them one by one.")


def warn_of_smaller(name: str, peak: float) -> None:
    """Tell of an answer whose loudness was changed because its file ends at full scale."""
    told = f"{name}: samples reach {peak:.3g} times full scale, so all were divided by {peak:.3g}"
    remedy = "Scale the recordings down, or write files of floats, which have no limit."
    tell(FileWarning, f"{told}. {remedy}")
