"""Columns that a density model cannot take as they are: constant, collinear, heavy-tailed, whole numbers."""

import math
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.row_access import Rows
from interpolants.foundations.tell import DataWarning, tell
from interpolants.framework.frames import constant_columns

# Rows that are looked at, and the least from which anything is concluded.
_MOST, _LEAST = 10_000, 100
_WIDEST = 512
# Variance in one direction of standardised columns below which they count as collinear: a residual of 1e-4.
_FLAT = 1e-8
# Standard deviations from the mean. Of 1e6 exponential variables the largest lies at 13, of 1e4 Student's t(2) at 25.
_FAR = 15.0
_SHOWN = 8
# Share of the values of a column above which one value is an atom, and the fewest different values beside atoms.
_ATOM, _DIFFERENT = 0.05, 20
# Most columns of rows in which atoms are looked for.
_TABLE = 128
# Standard deviations and means that a network takes as they are, and ratios of deviations, are at most so large.
_UNIT = 100.0
# Words in names of columns that are angles, hours, latitudes and longitudes; and a latitude near a pole, in degrees.
_ANGLES = {"dir", "direction", "heading", "bearing", "azimuth", "angle"}
_HOURS, _NORTH, _EAST = {"hour"}, {"lat", "latitude"}, {"lon", "lng", "long", "longitude"}
_POLAR = 75.0
# Noise in standard deviations of a column from which little of the column is left.
_DROWNED = 20.0
# What helps where a method learns in the units of the data.
_BY_HAND = "Standardise before fit, (x - mean) / std, and undo it for the answers"
# What is said of columns that are constant and left out, constant, collinear, and of whole numbers.
_OF_DENSITIES = (
    "constant; samples have the value exactly, and log_prob leaves it out",
    "constant, where log_prob has no meaning. Drop the column before fit",
    "collinear, so that log_prob has no meaning. Drop one of them before fit",
    "of whole numbers, and discrete data have no density. Samples are not integers: round them, "
    "or fit TableBridge, which keeps the type; before reading log_prob, add uniform noise of one step (dequantise)",
)
_OF_SAMPLES = (
    "constant; samples have the value exactly",
    "constant, which samples are only nearly. Drop the column before fit",
    "",
    "of whole numbers, which samples are not. Round them, or fit TableBridge, which keeps the type",
)


def warn_about_columns(
    who: str,
    name: str,
    x: Rows,
    columns: Sequence[str] = (),
    *,
    left_out: Tensor | None = None,
    learnt: Rows = None,
    density: bool = True,
    transforms: bool = False,
    noisy: bool = False,
) -> None:
    """Name the columns of a table that need care, and what helps; other shapes are left alone.

    Args:
        who: Public name for the warning.
        name: Name of the argument.
        x: Rows ``(N, D)`` in data units, finite.
        columns: Names of the columns; numbers where there are none.
        left_out: Which columns the method leaves out because they are constant, ``(D,)``.
        learnt: The rows as the method learns them, with transformed columns; ``x`` if None.
        density: Whether the method gives densities, beside samples.
        transforms: Whether it has the setting ``transform``.
        noisy: Whether noise is added to the rows, which gives every column a density: heavy tails alone are named.

    Warns:
        DataWarning: One for each kind of column that there is.
    """
    if x.ndim != 2:
        return
    rows = x[:_MOST].detach().double()
    constant = constant_columns(x)
    out = torch.zeros_like(constant) if left_out is None else left_out
    varying = (~constant).nonzero().flatten()
    z = rows[:, varying]
    tails = z if learnt is None else learnt[:_MOST].detach().double()[:, varying]
    whole, tied, far = (
        _back(part, varying, len(constant)) for part in (_whole(z), _collinear(z), _heavy_tailed(tails))
    )
    far = far & ~whole
    tail = f"heavy-tailed, which samples are not. {_for_tails(rows, far, columns, transforms)}"
    kinds = ("",) * 4 if noisy else _OF_DENSITIES if density else _OF_SAMPLES
    if not noisy:
        _warn_about_atoms(who, name, rows, learnt, columns, transforms=transforms)
    told = zip((constant & out, constant & ~out, tied, whole, far), (*kinds, tail), strict=True)
    for found, words in told:
        if words and bool(found.any()):
            tell(DataWarning, f"{who}: {_named(name, found, columns)} {words}.")


