"""Recipes: what a run needs, as tables; a run of one is an experiment whose cells are its tasks, for each seed.

::

    title = "Flow map of the checkerboard"
    seed = 0

    [data.x1]                     # one table per role, see `interpolants.runs.values`
    problem = "checkerboard"
    n = 50000

    [split]                       # see `framework.task.Split`
    test = 0.2

    [method]
    kind = "flow_map"             # id of a method, and its settings
    path = "one_sided_linear"

    [[ask]]                       # questions, see `framework.questions`
    question = "sample_quality"
    rivals = ["gaussian_fit"]

    [[claim]]                     # see `framework.claims`
    says = "sample_quality.energy_distance < gaussian_fit"

    [track]                       # an experiment tracker, see `interpolants.runs.trackers`
    kind = "tensorboard"

    [quick]                       # what is other in a run of seconds
    data.x1.n = 500
    method.steps = 30

Several tasks stand in ``[[tasks]]``, each with a ``name`` and these tables; they may read models of earlier ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product
from typing import Any

from interpolants.foundations.checks import one_of, whole
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.registry import build, find_card
from interpolants.framework.claims import Claim
from interpolants.framework.method import Method
from interpolants.framework.questions import Question, check_able
from interpolants.framework.role import Role
from interpolants.framework.task import Split, Task
from interpolants.runs.overrides import merged
from interpolants.runs.trackers import make_tracker
from interpolants.runs.values import Place, Value, aligned, read_values

TASK_PARTS = ("name", "title", "data", "split", "method", "ask", "claim", "probe")
# Tables of earlier versions -> where their settings are now.
_FORMER = {
    "bridge": 'those of [bridge] are settings of [method], with kind = "bridge"',
    "train": "those of [train] are settings of [method] too: steps, batch_size, lr, ...",
    "evaluate": "those of [evaluate] are settings of questions, [[ask]]",
}
BUDGETS = ("ci", "study", "quick")
_MOST_SEEDS = 10_000
_TOP = ("title", "seed", "seeds", "budget", "track", "quick", "tasks", *TASK_PARTS)


@dataclass(frozen=True, kw_only=True)
class TaskTables:
    """One task of a recipe, as plain tables.

    Attributes:
        name: Name of its cells and folders.
        title: Its name for people.
        data: Role -> table.
        split: How rows are parted.
        method: The method's id as ``kind``, and its settings.
        ask: Questions.
        claim: Claims on their answers.
        probe: Inputs of capabilities that no test row has, for the law tests.
    """

    name: str = "main"
    title: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)
    method: Mapping[str, Any] = field(default_factory=dict)
    ask: Sequence[Mapping[str, Any]] = field(default_factory=list)
    claim: Sequence[Mapping[str, Any]] = field(default_factory=list)
    probe: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole recipe.

    Attributes:
        title: Heading of the report.
        seed: Seed of the first fit; the others count from it.
        seeds: Fits of each task.
        budget: ``"ci"`` or ``"study"``; claims of another are not judged. ``"quick"`` judges none.
        tasks: The tasks, in an order in which they can be run.
        track: Tracker of the run, ``kind`` and settings; empty for none. Results do not depend on it.
    """

    title: str = ""
    seed: int = 0
    seeds: int = 1
    budget: str = "ci"
    tasks: tuple[TaskTables, ...] = ()
    track: Mapping[str, Any] = field(default_factory=dict, compare=False)


def make_recipe(tables: Mapping[str, Any], place: str = "recipe", *, quick: bool = False) -> Recipe:
    """A recipe from its tables, checked as far as is possible without reading data.

    Args:
        tables: The tables.
        place: Where they come from, for the errors.
        quick: Lay the ``[quick]`` table over the others.

    Raises:
        InvalidInputError: If a key, a member or a setting is unknown; the nearest is named.
    """
    _check_form(place, tables)
    check_keys(place, tables, _TOP)
    own = {name: value for name, value in tables.items() if name != "quick"}
    if quick:
        own = quickened(own, tables.get("quick"), place)
    if "tasks" in own and (beside := [name for name in TASK_PARTS[1:] if name in own and name != "title"]):
        raise invalid(
            place, "a table of a task must not stand beside 'tasks'", repr(beside[0]), "Move it into a task."
        )
    listed = own.get("tasks") or [{name: own[name] for name in TASK_PARTS if name in own and name != "title"}]
    tasks = tuple(_task(f"{place}: task {number}", table) for number, table in enumerate(listed, start=1))
    _check_names(place, [task.name for task in tasks])
    head = {name: own[name] for name in ("title", "seed", "seeds", "budget", "track") if name in own}
    if quick:
        head["budget"] = "quick"
    recipe = Recipe(tasks=tasks, **head)
    _check_head(place, recipe)
    for task in tasks:
        make_split(task)
        method = make_method(task, recipe.seed, place)
        questions = make_questions(task, place)
        for _, question, _ in questions:
            check_able(question, method)
        judged = [claim for claim in make_claims(task) if claim.budget == recipe.budget]
        _check_claims(judged, questions)
    return recipe


