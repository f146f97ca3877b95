"""Choose the noise level of a learnt bridge from few held-out rows, by cross-validation over these.

Letters: ``X`` moved starts, ``x`` held-out ends; ``a`` their mean distances, ``b`` those of moved starts of different
rows; ``2 mean(a) - mean(b)`` is the energy distance up to a number that no level changes.

1. Score. Every level moves the same starts with the same noise, some draws of each where they are few. A gap between
   two levels is a mean over the rows, whose influence is ``2 a_i`` for an end and ``2 a_s - 2 b_s`` for a start: its
   standard error needs no groups of rows, and holds for a dozen of them.
2. Choose the least level than which the best is not better by more than one standard error of their gap.
3. Cross-validate. The choice is made anew without each fold of the starts and ends, and its gap to the flow is taken on
   the fold; so for twenty partitions into folds, since few rows make small folds. If noise does not help rows that the
   choice has not seen, the flow is taken.

The bridge is the same in all folds, so this tells levels of this bridge apart, not bridges of fewer rows. Training rows
have no part in it: moved starts lie near the ends that a network has learnt, whichever level is better elsewhere. The
weights were stopped by the same held-out rows, for all levels alike.

Source: the rule of one standard error is that of Breiman, Friedman, Olshen & Stone (1984), Classification and
Regression Trees, section 3.4.3; the rest is ours.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.foundations.types import Condition, take_rows
from interpolants.methods.bridge.auto_eps import Candidate, EpsChoice

LEVELS = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
# Fewest starts and ends.
LEAST = 8
_FOLDS, _PARTITIONS = 5, 20


@dataclass(frozen=True)
class _Moved:
    """Mean distances of moved starts over their draws, in units of the spread of the ends.

    Attributes:
        across: ``(S, M)``, of moved starts to ends.
        within: ``(S, S)``, between moved starts; its diagonal says nothing.
        paired: Whether a start and the end of its row are not independent, so that their distance does not count.
    """

    across: Tensor
    within: Tensor
    paired: bool

    def at(self, starts: Tensor, ends: Tensor) -> "_Moved":
        """For some of the rows."""
        return replace(self, across=self.across[starts][:, ends], within=self.within[starts][:, starts])

    def less(self, other: "_Moved") -> "_Moved":
        """The difference to those of another level."""
        return replace(self, across=self.across - other.across, within=self.within - other.within)

    @property
    def sides(self) -> tuple[Tensor, Tensor, Tensor]:
        """Mean distances: of each end to moved starts, of each moved start to ends, and to other moved starts."""
        across = _without_diagonal(self.across) if self.paired else self.across
        return across.mean(0), across.mean(1), _without_diagonal(self.within).mean(1)

    @property
    def value(self) -> float:
        """The energy distance, up to a number that no level changes."""
        ends, _, within = self.sides
        return float(2 * ends.mean() - within.mean())

    @property
    def error(self) -> float:
        """Standard error of the value, from the influence of each row."""
        ends, starts, within = self.sides
        ends, starts = 2 * ends, 2 * starts - 2 * within
        if self.paired:
            return float((ends + starts).std()) / math.sqrt(len(ends))
        return math.sqrt(float(ends.var()) / len(ends) + float(starts.var()) / len(starts))


def _without_diagonal(x: Tensor) -> Tensor:
    """``(N, N)`` scaled so that means of rows and of columns leave out the diagonal."""
    n = len(x)
    return x.clone().fill_diagonal_(0) * (n / (n - 1))


def few_rows_eps(
    fields: Fields,
    x0: Tensor,
    x1: Tensor,
    *,
    paired: bool = False,
    cond: Condition = None,
    n: int = 400,
    n_steps: int = 60,
    seed: int = 0,
) -> EpsChoice:
    """Choose a constant eps for the forward SDE where held-out rows are too few to estimate errors of the fields.

    Args:
        fields: Learnt fields with a score.
        x0: Held-out start points ``(S, *D)``, S >= 8; draws of the base on a one-sided path.
        x1: Held-out end points ``(M, *D)``, M >= 8; conditions belong to their rows.
        paired: Row i of ``x0`` belongs to row i of ``x1``, or is the same.
        cond: Condition, one row per end point.
        n: Moved points per level, at least.
        n_steps: Steps of the solver.
        seed: Seed of the noise and of the folds.

    Raises:
        InvalidInputError: If there are fewer than 8 rows at an end, or no score.
    """
    fewest = min(len(x0), len(x1))
    if fewest < LEAST:
        remedy = "Print check(), which tries some levels, or choose eps yourself."
        raise invalid(
            "few_rows_eps", f"each endpoint must have at least {LEAST} held-out rows", fewest, remedy
        )
    if not fields.has_score:
        raise invalid("few_rows_eps", "the fields must have a score", type(fields).__name__)
    moved = [_moved(fields, x0, x1, eps, cond, n, n_steps, seed, paired=paired) for eps in LEVELS]
    tried = []
    for eps, one in zip(LEVELS, moved, strict=True):
        gap, name, kind = one.less(moved[0]), f"{eps:g}" if eps else "flow (0)", "constant" if eps else "flow"
        tried.append(Candidate(name, kind, eps, one.value, one.error, gap.value, gap.error))
    best = _best(moved)
    apart, agreeing = _left_out(moved, best, seed)
    chosen = tried[best if apart < 0 else 0]
    reason = _reason(chosen, tried[best], apart, agreeing)
    eps = LEVELS[best if apart < 0 else 0]
    return EpsChoice(eps, chosen.name, eps, None, None, tuple(tried), "cross-validated samples", None, reason)


def _moved(
    fields: Fields,
    x0: Tensor,
    x1: Tensor,
    eps: float,
    cond: Condition,
    n: int,
    n_steps: int,
    seed: int,
    *,
    paired: bool,
) -> _Moved:
    """Distances at one level; draw d of all starts lies in rows ``d S`` to ``(d + 1) S``."""
    draws = max(1, -(-n // len(x0)))
    starts = x0.repeat(draws, *(1,) * (x0.ndim - 1))
    known = take_rows(cond, torch.arange(len(starts)) % len(x1))
    made = sample(fields, starts, eps=eps, n_steps=n_steps, seed=seed, cond=known, on_failure="keep").x
    ends, made = x1.double().flatten(1), made.double().flatten(1)
    spread = float((ends - ends.mean(0)).square().sum(1).mean().sqrt())
    across = torch.cdist(made, ends).reshape(draws, -1, len(ends)).mean(0)
    within = torch.cdist(made, made).reshape(draws, len(x0), draws, len(x0)).mean((0, 2))
    return _Moved(across / spread, within / spread, paired)


def _best(moved: list[_Moved]) -> int:
    """The least level than which the best is not better by more than one standard error."""
    best = min(moved, key=lambda one: one.value)
    gaps = [best.less(one) for one in moved]
    return next(k for k, gap in enumerate(gaps) if -gap.value <= gap.error)


def _left_out(moved: list[_Moved], best: int, seed: int) -> tuple[float, float]:
    """Mean gap to the flow, on a fold, of what the others choose; and the share of folds that choose ``best``."""
    source = generator(seed, "noise level folds")
    s, m = moved[0].across.shape
    folds = min(_FOLDS, s // 2, m // 2)
    gaps, agreeing = [], []
    for _ in range(_PARTITIONS):
        ends = torch.randperm(m, generator=source) % folds
        starts = ends if moved[0].paired else torch.randperm(s, generator=source) % folds
        for fold in range(folds):
            chosen = _best([one.at(starts != fold, ends != fold) for one in moved])
            gap = moved[chosen].less(moved[0])
            gaps.append(gap.at(starts == fold, ends == fold).value)
            agreeing.append(chosen == best)
    return sum(gaps) / len(gaps), sum(agreeing) / len(gaps)


def _reason(chosen: Candidate, best: Candidate, apart: float, agreeing: float) -> str:
    what = "energy distance to held-out rows"
    if best.kind == "flow":
        return f"eps = 0 was kept among {len(LEVELS)}: no level is better by a standard error in {what}."
    seen = f"{best.gap:.3g} ± {best.gap_error:.2g} in {what}"
    left = f"{apart:.3g} on rows left out of the choice, which {100 * agreeing:.0f} % of the folds share"
    if chosen is best:
        return f"eps = {best.name} was chosen among {len(LEVELS)}: it changes the flow by {seen}, by {left}."
    return f"eps = 0 was kept among {len(LEVELS)}: {best.name} changes it by {seen}, but by {left}."
