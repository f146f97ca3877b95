"""Extrapolation of tracks by fixed weights on the given frames: the last frame, constant velocity, least squares."""

from typing import Any, ClassVar, Literal

import torch

from interpolants.apps.trajectories.anchors import constant_velocity, last_frame, least_squares
from interpolants.apps.trajectories.track_role import tracks_role
from interpolants.apps.trajectories.track_windows import (
    all_windows,
    continued_frames,
    filled_frames,
    last_frames,
)
from interpolants.foundations.asked import who
from interpolants.foundations.checks import whole
from interpolants.foundations.kinds import Count
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run


class TrackExtrapolation(Method):
    """Each frame ahead is an average of the given ones with weights that sum to one: what a trajectory model must beat.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    only_cpu: ClassVar[str] = "tracks stay where they were read"
    noun: ClassVar[str] = "forecast"

    weights: Literal["velocity", "last", "least_squares"] = "velocity"
    """``"velocity"`` goes on with the last step that is seen, and stays where one frame alone is; ``"last"`` stays;
    ``"least_squares"`` misses the training part by least."""
    context: Count = 10
    """Frames that are given."""
    horizon: Count = 20
    """Frames ahead."""

    def roles(self) -> tuple[Role, ...]:
        """Tracks, of which only least squares looks at the positions."""
        return (tracks_role(),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The weights."""
        size = (self.context, self.horizon)
        if self.weights == "least_squares":
            return {"table": least_squares(all_windows(data["tracks"], *size))}
        return {"table": constant_velocity(*size) if self.weights == "velocity" else last_frame(*size)}

    @capability(reads={"context": "tracks"}, like="context")
    def forecast(self, context: Any, *, members: Count = 1, steps: int | None = None) -> Ensemble:
        """The weighted frames, ``(B, members, S, N, D)``; NaN for nodes that the given frames do not show.

        Args:
            context: Tracks, of which the last ``context`` frames are used.
            members: Members of each ensemble, all equal.
            steps: Frames ahead, at most the horizon.
        """
        ahead = self.horizon if steps is None else steps
        whole(who(), "steps", ahead, at_least=1, at_most=self.horizon)
        tracks = last_frames(context, self.context)
        fill = filled_frames if self.weights == "last" else continued_frames
        given = fill(tracks.x, tracks.seen)
        x = torch.einsum("sc,bcnd->bsnd", self.state["table"][:ahead], given)
        x = torch.where(tracks.seen.any(1)[:, None, :, None], x, torch.nan)
        times = torch.arange(1, ahead + 1, dtype=torch.float64)
        many = x[:, None].expand(-1, members, *x.shape[1:])
        return Ensemble(
            x=many,
            dims=("frame", "node", "dimension"),
            times=times,
            columns=context.columns,
            labels=context.labels,
        )
