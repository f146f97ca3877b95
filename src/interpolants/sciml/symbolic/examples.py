"""Training examples: windows in units of their own size, query times, hints and the equations as codes.

Letters: N trajectories, S points of a window, D states, P points of a patch, L codes, K hints, Q query times.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from interpolants.data.equation_tokens import EquationTokens
from interpolants.data.equation_trees import Ends
from interpolants.sciml.symbolic.hints import rough
from interpolants.sciml.symbolic.network import SymbolicOperatorNet, Tokens
from interpolants.sciml.symbolic.problems.equation_families import DrawnEquations

# Hints of one equation, and the share of the paper of those with a term less, and of those with a term more.
_HINTS, _ROUGH = 6, 0.15
_LEAST_SIZE = 1e-12


@dataclass(frozen=True)
class Windows:
    """Windows as the network reads them.

    Attributes:
        points: Times as shares of the last time, and scaled states, ``(B, S, 1 + D)``.
        present: Which points there are, ``(B, S)``.
        about: Logarithm of the scale, and which states there are, ``(B, 1 + D)``.
        scale: Root mean square of the states, ``(B,)``.
    """

    points: Tensor
    present: Tensor
    about: Tensor
    scale: Tensor

    @classmethod
    def of(cls, times: Tensor, values: Tensor, dims: Tensor, *, end: float, patch: int) -> "Windows":
        """From times ``(B, S)`` from 0 and states ``(B, S, D)`` of which the first ``dims`` count."""
        here = torch.arange(values.shape[2]) < dims[:, None]
        square = (values.square() * here[:, None]).flatten(1).sum(1)
        scale = (square / (dims * values.shape[1])).sqrt().clamp_min(_LEAST_SIZE)
        points = torch.cat([times[..., None] / end, values / scale[:, None, None] * here[:, None]], 2)
        short = -points.shape[1] % patch
        points = torch.cat([points, points.new_zeros(len(points), short, points.shape[2])], 1)
        present = torch.arange(points.shape[1]).expand(len(points), -1) < values.shape[1]
        about = torch.cat([scale.log()[:, None], here.to(points)], 1)
        return cls(points.float(), present, about.float(), scale)

    def encoded(self, net: SymbolicOperatorNet, hints: Tensor | None, seen: Tensor | None) -> Tokens:
        """Fused tokens of these windows and hints."""
        return net.encode(self.points, self.present, self.about, hints, seen)


def examples(
    drawn: DrawnEquations, tokens: EquationTokens | None, hint: str, source: Generator
) -> dict[str, Tensor]:
    """Everything that batches draw from; codes of equations and hints only with a vocabulary."""
    found = {
        "times": drawn.times, "window": drawn.window, "dims": drawn.dims, "equation": drawn.equation,
        "values": torch.cat([drawn.values[:, : drawn.window.shape[1]], drawn.labels], 1),
    }  # fmt: skip
    if tokens is None:
        return found
    begin = tokens.code["<begin>"]
    codes = [[begin, *tokens.encode(system)] for system in drawn.trees]
    hints = [
        tokens.encode(rough(hint, system, _ROUGH, source)) for system in drawn.trees for _ in range(_HINTS)
    ]
    return {**found, "codes": tokens.padded(codes), "hints": tokens.padded(hints)}


@dataclass(frozen=True)
class ExampleBatches:
    """The batch of a step, a function of the step's generator alone.

    Attributes:
        data: Of `examples`.
        end: Last time.
        patch: P.
        size: Rows of a batch.
        queries: Q, drawn anew for each row.
        blind: Share of the rows without a hint.
    """

    data: dict[str, Tensor]
    end: float
    patch: int
    size: int
    queries: int
    blind: float

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> dict[str, Any]:
        """The share of this process in the batch of ``step``."""
        rows = max(1, self.size // world)
        pick = torch.randint(len(self.data["times"]), (rows,), generator=generator)
        window, dims = self.data["window"][pick], self.data["dims"][pick]
        times, values = self.data["times"][pick], self.data["values"][pick]
        windows = Windows.of(times[:, : window.shape[1]], window, dims, end=self.end, patch=self.patch)
        at = torch.rand(rows, times.shape[1], generator=generator).argsort(1)[:, : self.queries]
        asked = values.gather(1, at[..., None].expand(-1, -1, values.shape[2]))
        scaled = asked / windows.scale[:, None, None]
        batch: dict[str, Any] = {
            "windows": windows, "at": (times.gather(1, at) / self.end).float(), "target": scaled.float()
        }  # fmt: skip
        return batch | self._symbols(pick, rows, generator)

    def _symbols(self, pick: Tensor, rows: int, generator: Generator) -> dict[str, Tensor]:
        if "codes" not in self.data:
            return {}
        equation = self.data["equation"][pick]
        hints = self.data["hints"][equation * _HINTS + torch.randint(_HINTS, (rows,), generator=generator)]
        told = torch.rand(rows, generator=generator) >= self.blind
        return {
            "codes": trimmed(self.data["codes"][equation]),
            "hints": trimmed(hints),
            "hint_seen": (trimmed(hints) > 0) & told[:, None],
        }


def trimmed(codes: Tensor) -> Tensor:
    """Codes without columns of padding alone; padding is 0."""
    return codes[:, : int((codes > 0).sum(1).max())]


@dataclass(frozen=True)
class TwoLosses:
    """``weight * |u - target|^2 / |target|^2`` and the cross-entropy of the equation's words, by row.

    Attributes:
        weight: Of the first.
    """

    weight: float

    def __call__(
        self, net: SymbolicOperatorNet, batch: dict[str, Any], generator: Generator
    ) -> dict[str, Tensor]:
        """Losses ``(B,)``."""
        tokens = batch["windows"].encoded(net, batch.get("hints"), batch.get("hint_seen"))
        dims = batch["windows"].about[:, None, 1:]
        miss = ((net.at(batch["at"], tokens) - batch["target"]) * dims).square().flatten(1).sum(1)
        size = batch["target"].square().flatten(1).sum(1)
        losses = {"values": self.weight * miss / (size + 1e-5)}
        if "codes" in batch:
            losses["symbols"] = self._symbols(net, batch["codes"], tokens)
        return losses

    def _symbols(self, net: SymbolicOperatorNet, codes: Tensor, tokens: Tokens) -> Tensor:
        """Mean cross-entropy of each row over its words, the last of which is ``<end>``."""
        target = codes[:, 1:]
        counts = target > 0
        logits, _ = net.words(codes[:, :-1], net.contexts(tokens), tokens[1], only=counts)
        entropy = cross_entropy(logits, target[counts], reduction="none")
        rows = counts.nonzero()[:, 0]
        total = torch.zeros(len(codes), dtype=entropy.dtype).index_add(0, rows, entropy)
        return total / counts.sum(1)


def padded_hints(tokens: EquationTokens, hints: Sequence[Ends], length: int) -> tuple[Tensor, Tensor]:
    """Codes ``(B, length)`` of hints, and which of them count."""
    codes = torch.zeros(len(hints), length, dtype=torch.long)
    for row, hint in zip(codes, hints, strict=True):
        found = tokens.encode(hint)
        row[: len(found)] = torch.tensor(found)
    return codes, codes > 0