def _check_claims(claims: Sequence[Claim], questions: Sequence[tuple[str, Question, Sequence[Any]]]) -> None:
    """Check that claims about a question name its scores and rivals: they are judged after the fits."""
    for claim, (name, question, rivals) in product(claims, questions):
        said = claim.parts
        if said.question != name:
            continue
        is_complete = bool(question.numbers) and type(question).about is Question.about
        if is_complete and said.score not in question.numbers:
            rule = f"the score of {said.question} must be one of {', '.join(question.numbers)}"
            raise invalid("[[claim]]", rule, repr(said.score), nearest(said.score, question.numbers))
        names = [_name_of(rival) for rival in rivals]
        if said.rival not in ("", "floor", *names):
            rule = (
                f"the rival must be one of those of {said.question}, {', '.join(names) or 'which has none'}"
            )
            raise invalid("[[claim]]", rule, repr(said.rival), nearest(said.rival, names))


def _check_head(place: str, recipe: Recipe) -> None:
    if not isinstance(recipe.title, str):
        raise invalid(place, "title must be a text", repr(recipe.title)[:80])
    whole(place, "seed", recipe.seed, at_least=0)
    whole(place, "seeds", recipe.seeds, at_least=1, at_most=_MOST_SEEDS)
    one_of(place, "budget", recipe.budget, BUDGETS)
    if recipe.track != {}:
        make_tracker(recipe.track, f"{place}: [track]")


def _check_form(place: str, tables: Any) -> None:
    """Refuse settings of versions before 0.2, which were of bridges alone, with the words of today."""
    if not isinstance(tables, Mapping):
        return
    listed = tables.get("tasks")
    if "tasks" in tables and not isinstance(listed, list | tuple):
        raise invalid(place, "tasks must be a list of tables, [[tasks]]", repr(listed)[:80])
    parts = [
        tables,
        *(part for part in (listed if isinstance(listed, list | tuple) else ()) if isinstance(part, Mapping)),
    ]
    for old, new in _FORMER.items():
        if any(old in part for part in parts):
            raise invalid(
                place, f"settings of a run stand in [method], [data] and [[ask]]; {new}", f"[{old}]"
            )


def quickened(tables: dict[str, Any], quick: Mapping[str, Any] | None, place: str) -> dict[str, Any]:
    """The tables with ``[quick]`` over them; in a recipe of several tasks its tables are named after the tasks.

    Raises:
        InvalidInputError: If there is none, or one of its tables is named after no task.
    """
    if quick is None:
        remedy = "Leave --quick out, or add a table [quick] with what is smaller, e.g. method.steps."
        raise invalid(place, "--quick needs a recipe with a [quick] table", "none", remedy)
    if "tasks" not in tables:
        return merged(tables, quick)
    named = {task.get("name", "main") for task in tables["tasks"] if isinstance(task, Mapping)}
    check_keys(f"{place}: quick", quick, (*sorted(named), "seeds", "title"))
    tasks = [merged(task, quick.get(task.get("name", "main"), {})) for task in tables["tasks"]]
    rest = {name: value for name, value in quick.items() if name in ("seeds", "title")}
    return merged({**tables, "tasks": tasks}, rest)


def as_lists(value: Any) -> Any:
    """Tuples as lists, as they come back from a file."""
    if isinstance(value, Mapping):
        return {key: as_lists(inner) for key, inner in value.items()}
    return [as_lists(inner) for inner in value] if isinstance(value, list | tuple) else value


def check_keys(place: str, table: Any, known: Sequence[str]) -> None:
    """Refuse what is no table, or has an unknown key."""
    if not isinstance(table, Mapping):
        raise invalid(place, "it must be a table", repr(table)[:80])
    for key in table:
        if key not in known:
            raise invalid(place, "every key must be valid", repr(key), nearest(str(key), known))


def _task(place: str, table: Any) -> TaskTables:
    check_keys(place, table, [f.name for f in fields(TaskTables)])
    task = TaskTables(**as_lists(table))
    for name in ("data", "split", "method", "probe"):
        if not isinstance(getattr(task, name), Mapping):
            raise invalid(place, f"{name} must be a table", repr(getattr(task, name))[:80])
    for name in ("ask", "claim"):
        if not isinstance(getattr(task, name), list):
            raise invalid(place, f"{name} must be tables, [[{name}]]", repr(getattr(task, name))[:80])
    if not isinstance(task.method.get("kind"), str):
        raise invalid(place, "method must have a kind, the id of a method", repr(task.method.get("kind")))
    return task


def _check_names(place: str, names: list[str]) -> None:
    for name in names:
        good = isinstance(name, str) and name.isascii() and name.replace("_", "").replace("-", "").isalnum()
        if not good or len(name) > 60:
            raise invalid(place, "name of a task must be of letters, digits, - and _", repr(name))
    if len({name.lower() for name in names}) < len(names):
        raise invalid(place, "tasks must have different names", names)


