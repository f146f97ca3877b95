"""Recordings: sound with its sample rate, read from files and arrays, and given back in kind.

Letters: C channels, T samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from interpolants.apps.speech.sound_files import (
    ENDINGS,
    FLOATS,
    kept_encoding,
    warn_if_cut_short,
    warn_of_smaller,
    warn_of_sound_left_out,
)
from interpolants.data.arrays import Kind as Given
from interpolants.data.arrays import as_tensor, restore
from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Whole
from interpolants.foundations.records import record, settings_of
from interpolants.foundations.storage import replacing
from interpolants.foundations.unpacking import check_unpacked, refusing_content
from interpolants.framework.role import Reading, Role, role_kind

_SILENT = 1e-8
_FULL = 1.001  # full scale, and what rounding adds to it
_TIMES = 300  # speech of 6 kbit/s in an Ogg file becomes 256 times as large


@record("recording")
@dataclass(frozen=True, eq=False)
class Recording(Checked):
    """Sound at a sample rate."""

    writes: ClassVar[tuple[str, ...]] = ENDINGS

    samples: Tensor
    """``(T,)`` or ``(C, T)``, floating point, full scale at 1."""
    rate: Whole = 0
    """Samples per second; 0 for that of the model."""
    name: str = ""
    """What it is called, such as the name of its file; with those of folders between, in a folder of files."""
    encoding: str = ""
    """How its file holds samples, such as ``"PCM_24"``; answers are written alike where the format can."""
    ending: str = ""
    """That of its file, such as ``".flac"``, which answers that go to a folder keep."""

    def check_settings(self) -> None:
        """Refuse samples that are none, by the name of the recording."""
        x = torch.as_tensor(self.samples)
        if not x.is_floating_point():
            remedy = "Divide whole numbers by full scale, 32768 for 16 bits."
            raise asked.invalid("samples must be floating point", str(x.dtype), remedy)
        if x.ndim not in (1, 2) or not x.numel():
            raise asked.invalid("samples must have shape (T,) or (C, T)", tuple(x.shape))
        if x.ndim == 2 and x.shape[0] > x.shape[1]:
            remedy = "Channels come first: pass samples.T."
            raise asked.invalid("samples must be longer than they have channels", tuple(x.shape), remedy)
        if not bool(torch.isfinite(x).all()):
            bad = int((~torch.isfinite(x)).nonzero()[0, -1])
            raise asked.invalid(f"samples of {self.told} must be finite", f"nan or inf at sample {bad}")
        object.__setattr__(self, "samples", x.detach())

    def __len__(self) -> int:
        return int(self.samples.shape[-1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        """The samples, ``(T,)`` or ``(C, T)``."""
        return np.asarray(self.samples.cpu().numpy(), dtype=dtype)

    @property
    def told(self) -> str:
        """Its name for messages."""
        return self.name or "a recording"

    @property
    def channels(self) -> Tensor:
        """``(C, T)`` float32."""
        x = self.samples.float()
        return x if x.ndim == 2 else x[None]

    def write_file(self, out: Path) -> None:
        """To a file in the format of its ending; samples beyond full scale are made smaller together, but not floats.

        A file that is made smaller is warned of.

        Raises:
            InvalidInputError: If it has no rate, or the ending is unknown.
        """
        soundfile = require("soundfile", by="Recording.write_file")
        if not self.rate:
            remedy = "Say it: dataclasses.replace(recording, rate=16000)."
            raise invalid("Recording.write_file", f"{self.told} must have a rate", self.rate, remedy)
        one_of("Recording.write_file", "the file's ending", out.suffix.lower(), ENDINGS)
        kind = out.suffix.lower().removeprefix(".").upper()
        own = kept_encoding(self.encoding)
        own = own if own and soundfile.check_format(kind, own) else None
        full = self.channels.double()
        loudest = 1.0 if own in FLOATS else float(full.abs().max())
        if loudest > _FULL:
            warn_of_smaller(out.name, loudest)
        x = (full / max(1.0, loudest)).T.numpy()
        with replacing(out) as temporary, temporary.open("wb") as stream:
            soundfile.write(stream, x, self.rate, format=kind, subtype=own)

    def with_samples(self, samples: Tensor) -> "Recording":
        """The same with other samples ``(C, T)``, in its shape and type."""
        return replace(self, samples=samples.reshape(self.samples.shape).to(self.samples))


def is_silent(x: Tensor) -> bool:
    """Whether samples have no peak, which could be their unit."""
    return float(x.abs().max()) <= _SILENT


def check_heard(who: str, one: Recording) -> None:
    """Refuse silence in what is learnt from: a peak of zero is no unit.

    Raises:
        InvalidInputError: If a channel is silent throughout.
    """
    if any(is_silent(channel) for channel in one.channels):
        least = f"a peak of {float(one.channels.abs().amax(1).min()):.2g}"
        raise invalid(who, f"{one.told} must not be silent", least, "Leave silent files and channels out.")


def at_rate(x: Tensor, old: int, new: int) -> Tensor:
    """Samples ``(..., T)`` at another rate, by windowed sinc interpolation: ``ceil(T new / old)`` of them."""
    if old == new or not old or not new:
        return x
    length = -(-x.shape[-1] * new // old)
    found: Tensor = require("julius", by="at_rate").resample_frac(x, old, new, output_length=length)
    return found


# --- files ---------------------------------------------------------------------------------------------------


def read_recording(path: str | Path, who: str = "read_recording") -> Recording:
    """A WAV, FLAC or Ogg file.

    Raises:
        InvalidInputError: If there is no such file, it is damaged, or its samples are none.
        MissingExtraError: If soundfile is not installed.
    """
    file = Path(path)
    if not file.is_file():
        raise invalid(who, "the file must exist", str(file))
    soundfile = require("soundfile", by=who)
    rule, known = f"{file.name} must be a sound file", f"Known: {', '.join(ENDINGS)}."
    with refusing_content(who, rule, known), soundfile.SoundFile(str(file)) as opened:
        encoding, rate = opened.subtype, opened.samplerate
        stated = 4 * opened.frames * opened.channels
        check_unpacked(who, file.name, file.stat().st_size, stated, times=_TIMES)
        samples = opened.read(dtype="float32", always_2d=True)
    if not len(samples):
        raise invalid(who, f"{file.name} must contain samples", "none")
    warn_if_cut_short(file, len(samples), samples.shape[1])
    x = torch.from_numpy(np.ascontiguousarray(samples.T))
    return Recording(x[0] if len(x) == 1 else x, int(rate), file.stem, str(encoding), file.suffix.lower())


def read_folder(folder: str | Path, who: str = "read_folder") -> list[Recording]:
    """All sound files of a folder and those below it, by name; sound of other endings is warned of."""
    every = sorted(file for file in Path(folder).rglob("*") if file.is_file())
    files = [file for file in every if file.suffix.lower() in ENDINGS]
    if not files:
        raise invalid(who, f"the folder must contain {', '.join(ENDINGS)} files", f"none in {folder}")
    warn_of_sound_left_out(every)
    names = [file.relative_to(folder).with_suffix("").as_posix() for file in files]
    return [replace(read_recording(file, who), name=name) for file, name in zip(files, names, strict=True)]


# --- the role ------------------------------------------------------------------------------------------------


@record("recordings_container", parts=lambda kind: settings_of(kind.named(), "index"))
@dataclass(frozen=True)
class HeldAs(Given):
    """How recordings were given.

    Attributes:
        together: ``"one"``, ``"column"`` ``(T, 1)``, ``"list"``, or ``"rows"`` of one array.
        recorded: Whether they were :class:`Recording`, with rates of their own.
    """

    together: str = "list"
    recorded: bool = False


class Recordings:
    """Recordings: a list with one :class:`Recording` each.

    One :class:`Recording`, array ``(T,)``, file or folder; a list of these; or an array ``(N, T)``, one each row.
    Arrays have the rate of the model; samples and their rate, as readers of sound give them, are a recording.
    """

    has_rows = True
    folders_of_files = True
    writes = ENDINGS

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[list[Recording], HeldAs]:
        """From recordings, arrays or files.

        Raises:
            InvalidInputError: If a value is none of these, or a sample is not finite.
        """
        if isinstance(value, str | Path):
            value = self.read_file(str(value), role)
        if (told := _with_rate(value)) is not None:
            value = told
        if isinstance(value, Recording):
            return [value], HeldAs("list", "float32", together="one", recorded=True)
        if isinstance(value, list | tuple) and value and not isinstance(value[0], int | float):
            parts = [self.read(part, role, reading) for part in value]
            return [one for part, _ in parts for one in part], replace(parts[0][1], together="list")
        return self._array(value, role, reading)

    def _array(self, value: Any, role: Role, reading: Reading) -> tuple[list[Recording], HeldAs]:
        dtype = np.asarray(value).dtype if isinstance(value, np.ndarray) else getattr(value, "dtype", None)
        if (isinstance(dtype, torch.dtype) and not dtype.is_floating_point) or getattr(
            dtype, "kind", "f"
        ) in "iu":
            remedy = "Divide whole numbers by full scale, 32768 for 16 bits."
            raise invalid(reading.who, f"samples of {role.name} must be floating point", str(dtype), remedy)
        rows, given = as_tensor(value, reading.who, role.name)
        held = HeldAs(given.container, given.dtype, given.device, together="one" if given.flat else "rows")
        if rows.ndim != 2:
            raise invalid(
                reading.who, f"{role.name} must be one recording (T,) or several (N, T)", tuple(rows.shape)
            )
        if not given.flat and rows.shape[0] > rows.shape[1]:
            if rows.shape[1] > 1:
                remedy = "Say what they are: Recording(samples.T, rate) has channels (C, T); recordings are a list."
                rule = f"{role.name} must be longer than they are many, (N, T)"
                raise invalid(reading.who, rule, tuple(rows.shape), remedy)
            held = replace(held, together="column")
        return [Recording(row) for row in (rows.T if held.together in ("one", "column") else rows)], held

    def read_file(self, text: str, role: Role, key: str | None = None) -> Any:
        """A sound file, or all of a folder."""
        who = f"--{role.name}"
        return read_folder(text, who) if Path(text).is_dir() else read_recording(text, who)


def _with_rate(value: Any) -> Recording | None:
    """Samples with their rate as readers of sound give them, in either order; frames come before channels there."""
    if isinstance(value, Mapping) and {"array", "sampling_rate"} <= set(value):
        value = (value["array"], value["sampling_rate"])
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    rates = [isinstance(part, int | np.integer) and not isinstance(part, bool) for part in value]
    if sum(rates) != 1 or np.ndim(samples := value[rates.index(False)]) not in (1, 2):
        return None
    x = torch.as_tensor(samples)
    x = x.T if x.ndim == 2 and x.shape[0] > x.shape[1] else x
    return Recording(x[0] if x.ndim == 2 and len(x) == 1 else x, int(value[rates.index(True)]))


class Several(list[Recording]):
    """Recordings that go to a folder, each to a file of its own name and ending, below the folders it was found in."""

    writes: ClassVar[tuple[str, ...]] = ("",)

    def write_file(self, out: Path) -> None:
        """One file each, WAV where none was read, numbered where several have one name."""
        width = len(str(len(self)))
        files = [
            f"{one.name or str(number).zfill(width)}|{one.ending if one.ending in ENDINGS else ENDINGS[0]}"
            for number, one in enumerate(self)
        ]
        for number, (one, file) in enumerate(zip(self, files, strict=True)):
            name, ending = file.rsplit("|", 1)
            place = (
                out / f"{name if files.count(file) == 1 else f'{name}_{str(number).zfill(width)}'}{ending}"
            )
            place.parent.mkdir(parents=True, exist_ok=True)
            one.write_file(place)


@record("heard")
@dataclass(frozen=True, eq=False)
class Heard:
    """Answers that are recordings.

    Attributes:
        parts: One each.
    """

    parts: list[Recording]

    def in_kind(self, given: Given) -> object:
        """In the container of the recordings that were given."""
        assert isinstance(given, HeldAs)
        if given.recorded:
            return self.parts[0] if given.together == "one" else Several(self.parts)
        plain = replace(given, flat=False)
        arrays = [restore(one.samples, plain) for one in self.parts]
        if given.together == "column":
            return restore(self.parts[0].samples[:, None], plain)
        if given.together == "rows":
            return restore(torch.stack([one.samples for one in self.parts]), plain)
        return arrays[0] if given.together == "one" else arrays


def channels_of(recordings: Sequence[Recording], rate: int) -> list[Tensor]:
    """Every channel ``(T,)`` float32 at a rate, one after the other."""
    return [channel for one in recordings for channel in at_rate(one.channels, one.rate, rate)]


role_kind("recordings", Recordings())
