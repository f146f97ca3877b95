"""Numbers that JSON has no words for."""

import math
from typing import Any


def finite(value: Any) -> Any:
    """A tree of plain values with null in place of NaN and infinities, and text as its keys."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value