# --- from tables to objects ----------------------------------------------------------------------------------


def make_method(task: TaskTables, seed: int, place: str = "recipe") -> Method:
    """The unfitted method of a task."""
    settings = dict(task.method)
    kind = settings.pop("kind")
    find_card(kind, "method", f"{place}: 'method.kind'")
    made = build("method", kind, **{"seed": seed, **settings})
    assert isinstance(made, Method)
    return made


def _rivals(table: Mapping[str, Any]) -> Sequence[Any]:
    """Rivals of a question: names, and tables with a kind or a twin."""
    who, rivals = f"ask {table['question']}", table.get("rivals", ())
    if not isinstance(rivals, list | tuple):
        raise invalid(who, "rivals must be a list", rivals)
    for rival in rivals:
        if not (isinstance(rival, str) or (isinstance(rival, Mapping) and rival.keys() & {"kind", "twin"})):
            raise invalid(who, "a rival must be a name, or a table with kind or twin", rival)
    return rivals


def _name_of(rival: Any) -> str:
    return rival if isinstance(rival, str) else str(rival.get("name", rival.get("kind", "twin")))


def _check_rivals(rivals: Sequence[Any], who: str) -> None:
    """Refuse two rivals of one name: a rival is fitted once for all questions.

    Raises:
        InvalidInputError: If their settings differ.
    """
    seen: dict[str, Any] = {}
    for rival in rivals:
        table = {"kind": rival} if isinstance(rival, str) else dict(rival)
        name = _name_of(rival)
        table.pop("name", None)
        if seen.setdefault(name, table) != table:
            rule = f"rivals that are called {name} must have the same settings in all questions"
            raise invalid(who, rule, f"{seen[name]} and {table}", "Rename one of them.")


def make_questions(task: TaskTables, place: str = "recipe") -> list[tuple[str, Question, Sequence[Any]]]:
    """The questions of a task: name, question, rivals."""
    found = []
    for table in task.ask:
        if not isinstance(table, Mapping) or not isinstance(table.get("question"), str):
            raise invalid(
                f"{place}: [[ask]]",
                "it must name a question",
                repr(table)[:80],
                'For example, write question = "sample_quality".',
            )
        settings = {
            name: value for name, value in table.items() if name not in ("question", "rivals", "name")
        }
        for name, least in (("n", 1), ("seed", 0)):
            if settings.get(name) is not None:
                whole(f"ask {table['question']}", name, settings[name], at_least=least)
        question = build("question", table["question"], **settings)
        found.append((str(table.get("name", table["question"])), question, _rivals(table)))
    names = [name for name, _, _ in found]
    if len(set(names)) < len(names):
        raise invalid(
            f"{place}: [[ask]]", "questions must have different names", names, "Add name = ... to one."
        )
    _check_rivals([rival for _, _, rivals in found for rival in rivals], f"{place}: [[ask]]")
    return found


def make_claims(task: TaskTables) -> list[Claim]:
    """The claims of a task."""
    known = [f.name for f in fields(Claim)]
    for table in task.claim:
        check_keys("[[claim]]", table, known)
        if not isinstance(table.get("says"), str):
            remedy = 'For example, write says = "sample_quality.energy_distance < gaussian_fit".'
            raise invalid("[[claim]]", "says must be a text", repr(table.get("says"))[:80], remedy)
    return [Claim(**table) for table in task.claim]


def make_split(task: TaskTables) -> Split:
    """Split of the rows."""
    check_keys("split", task.split, [f.name for f in fields(Split)])
    return Split(**task.split)


def roles_of(task: TaskTables, method: Method) -> list[Role]:
    """Roles of the method, then those of the questions."""
    own = {role.name: role for role in method.roles()}
    for _, question, _ in make_questions(task):
        own |= {role.name: role for role in question.reads() if role.name not in own}
    return list(own.values())


def make_task(task: TaskTables, method: Method, place: Place) -> tuple[Task, dict[str, Value]]:
    """The data of a task, parted.

    Raises:
        InvalidInputError: If there is a table for a role that nobody reads, or values do not fit.
    """
    roles, split = roles_of(task, method), make_split(task)
    known = [*(role.name for role in roles), *split.roles]
    for role in task.data:
        if role not in known:
            who = f"data.{role}"
            raise invalid(
                who, f"it must be a role of {task.method['kind']}", repr(role), nearest(role, known)
            )
    named = replace(place, roles={role.name: role for role in roles})
    values = aligned(read_values(task.data, named), roles)
    plain = {name: value.value for name, value in values.items()}
    parts = {name: value.parts for name, value in values.items() if value.parts is not None}
    truths = {name: value.truth for name, value in values.items() if value.truth is not None}
    return Task.of(roles, plain, split, parts=parts, truths=truths), values


def cell_name(task: str, seed: int, seeds: int) -> str:
    """Name of a cell: the task, and the seed where there are several."""
    return task if seeds == 1 else f"{task}_seed{seed}"
