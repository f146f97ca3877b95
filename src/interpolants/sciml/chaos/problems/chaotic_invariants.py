"""Invariants of known chaotic flows: recomputed exponents, and where those of the package dysts do not fit."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from interpolants.metrics.lyapunov import LyapunovSpectrum

# Sums of exponents that miss the divergence, and annotations that miss what was computed, by more than this share are
# flagged.
MISMATCH = 0.1
TABLE = "chaotic_invariants.csv"


@dataclass(frozen=True)
class Invariants:
    """Invariants of a system, computed by :func:`interpolants.metrics.lyapunov.lyapunov_spectrum`.

    Attributes:
        exponents: Lyapunov exponents, one over the system's unit of time, the largest first.
        errors: Their standard errors.
        divergence: Mean divergence of the flow, which they must sum to.
        mismatch: Relative difference of the two.
        dimension: Of Kaplan and Yorke.
        annotated: The largest exponent as the package has it.
        annotated_sum: The sum of the exponents as the package has it.
        flags: What is wrong, in words; empty if nothing is.
    """

    exponents: tuple[float, ...]
    errors: tuple[float, ...]
    divergence: float
    mismatch: float
    dimension: float
    annotated: float
    annotated_sum: float
    flags: tuple[str, ...]


def checked_invariants(annotations: Mapping[str, Any], found: LyapunovSpectrum) -> Invariants:
    """Exponents beside what the package says of them.

    Args:
        annotations: ``maximum_lyapunov_estimated`` and ``lyapunov_spectrum_estimated``, which may be missing.
        found: Exponents of the system.
    """
    largest = annotations.get("maximum_lyapunov_estimated") or math.nan
    total = float(sum(annotations.get("lyapunov_spectrum_estimated") or [math.nan]))
    exponents, errors = ([_short(v) for v in part] for part in (found.exponents, found.errors))
    return Invariants(
        exponents=tuple(exponents),
        errors=tuple(errors),
        divergence=_short(found.divergence),
        mismatch=_short(found.mismatch),
        dimension=_short(found.dimension),
        annotated=largest,
        annotated_sum=total,
        flags=tuple(_flags(largest, total, found)),
    )


def _short(value: Any) -> float:
    """To six digits, as the table has it."""
    return float(f"{float(value):.6g}")


def _flags(largest: float, total: float, found: LyapunovSpectrum) -> list[str]:
    first, error = float(found.exponents[0]), 3 * float(found.errors[0].nan_to_num(0))
    room = MISMATCH * abs(found.divergence) + 0.01 * float(found.exponents.abs().sum())
    wrong = {  # what is not annotated is NaN, which differs from nothing
        "exponents do not sum to the divergence": found.mismatch > MISMATCH,
        "not chaotic within errors": first < error,
        "annotated largest exponent differs": abs(largest - first) > MISMATCH * abs(first) + error,
        "annotated sum is not the divergence": abs(total - found.divergence) > room,
    }
    return [flag for flag, holds in wrong.items() if holds]


@cache
def known_invariants() -> Mapping[str, Invariants]:
    """Invariants of all flows without delay, by name; the study ``chaotic_invariants`` writes them."""
    text = resources.files(__package__).joinpath(TABLE).read_text("utf-8")
    return {row["name"]: _read(row) for row in csv.DictReader(text.splitlines())}


def written(invariants: Mapping[str, Invariants]) -> str:
    """The table as CSV, in the order of the names."""
    columns = (
        "exponents",
        "errors",
        "divergence",
        "mismatch",
        "dimension",
        "annotated",
        "annotated_sum",
        "flags",
    )
    rows = [",".join(("name", *columns))]
    for name in sorted(invariants):
        one = invariants[name]
        parts = (getattr(one, column) for column in columns)
        rows.append(",".join((name, *map(_cell, parts))))
    return "\n".join(rows) + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, tuple):
        words = all(isinstance(part, str) for part in value)
        return "; ".join(value) if words else " ".join(f"{part:g}" for part in value)
    return f"{value:.6g}"


def _read(row: Mapping[str, str]) -> Invariants:
    plain: dict[str, Any] = {
        key: float(row[key]) for key in ("divergence", "mismatch", "dimension", "annotated", "annotated_sum")
    }
    return Invariants(
        exponents=tuple(map(float, row["exponents"].split())),
        errors=tuple(map(float, row["errors"].split())),
        flags=tuple(filter(None, row["flags"].split("; "))),
        **plain,
    )
