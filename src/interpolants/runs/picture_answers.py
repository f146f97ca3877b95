"""Answers as pictures: rows that a method made of the pixels of a picture, written as PNG in its size."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interpolants.data.files import check_file
from interpolants.data.picture_pixels import colours_of, is_picture, levels_of, read_picture, write_picture
from interpolants.foundations.errors import invalid
from interpolants.foundations.storage import replacing
from interpolants.runs.answers import plain_answer
from interpolants.runs.files import check_free

PNG = ".png"


def _names_picture(value: Any) -> bool:
    return isinstance(value, str) and is_picture(value)


def picture_endings(files: Mapping[str, Any]) -> tuple[str, ...]:
    """File extensions of pictures that an answer can be written to: none if no value names a picture."""
    return (PNG,) if any(map(_names_picture, files.values())) else ()


@dataclass(frozen=True)
class AskedPicture:
    """A picture file whose pixels are the rows of a request, and whose answer is a picture.

    Attributes:
        role: Role of the rows.
        levels: Red, green and blue, ``(H, W, 3)``.
        is_drawn: Whether the answer has noise, so that equal colours have different answers.
    """

    role: str
    levels: NDArray[np.uint8]
    is_drawn: bool = False

    @classmethod
    def of(cls, files: Mapping[str, Any], out: Path | None, *, eps: Any = None) -> "AskedPicture | None":
        """The picture of a request whose answer goes to a .png; None for other answers.

        Args:
            files: Values of the roles on the command line, by name.
            out: The file to write.
            eps: Noise level, in the words of the command line.

        Raises:
            InvalidInputError: If the picture cannot be read.
        """
        if out is None or out.suffix.lower() != PNG:
            return None
        role = next(name for name, value in files.items() if _names_picture(value))
        check_file(Path(files[role]), f"--{role}")
        levels = read_picture(files[role], f"--{role}").levels
        return cls(role, levels, is_drawn=eps is not None and str(eps) not in ("0", "0.0"))

    @cached_property
    def _distinct(self) -> tuple[Tensor, Tensor]:
        """Distinct colours ``(K, 3)``, and the index of the colour of each pixel, ``(H W,)``."""
        flat = torch.from_numpy(self.levels).reshape(-1, 3)
        colours, inverse = torch.unique(flat, dim=0, return_inverse=True)
        return torch.from_numpy(colours_of(colours.numpy())), inverse

    def rows(self, *, others: int) -> dict[str, Tensor]:
        """Each distinct colour once, by role; nothing if rows have noise or other values.

        Args:
            others: Number of other given roles.
        """
        return {} if self.is_drawn or others else {self.role: self._distinct[0]}

    def write(self, caller: str, answer: Any, out: Path, *, force: bool) -> str:
        """Write the rows of an answer in the places of the pixels; a sentence on what was clipped.

        Raises:
            InvalidInputError: If the answer is not a row of three numbers per pixel, or per distinct colour.
        """
        arrays = plain_answer(answer)
        rows = next(iter(arrays.values())) if isinstance(arrays, dict) else np.empty(0)
        height, width, _ = self.levels.shape
        if not self.is_drawn and len(rows) == len(self._distinct[0]):
            rows = rows[self._distinct[1].numpy()]
        if rows.shape != (height * width, 3):
            rule = f"a picture of {width} x {height} pixels needs as many rows of three numbers"
            raise invalid(caller, rule, f"shape {rows.shape}", "Write a .npy, .npz or .csv.")
        check_free(out, force=force, endings=(PNG,))
        levels, clipped = levels_of(rows.reshape(self.levels.shape))
        with replacing(out) as temporary:
            write_picture(levels, temporary, caller)
        text = f"a picture of {width} x {height} pixels in {out}"
        return (
            f"{text}; {100 * clipped:.2g} % of its values lay outside [0, 1] and were clipped"
            if clipped
            else text
        )


def distinct_rows(picture: AskedPicture | None, *, others: int) -> dict[str, Tensor]:
    """Each distinct colour of a picture once, by role; nothing without a picture."""
    return {} if picture is None else picture.rows(others=others)
