"""A fitted method that a page shows: a cell of a run, or one saved by itself; addressed by number, never by path.

Nothing is read before it is asked for: a list of runs needs the names of their cells alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from interpolants.foundations import trees
from interpolants.foundations.errors import InterpolantsError, invalid
from interpolants.framework.answered import Answered
from interpolants.framework.method import Method, load
from interpolants.framework.stage_logs import StageLog, stage_logs
from interpolants.framework.stages import IDENTITY
from interpolants.framework.stored import is_tree, method_id
from interpolants.methods.bridge.bridge import Bridge
from interpolants.methods.bridge.examples import Examples
from interpolants.methods.questions.plane import Plane, fit_plane
from interpolants.reports.draw import draw
from interpolants.reports.style import DARK, LIGHT
from interpolants.runs.recipe_run import TRAIN, CellWork
from interpolants.runs.run_answers import RunAnswers
from interpolants.web.recipe_places import closed, outside
from interpolants.web.snapshots import Snapshots

# Rows of each end that a page can choose from.
ROWS = 2000

Found = TypeVar("Found")
THEMES = {theme.name: theme for theme in (LIGHT, DARK)}
_drawing = Lock()


@dataclass(eq=False)
class Shown:
    """One fitted method.

    Attributes:
        name: What the list calls it.
        place: Folder of the model.
        address: The words by which commands take it.
        title: Titles of its recipe and task.
        answers: Answers of its run; None where it was saved by itself.
        work: Its cell of the run.
        allowed: Files and folders outside of the run that its recipe may open.
    """

    name: str
    place: Path
    address: str
    title: str = ""
    answers: RunAnswers | None = None
    work: CellWork | None = None
    allowed: Sequence[Path] = ()
    _drawn: dict[Any, bytes] = field(default_factory=dict, repr=False)

    @cached_property
    def snapshots(self) -> Snapshots | None:
        """The newest state of a training; None where it cannot be made."""
        return None if self.work is None or self.closed else Snapshots(self.work)

    @property
    def state(self) -> str:
        """``training``, ``trained``, or ``done`` once the questions of its recipe are answered."""
        if self.answers is None or self.answers.has(self.place.parent.name):
            return "done"
        return "trained" if is_tree(self.place) else "training"

    @cached_property
    def kind(self) -> str:
        """Id of the method's card."""
        return method_id(self.place) if self.work is None else str(self.work.tables.method["kind"])

    def line(self, index: int) -> dict[str, Any]:
        """Entry in the list of runs."""
        return {"index": index, "name": self.name, "kind": self.kind, "state": self.state}

    @cached_property
    def closed(self) -> str:
        """Why the data of its recipe are not read, in a sentence; empty where they are, or it has no recipe."""
        if self.work is None:
            return ""
        tables, run = self.work.tables, self.work.folder.parent.parent
        return closed(tables.data, run, self.allowed) or outside({"method": tables.method}, run, self.allowed)

    # --- the model

    @cached_property
    def _loaded(self) -> Method:
        found: Method = load(self.place)
        return found

    def method(self) -> Method:
        """The fitted method; of one in training the snapshot that its page has made.

        Raises:
            InvalidInputError: If it is not trained yet, or damaged.
        """
        if not is_tree(self.place):
            if self.state == "training" and self.snapshots is not None and self.snapshots.bridge is not None:
                return self.snapshots.bridge
            why = "not trained yet" if self.state == "training" else "of which only the results are left"
            raise invalid("explorer", "the model must be available", f"{self.name!r}, {why}")
        return self._loaded

    def bridge(self) -> Bridge:
        """The bridge.

        Raises:
            InvalidInputError: If it is not trained yet, damaged, or another method.
        """
        found = self.method()
        if not isinstance(found, Bridge):
            rule, remedy = "only a bridge shows samples on their way", "What it answered is on its page."
            raise invalid("explorer", rule, f"{self.name!r}, of kind {self.kind}", remedy)
        return found

    @property
    def shape(self) -> tuple[int, ...]:
        """Event shape of the data of a bridge."""
        return self.bridge().shape

    @property
    def is_image(self) -> bool:
        """Whether its data are drawn as images."""
        return is_image(self.shape)

    @cached_property
    def rows(self) -> Examples:
        """Starts and ends to choose from: test rows of the run's task, else what the bridge keeps."""
        bridge = self.bridge()
        kept = bridge.examples(ROWS)
        try:
            if self.work is not None and not self.closed and _learnt_from(bridge, self.work):
                return _test_rows(bridge, self.work, kept)
        except (InterpolantsError, OSError):  # the data of the run are elsewhere now
            pass
        return kept

    @cached_property
    def plane(self) -> Plane:
        """The plane in which its data are drawn."""
        return fit_plane(self.rows.x1.numpy())

    # --- what the run stored

    def answered(self) -> Answered:
        """What its questions found, with the verdicts on the claims of its task over all seeds.

        Raises:
            InvalidInputError: If the results are damaged, or of other settings.
        """
        if self.answers is None or self.work is None or self.state != "done":
            return Answered()
        every = self.answers.by_cell()
        found = every.get(self.place.parent.name, Answered())
        return replace(found, verdicts=tuple(self.answers.run.verdicts(self.work.tables, every)))

    def logs(self) -> dict[str, StageLog]:
        """Logs of the stages of its training; from the model where the run keeps none."""
        found = {} if self.work is None else stage_logs(self.place.with_name(TRAIN))
        if found or not is_tree(self.place):
            return found
        about = self._loaded.about
        seen = {stage: tuple(one["rows"]) for stage, one in about.get("validation", {}).items()}
        return {
            stage: StageLog(rows, held_out=seen.get(stage, ())) for stage, rows in about["history"].items()
        }

    def drawn(self, number: int, theme: str) -> bytes:
        """One of its figures as PNG, kept until the results change.

        Raises:
            InvalidInputError: If there is no such figure, or it cannot be drawn.
            MissingExtraError: If matplotlib is not installed.
        """
        figures = self.answered().figures
        if not 0 <= number < len(figures):
            raise invalid("explorer", f"the run has {len(figures)} figures, counted from 0", number)
        key = (self.answers.changed() if self.answers else (), number, theme)
        with _drawing:
            if key not in self._drawn:
                self._drawn[key] = draw(figures[number], theme=THEMES[theme], clear=True)
            return self._drawn[key]


