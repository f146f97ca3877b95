"""Rows unpacked once into a temporary file (in ``TMPDIR``) that is memory-mapped."""

import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


def unpacked_rows(
    parts: Iterator[NDArray[Any]], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """The concatenated parts in a mapped file without a name; it is deleted when the array is.

    Args:
        parts: Rows, in order, a part at a time.
        shape: ``(N, *D)`` of all of them.
        dtype: Type of the numbers in the file.
    """
    with tempfile.TemporaryFile(prefix="interpolants-") as file:
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype=dtype).tobytes())
        file.flush()
        return np.memmap(file, dtype=dtype, mode="r", shape=shape)