def _warn_about_atoms(
    who: str, name: str, rows: Tensor, learnt: Rows, columns: Sequence[str], *, transforms: bool
) -> None:
    """Name columns of which many values are exactly one number beside others that hardly repeat.

    Columns of few or whole numbers, which are discrete, columns that are transformed, and rows of more than 128
    columns, which are pixels, are left alone.
    """
    if rows.shape[1] > _TABLE:
        return
    same = rows if learnt is None else learnt[:_MOST].detach().double()
    told, bounds = [], {}
    for k in range(rows.shape[1]):
        value, share = _atom(rows[:, k])
        if not share or not torch.equal(same[:, k], rows[:, k]):
            continue
        words = f"{100 * share:.0f} % of column {_label(k, columns)} are exactly {value:.6g}"
        if value == float(rows[:, k].min()):
            words, bounds[_label(k, columns)] = (
                f"{words}, the least value, which samples cross",
                (value, math.inf),
            )
        elif value == float(rows[:, k].max()):
            words, bounds[_label(k, columns)] = (
                f"{words}, the largest value, which samples cross",
                (-math.inf, value),
            )
        told.append(words)
    if told:
        more = ", ..." if len(told) > _SHOWN else ""
        words = f"{who}: of {name}, {'; '.join(told[:_SHOWN])}{more}. No sample has such a value exactly"
        remedy = "TableBridge().fit(table) draws it with its share; or fit the other rows, and draw the value yourself"
        if transforms and bounds:
            chosen = {
                column: {"kind": "interval", "low": low, "high": high}
                for column, (low, high) in list(bounds.items())[:_SHOWN]
            }
            remedy = f"{remedy}; transform={chosen} keeps the other samples inside of the bound"
        tell(DataWarning, f"{words}. {remedy}.")


def _atom(x: Tensor) -> tuple[float, float]:
    """The most frequent value of a column and its share, where it is an atom beside continuous values; else zeros."""
    values, counts = torch.unique(x, return_counts=True)
    value, share = float(values[counts.argmax()]), float(counts.max()) / len(x)
    others = counts[counts <= _ATOM * len(x)]
    continuous = len(others) >= _DIFFERENT and 2 * len(others) >= int(others.sum())
    enough = len(x) >= _LEAST and not bool((x == x.round()).all())
    return (value, share) if share > _ATOM and continuous and enough else (0.0, 0.0)


def _for_tails(rows: Tensor, far: Tensor, columns: Sequence[str], transforms: bool) -> str:
    """What helps against heavy tails: the setting, as it is to be written, or the transform by hand."""
    if not transforms:
        return "Transform it before fit, z = data.Quantile().fit(column).forward(column), and undo it for the answers"
    positive = (rows > 0).all(0)
    at = far.nonzero().flatten().tolist()[:_SHOWN]
    told = {_label(k, columns): "log" if bool(positive[k]) else "quantile" for k in at}
    return f"Fit with transform={told}"


def warn_about_spaces(caller: str, name: str, x: Rows, columns: Sequence[str]) -> None:
    """Warn of columns whose name and range show angles or places, if their seam or the poles lie among the rows.

    Args:
        caller: Name of the caller, used in messages.
        name: Name of the argument.
        x: Rows ``(N, D)``.
        columns: Names of the columns; without names there is no warning.

    Warns:
        DataWarning: Once for all such columns.
    """
    if x.ndim != 2 or not columns:
        return
    rows = x[:_MOST].detach().double()
    low, high = rows.amin(0).tolist(), rows.amax(0).tolist()
    name_parts = [set(re.findall("[a-z]+", column.lower())) for column in columns]
    spaces = _globes(columns, name_parts, low, high) | _circles(columns, name_parts, low, high)
    if spaces:
        listed = "; ".join(f"{key} may be {kind}" for key, (kind, _) in spaces.items())
        setting = {key: kind for key, (_, kind) in spaces.items()}
        effect = "are learnt as real numbers, with a seam that samples cross"
        remedy = (
            f"Use GeodesicBridge(space={setting}) for one without a seam, or reset the names if they mislead"
        )
        tell(DataWarning, f"{caller}: columns of {name} {effect}: {listed}. {remedy}.")


# Column or columns -> what they may be, and their space.
_Spaces = dict[str, tuple[str, Any]]


def _globes(
    columns: Sequence[str], name_parts: Sequence[set[str]], low: Sequence[float], high: Sequence[float]
) -> _Spaces:
    """A latitude and a longitude that reach over more than half a turn, or near a pole."""
    lat, lon = ([k for k, parts in enumerate(name_parts) if parts & names] for names in (_NORTH, _EAST))
    if len(lat) != 1 or len(lon) != 1:
        return {}
    (k,), (j,) = lat, lon
    is_place = -90 <= low[k] <= high[k] <= 90 and -360 <= low[j] <= high[j] <= 360
    is_wide = high[j] - low[j] > 180 or max(high[k], -low[k]) > _POLAR
    return {f"{columns[k]}, {columns[j]}": ("places in degrees", "sphere")} if is_place and is_wide else {}


def _circles(
    columns: Sequence[str], name_parts: Sequence[set[str]], low: Sequence[float], high: Sequence[float]
) -> _Spaces:
    """Directions and hours that reach around the whole period."""
    spaces: _Spaces = {}
    for k, column in enumerate(columns):
        span = high[k] - low[k]
        if name_parts[k] & _ANGLES and low[k] >= -180 and 300 < span <= 360:
            spaces[column] = ("an angle in degrees", "circle")
        if name_parts[k] & _HOURS and low[k] >= 0 and high[k] <= 24 and span > 20:
            spaces[column] = ("an hour of the day", {"kind": "circle", "period": 24})
    return spaces


