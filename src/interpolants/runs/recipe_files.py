"""Recipes in files and run folders: read, changed by overrides, kept beside the results, and gone on with."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from interpolants.executors.executor import Executor
from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.folder_lock import LOCK, locked
from interpolants.foundations.links import refuse_links
from interpolants.foundations.storage import read_document, write_text
from interpolants.framework.answered import Answered
from interpolants.framework.experiment import CELLS, GATHERED, RESULTS, Progress
from interpolants.framework.method import MODEL
from interpolants.framework.stages import IDENTITY, PLAN
from interpolants.framework.trained import Trained
from interpolants.runs.file_hashes import file_hashes
from interpolants.runs.models import CONFIG, no_run
from interpolants.runs.overrides import apply, plain
from interpolants.runs.recipe import TASK_PARTS, Recipe, TaskTables, make_method, make_recipe, quickened
from interpolants.runs.recipe_run import TRAIN, run_recipe, train_recipe
from interpolants.runs.settings_files import find_config, read_settings
from interpolants.runs.trackers import make_tracker

# What a longer training changes of the settings of a method.
_LONGER = ("steps", "restarts")
FILES = "data_files.json"  # hashes of the files that the data came from
# What says how a run is judged; changing it does not change what was learnt.
_LATER = ("title", "ask", "claim", "probe")


def read_recipe(name: str | Path, overrides: Iterable[str] = (), *, quick: bool = False) -> Recipe:
    """A recipe from a file or by its name, changed by overrides ``key.path=value``.

    Raises:
        InvalidInputError: If the file is missing or damaged, or a key, member or setting is unknown.
    """
    file = find_config(Path(name))
    return changed_recipe(read_settings(file), overrides, place=file.name, quick=quick)


def changed_recipe(
    tables: Any,
    overrides: Iterable[str] = (),
    *,
    place: str = "recipe",
    quick: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Recipe:
    """A recipe from its tables, with overrides applied after ``[quick]``; ``options`` are such by key path."""
    own = plain(tables, place)
    if not isinstance(own, dict):
        raise invalid(place, "a recipe must be a table of keys", type(own).__name__)
    own = quickened(own, own.get("quick"), place) if quick else own
    own.pop("quick", None)
    if "tasks" not in own:
        task = {name: own.pop(name) for name in TASK_PARTS if name in own and name != "title"}
        own["tasks"] = [task]
    apply(own, overrides, options)
    if quick:
        own["budget"] = "quick"
    return make_recipe(own, place)


@dataclass(frozen=True)
class RecipeFolder:
    """A run folder and the recipe in it.

    Attributes:
        out: The folder.
        recipe: The recipe.
        goes_on: Whether it is that of the run there with more steps of training.
    """

    out: Path
    recipe: Recipe
    goes_on: bool = False

    @classmethod
    def stored(cls, out: Path) -> "RecipeFolder":
        """Recipe that a folder was made with.

        Raises:
            InvalidInputError: If it is no run of a recipe.
        """
        file = out / CONFIG
        if not file.is_file():
            raise no_run("run", f"the folder must be one of a run, with a {CONFIG}", out)
        refuse_links("run", out)
        try:
            tables = read_document(file)
        except InvalidInputError as error:
            remedy = "Run the recipe into a new folder."
            raise invalid("run", f"{file} must be whole", str(error), remedy) from error
        if not isinstance(tables, dict):
            raise invalid("run", f"{file} must contain a table of settings", type(tables).__name__)
        return cls(out, make_recipe(tables, str(file)))

    def longer(self, more: int) -> "RecipeFolder":
        """The run with so many more steps of training in every task; its models and answers are made anew.

        Raises:
            InvalidInputError: If a method has no training, or one of several stages.
        """
        tables = tables_of(self.recipe)
        for task in tables["tasks"]:
            method = make_method(TaskTables(**task), self.recipe.seed)
            if not isinstance(method, Trained):
                rule = "--more is for methods that are trained by steps"
                raise invalid("train", rule, str(task["method"]["kind"]))
            task["method"] |= {name: value for name, value in method.longer(more).items() if value}
        for work in self.out.glob(f"work/*/{TRAIN}"):
            stages = sorted(
                entry.name for entry in work.iterdir() if entry.is_dir() and entry.name != IDENTITY
            )
            if len(stages) != 1 or not (work / stages[0] / PLAN).is_file():
                rule, remedy = "a fit of one training can be trained longer", "Run it anew with more steps."
                raise invalid("train", rule, f"the stages {', '.join(stages)} in {work}", remedy)
        return RecipeFolder(self.out, make_recipe(tables, str(self.out)), goes_on=True)

    def open(self, *, resume: bool) -> bool:
        """Make the folder, or take up the run in it; whether it was taken up. Nothing of another run is replaced.

        Raises:
            InvalidInputError: If the folder holds something else.
        """
        if not self.out.is_dir() or not any(entry.name != LOCK for entry in self.out.iterdir()):
            self._keep()
            return False
        if not (self.out / CONFIG).is_file():
            rule, found = "out must be a new folder or one of a run", f"{self.out}, which holds other files"
            raise invalid("run", rule, found, "Choose another folder.")
        before = RecipeFolder.stored(self.out).recipe
        finished = (self.out / GATHERED).exists()
        if not resume and (finished or before != self.recipe):
            what = "a finished run" if before == self.recipe else "a run with other settings"
            remedy = "Pass --resume to go on with it, or choose another folder."
            raise invalid("run", "out must not hold another run", f"{self.out}, which holds {what}", remedy)
        self._check_files()
        if before == self.recipe:
            self._keep()
            return True
        self._check_learnt(before)
        if self.goes_on:  # what was trained is in the folders of the fits
            for name in (MODEL, "rivals"):
                for old in self.out.glob(f"work/*/{name}"):
                    shutil.rmtree(old)
        for name in (RESULTS, GATHERED, CELLS):  # models stay: only the questions have changed
            shutil.rmtree(self.out / name, ignore_errors=True)
        self._keep()
        return True

    def _check_files(self) -> None:
        """Refuse to go on where something was learnt from files that have changed since."""
        learnt = [*self.out.glob(f"work/*/{MODEL}"), *self.out.glob(f"{CELLS}/*"), *self.out.glob(RESULTS)]
        if not learnt or not (self.out / FILES).is_file():
            return
        now = self._files()
        for task, files in read_document(self.out / FILES).items():
            for role, told in files.items():
                if now.get(task, {}).get(role, told) != told:
                    rule = f"the data of the run in {self.out} must be as they were"
                    remedy = "Choose another folder, or bring the file back."
                    raise invalid("run", rule, f"another file for {role} of {task}", remedy)

    def _files(self) -> dict[str, dict[str, str]]:
        return {task.name: file_hashes(task.data) for task in self.recipe.tasks}

    def _check_learnt(self, before: Recipe) -> None:
        """Refuse settings by which another model would be learnt."""
        then, now = (_flat(_without(asdict(recipe))) for recipe in (before, self.recipe))
        free = _LONGER if self.goes_on else ()
        changed = [
            key
            for key in sorted(then.keys() | now.keys())
            if then.get(key) != now.get(key) and key.split(".")[3:4] not in [[name] for name in free]
        ]
        if changed:
            shown = "; ".join(f"{key} {then.get(key)!r} -> {now.get(key)!r}" for key in changed[:4])
            remedy = "Choose another folder, or leave the settings as they were."
            raise invalid("run", f"the run in {self.out} must keep its settings", shown, remedy)

    def _keep(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(tables_of(self.recipe), indent=1, ensure_ascii=False, allow_nan=False)
        write_text(self.out / CONFIG, text + "\n")
        if any((files := self._files()).values()):
            before = read_document(self.out / FILES) if (self.out / FILES).is_file() else {}
            kept = {task: {**before.get(task, {}), **found} for task, found in files.items()}
            write_text(self.out / FILES, json.dumps(kept, indent=1) + "\n")

    def run(
        self,
        *,
        resume: bool = False,
        workers: int | Executor = 1,
        progress: bool = False,
        after_cell: Progress | None = None,
    ) -> Answered:
        """Open the folder, run what is missing, gather; ``after_cell`` gets the name of each finished cell."""
        self._check_tracker()
        with self._locked(), self._undone_if_refused(self.open(resume=resume)):
            return run_recipe(
                self.recipe, self.out, workers=workers, progress=progress, after_cell=after_cell
            )

    def train(self, *, resume: bool = False, progress: bool = False) -> list[Path]:
        """Fit and store what is missing, and ask nothing; folders of the models."""
        self._check_tracker()
        with self._locked(), self._undone_if_refused(self.open(resume=resume)):
            return train_recipe(self.recipe, self.out, progress=progress)

    def _check_tracker(self) -> None:
        """Raise MissingExtraError before the folder is made if the package of the tracker is missing."""
        if self.recipe.track:
            make_tracker(self.recipe.track).check_installed()

    def _locked(self) -> AbstractContextManager[None]:
        if self.out.is_file():
            raise invalid("run", "out must be a folder", f"the file {self.out}", "Choose another name.")
        return locked("run", self.out)

    @contextmanager
    def _undone_if_refused(self, taken_up: bool) -> Iterator[None]:
        """Leave no folder behind where a new run is refused before anything was learnt, such as for its data."""
        try:
            yield
        except InvalidInputError:
            learnt = [
                *self.out.glob(f"{CELLS}/*"),
                *self.out.glob(f"work/*/{MODEL}"),
                *self.out.rglob("step-*"),
            ]
            if not taken_up and not learnt:
                shutil.rmtree(self.out)
            raise


def tables_of(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain tables, from which an equal one is made."""
    tables = json.loads(json.dumps(asdict(recipe)))
    return {name: value for name, value in tables.items() if value not in ("", [], {})}


def _without(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(inner) for key, inner in value.items() if key not in _LATER}
    return [_without(inner) for inner in value] if isinstance(value, list | tuple) else value


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping | list):
        return {prefix: value}
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
    return {k: v for key, inner in pairs for k, v in _flat(inner, f"{prefix}.{key}".lstrip(".")).items()}
