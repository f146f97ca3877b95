"""Samples after 2 to 50 evaluations: the defaults of this library beside others, each at its best solver.

All learn from the same rows with the same network, steps, batches, optimizer and averaging; what differs is the path,
the coupling, what is learnt, and how it is sampled. A library's best solver at a budget is the one with the least mean
distance over the seeds, chosen after the fact: that is in its favour.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.metrics.energy_distance import energy_distance
from studies.common import Study
from studies.few_evaluations import problems, rivals
from studies.few_evaluations.rivals import LIBRARIES, OURS, TWIN

Settings = Mapping[str, Any]
UNIT = 1000
DEFAULT = "midpoint"  # what a bridge takes when no solver is named
FLOOR = "true samples"
_OURS = (OURS, TWIN)

_SHARED = {
    "budgets": [2, 4, 6, 10, 20, 50],
    "problems": list(problems.PROBLEMS),
    "libraries": list(LIBRARIES),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {**_SHARED, "problems": ["moons"], "libraries": [OURS], "data": 500, "n": 200, "budgets": [2, 4, 10],
              "bridge": {"steps": 40, "net": {"kind": "mlp", "width": 16, "depth": 2}}},
    "laptop": {**_SHARED, "data": 20_000, "n": 2000, "bridge": {}},
    "full": {**_SHARED, "data": 100_000, "n": 20_000, "bridge": {"steps": 20_000}},
}  # fmt: skip


def cases(settings: Settings) -> Sequence[str]:
    """A library on a problem that it takes, and true samples."""
    found = []
    for problem in settings["problems"]:
        takes = [one for one in settings["libraries"] if one != "azula" or problem in problems.FROM_NOISE]
        takes += [TWIN] if len(takes) > 1 else []
        found += [f"{problem} / {one}" for one in (*takes, FLOOR)]
    return found


def _missing(problem: str, library: str) -> list[str]:
    """Packages that are to be installed for a case."""
    return [name for name in (problems.missing(problem), *rivals.missing(library)) if name]


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """Train one library on one problem, and the distances that its solvers reach; nothing where it is not installed."""
    problem, library = case.split(" / ")
    if packages := _missing(problem, library):
        sys.stderr.write(f"few_evaluations: {case} is left out; pip install {' '.join(packages)}\n")
        return Answered()
    data = problems.sets(problem, seed, settings["data"], settings["n"])
    if library == FLOOR:
        half = len(data.test1) // 2
        return measured({"distance": energy_distance(data.test1[:half], data.test1[half:]).value})
    values = {}
    for solver, (stages, sampler) in rivals.learn(library, data, seed, settings).items():
        for n in settings["budgets"]:
            if n < stages:
                continue
            with torch.no_grad():
                arrived = sampler(data.test0, n // stages)
            values[f"{solver} @ {n}"] = _distance(arrived, data.test1)
    return measured(values)


def _distance(arrived: torch.Tensor, truth: torch.Tensor) -> float:
    """The energy distance; that of a point very far away where a solver left the finite numbers."""
    return energy_distance(arrived.nan_to_num(1e6).clamp(-1e6, 1e6).double(), truth.double()).value


# --- table and figures ---------------------------------------------------------------------------------------


def best(results: Results, case: str, n: int) -> str:
    """The solver of least mean distance at a budget."""
    solvers = [name.split(" @ ")[0] for name in results.names(case) if name.endswith(f" @ {n}")]
    return min(solvers, key=lambda solver: results.mean(case, f"{solver} @ {n}"))


def table(results: Results) -> str:
    """One table for each problem; the solver in brackets."""
    text = f"Energy distance times {UNIT}, in standardised units. " + results.head
    for problem in _problems(results):
        head = [problem, *(f"{n} evaluations" for n in results.settings["budgets"])]
        rows = [_row(results, f"{problem} / {one}", f"{one}, default solver", DEFAULT) for one in _OURS]
        rows += [
            _row(results, case, f"{library}, best")
            for library in LIBRARIES
            if results.names(case := f"{problem} / {library}")
        ]
        text += "\n" + markdown(head, rows)
        floor = results.shown(f"{problem} / {FLOOR}", "distance", 2, UNIT)
        text += f"\nTwo halves of the held-out rows: {floor}.\n"
    return text


def _row(results: Results, case: str, label: str, solver: str = "") -> list[str]:
    cells = []
    for n in results.settings["budgets"]:
        taken = solver or best(results, case, n)
        value = results.shown(case, f"{taken} @ {n}", 2, UNIT)
        cells.append(value if solver else f"{value} ({taken})")
    return [label, *cells]


def _problems(results: Results) -> list[str]:
    return [one for one in problems.PROBLEMS if results.names(f"{one} / {OURS}")]


def figures(results: Results) -> list[Figure]:
    """Distance over evaluations, problem by problem; each library at its best solver."""
    budgets, panels = results.settings["budgets"], []
    for problem in _problems(results):
        series = []
        for k, library in enumerate(LIBRARIES):
            case = f"{problem} / {library}"
            if results.names(case):
                taken = [DEFAULT if library == OURS else best(results, case, n) for n in budgets]
                numbers = [(case, f"{solver} @ {n}") for solver, n in zip(taken, budgets, strict=True)]
                series.append(results.curve(budgets, numbers, library, k, factor=UNIT, errors=False))
        x = Axis(label="evaluations", scale="log", ticks=tuple(budgets))
        y = Axis(label=f"energy distance x {UNIT}", scale="symlog", ticks=(-1, 0, 1, 10, 100), grid=True)
        panels.append(
            Panel(series=tuple(series), title=problem, x=x, y=y, legend="best" if not panels else "")
        )
    return [Figure(name="few_evaluations", panels=tuple(panels), width=1080, height=300)]


def _claim(
    name: str, problem: str, rival: str, number: str, expected: str = "holds", role: str = "peer"
) -> Stated:
    """The default solver with four evaluations is nearer than another's best there."""
    own = (f"{problem} / {OURS}", f"{DEFAULT} @ 4")
    return Stated(
        f"four.{name} < {rival}",
        own,
        (f"{problem} / {number.split(' / ')[0]}", number.split(" / ")[1]),
        role,
        3,
        expected,
    )


CLAIMS = (
    _claim("moons", "moons", "flow_matching", "flow_matching / heun3 @ 4"),
    _claim("weather", "weather", "flow_matching", "flow_matching / heun3 @ 4"),
    _claim("digits", "digits, 10 components", "torchcfm", "torchcfm / rk4 @ 4"),
    _claim("moons", "moons", "torchcfm", "torchcfm / euler @ 4"),
    _claim("rings", "moons to rings", "torchcfm", "torchcfm / midpoint @ 4"),
    _claim("weather", "weather", "torchcfm", "torchcfm / rk4 @ 4"),
    _claim("digits", "digits, 10 components", "azula", "azula / vAB 2 @ 4", "fails"),
    _claim("rings", "moons to rings", "random_pairs", f"{TWIN} / {DEFAULT} @ 4", role="twin"),
    _claim("weather", "weather", "random_pairs", f"{TWIN} / {DEFAULT} @ 4", role="twin"),
)

STUDY = Study("few_evaluations", SETTINGS, cases, measure, table, figures, CLAIMS)
