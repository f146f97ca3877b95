"""Rivals of a nowcast that draw nothing: the last frame, that of a season ago, and one carried by its motion."""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.apps.weather.motion import carried, motion
from interpolants.apps.weather.nets.grid_edges import Edges, edges_of
from interpolants.apps.weather.sequences import (
    Nowcasts,
    SequenceUnits,
    Transform,
    last_frames,
    maps,
    nowcasts,
    sequences_role,
)
from interpolants.data.gridded import Gridded
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Answer, Count, Remedy, Whole
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run


class FramePersistence(Method):
    """The last frame again and again, or the frame of a season ago.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    only_cpu: ClassVar[str] = "fields stay where they were read"
    noun: ClassVar[str] = "extrapolation"

    past: Count = 4
    """Frames that are looked at, as in the nowcast that it stands beside."""
    future: Count = 4
    """K."""
    season: Whole = 0
    """Frames of a season, K <= season <= P, such as 12 months; 0 for the last frame."""

    def check_settings(self) -> None:
        """Refuse a season that is longer than the past, or shorter than the future."""
        if self.season and not self.future <= self.season <= self.past:
            raise invalid(f"season must lie in [{self.future}, {self.past}], or be 0", self.season)

    def roles(self) -> tuple[Role, ...]:
        """Sequences of frames."""
        return (sequences_role(),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Units of the variables, for motion is found in units of one size."""
        return {"units": SequenceUnits.fit(maps(who(), data["sequences"]), self.transformed(), who())}

    def transformed(self) -> Transform:
        """What is done to values before they are compared."""
        return "none"

    @capability(reads={"context": "sequences"}, like="context")
    def forecast(self, /, context: Gridded, *, members: Count = 1, **settings: Any) -> Nowcasts:
        """One forecast of each case, ``(B, members, K, C, H, W)``.

        Args:
            context: Sequences of P frames or more.
            members: Copies of the one answer.
            settings: Settings of answers, for this call.
        """
        before = last_frames(maps(who(), context), self.past, who())
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

    Source: Lucas & Kanade (1981); Zach, Pock & Bischof (2007).
    """

    past: Annotated[int, Ge(2), Remedy("One frame tells no motion.")] = 4
    """Frames that are looked at, as in the nowcast that it stands beside."""
    flow: Answer[Literal["least_squares", "tvl1"]] = "least_squares"
    """``"least_squares"``: ours, over all past frames, the one that `Nowcaster` is told; ``"tvl1"``: total variation
    and L1 between the last two frames, of scikit-image."""
    edges: Answer[Edges] = "auto"
    """What lies beyond rows and columns, as in `Nowcaster`."""
    transform: Transform = "none"
    """``"sqrt"``: motion is found in roots, for amounts of rain; what is carried are the amounts."""

    def transformed(self) -> Transform:
        """As the setting says."""
        return self.transform

    def next_frames(self, before: Tensor, context: Gridded) -> Tensor:
        """Frames carried along."""
        edges = edges_of(context.grid, self.edges)
        x = self.state["units"].encode(before, who())
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
