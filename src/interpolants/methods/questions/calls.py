"""How questions call methods that differ in their options."""

from typing import Any

from interpolants.framework.capabilities import capabilities_of
from interpolants.framework.method import Method


def with_seed(method: Method, verb: str, seed: int) -> dict[str, Any]:
    """The seed as an option, where the verb of this method draws something."""
    return {"seed": seed} if "seed" in capabilities_of(type(method))[verb].parameters else {}
