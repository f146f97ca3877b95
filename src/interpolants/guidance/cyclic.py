"""Completion by going back and forth: noise is added and taken away again while what is known is put back.

Two rules share one loop over a grid of times. What is known enters as a *track*, its state at every time:

* :class:`RePaint` follows the whole way from noise to data, and repeats every stretch of it; the track is fresh noise;
* :class:`CyclicOneWay` repeats one stretch in the middle of the way, and starts it from the flow run backwards from a
  canvas on which what is known was pasted; this inversion is its track, too, so that the known part has one fate.

Both are heuristics: repeating brings what is filled in closer to the conditional distribution, and does not reach it.
Where that matters, use :class:`~interpolants.guidance.TwistedSMC`, or learn a bridge for the task.

Source: Lugmayr et al. (2022), arXiv:2201.09865; Wang et al. (2024), arXiv:2306.08247.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from interpolants.dynamics.grids import time_grid
from interpolants.dynamics.renoise import renoise
from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import number, one_of, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.ops import mean_event
from interpolants.foundations.randomness import BlockNoise, key
from interpolants.foundations.types import Condition
from interpolants.guidance.one_sided import gaussian_path
from interpolants.paths.path import Path, SpatiallyLinearPath


@dataclass(frozen=True)
class Completed:
    """Completed rows.

    Attributes:
        x: ``(B, *D)``.
        changes: Root mean square change of the unknown entries from one repetition to the next at the end of the
            repeated stretch, ``(cycles - 1,)`` or empty: it settles where more repetitions change no distribution.
    """

    x: Tensor
    changes: Tensor


@dataclass(frozen=True)
class Job:
    """What is to be completed.

    Attributes:
        fields: Fields on a one-sided path from a Gaussian base.
        x: Rows ``(B, *D)``, anything where nothing is known.
        mask: ``(B, *D)`` in [0, 1]: 1 where an entry is known, less where it may give way.
        seed: Seed of all noise, which belongs to a row's index.
        cond: Condition of the rows.
        first_index: Index of the first row in a larger job.
    """

    fields: Fields
    x: Tensor
    mask: Tensor
    seed: int = 0
    cond: Condition = None
    first_index: int = 0

    def __post_init__(self) -> None:
        gaussian_path("complete", self.fields.path)
        if self.mask.shape != self.x.shape or not bool(((self.mask >= 0) & (self.mask <= 1)).all()):
            rule = f"the mask must have the shape of the rows, {tuple(self.x.shape)}, and lie in [0, 1]"
            raise invalid("complete", rule, f"shape {tuple(self.mask.shape)}")
        if not bool(torch.isfinite(self.x[self.mask > 0]).all()):
            raise invalid("complete", "known entries must be finite", "nan or inf")

    def run(self, x: Tensor, times: Any, track: "Track", *stream: int | str, **options: Any) -> Tensor:
        """Carry states along some times, with what is known put back after every step."""
        return sample(
            self.fields, x, time_grid=times, start=times[0], stop=times[-1], cond=self.cond,
            seed=key(self.seed, *stream) % (1 << 31), first_index=self.first_index, constraint=track, **options,
        ).x  # fmt: skip


@dataclass(frozen=True)
class Track:
    """State of what is known at every time, as a constraint of ``sample``.

    Args:
        clean: Known values ``(B, *D)``, zero elsewhere.
        mask: ``(B, *D)``.
        times: Times of ``states``; empty for fresh noise at every time.
        states: ``(B, n, *D)``; unused for fresh noise.
    """

    clean: Tensor
    mask: Tensor
    times: tuple[float, ...] = ()
    states: Tensor | None = None

    def rows(self, x: Tensor) -> Condition:
        """Everything with one row per sample."""
        return {"clean": self.clean, "mask": self.mask, "states": self.clean if self.states is None else self.states}

    def impose(self, x: Tensor, t: Tensor, known: Condition, path: Path, z: Tensor | None) -> Tensor:
        """``m y_t + (1 - m) x``."""
        if self.times:
            nearest = int(np.abs(np.asarray(self.times) - float(t)).argmin())
            if abs(self.times[nearest] - float(t)) > 1e-5:
                return x
            state = known["states"][:, nearest]
        else:
            state = noised(path, known["clean"], t, z)
        return torch.lerp(x, state.to(x), known["mask"])


def noised(path: Path, clean: Tensor, t: Tensor, z: Tensor | None) -> Tensor:
    """The state at time t of data ``clean``, with noise z; without noise for None."""
    assert isinstance(path, SpatiallyLinearPath)
    assert isinstance(path.base, Gaussian)
    signal = path.beta(t).to(clean) * clean
    return signal if z is None else signal + path.alpha(t).to(clean) * path.base.color(z)


@dataclass(frozen=True, kw_only=True)
class RePaint:
    """From noise to data in stretches of ``jump`` steps, each done ``resamples`` times.

    Args:
        n_steps: Steps of the grid.
        jump: Steps of a stretch.
        resamples: How often each is done; 1 for once.
        paste: End with the known entries exactly as they are; else as the last step left them.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    n_steps: int = 100
    jump: int = 10
    resamples: int = 5
    paste: bool = True

    def __post_init__(self) -> None:
        for name in ("n_steps", "jump", "resamples"):
            whole("RePaint", name, getattr(self, name), at_least=1)

    def complete(self, job: Job) -> Completed:
        """Completed rows."""
        grid, track = time_grid(self.n_steps), Track(job.x * (job.mask > 0), job.mask)
        path, base = gaussian_path("RePaint", job.fields.path)
        noise = BlockNoise.like(job.x, job.seed, "completion start", first=job.first_index).normal()
        x = float(path.alpha(torch.tensor(grid[0]))) * base.color(noise)
        for begin in range(0, self.n_steps, self.jump):
            times = grid[begin : begin + self.jump + 1]
            for again in range(self.resamples):
                if again:
                    seed = key(job.seed, "back", begin, again) % (1 << 31)
                    x = renoise(path, x, times[-1], times[0], seed=seed, first_index=job.first_index)
                quiet = {"finish": "mean"} if times[-1] == 1 else {}
                x = job.run(x, times, track, "forth", begin, again, method="ancestral", **quiet)
        return Completed(_pasted(x, job) if self.paste else x, torch.zeros(0))


