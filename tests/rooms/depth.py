"""A pure function, and the experiment that compares it with simulation: lengths of signals in wide networks."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.foundations.checks import one_of
from interpolants.foundations.randomness import generator
from interpolants.framework.answered import Answered
from interpolants.framework.figures import Figure, Panel, Series
from interpolants.framework.scores import Score, mean_and_error

_RULES = {"tanh": torch.tanh, "relu": torch.relu}


def signal_lengths(activation: str, depth: int, *, weight: float = 2.0, start: float = 1.0) -> Tensor:
    """Mean square preactivation of each layer at infinite width, ``(depth + 1,)``, by Gauss-Hermite quadrature.

    Args:
        activation: ``"tanh"`` or ``"relu"``.
        depth: Number of layers.
        weight: Variance of the weights times the width.
        start: Mean square of the first layer.
    """
    rule = _RULES[one_of("signal_lengths", "activation", activation, _RULES)]
    nodes, masses = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(80))
    q = [torch.tensor(start, dtype=torch.float64)]
    for _ in range(depth):
        q.append(weight * (masses / math.sqrt(2 * math.pi) * rule(q[-1].sqrt() * nodes).square()).sum())
    return torch.stack(q)


@dataclass(frozen=True, kw_only=True)
class Signals:
    """Networks of several widths against the recursion."""

    widths: tuple[int, ...] = (8, 64)
    activation: str = "tanh"
    depth: int = 3
    n: int = 40
    seeds: int = 2
    name: str = "signals"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {**asdict(self), "widths": list(self.widths)}

    def cells(self) -> Mapping[str, Mapping[str, Any]]:
        """One a width and seed."""
        return {f"{w}_{s}": {"width": w, "seed": s} for w in self.widths for s in range(self.seeds)}

    def run(self, cell: Mapping[str, Any], folder: Path) -> Answered:
        """Lengths of n random networks, their mean."""
        g, width = generator(cell["seed"], "signals", cell["width"]), cell["width"]
        z = torch.randn(self.n, width, dtype=torch.float64, generator=g)
        lengths = [z.square().mean()]
        for _ in range(self.depth):
            w = torch.randn(self.n, width, width, dtype=torch.float64, generator=g) * (2 / width) ** 0.5
            z = (w @ _RULES[self.activation](z)[..., None])[..., 0]
            lengths.append(z.square().mean())
        return Answered(arrays={"lengths": torch.stack(lengths)})

    def gather(self, answers: Mapping[str, Answered]) -> Answered:
        """Relative gap to the theory by width, and a picture."""
        theory, scores, curves = signal_lengths(self.activation, self.depth), [], []
        layers = torch.arange(self.depth + 1).double()
        for width in self.widths:
            found = [one.arrays["lengths"] for name, one in answers.items() if name.startswith(f"{width}_")]
            mean, error = mean_and_error([abs(float(one[-1] / theory[-1] - 1)) for one in found])
            scores.append(Score(name=f"gap_{width}", value=mean, error=error, floor=0.0, better="lower"))
            arrays = {"x": layers, "y": torch.stack(found).mean(0)}
            curves.append(Series(mark="line", arrays=arrays, name=f"width {width}"))
        curves.append(Series(mark="line", arrays={"x": layers, "y": theory}, name="theory"))
        return Answered(
            scores=tuple(scores), figures=(Figure(name="lengths", panels=(Panel(series=tuple(curves)),)),)
        )
