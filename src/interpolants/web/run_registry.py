"""Runs of a server, in the order given: every task and seed of run folders, finished or not, and saved methods."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from interpolants.foundations.errors import InterpolantsError, invalid
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


def open_runs(
    folders: Sequence[Path], problems: list[str] | None = None, allowed: Sequence[Path] = ()
) -> list[Shown]:
    """Every task and seed of these run folders, and every method that was saved by itself, in order.

    A folder that is neither stands for the runs and methods right in it, by name.

    Args:
        folders: The folders.
        problems: Takes a line for each run of such a parent that cannot be opened.
        allowed: Files and folders outside of the runs that their recipes may open.

    Raises:
        InvalidInputError: If a folder holds none, or the recipe or record of one that was named is damaged.
    """
    found = []
    for place in allowed:
        if not place.exists():
            raise invalid("explorer", "--data must be a file or folder that there is", str(place))
    for folder in folders:
        found += (
            _opened(folder) if is_single(folder) else _inside(folder, [] if problems is None else problems)
        )
    for shown in found:
        shown.allowed = allowed
    if len({shown.name for shown in found}) < len(found):
        for number, shown in enumerate(found, start=1):
            shown.name = f"{number}: {shown.name}"
    return found


def is_single(folder: Path) -> bool:
    """Whether a folder is that of a run or of a saved method."""
    return is_tree(folder) or (folder / CONFIG).is_file()


def first_page(folders: Sequence[Path], runs: Sequence[Shown]) -> str:
    """The page to open: the playground, a run, two that were named side by side, or the index."""
    if not runs:
        return ""
    if len(folders) > 2 or not all(map(is_single, folders)):
        return "runs"
    if len(folders) == 1:
        return "run"
    other = next(k for k, shown in enumerate(runs) if k and shown.place.is_relative_to(folders[1]))
    return "compare#" + quote(json.dumps({"run": 0, "other": other}))


def _inside(parent: Path, problems: list[str]) -> list[Shown]:
    """The runs and methods of a parent folder."""
    inner = sorted(parent.iterdir()) if parent.is_dir() else []
    known = [folder for folder in inner if folder.is_dir() and not folder.is_symlink() and is_single(folder)]
    if not known:
        _refuse(parent)
    found = []
    for folder in known:
        try:
            found += _opened(folder)
        except InterpolantsError as error:
            problems.append(str(error))
    return found


def _opened(folder: Path) -> list[Shown]:
    name, words = folder.resolve().name, shlex.quote(str(folder))  # "." has no name of its own
    if is_tree(folder):
        _check_method(folder)
        return [Shown(name, folder, words)]
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
            "explorer", f"{folder} must contain a whole method", str(error), "Save it again."
        ) from error
    if not known:
        raise invalid(
            "explorer", f"{folder} must contain a method", "another record", "Save one with save()."
        )


def _refuse(folder: Path) -> NoReturn:
    """Say what a folder is that holds neither a run nor a method."""
    if (folder / MANIFEST).is_file():
        load(folder)  # refuses, and says what reads it
    raise no_run(
        "explorer", "the folder must be one of a run, of a saved method, or a parent of such", folder
    )
