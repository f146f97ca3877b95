"""Bridges learnt from samples, by one network and one length of training, at equal numbers of evaluations.

"learn to generate": white noise to a mixture; "learn to translate": a mixture to a mixture, whose Schroedinger bridge
is known; "digits 3 to 8": images in 10 principal components.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Figure
from interpolants.framework.seeds import Results, Stated, markdown, shown
from interpolants.metrics.energy_distance import energy_distance
from interpolants.paths.kinetic import KineticOptimal
from interpolants.paths.path import SpatiallyLinearPath
from studies.common import Study
from studies.learnt_bridges.methods import BUDGETS, NOISY_BUDGETS, hold_against_truth, methods
from studies.learnt_bridges.problems import DIGITS, samples
from studies.which_bridge.experiment import (
    FLOOR,
    LEAST,
    NOTHING,
    UNIT,
    Grid,
    floor_of,
    limit,
    names,
    paths,
    shades,
    show,
)
from studies.which_bridge.problems import mixtures

Settings = Mapping[str, Any]
TASKS = ("learn to generate", "learn to translate", DIGITS)
# Members of `paths` that stand for what a card lets its user choose; they are not learnt.
VARIANTS = ("spatially_linear", "discrete_schedule")
SEPARATION = 250  # samples from which the schedule of least energy is made

_SHARED = {"methods": [], "data": 3000, "batch": 256, "components": 10, "repeats": 10}
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        **_SHARED, "tasks": list(TASKS[:2]), "methods": ["one_sided_linear", "linear", "light_sb"], "n": 200,
        "data": 500, "net": {"width": 16, "depth": 2}, "steps": 40, "batch": 64, "components": 3,
    },
    "laptop": {
        **_SHARED, "tasks": list(TASKS[:2]), "n": 400, "net": {"width": 64, "depth": 3}, "steps": 600, "batch": 128,
    },
    "full": {
        **_SHARED, "tasks": list(TASKS), "n": 10_000,
        "data": 100_000, "net": {"width": 256, "depth": 4}, "steps": 20_000, "batch": 1024, "components": 50,
    },
}  # fmt: skip


def cases(settings: Settings) -> Sequence[str]:
    """Every bridge of every task, and what frames the numbers."""
    found = []
    for task in settings["tasks"]:
        names = [name for name in learners(task) if not settings["methods"] or name in settings["methods"]]
        found += [f"{task} / {name}" for name in (*names, NOTHING, FLOOR)]
    return found


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """Learn one bridge, and hold its draws against held-out samples."""
    task, name = case.split(" / ")
    data = samples(task, seed, data=settings["data"], n=settings["n"], repeats=settings["repeats"])
    if name == NOTHING:
        return measured({"distance": energy_distance(data.test0, data.test1).value})
    if name == FLOOR:
        if data.rho1 is None:  # there are no more of them than the two halves
            found = energy_distance(data.x1, data.test1)
            return measured({"distance": found.value, "error": found.error})
        return measured(floor_of(data.rho1.sample, settings["n"], data.test1, seed))
    return measured(hold_against_truth(learners(task)[name], data, seed, settings), timed=("seconds",))


@cache
def learners(task: str) -> dict[str, Any]:
    """How each bridge is learnt on a task, by name."""
    example = mixtures(0, 2).rho1
    one_sided = {
        name: partial(_from_samples, name, make)
        for name, make in paths().items()
        if name not in VARIANTS and make(example).is_one_sided
    }
    return methods(task, one_sided)


def _from_samples(name: str, make: Callable[[Any], SpatiallyLinearPath], x1: Tensor) -> SpatiallyLinearPath:
    """A path to a distribution that is known by samples alone."""
    if name == "kinetic_optimal":
        return KineticOptimal.fit(x1[:SEPARATION])
    return make(_Moments(x1.mean(0), torch.cov(x1.T), x1.shape[1]))


@dataclass(frozen=True)
class _Moments:
    mean: Tensor
    covariance: Tensor
    dim: int


# --- table and figures ---------------------------------------------------------------------------------------


LOST = 10.0  # nats; beyond it a likelihood says nothing


def table(results: Results) -> str:
    """One table for each task."""
    parts = [f"Energy distances times {UNIT}, mean ± standard error over {len(results.seeds)} seeds.\n"]
    return "\n".join(parts + [_task(results, task) for task in _tasks(results)])


def _tasks(results: Results) -> list[str]:
    return [task for task in TASKS if results.names(f"{task} / {FLOOR}")]


def _task(results: Results, task: str) -> str:
    """One row for each bridge that was learnt on a task."""
    keys = [f"ode@{n}" for n in BUDGETS] + [f"sde@{n}" for n in NOISY_BUDGETS]
    floor = f"{_values(results, task, FLOOR, 'distance')}, up to {show(limit(results, task))} level with it"
    still = _values(results, task, NOTHING, "distance")
    rows = []
    for name in names(results, task):
        case = f"{task} / {name}"
        numbers = [_values(results, task, name, key) for key in keys]
        rows.append(
            [
                name,
                *numbers,
                _values(results, task, name, "back"),
                _values(results, task, name, "move", unit=1, digits=2),
                _nats(results.values(case, "nats")),
                results.shown(case, "seconds", 1),
            ]
        )
        if results.values(case, "draws@0"):
            drawn = _values(results, task, name, "draws@0")
            move = _values(results, task, name, "move, draws", unit=1, digits=2)
            empty = ["–"] * (len(keys) - 1)
            rows.append([f"{name}, draws without steps", drawn, *empty, "–", move, "–", "–"])
    head = [task, *(key.upper().replace("@", " ") for key in keys), "back, 32", "half squared move"]
    text = markdown([*head, "log p, error in nats", "fit, CPU s"], rows)
    return f"\n## {task}\n\nx0 as it is: {still}; two true sets: {floor}.\n\n{text}"


def _values(results: Results, place: str, name: str, key: str, *, unit: float = UNIT, digits: int = 1) -> str:
    values = [unit * value for value in results.values(f"{place} / {name}", key)]
    if values and max(values) > 1e4:
        return "> 10000"
    return shown(values, digits)


def _nats(values: Sequence[float]) -> str:
    return f"> {LOST:g}" if values and max(values) > LOST else shown(values, 2)


def figures(results: Results) -> list[Figure]:
    """Distance of the flow by bridge and number of evaluations."""
    panels = {task: _grid(results, task) for task in _tasks(results)}
    return [shades("learnt_bridges", panels, x="evaluations of the flow")]


def _grid(results: Results, task: str) -> Grid:
    rows = names(results, task)
    values = [[results.mean(f"{task} / {name}", f"ode@{n}") for n in BUDGETS] for name in rows]
    return Grid(rows, [str(n) for n in BUDGETS], values, max(limit(results, task), LEAST))


CLAIMS = (
    Stated(
        "plans.one_step < 0.1 independent", ("learn to translate / linear, zero, minibatch_ot", "ode@1"),
        ("learn to translate / linear, zero", "ode@1"),
    ),
    Stated(
        "latent_noise.four_steps < none", ("learn to translate / linear", "ode@4"),
        ("learn to translate / linear, zero", "ode@4"), expected="fails",
    ),
    Stated(
        "rectified.one_step < flow_map", ("learn to translate / rectification", "ode@1"),
        ("learn to translate / flow_map", "ode@1"), "peer",
    ),
)  # fmt: skip

STUDY = Study("learnt_bridges", SETTINGS, cases, measure, table, figures, CLAIMS)
