"""Anchors: where the noise of a forecast is centred, one position for each frame ahead and each node.

Letters: R windows, C frames given, S frames ahead, N nodes, D dimensions. An anchor is an average of positions with
weights that sum to one, so that it turns, mirrors and shifts with them.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from interpolants.apps.trajectories.nets.equivariant_tracks import EquivariantTracks
from interpolants.apps.trajectories.track_windows import Windows
from interpolants.apps.trajectories.zero_mean import mean_point
from interpolants.foundations.remembered import Remembered
from interpolants.nets.net import materialise

AnchorKind = Literal["learnt", "last", "mean", "centre"]
# Directions of the given frames that hold less than this share of their variance are rounding.
_RANK = 1e-10


def last_frame(context: int, horizon: int) -> Tensor:
    """Weights ``(S, C)`` that repeat the last frame."""
    table = torch.zeros(horizon, context, dtype=torch.float64)
    table[:, -1] = 1
    return table


def constant_velocity(context: int, horizon: int) -> Tensor:
    """Weights ``(S, C)`` that go on with the last step; with one frame, that repeat it."""
    table = last_frame(context, horizon)
    if context > 1:
        ahead = torch.arange(1, horizon + 1, dtype=torch.float64)
        table[:, -1] += ahead
        table[:, -2] -= ahead
    return table


def least_squares(windows: Windows) -> Tensor:
    """Weights ``(S, C)`` that sum to one and miss the frames that follow by least, over all nodes and dimensions."""
    context, horizon = windows.given.shape[1], windows.future.shape[1]
    table = last_frame(context, horizon)
    if context == 1:
        return table
    features = (windows.given[:, :-1] - windows.given[:, -1:]).permute(0, 2, 3, 1)  # (R, N, D, C - 1)
    targets = (windows.future - windows.given[:, -1:]).permute(0, 2, 3, 1)
    for s in range(horizon):
        seen = windows.seen[:, s]
        if bool(seen.any()):
            own, wanted = features[seen].flatten(0, 1), targets[seen].flatten(0, 1)[:, s]
            table[s, :-1] = _solved(own.T @ own, own.T @ wanted)
    table[:, -1] = 1 - table[:, :-1].sum(1)
    return table


def _solved(gram: Tensor, right: Tensor) -> Tensor:
    """The shortest solution in the directions that the data have."""
    values, vectors = torch.linalg.eigh(gram)
    kept = values > (_RANK * values[-1]).clamp_min(torch.finfo(values.dtype).tiny)
    inverse = torch.where(kept, 1 / torch.where(kept, values, 1.0), 0.0)
    found: Tensor = (vectors * inverse) @ (vectors.T @ right)
    return found


class Anchor(Remembered, id="track_anchor"):
    """The anchor of each frame ahead and each node.

    ``"learnt"``: ``x_r^(t) = sum_s w^(t,s) y^(s)`` with ``(y, h)`` one block of a network on the given frames and
    ``w^(t,s) = table + G h^(s)`` but for the last, which makes the sum one. It begins as the table alone, on the given
    frames as they are. ``"last"``: the last frame; ``"mean"``: the mean of each node's; ``"centre"``: the mean of all.

    Args:
        kind: How it is found.
        context: C.
        horizon: S.
        width: Width of the block of ``"learnt"``.
        seed: Seed of its initial weights.

    Source: Han, Xu, Lou, Ye & Ermon (2024), arXiv:2410.13027, section 4.2. Ours: the table.
    """

    def __init__(
        self, kind: AnchorKind, context: int, horizon: int, *, width: int = 32, seed: int = 0
    ) -> None:
        super().__init__()
        self.kind, self.context, self.horizon = kind, context, horizon
        if kind == "learnt":
            with torch.device("meta"):
                self.table = nn.Linear(context, horizon, bias=False)
                self.weights = nn.Linear(width, horizon)
            materialise(self, seed, gains={self.weights: 0.0})
            self.net = EquivariantTracks(width=width, blocks=1, seed=seed)
            _silence(self.net)
            self.start_at(last_frame(context, horizon))

    @torch.no_grad()
    def start_at(self, table: Tensor) -> None:
        """Begin with weights ``(S, C)``."""
        self.table.weight.copy_(table)

    def forward(self, given: Tensor, present: Tensor, h: Any, edges: Tensor) -> Tensor:
        """Anchors ``(R, S, N, D)``.

        Args:
            given: Given frames, ``(R, C, N, D)``, without gaps.
            present: Where they were seen, ``(R, C, N)``.
            h: Features of ``"learnt"``, ``(R, C, N, width)``.
            edges: Which nodes hear each other, ``(N, N)``.
        """
        shape = (len(given), self.horizon, *given.shape[2:])
        if self.kind == "last":
            return given[:, -1:].expand(shape)
        if self.kind == "mean":
            return given.mean(1, keepdim=True).expand(shape)
        if self.kind == "centre":
            return mean_point(given, present).expand(shape)
        told, y = self.net(h, given[:, :, :, None], present, edges)
        y = y[:, :, :, 0]
        step = y[:, :-1] - y[:, -1:]  # the last weight is one less the others
        steady = torch.einsum("sc,rcnd->rsnd", self.table.weight[:, :-1], step)
        own = torch.einsum("rcns,rcnd->rsnd", self.weights(told)[:, :-1], step)
        found: Tensor = y[:, -1:] + steady + own
        return found


@torch.no_grad()
def _silence(net: EquivariantTracks) -> None:
    """Leave positions as they are, to begin with."""
    parts: Any = zip(net.pairs, net.times, strict=True)
    for within, over_time in parts:
        for layer in (within.push, over_time.gate_time):
            layer.weight.zero_()
            layer.bias.zero_()
