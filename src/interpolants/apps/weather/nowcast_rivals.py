"""Rivals of a nowcast that draw nothing: the last frame, that of a season ago, and one carried by its motion."""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from interpolants.apps.weather.motion import carried, motion
from interpolants.apps.weather.nets.grid_edges import check_edges
from interpolants.apps.weather.sequences import (
    TRANSFORMS,
    Nowcasts,
    SequenceUnits,
    last_frames,
    maps,
    nowcasts,
    sequences_role,
)
from interpolants.data.gridded import Gridded
from interpolants.foundations.checks import one_of, whole
from interpolants.foundations.extras import require
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run

FLOWS = ("least_squares", "tvl1")


class FramePersistence(Method):
    """The last frame again and again, or the frame of a season ago.

    Args:
        past: Frames that are looked at, as in the nowcast that it stands beside.
        future: K.
        season: Frames of a season, K <= season <= P, such as 12 months; 0 for the last frame.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    only_cpu: ClassVar[str] = "fields stay where they were read"
    noun: ClassVar[str] = "extrapolation"

    past: int = 4
    future: int = 4
    season: int = 0

    def check_settings(self) -> None:
        """Refuse numbers of frames."""
        who = type(self).__name__
        whole(who, "past", self.past, at_least=1), whole(who, "future", self.future, at_least=1)
        if self.season:
            whole(who, "season", self.season, at_least=self.future, at_most=self.past)

    def roles(self) -> tuple[Role, ...]:
        """Sequences of frames."""
        return (sequences_role(),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Units of the variables, for motion is found in units of one size."""
        who = f"{type(self).__name__}.fit"
        return {"units": SequenceUnits.fit(maps(who, data["sequences"]), self.transformed(), who)}

    def transformed(self) -> str:
        """What is done to values before they are compared."""
        return "none"

    @capability(reads={"context": "sequences"}, like="context")
    def forecast(self, context: Gridded, *, members: int = 1) -> Nowcasts:
        """One forecast of each case, ``(B, members, K, C, H, W)``.

        Args:
            context: Sequences of P frames or more.
            members: Copies of the one answer.
        """
        who = f"{type(self).__name__}.forecast"
        whole(who, "members", members, at_least=1)
        before = last_frames(maps(who, context), self.past, who)
        found = self.next_frames(before, context)
        return nowcasts(found[:, None].expand(-1, members, -1, -1, -1, -1), context)

    def next_frames(self, before: Tensor, context: Gridded) -> Tensor:
        """Frames ``(B, K, C, H, W)`` after ``(B, P, C, H, W)``, in data units."""
        if self.season:
            first = before.shape[1] - self.season
            return before[:, first : first + self.future]
        return before[:, -1:].expand(-1, self.future, -1, -1, -1)


class MotionExtrapolation(FramePersistence):
    """Optical flow: the last frame, carried along the motion of the past frames, which is taken to be steady.

    Args:
        flow: ``"least_squares"``: ours, over all past frames, the one that `Nowcaster` is told; ``"tvl1"``: total
            variation and L1 between the last two frames, of scikit-image.
        edges: What lies beyond rows and columns, as in `Nowcaster`.
        transform: ``"sqrt"``: motion is found in roots, for amounts of rain; what is carried are the amounts.

    Source: Lucas & Kanade (1981); Zach, Pock & Bischof (2007).
    """

    answering: ClassVar[tuple[str, ...]] = ("flow", "edges")

    flow: str = "least_squares"
    edges: Any = "auto"
    transform: str = "none"

    def check_settings(self) -> None:
        """Refuse settings."""
        super().check_settings()
        whole("MotionExtrapolation", "past", self.past, at_least=2, remedy="One frame tells no motion.")
        one_of("MotionExtrapolation", "transform", self.transform, TRANSFORMS)
        one_of("MotionExtrapolation", "flow", self.flow, FLOWS)

    def transformed(self) -> str:
        """As the setting says."""
        return self.transform

    def next_frames(self, before: Tensor, context: Gridded) -> Tensor:
        """Frames carried along."""
        auto = isinstance(self.edges, str)
        edges = (
            context.grid.edges()
            if auto
            else check_edges("MotionExtrapolation", self.edges, context.grid.sizes)
        )
        x = self.state["units"].encode(before, "MotionExtrapolation.forecast")
        v = motion(x, edges) if self.flow == "least_squares" else _tvl1(x)
        ahead = [carried(before[:, -1].double(), k * v.double(), edges) for k in range(1, self.future + 1)]
        return torch.stack(ahead, 1).to(before)


def _tvl1(x: Tensor) -> Tensor:
    """Motion between the last two frames, of their mean over variables, ``(B, 2, H, W)``."""
    registration = require("skimage.registration", by="MotionExtrapolation(flow='tvl1')")
    pairs = torch.nan_to_num(x[:, -2:]).mean(2).double().numpy()
    # It gives where cells of the first frame are in the second one.
    found = [registration.optical_flow_tvl1(first, second) for first, second in pairs]
    return torch.from_numpy(np.stack(found)).to(x)
