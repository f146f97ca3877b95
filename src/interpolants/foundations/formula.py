"""Formulas in plain text, as members state them: ``x_t = (1 - t) x0 + t x1``, ``e^(-B/2)``, Greek letters as such."""

import dataclasses
import re
from typing import Any


def with_values(formula: str, member: Any) -> str:
    """A formula, followed by the values of the member's settings that it names: ``..., scale = 2``.

    Args:
        formula: Plain text; a semicolon before what explains it becomes a comma.
        member: A dataclass; settings that are not numbers are omitted.
    """
    parts = [part for part in formula.split("; ") if part]
    for setting in dataclasses.fields(member) if dataclasses.is_dataclass(member) else ():
        value = getattr(member, setting.name)
        named = re.search(rf"(?<!\w){re.escape(setting.name)}(?!\w)", formula)
        if named and isinstance(value, int | float) and not isinstance(value, bool):
            parts.append(f"{setting.name} = {value:g}")
    return ", ".join(parts)
