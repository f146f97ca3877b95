"""Contents of one run or task for a page; runs are addressed by number, never by path."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.methods.bridge.bridge import Bridge
from interpolants.methods.bridge.held_out import Examples
from interpolants.reports import sentences
from interpolants.reports.projection import Projection, fit_projection
from interpolants.runs.folder import finite

# Rows of each end that a page can choose from.
ROWS = 2000

Array = NDArray[Any]


@dataclass(frozen=True)
class Shown:
    """One task of a run, or a bridge that was saved by itself.

    Attributes:
        name: What the list calls it.
        facts: Its entry of the results; little where it was not judged; while it is in training ``growing`` says in
            words how far it is.
        arrays: What the evaluation stored.
        bridge: The trained bridge; None where another method was trained.
    """

    name: str
    facts: dict[str, Any]
    arrays: dict[str, Array]
    bridge: Bridge | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Event shape of its data."""
        if self.bridge is not None:
            return self.bridge.shape
        data = self.facts.get("data") or {}
        return tuple((data.get("x1") or {}).get("shape") or ())

    @property
    def is_image(self) -> bool:
        """Whether its data are drawn as images."""
        return sentences.is_image(list(self.shape))

    def trained(self) -> Bridge:
        """The bridge.

        Raises:
            InvalidInputError: If there is none.
        """
        if self.facts.get("growing"):
            raise invalid(
                "explorer", "only a trained bridge can carry points", f"{self.name!r}, not trained yet"
            )
        if self.bridge is None:
            rule, remedy = "only a trained bridge can carry points", "Its numbers and curves are shown."
            raise invalid("explorer", rule, f"{self.name!r}, another method", remedy)
        return self.bridge

    @cached_property
    def rows(self) -> Examples:
        """Starts and ends to choose from: those that the evaluation was made with, else what the bridge keeps."""
        bridge, real, start = self.trained(), self.arrays.get("real"), self.arrays.get("start")
        kept = bridge.examples(ROWS)
        if real is None or start is None or tuple(real.shape[1:]) != bridge.shape:
            return kept
        asked = self.arrays.get("samples_labels")
        if bridge.is_conditional and (asked is None or len(asked) < len(real)):
            return kept  # the evaluation stored no condition of these rows
        cond = (
            None
            if asked is None or not bridge.is_conditional
            else torch.from_numpy(asked).round().long()[: len(real)]
        )
        x0, x1 = (torch.from_numpy(rows[:ROWS]).float() for rows in (start, real))
        paired = kept.paired and len(x0) == len(x1)
        return Examples(x0, x1, None if cond is None else cond[:ROWS], held_out=True, paired=paired)

    @cached_property
    def plane(self) -> Projection:
        """Projection of its data to the plane."""
        return fit_projection(self.rows.x1.numpy())

    @property
    def can_score(self) -> bool:
        """Whether log-likelihoods follow without more training."""
        bridge = self.bridge
        return bridge is not None and (bridge.first_path.base is not None or bridge.state["leg"] is not None)

    def line(self, index: int) -> dict[str, Any]:
        """Entry in the list of runs."""
        bridge = self.bridge
        told: dict[str, Any] = {
            "index": index,
            "name": self.name,
            "shape": list(self.shape),
            "is_image": self.is_image,
            "has_bridge": bridge is not None,
            "growing": bool(self.facts.get("growing")),
        }
        if bridge is not None:
            told |= {
                "has_score": bridge.fields.has_score,
                "classes": self.classes,
                "conditional": bridge.is_conditional,
                "starts": len(self.rows.x0),
                "ends": len(self.rows.x1),
                "held_out": self.rows.held_out,
                "can_score": self.can_score,
            }
        return told

    @property
    def classes(self) -> list[str]:
        """Names of the labels that can be asked for."""
        count = 0 if self.bridge is None else self.bridge.classes
        named = [str(name) for name in self.facts.get("classes") or []]
        return [named[k] if k < len(named) else str(k) for k in range(count)]

    def page(self, index: int) -> dict[str, Any]:
        """All that is stored: settings, curves, numbers, verdicts."""
        facts = self.facts
        metrics = [{**row, "reading": sentences.reading(row)} for row in facts.get("metrics") or []]
        found = {
            **self.line(index),
            "sentence": sentences.task_sentence(facts) if facts.get("data") else "",
            "path": facts.get("path"),
            "learn": facts.get("learn") or [],
            "parameters": facts.get("parameters"),
            "training": facts.get("growing")
            or sentences.training_sentence(facts.get("train") or {}, facts.get("parameters")),
            "history": facts.get("history") or [],
            "metrics": metrics,
            "levels": facts.get("table_eps") or [],
            "checks": facts.get("checks") or [],
            "warnings": facts.get("warnings") or [],
            "texts": facts.get("texts") or {},
            "log_prob": {
                name: self.arrays[f"log_prob_{name}"].ravel().tolist()
                for name in ("train", "heldout")
                if f"log_prob_{name}" in self.arrays
            },
        }
        plain: dict[str, Any] = finite(found)
        return plain


def shown_at(runs: Sequence[Shown], index: int) -> Shown:
    """A run by its number.

    Raises:
        InvalidInputError: If there is no such run.
    """
    if not 0 <= index < len(runs):
        known = "no run was given on the command line" if not runs else f"there are runs 0 to {len(runs) - 1}"
        raise invalid("explorer", known, index, "Start it with: interpolants explore RUN")
    return runs[index]


def as_floats(x: Tensor) -> Array:
    """As contiguous float32."""
    return np.ascontiguousarray(x.detach().numpy(), dtype=np.float32)
