"""What the items share: cases, the settings of a run, peers that may be missing, and how a table is measured."""

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.timing import Row, compare

Work = Callable[[], object]
By = Literal["bare", "hand", "ours", "peer"]


@dataclass(frozen=True)
class Case:
    """One way to do the work of an item.

    Attributes:
        name: Its name in the table.
        work: Does one unit of work; what it needs was made before.
        by: Who wrote the loop: nobody (the bare arithmetic), we by hand, our library, or a peer.
        goal: For ours: the ratio of minima to the first case that we aim at.
        kind: What is not the same as in the item's other cases, such as "one network"; only cases of one kind are set
            against each other.
    """

    name: str
    work: Work
    by: By = "peer"
    goal: float | None = None
    kind: str = ""

    @property
    def title(self) -> str:
        """The name with the kind."""
        return f"{self.name} ({self.kind})" if self.kind else self.name


@dataclass(frozen=True)
class Item:
    """Cases that do the same work; the first is the floor, to which ratios are taken.

    Attributes:
        title: What is timed, with sizes and the unit of work.
        cases: The cases.
        columns: Further columns of the table, by heading: the entry of each case that has one.
        bursts: Whether a case is repeated until a burst is full; else it runs once a round.
    """

    title: str
    cases: list[Case]
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    bursts: bool = True


@dataclass(frozen=True)
class Listing:
    """Figures that are no times: a heading, the names of the columns, and the rows."""

    title: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True)
class Measured:
    """An item with the cases that ran, and the times of each."""

    item: Item
    cases: list[Case]
    rows: list[Row]


@dataclass
class Bench:
    """A run of the harness.

    Attributes:
        quick: Small sizes, two rounds and nothing compiled: shows that everything runs, not how fast.
        src: Folder with checkouts of the peers that are on no index, side by side.
        rounds: Rounds; in each, every case has one burst, in an order shuffled anew.
        burst: Seconds of a burst.
        notes: What was left out, and why.
    """

    quick: bool = False
    src: Path | None = None
    rounds: int = 7
    burst: float = 0.2
    notes: list[str] = field(default_factory=list)

    def size(self, full: int, quick: int) -> int:
        """A size of the work: as published, or for a quick run."""
        return quick if self.quick else full

    def note(self, text: str) -> None:
        """Remember what was left out; once."""
        if text not in self.notes:
            self.notes.append(text)

    def peer(self, module: str) -> Any:
        """A module of a peer, or None with a note if it is not installed."""
        return self._imported(module, "is not installed")

    def checkout(self, folder: str, module: str) -> Any:
        """A module of a peer that is on no index, from its checkout below ``src``; None with a note."""
        root = None if self.src is None else self.src / folder
        if root is None or not root.is_dir():
            self.note(f"{folder} is on no index and was left out: give a folder with its checkout as --src")
            return None
        if str(root) not in sys.path:
            sys.path.append(str(root))
        return self._imported(module, f"does not import from {folder}")

    def _imported(self, module: str, problem: str) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return importlib.import_module(module)
        except Exception as error:  # noqa: BLE001  # whatever a peer raises at import, the others are measured
            self.note(f"{module} {problem} ({type(error).__name__})")
            return None

    def measure(self, item: Item) -> Measured:
        """Time the cases of an item; one that fails is left out with a note."""
        if not self.quick:
            torch.compiler.reset()  # no shapes of an earlier item
        works = [case for case in item.cases if self._runs(item, case)]
        rows = compare(
            {case.title: case.work for case in works},
            rounds=2 if self.quick else self.rounds,
            repeats=1,
            burst=None if self.quick or not item.bursts else self.burst,
        )
        return Measured(item, works, rows)

    def _runs(self, item: Item, case: Case) -> bool:
        try:
            case.work()
        except Exception as error:
            if case.by != "peer":
                raise
            told = str(error).partition("\n")[0][:160]
            self.note(f"{item.title}: {case.title} failed: {type(error).__name__}: {told}")
            return False
        return True


def several(step: Callable[[], object], count: int) -> Work:
    """So many steps as one unit of work."""

    def steps() -> None:
        for _ in range(count):
            step()

    return steps