def warn_about_units(who: str, name: str, x: Rows, remedy: str = _BY_HAND) -> None:
    """Name the columns whose size is far from one, for methods that learn in the units of the data.

    Args:
        who: Public name for the warning.
        name: Name of the argument.
        x: Rows ``(N, *D)``: sizes are told by column for tables, overall for images.
        remedy: What helps, as an order without a full stop.

    Warns:
        DataWarning: If a column that varies has a standard deviation or a mean far from one.
    """
    rows = x[:_MOST].detach().double()
    rows = rows if rows.ndim == 2 else rows.reshape(-1, 1)
    spread, centre = rows.std(0, correction=0), rows.mean(0).abs()
    far = ((spread < 1 / _UNIT) | (spread > _UNIT) | (centre > _UNIT)) & ~constant_columns(rows)
    if bool(far.any()):
        what = f"column {int(far.nonzero()[0])} of {name}" if x.ndim == 2 else name
        at = int(far.nonzero()[0])
        words = f"{who}: {what} has mean {float(rows[:, at].mean()):.3g} and standard deviation {float(spread[at]):.3g}"
        tell(DataWarning, f"{words}, and is learnt in these units. {remedy}.")


def warn_about_ratios(who: str, name: str, x: Tensor) -> None:
    """Name columns of very different size, for methods whose problem is one of distances between rows.

    Warns:
        DataWarning: If the largest standard deviation is many times the smallest of those that vary.
    """
    if x.ndim != 2:
        return
    spread = x.detach()[:_MOST].double().std(0, correction=0)
    varying = (~constant_columns(x)).nonzero().flatten()
    if len(varying) < 2:
        return
    low, high = (varying[int(at)] for at in (spread[varying].argmin(), spread[varying].argmax()))
    if float(spread[high]) > _UNIT * float(spread[low]):
        sizes = [f"column {int(at)} of {name} varies by {float(spread[at]):.3g}" for at in (high, low)]
        remedy = "Bring columns to one size before fit, unless these are the distances that are meant"
        tell(DataWarning, f"{who}: {sizes}, and distances see the larger alone. {remedy}.")


def warn_about_noise(
    who: str, name: str, x: Tensor, noise: float, setting: str, columns: Sequence[str] = ()
) -> None:
    """Name columns that noise of one size for all of them drowns.

    Args:
        who: Public name for the warning.
        name: Name of the rows.
        x: Rows ``(N, *D)``: sizes are told by column for tables, overall for images.
        noise: Standard deviation of the noise, in data units.
        setting: What makes it.
        columns: Names of the columns; numbers where there are none.

    Warns:
        DataWarning: If the noise is many times the standard deviation of a column that varies.
    """
    rows = x[:_MOST].detach().double()
    rows = rows if rows.ndim == 2 else rows.reshape(-1, 1)
    drowned = (rows.std(0, correction=0) * _DROWNED < noise) & ~constant_columns(rows)
    if bool(drowned.any()):
        what = _named(name, drowned, columns) if x.ndim == 2 else f"{name} is"
        words = f"{who}: {what} drowned in noise of standard deviation {noise:.3g} in data units"
        remedy = f"Lower {setting}, or bring columns to one size before fit"
        tell(DataWarning, f"{words}, and will not be learnt. {remedy}.")


def _named(name: str, found: Tensor, columns: Sequence[str]) -> str:
    at = found.nonzero().flatten().tolist()
    shown = [_label(i, columns) for i in at[:_SHOWN]]
    more = ", ..." if len(at) > _SHOWN else ""
    return f"column{'s' * (len(at) > 1)} {', '.join(shown)}{more} of {name} {'are' if len(at) > 1 else 'is'}"


def _label(at: int, columns: Sequence[str]) -> str:
    return str(columns[at]) if columns else str(at)


def _back(part: Tensor, at: Tensor, width: int) -> Tensor:
    """What was found of some columns, as of all."""
    found = torch.zeros(width, dtype=torch.bool)
    found[at] = part.to(found.device)
    return found


def _none(z: Tensor) -> Tensor:
    return torch.zeros(z.shape[1], dtype=torch.bool)


def _whole(z: Tensor) -> Tensor:
    return (z == z.round()).all(0) if len(z) >= _LEAST else _none(z)


def _heavy_tailed(z: Tensor) -> Tensor:
    if len(z) < _LEAST or not z.shape[1]:
        return _none(z)
    return (z - z.mean(0)).abs().amax(0) > _FAR * z.std(0)


def _collinear(z: Tensor) -> Tensor:
    """Columns that take part in a linear relation between standardised columns."""
    if not 1 < z.shape[1] <= _WIDEST or len(z) < max(_LEAST, 2 * z.shape[1]):
        return _none(z)
    unit = (z - z.mean(0)) / z.std(0)
    values, vectors = torch.linalg.eigh(unit.T @ unit / len(z))
    relations = vectors[:, values < _FLAT]
    found: Tensor = (relations.abs() > 0.05).any(1)
    return found
