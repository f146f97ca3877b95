"""Table and figure of the bridges that were learnt."""

from collections.abc import Sequence
from pathlib import Path

from studies.common import Results, Study, markdown, shown
from studies.learnt_bridges.experiment import SETTINGS, TASKS, cases, measure
from studies.learnt_bridges.methods import BUDGETS, NOISY_BUDGETS
from studies.which_bridge.experiment import FLOOR, NOTHING
from studies.which_bridge.report import LEAST, UNIT, Panel, draw, limit, mean, names, show

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
                shown(results.values(case, "seconds"), 1),
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


def figures(results: Results, folder: Path) -> None:
    """Distance of the flow by bridge and number of evaluations."""
    panels = [_panel(results, task) for task in _tasks(results)]
    draw(panels, folder / "learnt_bridges.png", x="evaluations of the flow")


def _panel(results: Results, task: str) -> Panel:
    rows = names(results, task)
    values = [[mean(results, f"{task} / {name}", f"ode@{n}") for n in BUDGETS] for name in rows]
    return Panel(task, rows, [str(n) for n in BUDGETS], values, max(limit(results, task), LEAST))


STUDY = Study("learnt_bridges", SETTINGS, cases, measure, table, figures)
