"""What stands for a coupling of the user's own in a bridge that was read from a file."""

from dataclasses import dataclass
from typing import Any, NoReturn

from interpolants.couplings.pairs import Pairs
from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.registry import describe, rebuild


@dataclass(frozen=True)
class OwnCoupling:
    """A coupling of which only the name is known: files hold no code. It refuses to pair.

    Args:
        name: What it was called.
    """

    name: str

    def refuse(self, who: str) -> NoReturn:
        """Say what is missing.

        Raises:
            InvalidInputError: Always.
        """
        rule = "the coupling must be known to pair samples"
        remedy = "A file does not hold it: set bridge.coupling to it, or to another, first."
        raise invalid(who, rule, f"one of your own, {self.name}", remedy)

    def pair(self, *samples: Any, **known: Any) -> Pairs:
        """No pairs."""
        self.refuse("Bridge")


def coupling_record(coupling: Any) -> dict[str, Any]:
    """A coupling in words from which it can be made again, or the name of one that has none."""
    try:
        found = describe(coupling, "Bridge.save")
        rebuild(found, "coupling")
    except (InvalidInputError, TypeError, ValueError, RuntimeError):
        return {"own": coupling.name if isinstance(coupling, OwnCoupling) else type(coupling).__name__}
    return found


def coupling_from(record: Any) -> Any:
    """What :func:`coupling_record` wrote, as a bridge takes it."""
    return OwnCoupling(record["own"]) if isinstance(record, dict) and "own" in record else record
