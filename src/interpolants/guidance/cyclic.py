"""Completion by going back and forth: noise is added and taken away again while what is known is put back.

Two rules share one loop over a grid of times. What is known enters as a *track*, its state at every time:

* :class:`RePaint` follows the whole way from noise to data, and repeats every stretch of it; the track is fresh noise;
* :class:`CyclicOneWay` repeats one stretch in the middle of the way, and starts it from the flow run backwards from a
  canvas on which what is known was pasted; this inversion is its track, too, so that the known part has one fate.

Both are heuristics: repeating brings what is filled in closer to the conditional distribution, and does not reach it.
Where that matters, use :class:`~interpolants.guidance.TwistedSMC`, or learn a bridge for the task.

Source: Lugmayr et al. (2022), arXiv:2201.09865; Wang et al. (2024), arXiv:2306.08247.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.dynamics.grids import time_grid
from interpolants.dynamics.renoise import renoise
from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.kinds import Count, NonNegative, Real, Whole
from interpolants.foundations.randomness import BlockNoise, key
from interpolants.foundations.types import Condition
from interpolants.metrics.energy_distance import energy_distance
from interpolants.paths.from_gaussian import gaussian_path
from interpolants.paths.path import Path, SpatiallyLinearPath

# Rows among which the change from repetition to repetition is measured.
_COMPARED = 500
_SAME_TIME = 1e-5


@dataclass(frozen=True)
class Completed:
    """Completed rows.

    Attributes:
        x: ``(B, *D)``.
        changes: Energy distance between the rows after one repetition and after the next, ``(cycles,)`` or empty: more
            repetitions change nothing where it has come down to its noise. NaN for fewer than two rows.
    """

    x: Tensor
    changes: Tensor


def _same(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class Coordinates:
    """Coordinates in which entries are known, where they are not those of the states: a linear map and its inverse.

    Attributes:
        of_state: From states ``(B, *D)`` to these coordinates.
        to_state: Back.
        of_data: From rows ``(B, *D)`` in data units to these coordinates, for settings in data units.
        covariance: Covariance of the base in these coordinates, ``(D, D)`` flattened, where noise of the entries is
            correlated; None where it is not.
    """

    of_state: Callable[[Tensor], Tensor] = _same
    to_state: Callable[[Tensor], Tensor] = _same
    covariance: Tensor | None = None
    of_data: Callable[[Tensor], Tensor] = _same

    def put(self, x: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """States ``(B, *D)`` with values put in where the mask says, by the least change of the states.

        Where noise of the entries is correlated, the others follow by regression, ``C_:k C_kk^-1``: the directions that
        this leaves alone have noise of their own, as entries have where they are uncorrelated.

        Args:
            x: States.
            values: In these coordinates.
            mask: In [0, 1], in these coordinates.
        """
        data = self.of_state(x)
        change = mask.to(data) * (values.to(data) - data)
        if self.covariance is not None:
            flat = regressed(change.flatten(1).double(), mask.flatten(1) > 0, self.covariance)
            change = flat.reshape(change.shape).to(change)
        return self.to_state(data + change)


def regressed(change: Tensor, known: Tensor, covariance: Tensor) -> Tensor:
    """Changes of all entries that follow from those of the known ones, ``C_:k C_kk^-1 change_k`` by row.

    Args:
        change: ``(B, D)`` float64.
        known: Truth values ``(B, D)``.
        covariance: C, ``(D, D)`` float64; entries without a variance follow nothing.
    """
    scale = covariance.diagonal().sqrt()
    scale = torch.where(scale > 0, scale, 1.0)
    correlation = covariance / scale[:, None] / scale
    found, scaled = change.clone(), change / scale
    patterns, which = torch.unique(known, dim=0, return_inverse=True)
    for n, pattern in enumerate(patterns):
        k = pattern.nonzero()[:, 0]
        if len(k) in (0, len(scale)):
            continue
        rows = (which == n).nonzero()[:, 0]
        gain = correlation[:, k] @ torch.linalg.pinv(correlation[k][:, k], hermitian=True)
        moved = scale * (scaled[rows][:, k] @ gain.T)
        found[rows] = torch.where(pattern, change[rows], moved)
    return found


@dataclass(frozen=True)
class Job:
    """What is to be completed.

    Attributes:
        fields: Fields on a one-sided path from a Gaussian base.
        x: Rows ``(B, *D)``, NaN or anything where nothing is known.
        mask: ``(B, *D)`` in [0, 1]: 1 where an entry is known, less where it may give way.
        seed: Seed of all noise, which belongs to a row's index.
        cond: Condition of the rows.
        first_index: Index of the first row in a larger job.
        coordinates: Those of ``x`` and ``mask``.
        sigma: Standard deviation of the noise of known entries, ``(B, *D)``; None for no noise. Only ``MaskedFlow``
            takes it.

    Raises:
        InvalidInputError: If the path is another, the mask does not fit, or a known entry is not finite.
    """

    fields: Fields
    x: Tensor
    mask: Tensor
    seed: int = 0
    cond: Condition = None
    first_index: int = 0
    coordinates: Coordinates = Coordinates()
    sigma: Tensor | None = None

    def __post_init__(self) -> None:
        gaussian_path("complete", self.fields.path)
        if self.mask.shape != self.x.shape or not bool(((self.mask >= 0) & (self.mask <= 1)).all()):
            rule = f"the mask must have the shape of the rows, {tuple(self.x.shape)}, and lie in [0, 1]"
            raise invalid("complete", rule, f"shape {tuple(self.mask.shape)}")
        if not bool(torch.isfinite(self.x[self.mask > 0]).all()):
            raise invalid("complete", "known entries must be finite", "nan or inf")

    @property
    def known(self) -> Tensor:
        """Known values, zero where nothing is known."""
        return torch.where(self.mask > 0, self.x, 0.0)

    def start(self, *stream: int | str) -> Tensor:
        """Standard normal rows of the shape of the states."""
        like = self.coordinates.to_state(self.known)
        return BlockNoise.like(like, self.seed, *stream, first=self.first_index).normal()

    def seed_of(self, *stream: int | str) -> int:
        """A seed for one part of the work."""
        return key(self.seed, *stream) % (1 << 31)

    def run(self, x: Tensor, times: Any, track: "Track | None", *stream: int | str, **options: Any) -> Tensor:
        """Carry states along some times, with what is known put back after every step where there is a track."""
        return sample(
            self.fields, x, time_grid=times, start=times[0], stop=times[-1], cond=self.cond,
            seed=self.seed_of(*stream), first_index=self.first_index, constraint=track, **options,
        ).x  # fmt: skip

    def pasted(self, x: Tensor) -> Tensor:
        """States with the known entries as they are, those without noise."""
        mask = self.mask if self.sigma is None else torch.where(self.sigma == 0, self.mask, 0.0)
        data = torch.lerp(self.coordinates.of_state(x), self.known.to(x), mask.to(x))
        return self.coordinates.to_state(data)


@dataclass(frozen=True)
class Track:
    """State of what is known at every time, as a constraint of ``sample``.

    Args:
        job: What is known.
        times: Times of ``states``; empty for fresh noise at every time.
        states: ``(B, n, *D)``; None for fresh noise.
    """

    job: Job
    times: tuple[float, ...] = ()
    states: Tensor | None = None

    def rows(self, x: Tensor) -> Condition:
        """Everything with one row per sample."""
        states = self.job.mask if self.states is None else self.states
        return {"clean": self.job.known, "mask": self.job.mask, "states": states}

    def impose(self, x: Tensor, t: Tensor, known: Condition, path: Path, z: Tensor | None) -> Tensor:
        """What is known put into the states at time t."""
        coordinates = self.job.coordinates
        if self.times:
            nearest = int(np.abs(np.asarray(self.times) - float(t)).argmin())
            if abs(self.times[nearest] - float(t)) > _SAME_TIME:
                return x
            state = coordinates.of_state(known["states"][:, nearest])
        else:
            assert isinstance(path.base, Gaussian)
            noise = None if z is None else coordinates.of_state(path.base.color(z))
            state = _noised(path, known["clean"], t, noise)
        return coordinates.put(x, state, known["mask"])


def _noised(path: Path, clean: Tensor, t: Tensor, noise: Tensor | None) -> Tensor:
    """The state at time t of data ``clean``; without noise for None."""
    assert isinstance(path, SpatiallyLinearPath)
    signal = path.beta(t).to(clean) * clean
    return signal if noise is None else signal + path.alpha(t).to(clean) * noise


@dataclass(frozen=True, kw_only=True)
class RePaint(Checked):
    """From noise to data in stretches of ``jump`` steps, each done ``resamples`` times.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    n_steps: Count = 100
    """Steps of the grid."""
    jump: Count = 10
    """Steps of a stretch."""
    resamples: Count = 5
    """How often each is done; 1 for once."""
    paste: bool = True
    """End with the known entries exactly as they are; else as the last step left them."""

    def complete(self, job: Job) -> Completed:
        """Completed rows."""
        grid, track = time_grid(self.n_steps), Track(job)
        path, base = gaussian_path("RePaint", job.fields.path)
        x = float(path.alpha(torch.tensor(grid[0]))) * base.color(job.start("completion start"))
        for begin in range(0, self.n_steps, self.jump):
            times = grid[begin : begin + self.jump + 1]
            for again in range(self.resamples):
                if again:
                    seed = job.seed_of("back", begin, again)
                    x = renoise(path, x, times[-1], times[0], seed=seed, first_index=job.first_index)
                quiet = {"finish": "mean"} if times[-1] == 1 else {}
                x = job.run(x, times, track, "forth", begin, again, method="ancestral", **quiet)
        return Completed(job.pasted(x) if self.paste else x, torch.zeros(0))


