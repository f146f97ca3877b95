"""What the slow tests leave to ``make test-whole``: two thirds of long tables, and what another step shows as well."""

import os
from collections.abc import Iterable
from typing import TypeVar

import pytest

T = TypeVar("T")
WHOLE = "INTERPOLANTS_WHOLE" in os.environ

whole_only = pytest.mark.skipif(not WHOLE, reason="runs in make test-whole")


def third(cases: Iterable[T]) -> list[T]:
    """Every third case, or all in ``make test-whole``."""
    return list(cases)[:: 1 if WHOLE else 3]
