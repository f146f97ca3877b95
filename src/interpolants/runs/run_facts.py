"""What a report shows of a run of a recipe: its cells, models, data and answers as plain data."""

import inspect
import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from interpolants.foundations.bibliography import read_works
from interpolants.foundations.card_file import Card
from interpolants.foundations.errors import InterpolantsError, invalid
from interpolants.foundations.records import record_of
from interpolants.foundations.registry import find_card
from interpolants.foundations.storage import read_document, write_text
from interpolants.framework.answered import Answered
from interpolants.framework.experiment import MANIFEST, stored_answers
from interpolants.framework.figures import Figure
from interpolants.framework.method import Method
from interpolants.framework.scores import Finding
from interpolants.framework.stage_logs import stage_logs
from interpolants.reports.facts import CellFacts, ModelFacts, QuestionFacts, RunFacts, StageFacts
from interpolants.reports.words import count, setting, spaced
from interpolants.runs.commands import address, command
from interpolants.runs.data_facts import keep_data, kept_data
from interpolants.runs.models import CONFIG
from interpolants.runs.recipe import Recipe, TaskTables, make_claims, make_questions, roles_of
from interpolants.runs.recipe_files import RecipeFolder, tables_of
from interpolants.runs.recipe_run import TRAIN, CellWork, RecipeRun

COMMAND = "command.txt"


def keep_command(out: Path, command: str) -> None:
    """Keep the command that began a run; one that goes on with it changes nothing."""
    if not (out / COMMAND).exists():
        write_text(out / COMMAND, command + "\n")


def run_facts(folder: RecipeFolder, found: Answered) -> RunFacts:
    """All that a report shows of a run.

    Args:
        folder: The run.
        found: What its cells say together.
    """
    recipe, out = folder.recipe, folder.out
    run = RecipeRun(recipe)
    answers = stored_answers(run, out)
    works = [CellWork(TaskTables(**cell["task"]), cell["seed"], recipe.seeds, out / "work" / name)
             for name, cell in run.cells().items() if name in answers]  # fmt: skip
    cells = [_cell(work, answers[work.folder.name]) for work in works]
    return RunFacts(
        title=recipe.title or " and ".join(dict.fromkeys(cell.model.title for cell in cells)) or "A run",
        cells=cells,
        verdicts=found.verdicts,
        budget=recipe.budget,
        seed=recipe.seed,
        again=shlex.join(["interpolants", "run", "--config", str(out / CONFIG), "--out", f"{out}-again"]),
        use=_use(works[0], recipe, out) if works else "",
        settings=tables_of(recipe),
        waiting=[_words_of(cell, recipe) for name, cell in run.cells().items() if name not in answers],
        **_circumstances(out),
    )


def _words_of(cell: Mapping[str, Any], recipe: Recipe) -> str:
    """A cell for people: title of its task, and its seed where there are several."""
    task = TaskTables(**cell["task"])
    title = task.title or spaced(task.name)
    return title if recipe.seeds == 1 else f"{title}, seed {cell['seed']}"


def _use(work: CellWork, recipe: Recipe, out: Path) -> str:
    """The command that makes sense after a run: samples where its first method draws some, else its first verb."""
    try:
        can = {verb for verb, why in work.method.capabilities().items() if not why}
    except InterpolantsError:  # it holds code of a user
        return ""
    known = find_card(work.tables.method["kind"], "method", "report").verbs
    verb = next((verb for verb in ("sample", *known) if verb in can), "")
    return command(work.method, verb, address(recipe, out, work.folder.name)) if verb else ""


def _circumstances(out: Path) -> dict[str, Any]:
    """Command, versions, machine and time."""
    head = read_document(out / MANIFEST)
    machine = head.get("hardware", {}) if isinstance(head, dict) else None
    if not isinstance(machine, dict):
        raise invalid("report", f"{out / MANIFEST} must contain the hardware of the run", str(head)[:80])
    told = [machine.get("cpu", "")]
    told += [count(machine[f"{one}s"], one) for one in ("core", "thread") if f"{one}s" in machine]
    named = {"python": "python", "torch": "torch", "numpy": "numpy", "library": "interpolants"}
    command = out / COMMAND
    return {
        "command": command.read_text(encoding="utf-8").strip() if command.is_file() else "",
        "versions": {name: str(head[key]) for key, name in named.items() if key in head},
        "machine": ", ".join(str(part) for part in told if part),
        "created": str(head.get("started", "")),
        "seconds": head.get("seconds"),
    }


def _cell(work: CellWork, answered: Answered) -> CellFacts:
    tables, missing = work.tables, []
    data: Mapping[str, Any] = {"roles": (), "split": "", "in_sample": False}
    try:
        card = find_card(tables.method["kind"], "method", "report")
        model = model_facts(work.method, card, _chosen(work.method, tables.method))
    except InterpolantsError as error:  # it holds code of a user
        model = _unread_model(tables)
        missing.append(f"The model could not be read for this report: {error}")
    try:
        data = _data(work)
    except (InterpolantsError, OSError) as error:  # a file that is gone since the fit
        missing.append(f"The data could not be read for this report: {error}")
    findings = [Finding("It is judged on the rows it has learnt from: nothing was held out.", grave=False)]
    return CellFacts(
        task=tables.name,
        title=tables.title or (model.title if tables.name == "main" else spaced(tables.name).capitalize()),
        model=model,
        seed=work.seed,
        data=data["roles"],
        split=data["split"],
        stages=list(stages_of(work.folder / TRAIN)),
        questions=[question_facts(tables, table, answered) for table in tables.ask],
        findings=[*answered.findings, *(findings if data["in_sample"] and tables.ask else [])],
        missing=missing,
    )