@dataclass(frozen=True, kw_only=True)
class CyclicOneWay:
    """Between two times in the middle of the way, again and again; then on to the data with little noise.

    Args:
        cycles: Repetitions of the stretch; 0 for none.
        back: Time to which noise is added, in (0, ``turn``).
        turn: Time at which a repetition ends, in (``back``, 1).
        late: Further times at which what is known is put back on the last way, in (``turn``, 1]; later ones keep it
            closer, earlier ones let the rest shape it.
        track: ``"inverted"``, the flow backwards from the canvas, or ``"noised"``, fresh noise. Which is better depends on
            the data: an inverted canvas is far from data that are smooth.
        n_steps: Steps of the whole grid.
        eps_cycle: Noise level within a repetition; None for ancestral steps.
        eps_last: Noise level on the last way.
        fill: Value of the unknown part of the canvas.
        paste: End with the known entries exactly as they are.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    cycles: int = 10
    back: float = 0.3
    turn: float = 0.5
    late: Sequence[float] = (0.6,)
    track: Literal["inverted", "noised"] = "inverted"
    n_steps: int = 50
    eps_cycle: float | None = None
    eps_last: float = 0.0
    fill: float = 0.0
    paste: bool = True

    def __post_init__(self) -> None:
        who = "CyclicOneWay"
        whole(who, "cycles", self.cycles), whole(who, "n_steps", self.n_steps, at_least=3)
        one_of(who, "track", self.track, ("inverted", "noised"))
        number(who, "eps_last", self.eps_last, at_least=0)
        if not 0 < self.back < self.turn < 1:
            raise invalid(who, "times must satisfy 0 < back < turn < 1", (self.back, self.turn))
        if any(not self.turn < t <= 1 for t in self.late):
            raise invalid(who, f"late times must lie in ({self.turn}, 1]", tuple(self.late))

    def complete(self, job: Job) -> Completed:
        """Completed rows."""
        grid = time_grid(self.n_steps)
        back, turn, *late = (int(np.abs(grid - t).argmin()) for t in (self.back, self.turn, *self.late))
        if not 0 < back < turn:
            rule = "a step of the grid or more must lie between back and turn"
            raise invalid("CyclicOneWay", rule, f"{self.n_steps} steps", "Take more steps.")
        canvas = torch.lerp(torch.full_like(job.x, self.fill), job.x.nan_to_num(0.0), job.mask)
        inverted = sample(
            job.fields, canvas, reverse=True, time_grid=grid[back:], start=grid[back], stop=1.0, cond=job.cond,
            first_index=job.first_index, return_path=True,
        ).path  # fmt: skip
        assert inverted is not None
        states = inverted.flip(0).transpose(0, 1)  # from back on, (B, n, *D)
        track = self._track(job, canvas, grid[back:], states)
        x, changes = states[:, turn - back], []
        x = torch.lerp(x, states[:, turn - back], job.mask)
        for cycle in range(self.cycles):
            seed = key(job.seed, "back", cycle) % (1 << 31)
            path = job.fields.path
            before, x = x, renoise(path, x, grid[turn], grid[back], seed=seed, first_index=job.first_index)
            x = job.run(x, grid[back : turn + 1], track, "forth", cycle, **self._steps)
            changes.append(_change(before, x, job.mask))
        x = self._last_way(job, x, grid, turn, late, track)
        return Completed(_pasted(x, job) if self.paste else x, torch.tensor(changes[1:]))

    @property
    def _steps(self) -> dict[str, Any]:
        return {"method": "ancestral"} if self.eps_cycle is None else {"eps": self.eps_cycle}

    def _track(self, job: Job, canvas: Tensor, times: Any, states: Tensor) -> Track:
        known = job.x.nan_to_num(0.0) * (job.mask > 0)
        return Track(known, job.mask, tuple(times.tolist()), states) if self.track == "inverted" else Track(known, job.mask)

    def _last_way(self, job: Job, x: Tensor, grid: Any, turn: int, late: Sequence[int], track: Track) -> Tensor:
        """From the turn to the data, with what is known put back at the late times only."""
        nodes = sorted({turn, *late, len(grid) - 1})
        for begin, end in zip(nodes[:-1], nodes[1:], strict=True):
            options: dict[str, Any] = {"eps": self.eps_last} if self.eps_last else {}
            x = sample(
                job.fields, x, time_grid=grid[begin : end + 1], start=grid[begin], stop=grid[end], cond=job.cond,
                seed=key(job.seed, "last way", begin) % (1 << 31), first_index=job.first_index, **options,
            ).x  # fmt: skip
            if end in late:
                noise = BlockNoise.like(x, job.seed, "late", end, first=job.first_index).normal()
                t = torch.tensor(grid[end])
                assert job.fields.path is not None
                x = track.impose(x, t, track.rows(x), job.fields.path, noise)
        return x


def _pasted(x: Tensor, job: Job) -> Tensor:
    return torch.lerp(x, job.x.nan_to_num(0.0).to(x), job.mask)


def _change(before: Tensor, after: Tensor, mask: Tensor) -> float:
    """Root mean square change of the entries that are not known."""
    free = (1 - mask).double()
    squared = mean_event((after - before).double().square() * free).sum() / mean_event(free).sum().clamp_min(1e-12)
    return float(squared.sqrt())
