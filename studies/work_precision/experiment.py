"""How many evaluations does an error of 1e-4 cost, by this library's solvers and by those of two others?

Four modes in the plane with exact fields, from a signal-to-noise ratio of e^-10 to noise of 0.02 of the signal: a
named end point, which every library can reach. Every solver is tried at every setting that its library has for the
purpose; each library stands with its best one. The error is the root mean square distance from the exact flow.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from interpolants.foundations.errors import MissingExtraError
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, across
from interpolants.framework.seeds import Results, Stated, markdown
from studies.common import Study
from studies.work_precision.problem import problem
from studies.work_precision.solvers import AZULA, DIFFUSERS, LIBRARIES, OURS, missing, runs

Settings = Mapping[str, Any]
GOAL = 1e-4

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {"rows": 20, "budgets": [8, 20]},
    "laptop": {"rows": 200, "budgets": [8, 12, 20, 30, 40, 50, 60, 80, 120]},
    "full": {"rows": 2000, "budgets": [8, 12, 20, 30, 40, 50, 60, 75, 100, 150, 300, 450]},
}


def cases(settings: Settings) -> Sequence[str]:
    """The libraries."""
    return LIBRARIES


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """Errors of all configurations of a library by evaluations; the best, and where it reaches the goal.

    Raises:
        MissingExtraError: If the library is not installed.
    """
    if missing(case):
        raise MissingExtraError(f"work_precision needs {case}. Install it with: pip install {case}")
    at, budgets = problem(seed, settings["rows"]), settings["budgets"]
    values, goals = {}, {}
    for name, run in runs(case, at):
        errors = [at.error(run(n)) for n in budgets]
        errors = [error if math.isfinite(error) else math.inf for error in errors]
        values |= {f"{name}, {n}": error for n, error in zip(budgets, errors, strict=True)}
        goals[name] = _reached(budgets, errors)
    values |= {f"{name}, reached": n for name, n in goals.items()}
    values |= {f"best, {n}": min(values[f"{name}, {n}"] for name in goals) for n in budgets}
    return measured({**values, "reached": min(goals.values())})


def _reached(budgets: Sequence[int], errors: Sequence[float]) -> float:
    """Evaluations after which the error stays at or below the goal, between two budgets by their logarithms."""
    if errors[-1] > GOAL:
        return math.inf
    last = max((k for k, error in enumerate(errors) if error > GOAL), default=-1)
    if last < 0:
        return float(budgets[0])
    x, y = np.log(budgets[last : last + 2]), np.log(errors[last : last + 2])
    return float(np.exp(np.interp(-math.log(GOAL), -y, x)))


# --- table and figures ---------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """The best of each library at every budget, and its best configurations."""
    budgets = results.settings["budgets"]
    text = results.head + "\nSmallest error of each library, over its solvers and settings\n\n"
    head = ["library", f"evaluations for {GOAL:g}", *(str(n) for n in budgets)]
    rows = [
        [case, _count(results, case, "reached"), *_errors(results, case, "best")] for case in results.cases
    ]
    text += markdown(head, rows) + "\nConfigurations, the five that reach it first of each library\n\n"
    best = [
        [case, name, _count(results, case, f"{name}, reached"), *_errors(results, case, name)]
        for case in results.cases
        for name in _ranked(results, case)[:5]
    ]
    text += markdown(["library", "configuration", *head[1:]], best)
    absent = [case for case in LIBRARIES if case not in results.cases]
    return text + (f"\nNot measured: {', '.join(absent)}.\n" if absent else "")


def _count(results: Results, case: str, name: str) -> str:
    found = results.mean(case, name)
    return f"{found:.0f}" if math.isfinite(found) else "not reached"


def _errors(results: Results, case: str, name: str) -> list[str]:
    return [f"{results.mean(case, f'{name}, {n}'):.1e}" for n in results.settings["budgets"]]


def _ranked(results: Results, case: str) -> list[str]:
    """Configurations by the evaluations they need, then by their error at the largest budget."""
    ending, last = ", reached", results.settings["budgets"][-1]
    names = [name.removesuffix(ending) for name in results.names(case) if name.endswith(ending)]

    def need(name: str) -> tuple[float, float]:
        return results.mean(case, f"{name}, reached"), results.mean(case, f"{name}, {last}")

    return sorted(names, key=need)


def figures(results: Results) -> list[Figure]:
    """Error against evaluations of the best configurations."""
    budgets = results.settings["budgets"]
    series = []
    for hue, case in enumerate(results.cases):
        for place, name in enumerate(_ranked(results, case)[:2]):
            numbers = [(case, f"{name}, {n}") for n in budgets]
            label = f"{case}: {name}"
            series.append(
                results.curve(budgets, numbers, label, hue, dash="-" if not place else "--", errors=False)
            )
    x = Axis(label="evaluations", scale="log", ticks=tuple(budgets), names=tuple(map(str, budgets)))
    y = Axis(label="RMS distance from the exact flow", scale="log", grid=True)
    panel = Panel(series=(*series, across(GOAL, f"{GOAL:g}")), title="Best settings", x=x, y=y, legend="best")
    return [Figure(name="work_precision", panels=(panel,), width=760, height=440)]


CLAIMS = (
    Stated("ours.reached < 60", (OURS, "reached")),
    Stated("ours.reached < diffusers", (OURS, "reached"), (DIFFUSERS, "reached"), "peer"),
    Stated("ours.reached < azula", (OURS, "reached"), (AZULA, "reached"), "peer"),
)

STUDY = Study("work_precision", SETTINGS, cases, measure, table, figures, CLAIMS)