def _data(work: CellWork) -> Mapping[str, Any]:
    found = kept_data(work.folder)
    if found is None:  # a run of an earlier version
        roles = roles_of(work.tables, work.unfitted)
        keep_data(work.folder, *work.data, roles, work.tables.split, work.method)
        found = kept_data(work.folder)
    assert found is not None
    return found


# --- models --------------------------------------------------------------------------------------------------


def model_facts(method: Method, card: Card | None, settings: Mapping[str, Any]) -> ModelFacts:
    """Return the facts of a method.

    Args:
        method: The method.
        card: Card of its class; None for a class without a card.
        settings: Settings that differ from the defaults.
    """
    works = read_works()
    sources = card.sources if card is not None else ()
    return ModelFacts(
        title=card.title if card is not None else type(method).__name__,
        opening=_opening(method),
        formulas=list(formulas_of(method)),
        settings=settings,
        parameters=sum(p.numel() for p in {id(p): p for p in parameters_of(method.state)}.values()),
        limits=card.limits if card is not None else "",
        sources=[(str(works[key]), works[key].link) for key in sources if key in works],
    )


def _unread_model(tables: TaskTables) -> ModelFacts:
    card = find_card(tables.method["kind"], "method", "report")
    settings = {name: value for name, value in tables.method.items() if name not in ("kind", "seed")}
    return ModelFacts(title=card.title, settings=settings, limits=card.limits)


def _opening(member: object) -> str:
    return (inspect.getdoc(type(member)) or "").partition("\n")[0].replace("`", "")


def _chosen(method: Method, table: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the recipe that differ from the defaults and that results depend on."""
    defaults = {f.name: f.default_factory() if f.default is MISSING and f.default_factory is not MISSING else f.default
                for f in fields(method)}  # fmt: skip
    silent = {"kind", "seed", *(name for name in method.free if name != "steps")}
    plain = {name: value for name, value in table.items() if name not in silent}
    return {name: value for name, value in plain.items() if value != defaults.get(name)}


def formulas_of(method: Method) -> Iterator[str]:
    """Formulas of a method and its members, in plain text: those that a fit has chosen, where a setting is open."""
    fitted = method.state if method.is_fitted and isinstance(method.state, Mapping) else {}
    used = {f.name: fitted.get(f.name) for f in fields(method)}
    values = [getattr(method, name, None) if value is None else value for name, value in used.items()]
    for member in (method, *values):
        if isinstance(several := getattr(member, "formulas", None), tuple):
            yield from several
        elif isinstance(one := getattr(member, "formula", None), str) and one:
            yield one


def parameters_of(tree: Any) -> Iterator[Tensor]:
    """Parameters of all networks in a state, those of methods inside too; shared ones come several times."""
    if isinstance(tree, nn.Module):
        yield from tree.parameters()
    elif isinstance(tree, Method):
        yield from parameters_of(tree.state)
    elif isinstance(tree, Mapping):
        for part in tree.values():
            yield from parameters_of(part)
    elif isinstance(tree, list | tuple):
        for part in tree:
            yield from parameters_of(part)
    elif (known := record_of(tree)) is not None:
        yield from parameters_of(known.parts(tree))


def stages_of(folder: Path) -> Iterator[StageFacts]:
    """Stages of a fit with what they logged, those of methods inside too.

    Args:
        folder: Where it was fitted.
    """
    for name, log in stage_logs(folder).items():
        seconds = [second for second in log.seconds if math.isfinite(second)]
        spent = max(seconds, default=None)
        yield StageFacts(name=name, history=log.rows, seconds=spent, held_out=log.held_out)


# --- questions -----------------------------------------------------------------------------------------------


def question_facts(tables: TaskTables, table: Mapping[str, Any], answered: Answered) -> QuestionFacts:
    """A question of a task and its answers.

    Args:
        tables: The task.
        table: The question, one of ``tables.ask``.
        answered: Answers of a cell of the task.
    """
    name = str(table.get("name", table["question"]))
    title = find_card(table["question"], "question", "report").title
    asked = {key: value for key, value in table.items() if key not in ("question", "name", "rivals")}
    made = {one: question for one, question, _ in make_questions(tables)}
    return QuestionFacts(
        name=name,
        title=title if name == table["question"] else f"{title}: {spaced(name)}",
        opening=_opening(made[name]),
        settings=asked,
        rivals=dict(_rival(rival) for rival in table.get("rivals", ())),
        expected=_expected(tables, name),
        scores=[s for s in answered.scores if s.name.startswith(f"{name}.")],
        figures=_figures(name, answered),
        texts={k.partition("/")[2]: v for k, v in answered.texts.items() if k.startswith(f"{name}/")},
        front=made[name].front,
    )


def _figures(name: str, answered: Answered) -> list[Figure]:
    return [
        replace(figure, name=figure.name.removeprefix(f"{name}-"))
        for figure in answered.figures
        if figure.name.startswith(f"{name}-")
    ]


def _rival(rival: Any) -> tuple[str, str]:
    """Name of a rival, as answers have it, and what it is."""
    table: dict[str, Any] = {"kind": rival} if isinstance(rival, str) else dict(rival)
    name = table.pop("name", "")
    if "twin" in table:
        return name or "twin", f"the same method with {setting(dict(table['twin']))}"
    card = find_card(table.pop("kind"), "method", "report")
    changed = f" ({setting(table)})" if table else ""
    return name or card.id, f"{card.title}{changed}"


def _expected(tables: TaskTables, question: str) -> list[str]:
    """Rivals that should win: oracles, and those of claims that should fail."""
    claims = [claim for claim in make_claims(tables) if claim.parts.question == question]
    return [c.parts.rival for c in claims if c.parts.rival and (c.role == "oracle" or c.expected == "fails")]
