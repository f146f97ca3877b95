"""Labels along an axis of xarray as numbers: dates, other numbers, and words such as names of stations."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.foundations.extras import require
from interpolants.foundations.tell import AssumptionWarning, tell

_GREGORIAN = ("standard", "gregorian", "proleptic_gregorian")


@dataclass(frozen=True)
class Labels:
    """Labels of an axis.

    Attributes:
        numbers: ``(n,)`` float64: seconds since 1970 for dates, the numbers themselves, or a number for each word, the
            same in all files; empty where there are none.
        dated: Whether they are dates.
        words: The words, where the labels are words.
    """

    numbers: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    dated: bool = False
    words: tuple[str, ...] = ()


def axis_labels(array: Any, name: str) -> Labels:
    """The labels along an axis of an array of xarray; dates with a time zone are brought to UTC."""
    if not name or name not in array.coords:
        return Labels()
    x = np.asarray(array.coords[name].values)
    if x.dtype.kind == "O" and x.size and hasattr(x.flat[0], "tzinfo") and not hasattr(x.flat[0], "calendar"):
        pandas = require("pandas", by="axis_labels")
        x = pandas.to_datetime(x, utc=True).tz_localize(None).to_numpy()
    if x.dtype.kind == "O" and x.size and hasattr(x.flat[0], "calendar"):
        return _of_calendar(x, name)
    if x.dtype.kind == "M":
        return Labels(
            torch.from_numpy(x.astype("datetime64[us]").astype(np.int64).astype(np.float64) / 1e6), True
        )
    if x.dtype.kind == "m":
        return Labels(torch.from_numpy(x.astype("timedelta64[s]").astype(np.float64)))
    if x.dtype.kind not in "fiu":
        words = tuple(map(str, x))
        return Labels(torch.tensor([_number(word) for word in words], dtype=torch.float64), words=words)
    return Labels(torch.from_numpy(x.astype(np.float64)))


def _of_calendar(x: Any, name: str) -> Labels:
    """Dates of cftime: those of our calendar as dates, others as seconds of their own calendar."""
    calendar = str(x[0].calendar)
    if calendar in _GREGORIAN:
        stamps = np.array([one.isoformat() for one in x], dtype="datetime64[us]")
        return Labels(torch.from_numpy(stamps.astype(np.int64).astype(np.float64) / 1e6), True)
    cftime = require("cftime", by="axis_labels")
    seconds = np.asarray(cftime.date2num(x, "seconds since 1970-01-01", calendar=calendar), dtype=np.float64)
    told = f"times of {name} are of the calendar {calendar!r}: they are counted in seconds, without dates"
    tell(AssumptionWarning, f"{told}.")
    return Labels(torch.from_numpy(seconds))


def _number(word: str) -> int:
    """A number of 48 bits for a word, exact in float64."""
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:6], "big")
