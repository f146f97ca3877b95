"""Series: values on a regular clock, with gaps; the kind of role ``series``, and answers with dates.

A clock counts steps from 0, or it is made of dates that follow each other in a fixed frequency (days, months, working
days, ...). Times of dates are seconds since 1970 in UTC. NaN means "not seen"; a missing row is refused, because later
rows would stand at the wrong time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.data.arrays import Kind as Given
from interpolants.data.arrays import as_tensor, is_table, restore
from interpolants.data.series_table import TIMELY, check_order, irregular
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.records import record, settings_of
from interpolants.framework.role import Reading, Role

STEPS, DATES = "steps", "dates"


@record("series")
@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """One series of T times and C columns.

    Attributes:
        values: ``(T, C)`` float64, with zeros in the gaps.
        seen: Which of them were seen, ``(T, C)`` bool.
        times: ``(T,)`` float64: seconds since 1970, or steps.
        columns: Names of the columns; may be empty.
        frequency: Distance of two times: pandas' word, such as ``"D"`` or ``"MS"``; empty for steps.
        clock: ``"steps"``, ``"dates"`` without a time zone, or the name of a time zone.
        name: Name of the series among many, such as that of its column in a wide table; may be empty.
    """

    values: Tensor
    seen: Tensor
    times: Tensor
    columns: tuple[str, ...] = ()
    frequency: str = ""
    clock: str = STEPS
    name: str = ""

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, rows: Any) -> "Series":
        """Return the selected times, by slice or indices."""
        index = rows if isinstance(rows, slice) else torch.as_tensor(rows)
        return replace(self, values=self.values[index], seen=self.seen[index], times=self.times[index])

    def with_gaps(self) -> Tensor:
        """The values, with NaN in the gaps, ``(T, C)``."""
        return torch.where(self.seen, self.values, torch.nan)

    def filled(self, values: Tensor) -> "Series":
        """The same times with all values seen, ``(T, C)``."""
        return replace(self, values=values, seen=torch.ones_like(self.seen))

    def after(self, steps: int) -> Tensor:
        """The next times, ``(steps,)``; months are as long as the calendar has them."""
        if self.clock == STEPS:
            return self.times[-1] + torch.arange(1, steps + 1, dtype=torch.float64)
        pandas = require("pandas", by="Series.after")
        last = dates(self.times[-1:], self.clock)[0]
        return _seconds(pandas.date_range(last, periods=steps + 1, freq=self.frequency)[1:])

    def in_kind(self, given: Given) -> object:
        """The series in a container: tables with its dates, arrays with NaN in the gaps."""
        index = dates(self.times, self.clock) if given.container == "pandas" else given.index
        return restore(self.with_gaps(), replace(given, index=index))


def dates(times: Tensor, clock: str) -> Any:
    """Times as labels: a DatetimeIndex for dates, integers for steps."""
    if clock == STEPS:
        return times.numpy().astype(np.int64)
    pandas = require("pandas", by="dates")
    # Microseconds are exact in float64 until the year 2255, nanoseconds are not.
    stamps = np.round(times.numpy() * 1e6).astype(np.int64).astype("datetime64[us]")
    index = pandas.DatetimeIndex(stamps)
    return index if clock == DATES else index.tz_localize("UTC").tz_convert(clock)


def _seconds(index: Any) -> Tensor:
    """Seconds since 1970 of a DatetimeIndex; in UTC if it has a zone."""
    stamps = np.array(index.to_numpy(dtype="datetime64[us]"))
    return torch.from_numpy(stamps.astype(np.int64)).double() / 1e6


@record("series_container", parts=lambda kind: settings_of(kind.named(), "index"))
@dataclass(frozen=True)
class Clocked(Given):
    """Form in which a series was passed.

    Attributes:
        frequency: As in `Series`.
        clock: As in `Series`.
    """

    frequency: str = ""
    clock: str = STEPS


# --- reading -------------------------------------------------------------------------------------------------


class SeriesKind:
    """One series, ``(T, C)`` or ``(T,)``; or many: a list or an array ``(N, T, C)``."""

    has_rows = True

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[Any, Given]:
        """A `Series`, or a list with one per item.

        From DataFrames and pandas' Series with dates for an index or in one column, xarray's with an axis of dates, and
        arrays, whose clock counts steps. Columns of a table are brought into the order of the fit.

        Raises:
            InvalidInputError: If the clock is irregular, unsorted, or not that of the fit; or values are not numbers.
        """
        if not is_many(value):
            return _read_one(value, role, reading)
        if not len(value):
            raise invalid(reading.who, f"{role.name} must contain series", "none")
        parts = [_read_one(part, role, reading, padded=True) for part in _in_one_order(value, role, reading)]
        widths = sorted({one.values.shape[1] for one, _ in parts})
        clocks = sorted({_told(one.clock, one.frequency) for one, _ in parts})
        if len(widths) > 1 or len(clocks) > 1:
            rule = f"all series of {role.name} must have one clock and as many columns"
            raise invalid(reading.who, rule, f"{' and '.join(clocks)}, {widths} columns")
        return [one for one, _ in parts], parts[0][1]

    def numbers(self, value: Any) -> Tensor:
        """Values at all times of all series, NaN in the gaps."""
        return torch.cat([one.with_gaps() for one in listed(value)])


def is_many(value: Any) -> bool:
    """Whether a value of a role of kind series holds several series."""
    if isinstance(value, list | tuple):
        return not value or not np.isscalar(value[0])
    return not hasattr(value, "dims") and getattr(value, "ndim", 0) == 3


def listed(value: "Series | list[Series]") -> "list[Series]":
    """Series of a role of kind series, as a list."""
    return value if isinstance(value, list) else [value]


def _in_one_order(parts: Any, role: Role, reading: Reading) -> Any:
    """While fitting: tables of several columns with those of the first in its order; others unchanged.

    Raises:
        InvalidInputError: If tables share some of their names alone, so that columns of one place differ.
    """
    first = next((part for part in parts if is_table(part)), None)
    if first is None or first.shape[1] < 2 or reading.before is not None:
        return parts
    wanted, found = list(first.columns), []
    for number, part in enumerate(parts):
        here = list(part.columns) if is_table(part) else wanted
        if here != wanted and set(here) & set(wanted):
            if set(here) != set(wanted):
                rule = f"all tables of {role.name} must have the columns {', '.join(map(str, wanted))}"
                raise invalid(reading.who, rule, f"{', '.join(map(str, here))} in series {number}")
            part = part[wanted]
        found.append(part)
    return found


def take_times(value: Any, rows: Any, take: Callable[[Any, Any], Any]) -> Any:
    """Return the selected times of every series, in their container."""
    if isinstance(value, list | tuple):
        return [take(part, rows) for part in value]
    return value[:, rows if isinstance(value, Tensor) else rows.numpy()]


def _read_one(value: Any, role: Role, reading: Reading, *, padded: bool = False) -> tuple[Series, Given]:
    if isinstance(value, Series):
        given: Given = Clocked(
            "torch", "float64", columns=value.columns, frequency=value.frequency, clock=value.clock
        )
        one = value
    else:
        index, plain = _taken_apart(value, role, reading)
        one, given = _with_clock(index, plain, role, reading)
    one = _up_to_last_value(one) if padded and not role.gaps else one
    if not role.gaps and not bool(one.seen.all()):
        count = int((~one.seen).sum())
        raise invalid(reading.who, f"{role.name} must have no gaps", f"{count} values that are not seen")
    return (one, given) if reading.before is None else _as_fitted(one, given, role, reading)


def _up_to_last_value(one: Series) -> Series:
    """A series without the times behind its last value, which pad shorter ones of an array."""
    known = one.seen.any(1).nonzero()
    return one[: int(known[-1]) + 1] if len(known) else one


def _taken_apart(value: Any, role: Role, reading: Reading) -> tuple[Any, Any]:
    """Dates (None if there are none) and values."""
    if hasattr(value, "data_vars") and hasattr(value, "to_array"):
        _check_dataset(value, role, reading)
        value = value.to_array("column").transpose(..., "column")
    if hasattr(value, "dims") and hasattr(value, "to_pandas"):
        value = _table_of(value, role, reading)
    if not hasattr(value, "iloc"):
        return None, value
    if hasattr(value, "columns"):
        timed = [name for name, kind in value.dtypes.items() if getattr(kind, "kind", "") == "M"]
        if len(timed) > 1:
            raise invalid(reading.who, f"{role.name} must have one column of dates", timed)
        if timed:
            value = value.set_index(timed[0])
        else:
            _check_no_times(value, role, reading)
    index = value.index
    if hasattr(index, "to_timestamp") and hasattr(index, "asfreq"):  # periods
        index = index.to_timestamp()
    return index, value


def _check_no_times(table: Any, role: Role, reading: Reading) -> None:
    """Raise an error for a numeric column of times next to others, which would be read as a variable."""
    if (
        getattr(table.index.dtype, "kind", "O") == "M"
        or hasattr(table.index, "to_timestamp")
        or table.shape[1] < 2
    ):
        return
    for name, kind in table.dtypes.items():
        timely = any(word in str(name).lower() for word in TIMELY) and getattr(kind, "kind", "O") in "iuf"
        if timely and table[name].is_monotonic_increasing and table[name].is_unique:
            rule = f"times of {role.name} must be dates, or the index"
            remedy = (
                f"x.set_index({name!r}), of dates by pandas.to_datetime(..., unit='s'); or rename a variable."
            )
            raise invalid(reading.who, rule, f"numbers in column {str(name)!r}", remedy)


def _check_dataset(value: Any, role: Role, reading: Reading) -> None:
    """Check that all variables of a Dataset are columns along one axis of times."""
    axes = {tuple(map(str, one.dims)) for one in value.data_vars.values()}
    if len(axes) != 1 or len(next(iter(axes))) != 1:
        found = "; ".join(
            f"{name} ({', '.join(map(str, one.dims))})" for name, one in value.data_vars.items()
        )
        rule = f"variables of {role.name} must have one axis, their times"
        raise invalid(reading.who, rule, found or "no variables", "Select others with .sel(...).")


def _table_of(value: Any, role: Role, reading: Reading) -> Any:
    """An array of xarray as a table; its axis of dates, or else its first, comes down the rows."""
    timed = [d for d in value.dims if d in value.coords and value.coords[d].dtype.kind == "M"]
    if value.ndim > 2 or len(timed) > 1:
        rule = f"{role.name} must have a time axis and at most one other"
        raise invalid(reading.who, rule, f"axes {', '.join(map(str, value.dims))}")
    first = timed[0] if timed else value.dims[0]
    return value.transpose(first, ...).to_pandas()


def _clock(index: Any, role: Role, reading: Reading) -> tuple[Tensor, str, str]:
    """Times, clock and frequency of the labels of rows."""
    kind = getattr(index.dtype, "kind", "O")
    if kind == "M":
        index = _in_zone(index, getattr(reading.before, "clock", STEPS))
        frequency = _frequency(index, role, reading)
        return _seconds(index), DATES if index.tz is None else str(index.tz), frequency
    if kind not in "iu":
        rule = f"{role.name} must have dates or whole steps for its index"
        remedy = "Convert it: x.index = pandas.to_datetime(x.index)."
        raise invalid(reading.who, rule, str(index.dtype), remedy)
    steps = torch.from_numpy(np.array(index, dtype=np.float64))
    if not bool((steps.diff() == 1).all()):
        remedy = (
            "Put missing steps in as rows of NaN, or call reset_index(drop=True) if no steps are missing."
        )
        raise invalid(
            reading.who, f"steps of {role.name} must follow each other", "an index with jumps", remedy
        )
    return steps, STEPS, ""


def _in_zone(index: Any, clock: str) -> Any:
    """Dates with a time zone in that of the fit, if it had one."""
    return index if index.tz is None or clock in (STEPS, DATES) else index.tz_convert(clock)


def _with_clock(index: Any, plain: Any, role: Role, reading: Reading) -> tuple[Series, Clocked]:
    table = plain if not hasattr(plain, "columns") else plain[_columns(plain, role, reading)]
    x, given = as_tensor(table, reading.who, role.name, gaps=True, detach=not reading.attached)
    if x.ndim != 2:
        raise invalid(reading.who, f"{role.name} must be (T,) or (T, C)", tuple(x.shape))
    times, clock, frequency = torch.arange(len(x), dtype=torch.float64), STEPS, ""
    if index is not None:
        times, clock, frequency = _clock(index, role, reading)
    names = (
        () if given.container != "pandas" else tuple(str(name) for name in given.columns if name is not None)
    )
    seen, wide = torch.isfinite(x), x.double()
    one = Series(
        values=torch.where(seen, wide, 0.0),
        seen=seen,
        times=times,
        columns=names,
        frequency=frequency,
        clock=clock,
        name=str(getattr(plain, "attrs", {}).get("series", "")),
    )
    own = {f.name: getattr(given, f.name) for f in fields(given)}
    came = Clocked(**own, frequency=frequency, clock=clock)
    return one, came


def _columns(table: Any, role: Role, reading: Reading) -> list[Any]:
    """The columns of the fit, in its order."""
    before = reading.before
    if before is None or before.container != "pandas" or before.flat or not before.columns:
        return list(table.columns)
    here = {str(name): name for name in table.columns}
    for name in map(str, before.columns):
        if name not in here:
            raise invalid(
                reading.who, f"{role.name} must have the columns of the fit", f"none named {name!r}"
            )
    return [here[str(name)] for name in before.columns]


def _frequency(index: Any, role: Role, reading: Reading) -> str:
    """Pandas' word for the distance of two dates.

    Raises:
        InvalidInputError: If the dates do not follow each other in one frequency.
    """
    pandas = require("pandas", by=reading.who)
    check_order(index, reading.who, f"dates of {role.name}")
    known = getattr(reading.before, "frequency", "")
    if known and index.equals(pandas.date_range(index[0], periods=len(index), freq=known)):
        return str(known)
    # infer_freq gives a string or an offset, depending on the version of pandas.
    found = index.freqstr or (pandas.DatetimeIndex(index, freq="infer").freqstr if len(index) > 2 else None)
    if found is None:
        raise _irregular(index, role, reading)
    return str(found)


def _irregular(index: Any, role: Role, reading: Reading) -> Exception:
    name = f"dates of {role.name}"
    if len(index) >= 3:
        return irregular(index, reading.who, name)
    found = f"{len(index)} dates, which do not show how"
    remedy = "Say how: x.index.freq = 'D'."
    return invalid(reading.who, f"{name} must follow each other regularly", found, remedy)


def _as_fitted(one: Series, given: Given, role: Role, reading: Reading) -> tuple[Series, Given]:
    """A series for a fitted method: on the clock of the fit."""
    before = reading.before
    assert isinstance(before, Clocked)
    now, then = _told(one.clock, one.frequency), _told(before.clock, before.frequency)
    if now != then:
        rule = f"{role.name} must have the clock of the fit, {then}"
        raise invalid(reading.who, rule, now, _remedy_for_clock(one, before))
    width = len(before.columns) or one.values.shape[1]
    if one.values.shape[1] != width and before.container == "pandas":
        raise invalid(reading.who, f"{role.name} must have {width} columns", one.values.shape[1])
    return one, given


def _remedy_for_clock(one: Series, before: Clocked) -> str:
    if one.clock == STEPS:
        return "Pass a table with dates for its index, as in the fit."
    if before.clock != STEPS and (one.clock == DATES) != (before.clock == DATES):
        return "Set the time zone of the dates, or omit it as in the fit: x.tz_localize(...)."
    return "Bring it onto that clock, e.g. with resample."


def _told(clock: str, frequency: str) -> str:
    return "steps without dates" if clock == STEPS else f"dates with frequency {frequency!r} ({clock})"


def equal_length(many: Sequence[Series], who: str) -> int:
    """The length of series that are cut at one time.

    Raises:
        InvalidInputError: If they are not equally long.
    """
    lengths = sorted({len(one) for one in many})
    if len(lengths) > 1:
        remedy = "Cut them yourself, and split by='none' or 'given'."
        raise invalid(who, "series that are split by time must be equally long", f"lengths {lengths}", remedy)
    return lengths[0]
