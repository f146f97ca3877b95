"""Insertions: a sequence grows from the empty one token by token, and its length is part of the answer.

Each token of the clean sequence x1 is shown at time t with chance kappa(t), independently; the others do not exist yet,
and their positions close up. Notation: V tokens; gap g = 0 ... n of a sequence of n tokens lies after g tokens; hidden
share ``s = 1 - kappa``. Run backwards, every token is deleted at the rate ``kappa' / kappa``, whatever x1 is. So the
generator is, per operation "insert a in gap g",

    u(g, a | x, t) = kappa' / (1 - kappa) M(g, a | x, s),     M = E[number of hidden tokens a in gap g | x_t = x],

an expected number: it may exceed 1, and the expectation runs over all alignments of x in x1. Paths of operations and
orders of revealing correspond one to one for a given x1, so that nothing is lost by not knowing the alignment:

    -log p(x1) <= int_0^1 ds / s E[ sum_{g, a} M(g, a) - sum_{hidden (g, a)} (1 + log M(g, a)) ],

with equality for the exact M. With n tokens, h of them hidden, ``int P(h | n, s) / s ds = 1 / h`` and
``s | h ~ Beta(h, n - h + 1)``, the h-th smallest of n uniforms. One draw of h uniform on 0 ... n therefore gives an
unbiased estimate of finite variance: ``(n + 1) / h [sum M - sum_hidden (1 + log M)]``; for h = 0, ``sum M / s`` with
``s ~ Beta(1, n + 1)``. Neither needs the schedule, which decides about the steps of sampling only.

Some gaps may be *closed*: nothing is hidden there. M is then conditional on that too. Closing gaps on rates that do not
know it gives another distribution. Shown tokens and closed gaps from t = 0 on answer a pattern such as ``"san *"`` with
the distribution proportional to p(w) times the number of ways in which the pattern fits w.

Source: Havasi, Karrer, Gat & Chen (2025), arXiv:2506.09018 (insertions, deletions, substitutions); the bound in this
form, the closed gaps and their training are ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, NamedTuple

import torch
from annotated_types import Ge
from torch import Generator, Tensor, nn
from torch.nn import functional

from interpolants.data.alphabet import END
from interpolants.foundations.checked import Checked
from interpolants.foundations.chunks import Chunk, Chunks
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Remedy
from interpolants.foundations.randomness import BlockNoise
from interpolants.foundations.row_times import ask
from interpolants.foundations.types import Condition, check_rows
from interpolants.generative.tokens.discrete.sampler import TIME_STREAM, TOKEN_STREAM, TokenSamples
from interpolants.generative.tokens.discrete.schedules import KeepSchedule, LinearKeep

# log M of (states, hidden shares, conditions): (B, L + 1), (B,) -> (B, L + 1, V), -inf in gaps that take nothing.
LogExpected = Callable[[Tensor, Tensor, Condition], Tensor]


@dataclass(frozen=True)
class Insert(Checked):
    """Sequences of different lengths start empty, and tokens are inserted one by one.

    A state is written ``(B, L + 1)``: a start symbol, the tokens, and ends. Each symbol stands for the gap behind it
    too, and has a second number if that gap is closed: tokens 0 ... V-1, start V, the same with closed gaps
    V+1 ... 2V+1, end 2V+2.

    Raises:
        InvalidInputError: If there are fewer than two tokens.

    Source: Havasi, Karrer, Gat & Chen (2025), arXiv:2506.09018.
    """

    vocabulary: Annotated[int, Ge(2), Remedy("The end is not counted.")]
    """Number V of tokens."""
    schedule: KeepSchedule = field(default_factory=LinearKeep)
    """When tokens are inserted, kappa; only the steps of sampling depend on it."""
    mask = None
    uses_time = True

    @property
    def end(self) -> int:
        """Number of the end, which fills a state up to its length."""
        return 2 * self.vocabulary + 2

    def states(self, x: Tensor, closed: Tensor | None = None) -> Tensor:
        """Sequences ``(B, L)``, filled up with -1, as states ``(B, L + 1)``; ``closed (B, L + 1)`` by gap."""
        begun = functional.pad(x, (1, 0), value=self.vocabulary)
        states = begun.masked_fill(begun == END, self.end)
        if closed is not None:
            states = torch.where(closed & (states != self.end), states + self.vocabulary + 1, states)
        return states

    def tokens(self, states: Tensor) -> Tensor:
        """States as sequences ``(B, L)``, filled up with -1."""
        visible = states[:, 1:]
        return (visible % (self.vocabulary + 1)).masked_fill(visible == self.end, END)

    def is_open(self, states: Tensor) -> Tensor:
        """Gaps that may take a token, ``(B, L + 1)``."""
        return states <= self.vocabulary

    def check_tokens(self, x: Tensor, name: str) -> None:
        """Raise an error unless ``x (B, L)`` are tokens 0 ... V-1, filled up with -1."""
        if x.numel() and (int(x.max()) >= self.vocabulary or int(x.min()) < END):
            wrong = int(x.min()) if int(x.min()) < END else int(x.max())
            rule = f"{name} must be tokens 0 ... {self.vocabulary - 1}, filled up with -1"
            raise invalid("Insert", rule, wrong)


class NetInsertions:
    """A network as the expected numbers M.

    It takes states ``(B, L + 1)`` and the time ``1 - s``, and returns for each gap, in this order, logits of the tokens
    (V), the logarithm c of a number, and log odds o; further outputs are ignored. Then

        log M(g, a) = c + log sigmoid(o + log s) + log softmax(logits)_a:

    of order s towards s = 0 for any finite output, without which the bound would be infinite, yet as large as the data
    demand where the shown tokens are not a possible sequence.

    Args:
        net: ``net(states, t, cond)``.
        path: The path.
    """

    def __init__(self, net: nn.Module, path: Insert) -> None:
        self.net, self.path = net, path

    def __call__(self, states: Tensor, hidden: Tensor, cond: Condition = None) -> Tensor:
        """Log M, ``(B, L + 1, V)`` float64; -inf in closed gaps and behind the end."""
        out: Tensor = ask(self.net, states, 1 - hidden, cond)
        size = self.path.vocabulary
        if out.shape[:-1] != states.shape or out.shape[-1] < size + 2:
            rule = f"the network must return (*{tuple(states.shape)}, K) with K >= V + 2 = {size + 2}"
            raise invalid("NetInsertions", rule, tuple(out.shape))
        out = out.double()
        hidden_share = hidden.expand(len(states))[:, None].log()
        total = out[..., size] + functional.logsigmoid(out[..., size + 1] + hidden_share)
        numbers = total[..., None] + out[..., :size].log_softmax(-1)
        return numbers.masked_fill(~self.path.is_open(states)[..., None], -torch.inf)

    @property
    def networks(self) -> list[nn.Module]:
        """The network behind the expected numbers."""
        return [self.net]


# --- what is shown at a time -----------------------------------------------------------------------------------


class Shown(NamedTuple):
    """Clean sequences of which some tokens are hidden.

    Attributes:
        states: ``(B, L + 1)``.
        hidden_share: s, ``(B,)`` float64.
        hidden: ``(B, L)``, tokens of the clean sequence that do not exist yet.
        gap_index: ``(B, L)``, the gap of the state in which each token belongs.
        weight: ``(B,)``, factor of the terms in the estimate of the bound.
    """

    states: Tensor
    hidden_share: Tensor
    hidden: Tensor
    gap_index: Tensor
    weight: Tensor


def show(
    path: Insert, x1: Tensor, u: Tensor, *, fixed: Tensor | None = None, closed: Tensor | None = None
) -> Shown:
    """Draw a number of hidden tokens, a hidden share that goes with it, and which tokens these are.

    Args:
        path: The path.
        x1: Clean sequences ``(B, L)``, filled up with -1.
        u: Uniforms in [0, 1), ``(B, L + 2)`` float64: for the number, for the share of a sequence that is shown whole,
            and one per token.
        fixed: ``(B, L)``, tokens that are shown at all times.
        closed: ``(B, L + 1)``, gaps of x1 that are known to hold nothing.
    """
    free = x1 != END
    free = free if fixed is None else free & ~fixed
    n = free.sum(1)
    levels = (1 - u[:, 2:]).masked_fill(~free, torch.inf)  # in (0, 1]: a share of 0 has no logarithm
    h = (u[:, 0] * (n + 1)).long().clamp(max=n)
    padded = functional.pad(levels.sort(1).values, (1, 0))
    none = -torch.expm1(torch.log1p(-u[:, 1]) / (n + 1)).clamp(max=-1e-300)
    hidden_share = torch.where(h > 0, padded.gather(1, h[:, None])[:, 0], none)
    hidden = free & (levels <= hidden_share[:, None]) & (h > 0)[:, None]
    gap_index = ((x1 != END) & ~hidden).cumsum(1)
    states = _closed_up(path, path.states(x1, closed), functional.pad(~hidden, (1, 0), value=True))
    weight = torch.where(h > 0, (n + 1) / h.clamp(min=1).double(), 1 / hidden_share)
    return Shown(states, hidden_share, hidden, gap_index, weight)


def _closed_up(path: Insert, states: Tensor, visible: Tensor) -> Tensor:
    """States without what is not shown: the others move up, in their order, and ends fill the row."""
    order = (~visible).long().argsort(dim=1, stable=True)
    return states.masked_fill(~visible, path.end).gather(1, order)


def terms(expected: LogExpected, x1: Tensor, visible: Shown, cond: Condition = None) -> Tensor:
    """Unbiased estimates of the bound, ``(B,)`` in nats per sequence: one call of M."""
    numbers = expected(visible.states, visible.hidden_share, cond)
    rows = torch.arange(len(x1), device=x1.device)[:, None]
    at = numbers[rows, visible.gap_index, x1.clamp(min=0)]
    result = torch.where(visible.hidden, 1 + at, 0.0).sum(1)
    return visible.weight * (numbers.exp().sum((1, 2)) - result)


# --- training --------------------------------------------------------------------------------------------------


class Pattern(NamedTuple):
    """Fixed parts of sequences.

    Attributes:
        fixed: ``(B, L)``, tokens that are shown at all times.
        closed: ``(B, L + 1)``, gaps that are known to hold nothing.
        weight: ``(B,)``, weight of the row in the loss.
    """

    fixed: Tensor
    closed: Tensor
    weight: Tensor


def draw_pattern(x1: Tensor, u: Tensor, max_length: int) -> Pattern:
    """Draw patterns: nothing fixed with chance 1/2, a beginning and an end with 1/4, these and a middle part with 1/4.

    Every pattern that fits a sequence must have the same weight whatever the sequence, or the learnt expectation would
    not be that of the data. A sequence of n tokens has C(n + 2, 2) patterns of the first kind and C(n + 3, 4) of
    the second; one of them is drawn, with their number as weight (divided by that of the longest sequence).

    Args:
        x1: Clean sequences ``(B, L)``, filled up with -1.
        u: Uniforms in [0, 1), ``(B, L + 4)``: for the kind, and one per possible cut.
        max_length: Number of tokens of the longest sequence.
    """
    length = x1.shape[1]
    n = (x1 != END).sum(1)
    kind = (u[:, 0] >= 0.5).long() + (u[:, 0] >= 0.75).long()
    cuts = 2 * kind
    # Two of the numbers 0 ... n + 1, or four of 0 ... n + 2, without replacement, in order.
    numbers = torch.arange(length + 3, device=x1.device)
    keys = u[:, 1:].masked_fill(numbers > (n + kind)[:, None], 2.0)
    rank = keys.argsort(1).argsort(1)
    chosen = torch.where(rank < cuts[:, None], numbers, length + 3).sort(1).values[:, :4]
    first, second, third, fourth = chosen.clamp(max=length + 2).unbind(1)
    middle = kind == 2
    # Beginning [0, i), open, middle [j, k), open, end [l, n).
    i = torch.where(kind > 0, first, 0)
    end = torch.where(middle, fourth - 2, torch.where(kind == 1, second - 1, n))
    j, k = (torch.where(middle, position - 1, 0) for position in (second, third))
    token, gap_number = numbers[:length], numbers[: length + 1]
    bounds = torch.stack([i, j, k, end, n])[..., None]
    fixed = (token < bounds[0]) | ((token >= bounds[1]) & (token < bounds[2])) | (token >= bounds[3])
    closed = (
        (gap_number < bounds[0])
        | ((gap_number > bounds[1]) & (gap_number < bounds[2]))
        | ((gap_number > bounds[3]) & (kind > 0)[:, None])
    )
    return Pattern(
        fixed & (token < bounds[4]), closed & (gap_number <= bounds[4]), _number_of(n, kind, max_length)
    )


def _number_of(n: Tensor, kind: Tensor, max_length: int) -> Tensor:
    """Number of patterns of each kind that fit a sequence of n tokens, as a share of those that fit the longest."""

    def count(size: Tensor) -> Tensor:
        size = size.double()
        two = (size + 2) * (size + 1) / 2
        four = (size + 3) * (size + 2) * (size + 1) * size / 24
        return torch.where(kind == 2, four, torch.where(kind == 1, two, 1.0))

    return count(n) / count(torch.full_like(n, max_length))


@dataclass(frozen=True)
class InsertLoss:
    """The bound of sequences and of sequences that fit a pattern, in the form that the training loop calls.

    Args:
        path: The path.
        max_length: Number of tokens of the longest sequence.
    """

    path: Insert
    max_length: int

    def __call__(self, net: Any, batch: Mapping[str, Any], generator: Generator) -> dict[str, Tensor]:
        """Nats ``(B,)`` of a batch ``{"x1", "cond"}``."""
        x1 = batch["x1"].to(generator.device)
        cond = None if batch["cond"] is None else batch["cond"].to(generator.device)
        rows, length = x1.shape
        u = torch.rand(
            rows, 2 * length + 6, dtype=torch.float64, generator=generator, device=generator.device
        )
        pattern = draw_pattern(x1, u[:, length + 2 :], self.max_length)
        visible = show(self.path, x1, u[:, : length + 2], fixed=pattern.fixed, closed=pattern.closed)
        return {"bound": pattern.weight * terms(NetInsertions(net, self.path), x1, visible, cond)}


# --- answers ---------------------------------------------------------------------------------------------------


def _chunks(
    expected: LogExpected, states: Tensor, carried: tuple[Condition, ...], first_index: int
) -> Chunks:
    """States and what belongs to their rows, the condition first."""
    half = torch.tensor(0.5, dtype=torch.float64)
    return Chunks(
        expected,
        lambda part, fixed: expected(part, half.expand(len(part)), fixed[0]),
        states,
        carried,
        networks=getattr(expected, "networks", []),
        chunk=None,
        first_index=first_index,
        invariant=True,
    )


@torch.no_grad()
def insert_nelbo(
    expected: LogExpected,
    path: Insert,
    x1: Tensor,
    *,
    draws: int = 8,
    cond: Condition = None,
    seed: int = 0,
    first_index: int = 0,
) -> Tensor:
    """Estimates of the bound on ``-log p`` of each sequence, its end included: ``(B,)`` float64, nats per sequence.

    Args:
        expected: log M.
        path: The path.
        x1: Clean sequences ``(B, L)``, filled up with -1.
        draws: States per sequence, stratified over the number of hidden tokens.
        cond: Condition, one row per sequence.
        seed: Seed of the states; those of sequence i belong to (seed, i), whatever its batch.
        first_index: Index of the first sequence in a larger job.
    """
    path.check_tokens(x1, "x1")
    check_rows("insert_nelbo", cond, len(x1), "sequence")
    rows, length = x1.shape
    noise = BlockNoise(
        seed,
        ("insertion bound",),
        first=first_index,
        count=rows,
        shape=(length + 2,),
        dtype=torch.float64,
        device=x1.device,
    )
    total = torch.zeros(rows, dtype=torch.float64, device=x1.device)
    for draw in range(draws):
        u = noise.uniform()
        u[:, 0] = (draw + u[:, 0]) / draws
        visible = show(path, x1, u)

        def part(chunk: Chunk) -> tuple[Tensor]:
            condition, clean, *extra = chunk.cond
            return (terms(expected, clean, Shown(chunk.x, *extra), condition),)

        total += _chunks(expected, visible.states, (cond, x1, *visible[1:]), first_index).map(part)[0]
    return total / draws


class Grown(NamedTuple):
    """Answer of a chunk: states ``(B, L + 1)``, and rows that had no room for a token."""

    states: Tensor
    full: Tensor


@torch.no_grad()
def grow(
    expected: LogExpected,
    path: Insert,
    states: Tensor,
    *,
    steps: int = 64,
    cond: Condition = None,
    seed: int = 0,
    first_index: int = 0,
) -> tuple[TokenSamples, Tensor]:
    """Insert tokens on a grid of times, until t = 1.

    In each gap a token is inserted with the chance ``min(1, sum_a M (kappa_stop - kappa_start) / (1 - kappa_start))``,
    the expected number of hidden tokens times the part of them that is revealed in the step; at most one per gap and
    step. ``M / (1 - kappa)`` held as a rate and integrated would insert with certainty in the last step wherever M > 0:
    that is right for a mask, behind which there is surely a token, but wrong for a gap. The error is of order
    1 / steps.

    Args:
        expected: log M.
        path: The path, whose schedule places the steps.
        states: Where to begin, ``(B, L + 1)``: the known tokens and closed gaps. No sequence grows beyond L tokens.
        steps: Number of steps.
        cond: Condition, one row per sequence.
        seed: Seed of the noise; sequence i belongs to (seed, i), whatever its batch.
        first_index: Index of the first sequence in a larger job.

    Returns:
        The sequences, and whether each of them lacked room for a token, ``(B,)``.

    Raises:
        InvalidInputError: If M is NaN or infinite.
    """
    check_rows("grow", cond, len(states), "sequence")
    times = torch.linspace(0, 1, steps + 1, dtype=torch.float64, device=states.device)
    shares = path.schedule.hidden(times).tolist()

    def walk(chunk: Chunk) -> Grown:
        current = chunk.x
        happens, token = (
            BlockNoise(
                seed,
                (stream,),
                first=chunk.first,
                count=len(current),
                shape=(current.shape[1],),
                dtype=torch.float64,
                device=current.device,
            )
            for stream in (TIME_STREAM, TOKEN_STREAM)
        )
        full = torch.zeros(len(current), dtype=torch.bool, device=current.device)
        for start, stop in pairwise(shares):
            hidden_share = torch.full((len(current),), start, dtype=torch.float64, device=current.device)
            numbers = expected(current, hidden_share, chunk.cond[0]).double().exp()
            total = numbers.sum(-1)
            if not bool(total.isfinite().all()):
                remedy = "Train with a smaller lr: the network has diverged."
                raise invalid("grow", "expected numbers of tokens must be finite", "NaN or infinity", remedy)
            part = (start - stop) / start if start > 0 else 0.0
            inserts = happens.uniform() < total * part
            below = numbers.cumsum(-1)
            aims = token.uniform()[..., None] * below[..., -1:]
            choice = (below <= aims).sum(-1).clamp(max=path.vocabulary - 1)
            current, lacks = _inserted(path, current, inserts, choice)
            full |= lacks
        return Grown(current, full)

    grown = _chunks(expected, states, (cond,), first_index).map(walk)
    x = path.tokens(grown.states)
    calls = torch.full((len(x),), steps, dtype=torch.int64, device=x.device)
    weights = float(steps * path.vocabulary * ((x != END).sum(1) + 1).double().mean())
    return TokenSamples(x, calls, weights, None, seed), grown.full


def _inserted(path: Insert, states: Tensor, inserts: Tensor, choice: Tensor) -> tuple[Tensor, Tensor]:
    """States with a token in some gaps, as far as there is room, and where there was none."""
    room = (states == path.end).sum(1, keepdim=True)
    fits = inserts & (inserts.cumsum(1) <= room)
    # Each symbol, and behind it what is inserted into its gap: both gaps of a new token are open.
    pair = torch.stack([states, choice], 2).flatten(1)
    visible = torch.stack([states != path.end, fits], 2).flatten(1)
    return _closed_up(path, pair, visible)[:, : states.shape[1]], (inserts & ~fits).any(1)
