"""View of a task for the report sections: facts, arrays, and how the data are drawn."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpolants.reports import sentences
from interpolants.reports.album import Album
from interpolants.reports.page import Child, Markup, el
from interpolants.reports.projection import Projection, fit_projection
from interpolants.reports.record import Task, by_eps

Array = NDArray[Any]

MOST_PANELS = 4  # noise levels shown side by side


class TaskView:
    """Data that all sections of a task share.

    Args:
        task: Its facts and arrays.
        album: Draws the figures.
        prefix: Start of the names of its figure files.
    """

    def __init__(self, task: Task, album: Album, prefix: str) -> None:
        self.facts, self.arrays, self.missing = task.facts, task.arrays, task.missing
        self.album, self.prefix = album, prefix
        self.name = sentences.task_name(self.facts)
        self.data = mapping(self.facts.get("data"))
        self.samples = by_eps(self.arrays, "samples")
        self.real = self.arrays.get("real")
        self.reference = self._reference()
        self.shape = [] if self.reference is None else list(self.reference.shape[1:])
        self.is_image = sentences.is_image(self.shape)
        self.projection: Projection | None = None
        if self.reference is not None and not self.is_image:
            self.projection = fit_projection(self.reference)

    def _panel(self, name: str, alt: str, draw: Any) -> Markup:
        return self.album.panel(
            f"{self.prefix}-{name}", alt, draw, photo=self.is_image and self.shape[0] == 3
        )

    def _reference(self) -> Array | None:
        """Real data if there are any, else what comes closest: axes and shapes are taken from it."""
        ends = [*self.samples.values(), *by_eps(self.arrays, "one_start").values()]
        ends += [self.arrays[key] for key in ("transport_pairs_x1", "reverse") if key in self.arrays]
        ends += [x[-1] for x in by_eps(self.arrays, "trajectory").values()]
        found = [x for x in (self.real, *ends) if x is not None and x.ndim >= 2]
        return found[0] if found else None

    def _labels(self, name: str) -> Array | None:
        labels = self.arrays.get(name)
        return None if labels is None or labels.ndim != 1 else labels.round().astype(int)

    def _class_name(self, index: int) -> str:
        names = self.facts.get("classes") or []
        return str(names[index]) if isinstance(names, list) and 0 <= index < len(names) else str(index)

    def _single_start(self) -> Array | None:
        """The start of ``one_start``: the first, or the only one, of the starts."""
        start = self.arrays.get("start")
        if start is None or not self.shape:
            return None
        return start.reshape(-1, *self.shape)[0] if start.size % np.prod(self.shape) == 0 else None

    def _axis_names(self) -> tuple[str, str]:
        return self.projection.names if self.projection is not None else ("", "")

    @staticmethod
    def _few(levels: dict[float, Array], most: int = MOST_PANELS) -> dict[float, Array]:
        """At most so many levels, the first and the last among them."""
        keys = list(levels)
        if len(keys) > most:
            picked = np.linspace(0, len(keys) - 1, most).round().astype(int)
            keys = [keys[i] for i in picked]
        return {k: levels[k] for k in keys}

    @staticmethod
    def _ends(levels: dict[float, Array]) -> list[tuple[float, Array]]:
        items = list(levels.items())
        return items if len(items) <= 2 else [items[0], items[-1]]


def absent(sentence: str) -> Markup:
    """Says that something is not there."""
    return el("p", sentence, cls="absent")


def is_absent(body: list[Child]) -> bool:
    """Whether a section only says that there is nothing."""
    return len(body) == 1 and str(body[0]).startswith('<p class="absent"')


def mapping(value: Any) -> Mapping[str, Any]:
    """The value where it is a mapping, else nothing."""
    return value if isinstance(value, Mapping) else {}
