"""Geometric trajectory diffusion: forecasts of moving points that turn, mirror and shift with what was given.

Letters: B cases, M members, C frames given, S frames ahead, N nodes, D dimensions.
"""

import copy
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from interpolants.apps.trajectories.anchors import AnchorKind, least_squares
from interpolants.apps.trajectories.data.tracks import Tracks
from interpolants.apps.trajectories.track_role import tracks_role
from interpolants.apps.trajectories.track_velocity import TrackVelocity
from interpolants.apps.trajectories.track_windows import (
    TrackUnits,
    Windows,
    all_windows,
    filled_frames,
    last_frames,
    principal_axes,
)
from interpolants.apps.trajectories.training_tracks import TrackLoss, TrackRows, covariance_root, told
from interpolants.dynamics.sample import sample
from interpolants.fields.learned import LearnedFields
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checks import whole
from interpolants.foundations.kinds import Answer, Check, Count, Whole
from interpolants.foundations.randomness import key
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.far_values import warn_if_far
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.likelihood.log_prob import log_prob as flow_log_prob
from interpolants.methods.parts.choices import choose_path, choose_times
from interpolants.methods.parts.conditional_flow import FlowBatches
from interpolants.methods.parts.start_points import draw_base
from interpolants.methods.parts.validation import followed
from interpolants.objectives.times import StratifiedTimes
from interpolants.training.pairs import finished

# Windows from which the covariance about the anchor is estimated, types that are kept, the least spread, and the least
# share of variances that is independent over frames.
_WINDOWS, _TYPES, _LEAST, _WHITE = 4096, 1000, 1e-4, 1e-4


def _one_sided(who: str, value: Any) -> Any:
    path = choose_path(who, value)
    if not path.is_one_sided:
        raise invalid(
            "path must be one-sided", type(path).__name__, "For example, use path='one_sided_trigonometric'."
        )
    return path


