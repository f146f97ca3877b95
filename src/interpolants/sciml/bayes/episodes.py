"""Episodes: some rows of one task, drawn from the rows of all tasks."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import invalid


@dataclass(frozen=True)
class Groups:
    """Rows by group.

    Attributes:
        rows: Indices of the rows of each group.
    """

    rows: tuple[Tensor, ...]

    @classmethod
    def of(cls, who: str, labels: Tensor, at_least: int, *, tasks: int = 1) -> Self:
        """Groups of equal labels.

        Args:
            who: Name of the caller, used in error messages.
            labels: Group of each row.
            at_least: Fewest rows of a group.
            tasks: Fewest groups.

        Raises:
            InvalidInputError: If a group has fewer rows, or there are fewer groups.
        """
        rows = tuple((labels == label).nonzero()[:, 0] for label in torch.unique(labels))
        fewest = min(map(len, rows), default=0)
        if fewest < at_least:
            remedy = "Leave such groups out: they tell nothing about how a task varies."
            raise invalid(who, f"every group must have at least {at_least} rows", fewest, remedy)
        if len(rows) < tasks:
            remedy = (
                "Differences between tasks cannot be learnt from one task; "
                "for a single task use an exact GP or a regression."
            )
            raise invalid(who, f"the data must have at least {tasks} groups", len(rows), remedy)
        return cls(rows)

    @property
    def fewest(self) -> int:
        """Rows of the smallest group."""
        return min(map(len, self.rows))

    def episodes(self, count: int, rows: int, generator: Generator) -> Tensor:
        """Rows of some groups, ``(count, rows)``: groups with replacement, their rows without."""
        picked = torch.randint(len(self.rows), (count,), generator=generator)
        return torch.stack([self._some(k, rows, generator) for k in picked.tolist()])

    def classes(self, ways: int, rows: int, generator: Generator) -> Tensor:
        """Rows of different groups, ``(ways, rows)``."""
        picked = torch.randperm(len(self.rows), generator=generator)[:ways]
        return torch.stack([self._some(k, rows, generator) for k in picked.tolist()])

    def _some(self, group: int, rows: int, generator: Generator) -> Tensor:
        own = self.rows[group]
        return own[torch.randperm(len(own), generator=generator)[:rows]]
