"""Velocity of the interpolant between an anchor with noise and the tracks that follow.

Letters: R rows, C frames given, S frames ahead, N nodes, D dimensions, W width. The state x is in units of the spread
about the anchor: ``position = anchor + spread x``, and its noise is correlated over frames as residuals are.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.apps.trajectories.anchors import Anchor, AnchorKind
from interpolants.apps.trajectories.nets.equivariant_tracks import EquivariantTracks, edge_mask
from interpolants.apps.trajectories.nets.track_layers import safe_length
from interpolants.apps.trajectories.zero_mean import ZeroMeanBasis
from interpolants.foundations.ops import batch_time
from interpolants.foundations.remembered import Remembered
from interpolants.nets.embeddings import FourierTime
from interpolants.nets.net import empty_table, materialise

_FEATURES = 32


class _Told(nn.Module):
    """Features that no symmetry changes: time of the flow, type, whether a frame is given, lengths; or places too.

    Args:
        width: W.
        types: Number of types of nodes.
        places: Numbers that place a node, which symmetric networks are not told; 0 for none.
    """

    def __init__(self, width: int, types: int, places: int) -> None:
        super().__init__()
        self.time = FourierTime(_FEATURES)
        self.first = nn.Linear(_FEATURES, width)
        self.kinds, self.part = empty_table(types, width), empty_table(2, width)
        self.lengths = nn.Linear(2, width)
        self.places = nn.Linear(places, width) if places else None

    def forward(self, t: Tensor, types: Tensor, given: int, lengths: Tensor, places: Any) -> Tensor:
        """``(R, T, N, W)``."""
        when = self.first(self.time(t).to(self.first.weight.dtype))[:, None, None]
        part = self.part((torch.arange(lengths.shape[1], device=t.device) >= given).long())[None, :, None]
        h: Tensor = when + part + self.kinds(types)[:, None] + self.lengths(lengths)
        return h if self.places is None else h + self.places(places)


class TrackVelocity(Remembered, id="track_velocity"):
    """The anchor, and the velocity of the state: displacements of a network, and the state times a number.

    With ``context=0`` there is no anchor, and the state are coordinates of whole trajectories without their mean
    (:class:`~interpolants.apps.trajectories.zero_mean.ZeroMeanBasis`).

    Args:
        anchor: Kind of anchor.
        context: C.
        horizon: S.
        nodes: N of the fit.
        dim: D.
        types: Number of types of nodes.
        mixing: ``(S, S)``, what makes noise of the base from white noise over frames ahead: the Cholesky factor of the
            covariance of residuals about the anchor. The square roots of the variances are the spread.
        edges: Pairs of nodes that hear each other; all if None.
        width: W.
        blocks: Blocks of the network.
        symmetry: ``"full"``, ``"rotations"`` or ``"none"``.
        seed: Seed of the initial weights.
    """

    def __init__(
        self,
        anchor: AnchorKind,
        context: int,
        horizon: int,
        *,
        nodes: int,
        dim: int,
        types: int,
        mixing: Sequence[Sequence[float]],
        edges: Sequence[Sequence[int]] | None = None,
        width: int = 48,
        blocks: int = 3,
        symmetry: str = "full",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.context, self.horizon, self.edges = context, horizon, edges
        self.plain = symmetry == "none"
        channels = 2 if context else 1
        places = dim * (channels + 1) if self.plain else 0
        with torch.device("meta"):
            self.told = _Told(width, types, places)
            self.gate = nn.Linear(width, 1)
            self.norm = nn.LayerNorm(width)
            self.free = nn.Linear(width, dim) if self.plain else None
            self.anchor_told = nn.Linear(2 + (2 * dim if self.plain else 0), width)
            self.anchor_type = empty_table(types, width)
        materialise(self, seed, gains={self.gate: 0.0, **({self.free: 0.0} if self.free is not None else {})})
        mirrored = symmetry != "rotations"
        self.net = EquivariantTracks(
            width=width, channels=channels, blocks=blocks, reflections=mirrored, seed=seed
        )
        self.anchor = Anchor(anchor, context, horizon, width=width, seed=seed) if context else None
        root = torch.tensor([tuple(row) for row in mixing], dtype=torch.float32)
        spread = root.square().sum(1).sqrt()
        self.register_buffer("spread", spread[:, None, None])
        self.register_buffer("mixing", root / spread[:, None])
        self.basis = None if context else ZeroMeanBasis(horizon * nodes)
        self.nodes = nodes

    def anchored(self, cond: dict[str, Tensor]) -> Tensor:
        """Anchors ``(R, S, N, D)`` of given frames."""
        given, present = cond["given"], cond["present"]
        assert self.anchor is not None
        h = self._anchor_features(given, cond) if self.anchor.kind == "learnt" else None
        found: Tensor = self.anchor(given, present, h, self._edges(given.shape[2]).to(given.device))
        return found

    def _anchor_features(self, given: Tensor, cond: dict[str, Tensor]) -> Tensor:
        speed = _speeds(given)
        frames = torch.arange(given.shape[1], device=given.device).to(given) / max(given.shape[1], 1)
        parts = [speed, frames[None, :, None].expand_as(speed)]
        told = torch.stack(parts, -1)
        if self.plain:
            told = torch.cat([told, given, given + cond["home"][:, None, None]], -1)
        found: Tensor = self.anchor_told(told) + self.anchor_type(cond["types"])[:, None]
        return found

    def positions(self, x: Tensor, anchor: Tensor) -> Tensor:
        """Positions ``(R, S, N, D)`` of a state."""
        spread: Any = self.spread
        found: Tensor = anchor + spread * x
        return found

    def base_noise(self, white: Tensor) -> Tensor:
        """Noise of the base in units of the state, from white noise ``(R, S, N, D)``."""
        mixing: Any = self.mixing
        return torch.einsum("st,rtnd->rsnd", mixing.to(white), white)

    def forward(self, x: Tensor, t: Tensor, cond: dict[str, Tensor]) -> Tensor:
        """Velocity of the state.

        Args:
            x: ``(R, S, N, D)``; ``(R, S N - 1, D)`` without given frames.
            t: Times, ``(R,)``.
            cond: ``given (R, C, N, D)``, ``present (R, C, N)``, ``types (R, N)``, ``anchor (R, S, N, D)`` and
                ``home (R, D)``, where the centre of the given frames lies; in training ``after (R, S, N)``, what of the
                frames ahead is there; ``types`` alone without given frames.
        """
        if self.basis is not None:
            points = self.basis.inverse(x).reshape(len(x), self.horizon, -1, x.shape[-1])
            return self.basis.forward(self._whole(points, t, cond))
        noisy, given = self.positions(x, cond["anchor"]), cond["given"]
        places = torch.stack([torch.cat([given, noisy], 1), torch.cat([given, cond["anchor"]], 1)], 3)
        there = cond["present"].any(1, keepdim=True).expand(-1, self.horizon, -1)
        seen = torch.cat([cond["present"], cond.get("after", there)], 1)
        length = torch.cat([torch.zeros_like(given[..., 0]), safe_length(x.square().sum(-1))], 1)
        lengths = torch.stack([length, _speeds(places[:, :, :, 1])], -1)
        home = cond["home"][:, None, None] if self.plain else None
        h = self._features(t, cond["types"], lengths, places, home)
        told, moved = self.net(h, places, seen, self._edges(given.shape[2]).to(x.device))
        change = (moved - places)[:, self.context :].sum(3)
        return self._joined(told[:, self.context :], change, x) * there[..., None]

    def _whole(self, points: Tensor, t: Tensor, cond: dict[str, Tensor]) -> Tensor:
        places = points[:, :, :, None]
        lengths = torch.stack([safe_length(points.square().sum(-1)), _speeds(points)], -1)
        home = torch.zeros_like(points[:, :1, :1]) if self.plain else None
        h = self._features(t, cond["types"], lengths, places, home)
        seen = torch.ones(points.shape[:-1], dtype=torch.bool, device=points.device)
        told, moved = self.net(h, places, seen, self._edges(points.shape[2]).to(points.device))
        return self._joined(told, (moved - places)[:, :, :, 0], points)

    def _features(self, t: Tensor, types: Tensor, lengths: Tensor, places: Tensor, home: Any) -> Tensor:
        told = None
        if home is not None:
            told = torch.cat([places.flatten(3), places[:, :, :, -1] + home], -1)
        found: Tensor = self.told(batch_time(t, lengths), types, self.context, lengths, told)
        return found

    def _joined(self, told: Tensor, change: Tensor, x: Tensor) -> Tensor:
        seen = self.norm(told)
        found: Tensor = change + self.gate(seen) * x
        return found if self.free is None else found + self.free(seen)

    def _edges(self, nodes: int) -> Tensor:
        return edge_mask(nodes, self.edges, who="GeometricDiffusion")


def _speeds(x: Tensor) -> Tensor:
    """Lengths of the steps into each frame, ``(R, T, N)``; the first is as long as the second."""
    if x.shape[1] < 2:
        return torch.zeros_like(x[..., 0])
    steps = safe_length((x[:, 1:] - x[:, :-1]).square().sum(-1))
    return torch.cat([steps[:, :1], steps], 1)
