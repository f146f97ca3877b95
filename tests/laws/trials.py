"""The trial of each method, one for all law tests of a process."""

import functools
from typing import Any

from interpolants.framework.method import Method
from interpolants.testing.trial import Instance, Trial
from laws.instances import instance


def fresh(card: Any) -> Instance:
    """An instance that nobody has used; bad members put another function here."""
    return instance(card)


@functools.cache
def trial(card: Any) -> Trial:
    """What the laws look at."""
    return Trial(lambda: fresh(card), card.scopes)


def fitted(card: Any) -> tuple[Method, Instance, dict[str, int]]:
    """A fitted method, what it was made of, and its stages with their steps."""
    return trial(card).fitted
