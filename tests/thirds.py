"""A third of long tables of slow tests; ``make test-whole`` runs them all."""

import os
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def third(cases: Iterable[T]) -> list[T]:
    """Every third case, or all where ``INTERPOLANTS_WHOLE`` is set."""
    return list(cases)[:: 1 if os.environ.get("INTERPOLANTS_WHOLE") else 3]
