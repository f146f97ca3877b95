"""Training of the velocity of tracks: windows as rows, and the loss on the residual about the anchor.

Letters: R rows, C frames given, S frames ahead, N nodes, D dimensions.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.apps.trajectories.track_velocity import TrackVelocity
from interpolants.apps.trajectories.track_windows import TrackUnits, Windows
from interpolants.paths.path import SpatiallyLinearPath


@dataclass(frozen=True, eq=False)
class TrackRows:
    """Random windows as rows of a batch, in units of the network, each about a centre of its own.

    Attributes:
        windows: The windows.
        units: Units of the network.
    """

    windows: Windows
    units: TrackUnits

    def __call__(self, n: int, generator: Generator) -> dict[str, Any]:
        """Rows ``cond``, ``future`` and ``seen``."""
        pick = torch.randint(len(self.windows), (n,), generator=generator)
        return encoded(Windows(*(part[pick] for part in vars(self.windows).values())), self.units)


def encoded(windows: Windows, units: TrackUnits) -> dict[str, Any]:
    """Windows in units of the network, float32: ``cond``, ``future`` and ``seen``."""
    given, present = windows.given, windows.present
    centre = (
        units.centre(given, present) if given.shape[1] else windows.future.new_zeros(len(windows), 1, 1, 1)
    )
    cond = told(given, present, windows.types, centre, units, torch.float32)
    future = units.encode(windows.future, centre) * windows.seen[..., None]
    return {"cond": {**cond, "after": windows.seen}, "future": future.float(), "seen": windows.seen}


def told(
    given: Tensor, present: Tensor, types: Tensor, centre: Tensor, units: TrackUnits, dtype: torch.dtype
) -> dict[str, Tensor]:
    """What the network is told of given frames; of none, the types alone."""
    if not given.shape[1]:
        return {"types": types}
    there = present.any(1, keepdim=True)[..., None]
    assert units.home is not None
    home = (centre[:, 0, 0] - units.home) / units.scale
    inside = units.encode(given, centre) * there
    return {"given": inside.to(dtype), "present": present, "types": types, "home": home.to(dtype)}


class TrackLoss:
    """``|v(x_t, t) - target|^2`` averaged over what was seen, in the form that the training loop calls.

    The anchor is part of the network, and learns by where it puts ``x_t`` and the end of the path.

    Args:
        path: A one-sided path of the residual ``x1 = (future - anchor) / spread``.
    """

    def __init__(self, path: SpatiallyLinearPath) -> None:
        self.path = path

    def __call__(self, net: TrackVelocity, batch: dict[str, Any], generator: Generator) -> dict[str, Tensor]:
        """Losses ``(R,)``."""
        x1, seen, cond = self.state(net, batch)
        x0 = None
        if net.basis is None:
            x0 = net.base_noise(torch.randn(x1.shape, generator=generator, dtype=x1.dtype, device=x1.device))
        sample = self.path.sample(x0=x0, x1=x1, t=batch["t"], generator=generator)
        gap = (net(sample.x_t, sample.t, cond) - sample.x_dot).square().mean(-1)
        if seen is not None:
            gap = gap * seen
            return {"velocity": gap.flatten(1).sum(1) / seen.flatten(1).sum(1) * batch["weight"]}
        return {"velocity": gap.mean(1) * batch["weight"]}

    def state(
        self, net: TrackVelocity, batch: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        """End points of the path, what of them counts (None for all), and the condition."""
        cond, future, seen = batch["cond"], batch["future"], batch["seen"]
        if net.basis is not None:
            return net.basis.forward(future), None, cond
        anchor = net.anchored(cond)
        spread: Any = net.spread
        residual = (future - anchor) / spread * seen[..., None]
        return residual, seen.to(future), {**cond, "anchor": anchor}


@torch.no_grad()
def covariance_root(
    net: TrackVelocity, windows: Windows, units: TrackUnits, least: float, white: float
) -> Tensor:
    """Cholesky factor ``(S, S)`` of the covariance over frames ahead of the residuals about the anchors, in units.

    Isotropic: it is that of any dimension of any node. Frames that were not seen count for nothing.

    Args:
        net: A network that has learnt nothing yet.
        windows: Training windows.
        units: Units of the network.
        least: The least spread of a frame.
        white: Share of each variance that is made independent of the other frames.
    """
    batch = encoded(windows, units)
    seen = batch["seen"].double()
    gap = (batch["future"] - net.anchored(batch["cond"])).double() * seen[..., None]
    count = torch.einsum("rsn,rtn->st", seen, seen).clamp_min(1) * gap.shape[-1]
    covariance = torch.einsum("rsnd,rtnd->st", gap, gap) / count
    spread = covariance.diagonal().clamp_min(least**2).sqrt()
    correlation = covariance / spread[:, None] / spread
    values, vectors = torch.linalg.eigh((1 - white) * correlation + white * torch.eye(len(spread)).to(spread))
    regular = (vectors * values.clamp_min(white)) @ vectors.T
    size = regular.diagonal().sqrt()
    root: Tensor = spread[:, None] * torch.linalg.cholesky(regular / size[:, None] / size)
    return root
