"""Labels of classes that a fit has never seen: a role whose names are those of the request."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from interpolants.data.arrays import Kind as Given
from interpolants.foundations.errors import invalid
from interpolants.foundations.records import record
from interpolants.framework.labels import Labels
from interpolants.framework.role import Role, role_kind


@record("class_labels")
@dataclass(frozen=True, eq=False)
class ClassLabels:
    """Classes of rows.

    Attributes:
        codes: ``(N,)`` int64, places in ``names``.
        names: Names of the classes, or their numbers, in order.
    """

    codes: Tensor
    names: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Any) -> "ClassLabels":
        return ClassLabels(self.codes[rows], self.names)


class NewLabels:
    """Whole numbers, strings or categories, whatever the labels of the fit were."""

    has_rows = True

    def read(self, value: Any, role: Any, reading: Any) -> tuple[ClassLabels, Given]:
        """The classes that occur, numbered in the order of their names."""
        if isinstance(value, ClassLabels):
            return value, Given("labels", "int64")
        codes, given = Labels().read(_whole(value), role, replace(reading, before=None))
        kept, place = torch.unique(codes, return_inverse=True)
        if len(kept) < 2:
            raise invalid(reading.who, f"{role.name} must have rows of two classes or more", len(kept))
        names = tuple(given.columns[k] for k in kept.tolist()) if given.columns else tuple(kept.tolist())
        return ClassLabels(place, names), Given("labels", "int64")


def _whole(value: Any) -> Any:
    """A column of whole numbers, as files hold them, as labels."""
    if isinstance(value, Tensor) and value.is_floating_point() and bool((value == value.round()).all()):
        return value.reshape(-1).long()
    return value


role_kind("new_labels", NewLabels())
NEW_LABELS = Role(name="y", kind="new_labels", about="Class of each row.")
