"""Posterior of a table's cells on the way from noise: mean scores, and probabilities of levels.

Notation: rows B, columns D. A score is at ``z_t = (1 - t) e + t z1``; a level is hidden until it is shown, at a uniform
time. Known cells are at time 1. Each posterior is given the whole row, numbers and levels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn

from interpolants.apps.tables.columns import TableCode, scores
from interpolants.foundations.randomness import BlockNoise

# Weight 1/(1 - t) of hidden levels in the loss, at most.
_CAP = 30.0
# Fraction of the rows that are learnt with known cells, and of those whose hidden cells are marked as not missing.
_CONDITIONAL, _FILLED = 0.5, 0.5
# Latest time at which the bound is evaluated: the integrand of numbers is finite but noisy beyond.
_LATEST = 0.998


@dataclass(frozen=True)
class TableState:
    """Rows on the way.

    Attributes:
        z: Scores, ``(B, D)``.
        levels: Levels ``(B, D)``; those that are not visible are ignored.
        visible: Which levels are visible, ``(B, D)`` bool.
        fixed: Which cells are known from the start, ``(B, D)`` bool.
        filled: Which hidden levels are known not to be "missing", ``(B, D)`` bool.
        t: Time of each row, ``(B,)``.
    """

    z: Tensor
    levels: Tensor
    visible: Tensor
    fixed: Tensor
    filled: Tensor
    t: Tensor


class TablePosterior(Protocol):
    """Means of scores and logits of levels, given a state."""

    def __call__(self, state: TableState) -> tuple[Tensor, Tensor]:
        """Innovation F ``(B, D)`` and logits ``(B, D, K)``, -inf for levels that a column does not have.

        The mean of a score is ``t / m z + (1 - t) / sqrt(m) F`` with ``m = t^2 + (1 - t)^2``.
        """
        ...


class TableField:
    """Posterior by a network on features of the state.

    Args:
        code: The columns.
        net: Network from ``(B, W)`` to ``(B, W)``; the first outputs are used.
    """

    def __init__(self, code: TableCode, net: Any) -> None:
        self.code, self.net = code, net
        self.index = _padded(code.sizes, len(code.numbers))
        self.centres = [column.centres().float() for column in code.columns]
        self.number, self.missing = code.number_levels(), code.missing_levels()

    @staticmethod
    def width(code: TableCode) -> int:
        """Number of features W of a state."""
        levels = sum(2 + size for size in code.sizes if size)
        periods = sum(2 * len(column.periods) for column in code.columns)
        return max(8 * len(code.numbers) + levels + periods, len(code.numbers) + sum(code.sizes))

    def __call__(self, state: TableState) -> tuple[Tensor, Tensor]:
        """Innovation and logits; the innovation is 0 where the level says that the score is noise."""
        features = self.features(state)
        out = self.net(features, state.t.to(features))
        innovation = torch.zeros_like(state.z)
        innovation[:, self.code.numbers] = out[:, : len(self.code.numbers)]
        noise = state.visible & (state.levels != self.number) & (self.number >= 0)
        padded = torch.cat([out, out.new_full((len(out), 1), -math.inf)], 1)
        logits = padded[:, self.index]
        level = torch.arange(logits.shape[2])
        ruled_out = state.filled[:, :, None] & (level == self.missing[:, None])
        return torch.where(noise, 0.0, innovation), logits.masked_fill(ruled_out, -math.inf)

    def features(self, state: TableState) -> Tensor:
        """Inputs of the network, ``(B, W)`` float32."""
        parts = []
        for k, column in enumerate(self.code.columns):
            if column.has_numbers:
                parts += self._of_number(state, k)
            if column.size:
                parts += self._of_level(state, k)
        width = sum(part.shape[1] for part in parts)
        empty = state.z.new_zeros(len(state.z), self.width(self.code) - width)
        return torch.cat([*parts, empty], 1).float()

    def _of_number(self, state: TableState, k: int) -> list[Tensor]:
        column, z = self.code.columns[k], state.z[:, k, None]
        waves = z * z.new_tensor([0.5, 1.0, 2.0]) * math.pi
        time = torch.where(state.fixed[:, k], 1.0, state.t)[:, None]
        parts = [z, waves.sin(), waves.cos(), time]
        if column.periods:
            day = column.decode(state.levels.new_full((len(z),), column.number), z[:, 0])[:, None]
            turns = 2 * math.pi * day / day.new_tensor(column.periods)
            parts += [turns.sin(), turns.cos()]
        return parts

    def _of_level(self, state: TableState, k: int) -> list[Tensor]:
        size, visible = self.code.sizes[k], state.visible[:, k, None]
        one_hot = nn.functional.one_hot(state.levels[:, k].clamp(0, size - 1), size) * visible
        centre = (self.centres[k][state.levels[:, k].clamp(0, size - 1)])[:, None] * visible
        return [one_hot, centre, (state.filled[:, k, None] & ~visible)]


def _padded(sizes: Sequence[int], first: int) -> Tensor:
    """Outputs of each column's levels ``(D, K)``; -1 beyond its levels."""
    index = torch.full((len(sizes), max(1, *sizes)), -1)
    for k, size in enumerate(sizes):
        index[k, :size] = torch.arange(first, first + size)
        first += size
    return index


