"""Runs of a server, in the order given: every task and seed of run folders, finished or not, and saved methods."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from interpolants.foundations.errors import invalid
from interpolants.foundations.storage import MANIFEST
from interpolants.framework.method import MODEL, load
from interpolants.framework.stored import is_tree, method_id
from interpolants.runs.commands import address
from interpolants.runs.models import CONFIG, no_run
from interpolants.runs.recipe import Recipe, TaskTables
from interpolants.runs.recipe_files import RecipeFolder
from interpolants.runs.recipe_run import CellWork, RecipeRun
from interpolants.runs.run_answers import RunAnswers
from interpolants.web.runs import Shown

# Settings of runs before methods had one form.


def open_runs(folders: Sequence[Path]) -> list[Shown]:
    """Every task and seed of these run folders, and every method that was saved by itself, in order.

    Raises:
        InvalidInputError: If a folder holds neither, or its recipe or record is damaged.
    """
    found = [shown for folder in folders for shown in _opened(folder)]
    if len({shown.name for shown in found}) < len(found):
        for number, shown in enumerate(found, start=1):
            shown.name = f"{number}: {shown.name}"
    return found


def _opened(folder: Path) -> list[Shown]:
    name, words = folder.resolve().name, shlex.quote(str(folder))  # "." has no name of its own
    if is_tree(folder):
        _check_method(folder)
        return [Shown(name, folder, words)]
    if not (folder / CONFIG).is_file():
        _refuse(folder)
    recipe = RecipeFolder.stored(folder).recipe
    answers = RunAnswers(folder, RecipeRun(recipe))
    found = []
    for cell, tables in answers.run.cells().items():
        work = CellWork(TaskTables(**tables["task"]), tables["seed"], recipe.seeds, folder / "work" / cell)
        title = ": ".join(dict.fromkeys(filter(None, (recipe.title, work.tables.title))))
        place, words = work.folder / MODEL, address(recipe, folder, cell)
        found.append(Shown(name + _told(recipe, cell), place, words, title, answers, work))
    return found


def _told(recipe: Recipe, cell: str) -> str:
    """What tells a cell from the others of its run."""
    if recipe.seeds > 1:
        return ", {0}, seed {2}".format(*cell.rpartition("_seed"))
    return "" if len(recipe.tasks) == 1 else f", {cell}"


def _check_method(folder: Path) -> None:
    try:
        known = method_id(folder)
    except (ValueError, AttributeError) as error:
        raise invalid(
            "explorer", f"{folder} must hold a whole method", str(error), "Save it again."
        ) from error
    if not known:
        raise invalid("explorer", f"{folder} must hold a method", "another record", "Save one with save().")


def _refuse(folder: Path) -> NoReturn:
    """Say what a folder is that holds neither a run nor a method."""
    if (folder / MANIFEST).is_file():
        load(folder)  # refuses, and says what reads it
    raise no_run("explorer", "the folder must be one of a run, or of a saved method", folder)
