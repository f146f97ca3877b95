"""The form of a study: an experiment of several sizes, with its table and its figures."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.storage import write_text
from interpolants.framework.answered import Answered
from interpolants.framework.experiment import (
    MANIFEST,
    Progress,
    conduct,
    gather,
    settings_hash,
    stored_answers,
    stored_cells,
)
from interpolants.framework.figures import Figure
from interpolants.framework.seeds import Measure, Results, SeededCases, Stated, cell_id
from interpolants.reports.draw import save

SIZES = ("quick", "laptop", "full")
TABLE = "table.md"
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Study:
    """One numerical experiment.

    Attributes:
        name: Name of its folder.
        settings: Settings of each size, by name; plain numbers, strings and lists.
        cases: What is measured, from the settings.
        measure: ``measure(case, seed, settings)`` -> answers.
        table: Results -> Markdown.
        figures: Results -> figures as data.
        claims: What its page says, judged at the sizes ``laptop`` and ``full``.
    """

    name: str
    settings: Mapping[str, Mapping[str, Any]]
    cases: Callable[[Mapping[str, Any]], Sequence[str]]
    measure: Measure
    table: Callable[[Results], str]
    figures: Callable[[Results], Sequence[Figure]]
    claims: Sequence[Stated] = ()

    def at(self, size: str, seeds: Iterable[int]) -> SeededCases:
        """The experiment of one size.

        Raises:
            InvalidInputError: If the size is unknown.
        """
        if size not in self.settings:
            raise invalid(
                self.name, "the size must be one of the study", repr(size), nearest(size, self.settings)
            )
        settings, budget = self.settings[size], "ci" if size == "quick" else "study"
        return SeededCases(
            self.name, settings, tuple(self.cases(settings)), tuple(seeds), self.measure, self.table, self.figures,
            self.claims, budget,
        )  # fmt: skip

    def stored(self, folder: Path) -> SeededCases:
        """The experiment whose results lie in a folder, with its size and seeds.

        Raises:
            InvalidInputError: If there are none, or they are of other settings.
        """
        file = folder / MANIFEST
        found = json.loads(file.read_text(encoding="utf-8"))["settings_hash"] if file.exists() else "nothing"
        for size, settings in self.settings.items():
            if settings_hash(settings) == found:
                return self.at(size, sorted({cell["seed"] for cell in stored_cells(folder).values()}))
        raise invalid(self.name, f"{folder} must contain results of one of its sizes", found)


def prepare(
    study: Study, size: str, seeds: Iterable[int], out: Path, only: Sequence[str] = ()
) -> tuple[SeededCases, list[str]]:
    """The experiment with the seeds asked for and those already measured in a folder; ids of the cells asked for.

    Raises:
        InvalidInputError: If size or a case are unknown, or the folder holds results of other settings.
    """
    wanted = list(seeds)
    before = {cell["seed"] for cell in stored_cells(out).values()}
    experiment = study.at(size, sorted({*wanted, *before}))
    stored_answers(experiment, out)
    for name in only:
        if name not in experiment.cases:
            raise invalid(
                study.name, "the case must be one of the study", repr(name), nearest(name, experiment.cases)
            )
    return experiment, [cell_id(case, seed) for seed in wanted for case in only or experiment.cases]


def run(
    study: Study,
    size: str,
    seeds: Iterable[int],
    out: Path,
    *,
    only: Sequence[str] = (),
    workers: int = 1,
    progress: Progress | None = None,
) -> Results:
    """Measure what is missing; write table and figures of all that has been measured."""
    experiment, cells = prepare(study, size, seeds, out, only)
    publish(conduct(experiment, out, only=cells, workers=workers, progress=progress), out)
    return read(experiment, out)


def redraw(study: Study, out: Path) -> Results:
    """Write table and figures of what has been measured again."""
    experiment = study.stored(out)
    publish(gather(experiment, out), out)
    return read(experiment, out)


def read(experiment: SeededCases, folder: Path) -> Results:
    """The stored results of an experiment."""
    return experiment.results(stored_answers(experiment, folder))


def publish(found: Answered, out: Path) -> None:
    """Write the table and draw the figures."""
    write_text(out / TABLE, found.texts["table"][0])
    save(found.figures, out)
