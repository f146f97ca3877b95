"""Are generated rows copies of training rows? Only distances to the training set can tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.framework.figures import Axis, Figure, Panel, Series, strips
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Question
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import MAKING, generate, unknown_option
from interpolants.methods.questions.distances import MOST, real_rows
from interpolants.metrics.diversity import memorisation
from interpolants.metrics.estimate import Estimate

# Most training rows that neighbours are looked for among, and pairs to show.
_TRAINING, _SHOWN = 20_000, 8

_PAIRS = "The generated images that come closest to training images, above these."
_CAPTION = "Distance to the nearest training row; copies would pile up at zero."


@dataclass(frozen=True, kw_only=True)
class CopiedRows(Question):
    """How often a generated row is closer to the training rows than a held-out row is."""

    needs: ClassVar[str] = "sample"
    numbers: ClassVar[Mapping[str, About]] = {
        "closer": About(
            "Chance to be closer to training data than held-out data are",
            "neither",
            note="0.5 is as it should be; 1 is copying; less than 0.5 is too far from the data.",
            floor_of="fresh rows",
        )
    }

    role: str = "x1"
    """Role that the rows should look like."""
    start: str = "x0"
    """Role of the starts, where the method carries rows."""
    n: Annotated[int, Ge(2)] = MOST
    """Most rows to make."""
    seed: int = 1
    """Seed of the samples."""
    options: Mapping[str, Any] | None = None
    """Options of the verb, such as ``eps`` and ``n_steps``."""

    def cannot(self, method: Method) -> str:
        """Options that the method does not know."""
        return unknown_option(method, MAKING, self.options)

    def measure(self, method: Method, task: Task) -> Measured:
        """The chance, and the nearest pairs."""
        held, known = real_rows(task, self.role), real_rows(task, self.role, "train")[:_TRAINING]
        options = {"seed": self.seed, **(self.options or {})}
        made = generate(method, task, min(self.n, len(held)), start=self.start, options=options).x
        found = memorisation(made, known, held[: self.n])
        closest = found.generated.argsort()[:_SHOWN]
        pairs = {"generated": made[closest], "training": known[found.neighbour[closest]]}
        arrays = {**pairs, "distance": found.generated, "held": found.held_out}
        return Measured({"closer": found.closer}, arrays, findings=_copies(found.closer))

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """Fresh rows are closer half of the time."""
        return {"closer": 0.5}

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """For images, the generated ones that come closest to training data above these; else both distances."""
        made, known = own.arrays["generated"], own.arrays["training"]
        if made.ndim == 4 and made.shape[1] == 1:
            span = {"low": float(known.min()), "high": float(known.max())}
            panel = strips([made[:, 0], known[:, 0]], **span, names=("generated", "nearest\ntraining"))
            return [
                Figure(name="nearest", panels=(panel,), caption=_PAIRS, width=60 * len(made) + 90, height=150)
            ]
        return [Figure(name="nearest", panels=(_distances(own),), caption=_CAPTION, width=460, height=280)]


def _copies(closer: Estimate) -> list[Finding]:
    """A finding where rows are closer to the training rows than held-out rows are by more than two standard errors."""
    if not closer.value > 0.5 + 2 * closer.error:
        return []
    told = f"Copies: a generated row is closer to the training rows than a held-out row with chance {closer.value:.2f}."
    return [Finding(told, remedy="Learn from more rows, for fewer steps or with a smaller network.")]


def _distances(own: Measured) -> Panel:
    every = {"generated": own.arrays["distance"].double(), "held-out": own.arrays["held"].double()}
    high = float(torch.quantile(torch.cat(list(every.values())), 0.99)) or 1.0
    lines = tuple(_outline(x, high, name, hue) for hue, (name, x) in enumerate(every.items()))
    x = Axis(label="distance to the nearest training row", unit="data units")
    return Panel(series=lines, x=x, y=Axis(label="share of rows"), legend="below")


def _outline(x: Tensor, high: float, name: str, hue: int, bins: int = 30) -> Series:
    counts, edges = torch.histogram(x.clamp(max=high), bins, range=(0.0, high))
    return Series(mark="histogram", arrays={"edges": edges, "counts": counts / len(x)}, name=name, hue=hue)