class GeometricDiffusion(Trained):
    """Learn how points move, and draw ensembles of what follows given frames.

    ::

        model = GeometricDiffusion(context=10, horizon=20).fit(tracks)    # (cases, frames, nodes, dimensions)
        ahead = model.forecast(given, members=20)                         # ahead.x: (B, 20, 20, N, D)

    A one-sided interpolant leads from noise about an *anchor*, an average of the given frames that is learnt, to the
    frames that follow. Network and anchor see positions by differences and distances alone: turned, mirrored or shifted
    frames have turned, mirrored or shifted forecasts, each member with its seed. With ``context=0`` it learns the
    distribution of whole trajectories up to a shift, on the subspace of mean zero.

    Raises:
        InvalidInputError: If a setting is out of range, or the path has no Gaussian base.

    Source: Han, Xu, Lou, Ye & Ermon (2024), arXiv:2410.13027. Ours: the flow instead of 1000 steps, a base with the
    covariance over time of what anchors miss, two channels of positions (anchor and noise), noise along axes of the
    given frames, gaps.
    """

    only_cpu: ClassVar[str] = "tracks stay where they were read"
    noun: ClassVar[str] = "forecaster"

    context: Whole = 10
    """C, frames that are given; 0 for whole trajectories without given frames."""
    horizon: Count = 20
    """S, frames ahead."""
    anchor: AnchorKind = "learnt"
    """``"learnt"``, from the weights that miss the training part by least on; ``"last"`` frame; ``"mean"`` of each
    node's frames; ``"centre"`` of all of them, a fixed base."""
    symmetry: Literal["full", "rotations", "none"] = "full"
    """``"rotations"`` tells left from right; ``"none"`` is told places and directions, as a control, or where the world
    has a north."""
    edges: Sequence[Sequence[int]] | None = None
    """Pairs of numbers of nodes that hear each other; all pairs if None."""
    width: Count = 48
    """Width of the network."""
    blocks: Count = 3
    """Blocks of the network."""
    path: Annotated[Any, Check(_one_sided, "name | table | object")] = "one_sided_trigonometric"
    """A one-sided path: a name, a table or a ``Path``."""
    times: Any = "auto"
    """Where in time to learn, as in ``Bridge``."""
    n_steps: Answer[Count] = 20
    """Steps of the sampler."""
    exact: Answer[bool] = False
    """Sample in float64, for symmetries to 1e-10."""
    steps = 1500
    batch_size = 32
    lr = 2e-3
    ema = 0.99

    def check_settings(self) -> None:
        """Refuse times that do not go with the path."""
        choose_times(who(), self.times, self.path)

    def roles(self) -> tuple[Role, ...]:
        """Tracks, of which every window is learnt from."""
        return (tracks_role(),)

    def fit(self, tracks: Any, **options: Any) -> Self:
        """Learn from tracks of at least ``context + horizon`` frames.

        Args:
            tracks: Positions ``(B, T, N, D)``, or ``(B, T, D)`` for single nodes, with NaN where nothing was seen; a
                list with one array per case; ``{"x": positions, "types": types of nodes}``; a table with the columns
                track, frame, node, type and positions; or the name of such a file.
            options: As in :meth:`interpolants.framework.method.Method.fit`. ``held`` keeps the weights with the least
                loss on these tracks.
        """
        return super().fit(tracks, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Anchor and velocity, by one gradient loop over windows."""
        tracks: Tracks = data["tracks"]
        windows = self._windows_of(tracks)
        units = TrackUnits.fit(windows, self.context)
        table = least_squares(windows) if self.context and self.anchor == "learnt" else None

        def made(mixing: Tensor) -> TrackVelocity:
            net = TrackVelocity(
                self.anchor,
                self.context,
                self.horizon,
                nodes=tracks.x.shape[2],
                dim=tracks.x.shape[3],
                types=int(tracks.types.max()) + 1,
                mixing=mixing.tolist(),
                edges=self.edges,
                width=self.width,
                blocks=self.blocks,
                symmetry=self.symmetry,
                seed=self.seed,
            )
            if table is not None and net.anchor is not None:
                net.anchor.start_at(table)
            return net

        net = made(torch.eye(self.horizon))
        if self.context:  # the same, with the covariance about its anchors as they are before any step
            pick = torch.linspace(0, len(windows) - 1, min(len(windows), _WINDOWS)).round().long()
            some = Windows(*(part[pick] for part in vars(windows).values()))
            net = made(covariance_root(net, some, units, _LEAST, _WHITE))
        times = choose_times(who(), self.times, self.path)
        loss, even, held = TrackLoss(self.path), StratifiedTimes(), run.held

        def drawn(size: int) -> FlowBatches:
            return FlowBatches(TrackRows(self._windows_of(held["tracks"]), units), size, even)

        settings, options = followed(run, self.training(), loss, drawn if held else None)
        batches = FlowBatches(TrackRows(windows, units), self.batch_size, times)
        result = run.train("tracks", net, loss, batches, settings, **options)
        return {
            "net": finished(net, result, prefix=""),
            "units": units,
            "types": tracks.types[:_TYPES],
            "dim": tracks.x.shape[3],
            "columns": list(tracks.columns),
        }

    def _windows_of(self, tracks: Tracks) -> Windows:
        return all_windows(tracks, self.context, self.horizon)

    # --- capabilities

    def cannot(self, verb: str) -> str:
        """Forecasts need given frames; samples and densities of whole trajectories have none."""
        if verb == "forecast" and not self.context:
            return "with context=0 it knows whole trajectories, and no frames are given."
        if verb in ("sample", "log_prob") and self.context:
            return "with given frames it forecasts; context=0 learns whole trajectories."
        return ""

    @capability(reads={"context": "tracks"}, like="context")
    def forecast(
        self,
        /,
        context: Any,
        *,
        members: Count = 20,
        steps: int | None = None,
        method: str = "heun",
        seed: int = 0,
        first_index: int = 0,
        **settings: Any,
    ) -> Ensemble:
        """Members of what follows the given frames.

        Args:
            context: Tracks, of which the last ``context`` frames are used, up to the last in which a node of a case was
                seen; gaps are allowed, and cases of different length.
            members: M.
            steps: Frames ahead, at most the horizon, which it is if not given.
            method: A solver of flows, by name.
            seed: Seed of the noise; member m of case i is one number of (seed, i, m).
            first_index: Index of the first case in a larger job.
            settings: Settings of answers, for this call.

        Returns:
            ``(B, M, S, N, D)`` in data units; NaN for nodes that the given frames do not show.

        Raises:
            InvalidInputError: If dimensions or types are not those of the fit, or nothing of a case was seen.
        """
        ahead = self.horizon if steps is None else steps
        whole(who(), "steps", ahead, at_least=1, at_most=self.horizon)
        tracks = last_frames(self._checked(context), self.context)
        given = filled_frames(tracks.x, tracks.seen)
        centre = self.state["units"].centre(given, tracks.seen)
        gaps = torch.where(tracks.seen[..., None], self.state["units"].encode(given, centre), torch.nan)
        warn_if_far(who(), "distances of context", gaps.reshape(-1, 1))
        precise = torch.float64 if self.exact else torch.float32
        net = self._net_in(precise)
        cond = told(given, tracks.seen, tracks.types, centre, self.state["units"], precise)
        with torch.no_grad():
            cond["anchor"] = net.anchored(cond)
        # Noise (B M, S, N, D) along the axes of the given frames, so that each member turns with them; cases first.
        shape = (self.horizon, *given.shape[2:])
        parts = [
            draw_base(self.path.base, shape, len(given), key(seed, "track member", m) >> 33, first_index)
            for m in range(members)
        ]
        axes = principal_axes(given, tracks.seen)
        along = (torch.stack(parts, 1).double() @ axes.transpose(1, 2)[:, None, None]).flatten(0, 1)
        start = net.base_noise(along.to(precise))
        many = {name: part.repeat_interleave(members, 0) for name, part in cond.items()}
        done = self._sampled(net, start, many, method)
        places = net.positions(done, many["anchor"])
        x = self.state["units"].decode(places, centre.repeat_interleave(members, 0))
        there = many["present"].any(1)[:, None, :, None]
        x = torch.where(there, x, torch.nan).reshape(len(tracks), members, *x.shape[1:])[:, :, :ahead]
        times = torch.arange(1, ahead + 1, dtype=torch.float64)
        names = tuple(self.state["columns"])
        return Ensemble(
            x=x, dims=("frame", "node", "dimension"), times=times, columns=names, labels=tracks.labels
        )

    def _checked(self, tracks: Tracks) -> Tracks:
        if tracks.x.shape[3] != self.state["dim"]:
            rule = f"positions must have the {self.state['dim']} dimensions of the fit"
            raise invalid(rule, tracks.x.shape[3])
        if tracks.single and self.state["net"].nodes > 1:
            rule = "tracks must be (cases, frames, nodes, dimensions), as in the fit"
            found = f"{len(tracks)} cases of {tracks.x.shape[1]} frames without an axis of nodes"
            raise invalid(rule, found, "A single case needs x[None], single nodes x[:, :, None].")
        known = self.state["net"].remembered["types"]
        if known > 1 and not tracks.typed:
            remedy = "Pass them as {'x': positions, 'types': types}, or in a column type."
            raise invalid(
                f"types of nodes must be passed, since the training data had {known}", "none", remedy
            )
        if int(tracks.types.max()) >= known:
            raise invalid(f"types must be among the {known} of the fit", int(tracks.types.max()))
        return tracks

    def _net_in(self, dtype: torch.dtype) -> TrackVelocity:
        net: TrackVelocity = self.state["net"]
        return net if dtype == torch.float32 else copy.deepcopy(net).to(dtype)

    def _sampled(self, net: TrackVelocity, start: Tensor, cond: dict[str, Tensor], method: str) -> Tensor:
        fields = LearnedFields(self.path, velocity=net)
        return sample(fields, start, cond=cond, method=method, n_steps=self.n_steps, time_grid="uniform").x

    @capability(like="tracks", takes=("n_steps",))
    def sample(
        self, /, n: Count, *, method: str = "heun", seed: int = 0, first_index: int = 0, **settings: Any
    ) -> Any:
        """Whole trajectories ``(n, S, N, D)`` in data units, with mean zero; types are those of training cases in turn.

        Args:
            n: Number of trajectories.
            method: A solver of flows, by name.
            seed: Seed of the noise; trajectory i is one number of (seed, i).
            first_index: Index of the first in a larger job.
            settings: Settings of answers, for this call.
        """
        net: TrackVelocity = self.state["net"]
        assert net.basis is not None
        start = draw_base(self.path.base, (net.basis.n - 1, self.state["dim"]), n, seed, first_index)
        kept = self.state["types"]
        cond = {"types": kept[(torch.arange(n) + first_index) % len(kept)]}
        found = net.basis.inverse(self._sampled(net, start, cond, method).double())
        places: Tensor = found.reshape(n, self.horizon, -1, found.shape[-1]) * self.state["units"].scale
        return places

    @capability(reads={"x": "tracks"}, like="x")
    def log_prob(self, x: Any, *, n_steps: int = 40, seed: int = 0) -> Tensor:
        """Log density of whole trajectories, ``(B,)`` in nats, on the subspace of mean zero, which has ``(S N - 1) D``
        dimensions; a shift changes nothing.

        Args:
            x: Tracks of ``horizon`` frames, seen wholly.
            n_steps: Steps of the flow.
            seed: Seed of the job; the divergence is exact, and no noise is drawn.
        """
        tracks = self._checked(x)
        net: TrackVelocity = self.state["net"]
        assert net.basis is not None
        shape = (self.horizon, net.nodes)
        if tracks.x.shape[1:3] != shape or not bool(tracks.seen.all()):
            rule = f"tracks must have {shape[0]} frames of {shape[1]} nodes, all seen"
            raise invalid(rule, f"{tuple(tracks.x.shape[1:3])}, {int((~tracks.seen).sum())} not seen")
        scale = self.state["units"].scale
        y = net.basis.forward(tracks.x / scale)
        fields = LearnedFields(self.path, velocity=self._net_in(torch.float64))
        given: dict[str, Any] = {
            "cond": {"types": tracks.types},
            "method": "heun",
            "n_steps": n_steps,
            "seed": seed,
        }
        found = flow_log_prob(fields, y, self.path.base, **given).log_prob
        return found - y[0].numel() * torch.tensor(scale, dtype=torch.float64).log()