def _learnt_from(bridge: Bridge, work: CellWork) -> bool:
    """Whether the data of a task are still those of the fit; otherwise its test rows may be rows that were learnt."""
    data = bridge.read_like_fit("explorer", work.task.for_fit(bridge))
    identity = trees.read(work.folder / TRAIN / IDENTITY)
    return bool(trees.fingerprint(data) == identity["data"])


def _test_rows(bridge: Bridge, work: CellWork, kept: Examples) -> Examples:
    """Rows of the test part of a task; starts of a path with a base are drawn."""
    own = {role.name for role in bridge.roles()}
    given = {name: value for name, value in work.task.test.items() if name in own}
    data = bridge.read_like_fit("explorer", given)
    x0, x1 = data.get("x0", kept.x0)[:ROWS].float(), data["x1"][:ROWS].float()
    cond, cond0 = (None if data.get(name) is None else data[name][:ROWS] for name in ("cond", "cond0"))
    paired = kept.paired and len(x0) == len(x1)
    return Examples(x0, x1, cond, not work.task.in_sample, paired, cond0)


def shown_at(runs: Sequence[Shown], index: int) -> Shown:
    """A run by its number.

    Raises:
        InvalidInputError: If there is no such run.
    """
    if not 0 <= index < len(runs):
        known = "no run was given on the command line" if not runs else f"there are runs 0 to {len(runs) - 1}"
        raise invalid("explorer", known, index, "Start it with: interpolants explore RUN")
    return runs[index]


def tried(read: Callable[[], Found], other: Found, problems: list[str]) -> Found:
    """What could be read, or something else beside a line on what was wrong."""
    try:
        return read()
    except (InterpolantsError, OSError) as error:
        problems.append(str(error))
        return other


def is_image(shape: Sequence[int]) -> bool:
    """Whether data of a shape are drawn as images: (C, H, W) with one or three channels."""
    return len(shape) == 3 and shape[0] in (1, 3)