# --- loss


class TableBatches:
    """The batch of a step: coded rows, drawn uniformly with replacement.

    Args:
        coded: Levels, lower ranks and widths ``(N, D)``.
        size: Rows per step, over all processes.
    """

    def __init__(self, coded: Sequence[Tensor], size: int) -> None:
        self.coded, self.size = coded, size

    def __call__(
        self,
        step: int,
        generator: Generator,
        rank: int,
        world: int,  # prose: keep
    ) -> dict[str, Tensor]:
        """The share of this process in the batch of ``step``."""
        pick = torch.randint(len(self.coded[0]), (max(1, self.size // world),), generator=generator)
        return dict(zip(("levels", "lower", "width"), (part[pick] for part in self.coded), strict=True))


class TableLoss:
    """Squared error of scores and cross-entropy of hidden levels, at a uniform time.

    Scores of rows whose level is an atom or "missing" are noise, and count while that level is hidden: without them
    the network learns the scores of numbers only, and samples follow another distribution.

    Args:
        code: The columns.
    """

    def __init__(self, code: TableCode) -> None:
        self.code = code
        self.levelled = torch.tensor([size > 0 for size in code.sizes])
        self.scored = torch.tensor([column.has_numbers for column in code.columns])

    def __call__(self, net: Any, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Losses ``(B,)`` of a batch."""
        return self.of(TableField(self.code, net), batch, generator)

    def of(
        self, posterior: TablePosterior, batch: dict[str, Tensor], generator: Generator
    ) -> dict[str, Tensor]:
        """Losses ``(B,)`` of any posterior."""
        levels = batch["levels"]
        uniform = torch.rand(3, *levels.shape, generator=generator, dtype=torch.float64)
        rows = torch.rand(4, len(levels), generator=generator)
        t = (torch.arange(len(levels)) + rows[0]) / len(levels)
        t = t[torch.randperm(len(levels), generator=generator)]
        given_cells = (uniform[0] < rows[1][:, None]) & (rows[2] < _CONDITIONAL)[:, None]
        missing_levels = self.code.missing_levels()
        marked = (rows[3] < _FILLED)[:, None] & (missing_levels >= 0)
        # Missing cells of marked rows are shown: hidden without a mark they would make "missing" too likely there.
        given_cells |= marked & (levels == missing_levels)
        filled = marked & ~given_cells
        noise = torch.randn(levels.shape, generator=generator)
        state, target = on_the_way(batch, t, given_cells, filled, uniform[1:3], noise)
        innovation, logits = posterior(state)
        free = (
            self.scored
            & ~given_cells
            & ~(state.visible & (levels != self.code.number_levels()) & self.levelled)
        )
        losses = {"scores": ((innovation - target).square() * free).sum(1)}
        hidden = self.levelled & ~state.visible
        weight = (1 / (1 - t)).clamp_max(_CAP)
        losses["levels"] = weight * cross_entropy(logits, levels, hidden).sum(1)
        return losses


def cross_entropy(logits: Tensor, levels: Tensor, hidden: Tensor) -> Tensor:
    """Negative log probabilities of hidden levels ``(B, D)``, 0 elsewhere."""
    log_p = logits.log_softmax(2).gather(2, levels[:, :, None])[:, :, 0]
    return torch.where(hidden, -log_p, 0.0)


def on_the_way(
    batch: dict[str, Tensor],
    t: Tensor,
    given_cells: Tensor,
    filled: Tensor,
    uniform: Tensor,
    noise: Tensor,
) -> tuple[TableState, Tensor]:
    """State of coded rows at times ``t (B,)``, and the target of the innovation ``((1 - t) z1 - t e) / sqrt(m)``.

    Args:
        batch: Levels, lower ranks and widths of the rows.
        t: Times.
        given_cells: Observed cells.
        filled: Hidden levels that are marked as not "missing".
        uniform: Places in the ranks, and the times at which levels are shown, ``(2, B, D)``.
        noise: The Gaussian base e, ``(B, D)``.
    """
    z1 = scores(batch["lower"], batch["width"], uniform[0]).float()
    time = t[:, None]
    z = torch.where(given_cells, z1, (1 - time) * noise + time * z1)
    visible = given_cells | (uniform[1] < time)
    state = TableState(z, batch["levels"], visible, given_cells, filled & ~visible, t)
    size = (time.square() + (1 - time).square()).sqrt()
    return state, ((1 - time) * z1 - time * noise) / size


# --- draws


def draw(
    code: TableCode,
    posterior: TablePosterior,
    state: TableState,
    steps: int,
    seed: int,
    first_index: int,
    table: int = 0,
) -> tuple[Tensor, Tensor]:
    """Levels and scores of rows: DDIM for scores, and each hidden level revealed with chance ``h / (1 - t)``.

    Args:
        code: The columns.
        posterior: The posterior.
        state: Rows at time 0, with known cells; scores of the others are drawn here.
        steps: Number of steps.
        seed: Seed of the noise.
        first_index: Index of the first row in a larger job.
        table: Number of the table among several of the same rows.
    """
    noise = BlockNoise.like(state.z, seed, "table rows", table, first=first_index)
    uniform = BlockNoise.like(state.z.double(), seed, "table levels", table, first=first_index)
    levelled = torch.tensor([size > 0 for size in code.sizes])
    state = replace(
        state, z=torch.where(state.fixed, state.z, noise.normal()), visible=state.fixed | ~levelled
    )
    for k in range(steps):
        time, later = k / steps, (k + 1) / steps
        state = replace(state, t=torch.full((len(state.z),), time))
        innovation, logits = posterior(state)
        size = time**2 + (1 - time) ** 2
        mean = time / size * state.z + (1 - time) / math.sqrt(size) * innovation
        updated = (1 - later) / (1 - time) * (state.z - time * mean) + later * mean
        choice = _chosen(logits, uniform.uniform())
        reveal = ~state.visible & ((uniform.uniform() < (later - time) / (1 - time)) | (k + 1 == steps))
        state = replace(
            state,
            z=torch.where(state.fixed, state.z, updated),
            levels=torch.where(reveal, choice, state.levels),
            visible=state.visible | reveal,
        )
    return state.levels, state.z


def _chosen(logits: Tensor, uniform: Tensor) -> Tensor:
    """Levels drawn from logits ``(B, D, K)`` by uniforms ``(B, D)``; 0 in columns without levels."""
    below = logits.double().nan_to_num(neginf=-1e300).softmax(2).cumsum(2)
    return (below < uniform[:, :, None] * below[:, :, -1:]).sum(2).clamp_max(logits.shape[2] - 1)


# --- bound


def bound(
    code: TableCode,
    posterior: TablePosterior,
    batch: dict[str, Tensor],
    draws: int,
    seed: int,
    first_index: int,
) -> Tensor:
    """Estimates ``(B,)`` of an upper bound on the negative log probability of levels and scores, in nats.

    Relative to N(0, 1) for scores, also for those that are noise: that of a row of numbers is relative to their ranks.

    Args:
        code: The columns.
        posterior: The posterior.
        batch: Levels, lower ranks and widths of the rows.
        draws: Times per row, one in each of as many equal parts of [0, 1].
        seed: Seed of times and noise; those of a row depend on its index only.
        first_index: Index of the first row in a larger job.
    """
    shape = batch["levels"].shape
    uniforms = BlockNoise(
        seed, ("table bound",), first=first_index, count=shape[0], shape=(1 + 2 * shape[1],), dtype=torch.float64
    )  # fmt: skip
    normals = BlockNoise(seed, ("table bound noise",), first=first_index, count=shape[0], shape=shape[1:])
    levelled = torch.tensor([size > 0 for size in code.sizes])
    scored = torch.tensor([column.has_numbers for column in code.columns])
    nothing = torch.zeros(shape, dtype=torch.bool)
    total = torch.zeros(shape[0], dtype=torch.float64)
    for k in range(draws):
        uniform = uniforms.uniform()
        t = ((uniform[:, 0] + k) / draws * _LATEST).float()
        pair = uniform[:, 1:].reshape(-1, 2, shape[1]).movedim(1, 0)
        state, target = on_the_way(batch, t, nothing, nothing, pair, normals.normal())
        innovation, logits = posterior(state)
        m = t.square() + (1 - t).square()
        gain = ((innovation - target).square() - target.square()) * scored
        rate = (t / ((1 - t) * m))[:, None] * gain
        hidden = levelled & ~state.visible
        rate = rate + cross_entropy(logits, batch["levels"], hidden) / (1 - t)[:, None]
        total += rate.double().sum(1) * _LATEST / draws
    return total
