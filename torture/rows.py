"""A row of RELIABILITY.md: what was tried in one kind of attack, and what came of it."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Row:
    """Counts of one attack.

    Attributes:
        attack: What was done.
        tried: Number of attempts.
        right: Those that ended in the right answer.
        refused: Those that ended in a clear refusal, with everything that was there before in its place.
        harm: What went wrong, one line each.
    """

    attack: str
    tried: int = 0
    right: int = 0
    refused: int = 0
    harm: list[str] = field(default_factory=list)

    def count(self, *, refused: bool = False, harm: str = "") -> "Row":
        """One more attempt."""
        self.tried += 1
        if harm:
            self.harm.append(harm)
        elif refused:
            self.refused += 1
        else:
            self.right += 1
        return self

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
