"""Are the annotated invariants of known chaotic flows those of the flows?

Lyapunov exponents of all flows of the package dysts without delay, by evolution of an orthonormal frame from many
starts: their sum beside the divergence of the flow, which is the check of this computation, and beside the exponents
that the package states. The table of the library, ``sciml/chaos/problems/chaotic_invariants.csv``, is written from the
results by ``python -m studies.chaotic_invariants.write``.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import torch

from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.seeds import Results, markdown
from interpolants.metrics.lyapunov import LyapunovSpectrum
from interpolants.sciml.chaos.problems.chaotic_invariants import Invariants, checked_invariants
from interpolants.sciml.chaos.problems.chaotic_systems import ChaoticSystem, chaotic_systems
from studies.common import Study

Settings = Mapping[str, Any]
FEW = ("Lorenz", "Rossler", "Thomas")
ALL = "all systems"

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {"systems": "few", "starts": 4, "slow_starts": 4, "periods": 4.0},
    "laptop": {"systems": "all", "starts": 32, "slow_starts": 8, "periods": 20.0},
    "full": {"systems": "all", "starts": 256, "slow_starts": 64, "periods": 100.0},
}


def cases(settings: Settings) -> Sequence[str]:
    """The systems."""
    return FEW if settings["systems"] == "few" else chaotic_systems()


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """Exponents of one system."""
    system = ChaoticSystem(case)
    starts = settings["starts" if system.vectorised else "slow_starts"]
    found = system.lyapunov_spectrum(starts=starts, periods=settings["periods"], settle=5.0, seed=seed)
    one = checked_invariants(system.annotations, found)
    values = {
        name: float(getattr(one, name)) for name in ("divergence", "mismatch", "dimension", "annotated")
    }
    values |= {"annotated sum": one.annotated_sum, "largest": one.exponents[0], "error": one.errors[0]}
    values |= {"period": system.period, "flagged": float(bool(one.flags))}
    return measured(values, {"exponents": found.exponents, "errors": found.errors})


def invariants(results: Results) -> dict[str, Invariants]:
    """The library's table from the results of the first seed."""
    return {case: _invariants(case, results.arrays(case, 0), results) for case in results.cases}


def _invariants(case: str, arrays: Mapping[str, Any], results: Results) -> Invariants:
    spectrum = LyapunovSpectrum(
        torch.as_tensor(arrays["exponents"]), torch.as_tensor(arrays["errors"]),
        results.mean(case, "divergence"), math.nan,
    )  # fmt: skip
    return checked_invariants(ChaoticSystem(case).annotations, spectrum)


def table(results: Results) -> str:
    """How many systems are flagged, and every system."""
    found = invariants(results)
    reasons = [flag for one in found.values() for flag in one.flags]
    text = (
        results.head
        + f"\n{sum(bool(one.flags) for one in found.values())} of {len(found)} systems are flagged:\n\n"
    )
    text += "".join(f"- {reason}: {reasons.count(reason)}\n" for reason in dict.fromkeys(reasons))
    text += f"\nMedian mismatch of annotated sum and divergence: {100 * _mismatch(found):.1f} %.\n\n"
    head = [
        "system",
        "largest exponent",
        "annotated",
        "sum",
        "divergence",
        "annotated sum",
        "dimension",
        "flags",
    ]
    return text + markdown(head, [_row(name, one) for name, one in found.items()])


def _mismatch(found: Mapping[str, Invariants]) -> float:
    """Median over the systems with an annotated spectrum and a flow that contracts."""
    known = [one for one in found.values() if one.divergence < -1e-6 and math.isfinite(one.annotated_sum)]
    return median(abs(one.annotated_sum / one.divergence - 1) for one in known)


def _row(name: str, one: Invariants) -> list[str]:
    numbers = (one.annotated, math.fsum(one.exponents), one.divergence, one.annotated_sum, one.dimension)
    largest = f"{one.exponents[0]:.4g} ± {one.errors[0]:.2g}"
    return [name, largest, *(f"{value:.4g}" for value in numbers), "; ".join(one.flags)]


def figures(results: Results) -> list[Figure]:
    """Annotated beside computed, per period."""
    names = results.cases
    period = [results.mean(name, "period") for name in names]

    def per_period(key: str) -> list[float]:
        return [max(results.mean(name, key) * p, 1e-3) for name, p in zip(names, period, strict=True)]

    span = [1e-3, 10.0]
    same = Series(mark="line", arrays={"x": span, "y": span}, hue="muted", dash="--", name="equal")
    dots = Series(
        mark="points", arrays={"x": per_period("largest"), "y": per_period("annotated")}, name="systems"
    )
    panel = Panel(
        series=(dots, same),
        x=Axis(label="largest exponent times period, computed", scale="log"),
        y=Axis(label="annotated", scale="log"),
        legend="best",
    )
    return [Figure(name="chaotic_invariants", panels=(panel,), width=520, height=420)]


STUDY = Study("chaotic_invariants", SETTINGS, cases, measure, table, figures)
