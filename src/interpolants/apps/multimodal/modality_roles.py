"""Roles of linked modalities, made from settings: rows and labels that may be missing, row by row; and their verbs."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interpolants.data.arrays import Kind as Given
from interpolants.data.arrays import restore
from interpolants.data.files import MISSING_WORDS
from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.kinds import Check
from interpolants.foundations.tell import AssumptionWarning, tell
from interpolants.framework.capabilities import verb
from interpolants.framework.labels import Labels, counted
from interpolants.framework.role import Reading, Role, role_kind
from interpolants.framework.rows import Rows

KINDS = ("rows", "labels")
# What answers are like: whatever was given, which is no one role.
ASKED = "what was asked"
# Words, in lower case, that stand for a missing label: those of files, and how pandas and NumPy write one.
_MISSING = MISSING_WORDS | {"<na>", "nat", "-1", "-1.0"}
# Of these, words that may as well name a class.
_AMBIGUOUS = frozenset({"na", "n/a", "null", "none", "nil", "?"})
# Subsets of modalities are listed, so that there are at most this many.
_MOST = 8

verb("fill")
verb("expect")


class RowsOrNone(Rows):
    """Images or vectors ``(N, *D)``; a row of NaN alone is missing, and so is None in a list of rows."""

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[Any, Given]:
        """As rows are read.

        Raises:
            InvalidInputError: If a row has some NaN: a modality is there or it is not.
        """
        x, given = super().read(_filled(value, role, reading), role, reading)
        gaps = x.isnan().flatten(1)
        if bool((partly := gaps.any(1) & ~gaps.all(1)).any()):
            rule = f"each row of {role.name} must be complete, or NaN throughout"
            found = f"{int(partly.sum())} rows with some NaN (row {int(partly.nonzero()[0])})"
            remedy = "Fill these entries, or make what is seen of it a modality of its own."
            raise invalid(reading.who, rule, found, remedy)
        return x, given


def _filled(value: Any, role: Role, reading: Reading) -> Any:
    """A list of rows with NaN in place of those that are None."""
    if not isinstance(value, list | tuple) or all(row is not None for row in value):
        return value
    known = next((row for row in value if row is not None), None)
    if known is None:
        raise invalid(
            reading.who,
            f"{role.name} must have at least one row that is not None",
            "only None",
            f"Omit {role.name}.",
        )
    plain = [row.detach().cpu() if isinstance(row, Tensor) else row for row in value]
    like = np.asarray(known.detach().cpu() if isinstance(known, Tensor) else known)
    gap = np.full_like(like, np.nan, dtype=np.result_type(like.dtype, np.float32))
    try:
        return np.stack([gap if row is None else np.asarray(row) for row in plain])
    except ValueError as error:
        raise invalid(reading.who, f"rows of {role.name} must have one shape", str(error)) from error


class LabelsOrNone(Labels):
    """Labels ``(N,)``, numbers or names; -1, None, NaN and words for these are missing, and become -1.

    The words are those of files (an empty one, "nan", "NA", "n/a", "null", "none", "nil", "?"), "<NA>" and "-1".
    A warning is issued for those that may as well name a class.
    """

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[Tensor, Given]:
        """As labels are read, beside those that are missing."""
        array = _objects(value, role, reading)
        gone = np.array([_is_missing(one) for one in array.tolist()], dtype=bool)
        known = [_whole(one, role, reading) for one in array[~gone].tolist()]
        _warn_of_words(array[gone].tolist(), role, reading)
        codes = torch.full((len(array),), -1)
        before = reading.before
        if not known:
            if before is None:
                raise invalid(reading.who, f"some rows of {role.name} must have a label", "none has")
            return codes, before
        if before is not None and not before.columns and isinstance(known[0], str):
            raise invalid(reading.who, f"{role.name} must be numbers, as in the fit", repr(known[0]))
        if before is not None and before.columns:
            known = [one if isinstance(one, str) else str(one) for one in known]
        if before is None:
            _check_two_signs(known, array[gone].tolist(), role, reading)
        found, given = super().read(np.array(known), role, reading)
        if before is None and not given.columns:
            counted(found, given, role, reading)
        codes[torch.from_numpy(~gone)] = found
        return codes, given


def _objects(value: Any, role: Role, reading: Reading) -> NDArray[Any]:
    plain = value.detach().cpu() if isinstance(value, Tensor) else value
    plain = getattr(plain, "to_numpy", lambda: plain)()
    array = np.asarray(plain, dtype=None if isinstance(plain, np.ndarray) else object)
    array = array[None] if array.ndim == 0 else array
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array  # a column of a file
    if array.ndim != 1 or not len(array):
        raise invalid(reading.who, f"{role.name} must be one label per row, (N,)", array.shape)
    return array


def _is_missing(one: Any) -> bool:
    if isinstance(one, str):
        return one.strip().lower() in _MISSING
    return one is None or str(one) == "<NA>" or one != one or one == -1


def _warn_of_words(gone: Sequence[Any], role: Role, reading: Reading) -> None:
    """Warn of words for missing labels that may as well name a class."""
    words = sorted(
        {one.strip() for one in gone if isinstance(one, str) and one.strip().lower() in _AMBIGUOUS}
    )
    if words:
        shown, n = (
            ", ".join(map(repr, words)),
            sum(isinstance(one, str) and one.strip() in words for one in gone),
        )
        told = f"{reading.who}: {n} rows of {role.name} have no label: they say {shown}"
        remedy = "If this is a class, use a different name; otherwise write nan."
        tell(AssumptionWarning, f"{told}. {remedy}")


def _check_two_signs(known: Sequence[Any], gone: Sequence[Any], role: Role, reading: Reading) -> None:
    """Refuse the labels -1 and 1 of two classes: -1 would be taken for a row without a label."""
    if set(map(str, known)) == {"1"} and any(str(one).strip() in ("-1", "-1.0") for one in gone):
        remedy = "Number two classes 0 and 1, or name them; None says that a row has no label."
        raise invalid(reading.who, f"-1 among labels of {role.name} means missing", "1 and -1 alone", remedy)


def _whole(one: Any, role: Role, reading: Reading) -> Any:
    """A word as it is, a number as a whole one."""
    if isinstance(one, str):
        return one
    if int(one) != one:
        remedy = "What measures is a modality of rows."
        raise invalid(reading.who, f"{role.name} must be labels, whole numbers or names", one, remedy)
    return int(one)


role_kind("rows_or_none", RowsOrNone())
role_kind("labels_or_none", LabelsOrNone())


def check_modalities(who: str, modalities: Mapping[str, str]) -> dict[str, str]:
    """Names and kinds of modalities, checked.

    Raises:
        InvalidInputError: If there are none or too many, a kind is unknown, or a name cannot be an argument.
    """
    if not isinstance(modalities, Mapping) or not 1 <= len(modalities) <= _MOST:
        remedy = 'For example, pass {"image": "rows", "label": "labels"}.'
        raise invalid(who, f"modalities must be a table of 1 to {_MOST} names and kinds", modalities, remedy)
    for name, kind in modalities.items():
        one_of(who, f"modalities[{name!r}]", kind, KINDS)
        if not name.isidentifier() or name in ("n", "seed", "held", "out", "first_index"):
            raise invalid(who, "a modality must have a name that can be an argument", repr(name))
    return dict(modalities)


# As a setting: names and kinds.
Modalities = Annotated[Mapping[str, str], Check(check_modalities, "table of names and kinds")]


def modality_roles(modalities: Mapping[str, str]) -> tuple[Role, ...]:
    """A role for each modality, all on one axis."""
    about = {"rows": "images or vectors; NaN rows are missing", "labels": "labels; -1 or empty is missing"}
    return tuple(
        Role(name=name, kind=f"{kind}_or_none", gaps=True, optional=True, about=about[kind])
        for name, kind in modalities.items()
    )


def check_all_there(who: str, data: Mapping[str, Any], modalities: Mapping[str, str]) -> None:
    """Refuse a fit without a modality."""
    for name in modalities:
        if name not in data:
            remedy = "Leave it out of modalities, or pass rows some of which are missing."
            raise invalid(who, f"{name} is needed, one of the modalities", "None", remedy)


def told(who: str, given: Mapping[str, Any], modalities: Mapping[str, str]) -> dict[str, Tensor]:
    """What is given of modalities, if it is something.

    Raises:
        InvalidInputError: If a name is none of a modality, or nothing is given.
    """
    for name in given:
        if name not in modalities:
            raise invalid(who, "every argument must be a modality", repr(name), nearest(name, modalities))
    found = {name: value for name, value in given.items() if value is not None}
    if not found:
        remedy = f"Pass some of {', '.join(modalities)}; sample(n) draws all of them."
        raise invalid(who, "at least one modality must be passed", "none", remedy)
    return found


def is_there(value: Tensor) -> Tensor:
    """Which rows of a modality are not missing, ``(B,)``."""
    return ~value.flatten(1).isnan().any(1) if value.is_floating_point() else value >= 0


class Answered(dict[str, Any]):
    """Modalities by name; tables have the row labels of what was asked."""

    def in_kind(self, given: Given) -> "Answered":
        """The same, rows of tables named as those that came in."""
        for part in self.values():
            if given.container == "pandas" and hasattr(part, "iloc") and len(part) == len(given.index):
                part.index = given.index
        return self


def answered(parts: Mapping[str, Tensor], given: Mapping[str, Given]) -> Answered:
    """Modalities in the containers that they had in the fit, labels by name."""
    return Answered({name: restore(part, given[name]) for name, part in parts.items()})
