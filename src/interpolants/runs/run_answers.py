"""Results of a run of a recipe, also while cells are still missing: read when they are asked for."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interpolants.framework.answered import Answered
from interpolants.framework.experiment import CELLS, RESULTS, stored_answers
from interpolants.runs.recipe_run import RecipeRun


@dataclass(eq=False)
class RunAnswers:
    """What the cells of a run answered, read again when it has changed.

    Attributes:
        out: The run folder.
        run: Its recipe as an experiment.
    """

    out: Path
    run: RecipeRun
    _kept: tuple[Any, dict[str, Answered]] = field(default=(None, {}), repr=False)

    def has(self, cell: str) -> bool:
        """Whether a cell is finished; reads no results, which are sealed together when all cells are."""
        return (self.out / RESULTS).is_dir() or (self.out / CELLS / cell).is_dir()

    def changed(self) -> tuple[int, ...]:
        """When results came last; other numbers for other results."""
        places = (self.out / RESULTS, self.out / CELLS)
        return tuple(place.stat().st_mtime_ns if place.is_dir() else 0 for place in places)

    def by_cell(self) -> dict[str, Answered]:
        """Answers of the finished cells.

        Raises:
            InvalidInputError: If they are damaged, or of other settings.
        """
        now = self.changed()
        if self._kept[0] != now:
            self._kept = now, stored_answers(self.run, self.out)
        return self._kept[1]
