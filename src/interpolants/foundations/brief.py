"""Values in a line of text: arrays by their shapes, not by their numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor


def brief(value: Any) -> str:
    """Return ``repr(value)``, with ``tensor(3, 2)`` or ``array(3, 2)`` for arrays of more than one number.

    >>> brief({"rate": 0.1, "start": np.zeros((3, 2))})
    "{'rate': 0.1, 'start': array(3, 2)}"
    """
    if isinstance(value, Tensor | np.ndarray) and value.ndim:
        return f"{'tensor' if isinstance(value, Tensor) else 'array'}({', '.join(map(str, value.shape))})"
    if type(value) is dict:
        return "{" + ", ".join(f"{key!r}: {brief(one)}" for key, one in value.items()) + "}"
    if type(value) in (list, tuple) and any(isinstance(one, Tensor | np.ndarray | Mapping) for one in value):
        ends = "[]" if type(value) is list else "()"
        return ends[0] + ", ".join(map(brief, value)) + ends[1]
    return repr(value)