@dataclass(frozen=True, kw_only=True)
class CyclicOneWay(Checked):
    """Between two times in the middle of the way, again and again; then on to the data with little noise.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    cycles: Whole = 10
    """Repetitions of the stretch; 0 for none."""
    back: Real = 0.3
    """Time to which noise is added, in (0, ``turn``)."""
    turn: Real = 0.5
    """Time at which a repetition ends, in (``back``, 1)."""
    late: tuple[Real, ...] = (0.6,)
    """Further times at which what is known is put back on the last way, in (``turn``, 1]: at the nearest time of the
    grid after ``turn``. Later ones keep it closer, earlier ones let the rest shape it."""
    track: Literal["inverted", "noised"] = "inverted"
    """``"inverted"``: the flow backwards from the canvas; ``"noised"``: fresh noise. Which is better depends on the
    data: the canvas lies far from data that are smooth."""
    n_steps: Annotated[int, Ge(3)] = 50
    """Steps of the whole grid."""
    eps_cycle: float | None = None
    """Noise level within a repetition; None for ancestral steps."""
    eps_last: NonNegative = 0.0
    """Noise level on the last way."""
    fill: Real | None = None
    """Value of the unknown part of the canvas, in data units; None for the mean of the data."""
    paste: bool = True
    """End with the known entries exactly as they are."""

    def check_settings(self) -> None:
        """Refuse times in another order."""
        if not 0 < self.back < self.turn < 1:
            raise asked.invalid("times must satisfy 0 < back < turn < 1", (self.back, self.turn))
        if any(not self.turn < t <= 1 for t in self.late):
            raise asked.invalid(f"late times must lie in ({self.turn}, 1]", self.late)

    def complete(self, job: Job) -> Completed:
        """Completed rows."""
        grid = time_grid(self.n_steps)
        back, turn, *near = (int(np.abs(grid - t).argmin()) for t in (self.back, self.turn, *self.late))
        late = [
            max(step, turn + 1) for step in near
        ]  # a time after turn may have the step of turn as its nearest
        if not 0 < back < turn:
            rule = "a step of the grid or more must lie between back and turn"
            raise invalid("CyclicOneWay", rule, f"{self.n_steps} steps", "Take more steps.")
        empty = job.coordinates.to_state(self._background(job))
        canvas = job.coordinates.put(empty, job.known, job.mask)
        inverted = sample(
            job.fields, canvas, reverse=True, time_grid=grid[back:], start=grid[back], stop=1.0, cond=job.cond,
            first_index=job.first_index, return_path=True,
        ).path  # fmt: skip
        assert inverted is not None
        states = inverted.flip(0).transpose(0, 1)  # from back on, (B, n, *D)
        noised = self.track == "noised"
        track = Track(job) if noised else Track(job, tuple(grid[back:].tolist()), states)
        steps: dict[str, Any] = {"method": "ancestral"} if self.eps_cycle is None else {"eps": self.eps_cycle}
        x, changes = states[:, turn - back], []
        for cycle in range(self.cycles):
            seed, path = job.seed_of("back", cycle), job.fields.path
            before = x
            x = renoise(path, x, grid[turn], grid[back], seed=seed, first_index=job.first_index)
            x = job.run(x, grid[back : turn + 1], track, "forth", cycle, **steps)
            changes.append(_change(before, x))
        x = self._last_way(job, x, grid, turn, late, track)
        return Completed(job.pasted(x) if self.paste else x, torch.tensor(changes))

    def _background(self, job: Job) -> Tensor:
        """The canvas without its known part, in the coordinates of the job."""
        if self.fill is None:
            return torch.zeros_like(job.known)
        found = job.coordinates.of_data(torch.full_like(job.known, self.fill))
        if not bool(found.isfinite().all()):
            remedy = "Pass a value that every column takes, or None for the mean."
            raise invalid("CyclicOneWay", "fill must be a value that the transform takes", self.fill, remedy)
        return found

    def _last_way(
        self, job: Job, x: Tensor, grid: Any, turn: int, late: Sequence[int], track: Track
    ) -> Tensor:
        """From the turn to the data, with what is known put back at the late times only."""
        options: dict[str, Any] = {"eps": self.eps_last} if self.eps_last else {}
        assert job.fields.path is not None
        for begin, end in pairwise(sorted({turn, *late, len(grid) - 1})):
            x = job.run(x, grid[begin : end + 1], None, "last way", begin, **options)
            if end in late:
                noise = None if grid[end] == 1 else job.start("late", end)
                x = track.impose(x, torch.tensor(grid[end]), track.rows(x), job.fields.path, noise)
        return x


def _change(before: Tensor, after: Tensor) -> float:
    """Energy distance of the rows, at most 500 of them; NaN for fewer than two."""
    if len(before) < 2:
        return math.nan
    return energy_distance(before[:_COMPARED], after[:_COMPARED], unbiased=False).value
