"""Filter of samples by the spread of the predicted end point along their own trajectories.

A learnt field is smoother than the exact one, so that trajectories which pass between two modes end between them.
Their predicted end point ``E[x1 | x_t]`` still moves late in the run, where that of others has settled. Its variance in
a late window is a score, and a threshold on it a filter. Which window tells most must be found on data whose modes are
known: `scan_windows`.

Source: Aithal et al. (2024), arXiv:2406.09358; filtering candidate by candidate and the scan are ours.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self, TypeAlias

import torch
from torch import Tensor

from interpolants.dynamics.sample import Samples
from interpolants.dynamics.trajectory_statistics import TrajectoryStatistics
from interpolants.fields.protocol import QUANTITIES
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import number, one_of, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import NonNegative, OneOf, Share
from interpolants.metrics.roc import Roc, roc

_WHO = "TrajectoryFilter"
Statistic: TypeAlias = Literal["variance", "quadratic_variation"]
_STATISTICS: tuple[Statistic, ...] = ("variance", "quadratic_variation")


@dataclass(frozen=True, kw_only=True)
class TrajectoryFilter(Checked):
    """Keep the samples whose statistic stays at or below a threshold.

    ::

        trial = bridge.sample(2000, seed=1, modifiers=TrajectoryStatistics(window=(0.9, 1.0)), details=True)
        keep = TrajectoryFilter.calibrated(trial, keep=0.96, window=(0.9, 1.0))
        done = bridge.sample(500, seed=0, modifiers=keep.observer, details=True)
        y = done.x[keep.accepts(done)]

    Every candidate is judged by its own trajectory: which others are drawn beside it changes nothing. Steps of the run
    must be those of the calibration, as the statistic depends on them. A threshold removes rare but valid modes too,
    where these settle later: look at the share that is kept of each mode.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    threshold: NonNegative
    """Largest statistic to keep, in squared units of the states."""
    window: tuple[Share, Share] = (0.9, 1.0)
    """As in ``dynamics.TrajectoryStatistics``."""
    of: Annotated[str, OneOf(lambda: QUANTITIES)] = "denoised"
    """Likewise."""
    statistic: Statistic = "variance"
    """What is kept low."""

    def check_settings(self) -> None:
        """Refuse what cannot be observed."""
        TrajectoryStatistics(self.of, self.window)

    @property
    def observer(self) -> TrajectoryStatistics:
        """The modifier that candidates must be drawn with."""
        return TrajectoryStatistics(self.of, self.window)

    @classmethod
    def calibrated(
        cls,
        trial: Samples,
        *,
        keep: float = 0.96,
        good: Tensor | None = None,
        window: tuple[float, float] = (0.9, 1.0),
        of: str = "denoised",
        statistic: Statistic = "variance",
        report: int = -1,
    ) -> Self:
        """The filter that keeps a share of a trial run.

        Args:
            trial: A run with the observer of these settings among its modifiers; some hundred samples.
            keep: Share to keep, in (0, 1].
            good: Which samples of the trial are known to be good, ``(B,)`` bool; the share is then one of these.
            window: As in the class.
            of: Likewise.
            statistic: Likewise.
            report: Place of the observer's report; the last by default.

        Raises:
            InvalidInputError: If ``keep`` is out of range, or no finite statistic is left.
        """
        number(_WHO, "keep", keep, above=0, at_most=1)
        scores = _scores(trial, statistic, report)
        if good is not None:
            scores = scores[good]
        scores = scores[torch.isfinite(scores)]
        if not len(scores):
            raise invalid(_WHO, "the trial must have finite statistics of good samples", "none")
        limit = float(torch.quantile(scores, keep, interpolation="higher"))
        return cls(threshold=limit, window=window, of=of, statistic=statistic)

    def accepts(self, done: Samples, *, report: int = -1) -> Tensor:
        """Which samples of a run are kept, ``(B,)`` bool; one that was not finite anywhere in the window is not.

        Args:
            done: A run with :attr:`observer` among its modifiers.
            report: Place of its report; the last by default.
        """
        return _scores(done, self.statistic, report) <= self.threshold

    def draw(
        self, n: int, run: Callable[[int, int], Samples], *, block: int = 256, most: int = 100
    ) -> Tensor:
        """The first ``n`` candidates that are kept, in the order of their index, ``(n, *D)``.

        Args:
            n: Number of samples.
            run: ``run(first, count)`` draws the candidates with index ``first`` ... with :attr:`observer` as the last
                modifier, e.g. ``lambda first, count: bridge.sample(count, first_index=first, seed=0,
                modifiers=keep.observer, details=True)``.
            block: Candidates at a time; the samples do not depend on it where the run's do not depend on their batch.
            most: Most candidates per sample wanted.

        Raises:
            InvalidInputError: If a number is out of range, or so few are kept that ``most`` is exceeded.
        """
        whole(_WHO, "n", n, at_least=1), whole(_WHO, "block", block, at_least=1)
        whole(_WHO, "most", most, at_least=1)
        kept: list[Tensor] = []
        first, there = 0, 0
        while there < n:
            if first >= most * n:
                rule = f"at least one candidate in {most} must be kept"
                raise invalid(
                    _WHO, rule, f"{there} of {first}", "Calibrate on these very steps, or raise most."
                )
            done = run(first, block)
            kept.append(done.x[self.accepts(done)])
            there += len(kept[-1])
            first += block
        return torch.cat(kept)[:n]


def kept_by_mode(x: Tensor, kept: Tensor, means: Tensor, *, good: Tensor | None = None) -> Tensor:
    """Proportion of the samples of each mode that a filter keeps, ``(K,)`` float64; NaN for a mode without samples.

    A filter on a quantile of all samples may remove a rare mode that settles late. A proportion that differs by more
    than 5 % from that of all samples shows it.

    Args:
        x: Samples ``(N, D)``; each belongs to the nearest mode.
        kept: Which of them the filter accepts, ``(N,)`` bool.
        means: Modes ``(K, D)``.
        good: Samples to count, ``(N,)`` bool, such as those within reach of a mode; all by default.

    Raises:
        InvalidInputError: If the shapes do not fit.
    """
    rows = (len(x),)
    fits = x.ndim == 2 and means.ndim == 2 and len(means) and x.shape[1] == means.shape[1]
    if not fits or kept.shape != rows or (good is not None and good.shape != rows):
        found = f"x {tuple(x.shape)}, kept {tuple(kept.shape)}, means {tuple(means.shape)}"
        raise invalid("kept_by_mode", "samples (N, D), modes (K, D) and marks (N,) must fit", found)
    mode = torch.cdist(x.double(), means.double(), compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
    counted = torch.ones_like(kept) if good is None else good
    totals, passed = (
        torch.zeros(len(means), dtype=torch.float64, device=x.device).index_add(0, mode, marks.double())
        for marks in (counted, counted & kept)
    )
    return passed / totals  # 0 / 0 for a mode without samples


@dataclass(frozen=True)
class WindowScore:
    """How well a statistic in one window tells wrong samples.

    Attributes:
        window: Earliest and latest time.
        statistic: Name.
        curve: The ROC curve; None where there were no wrong samples, or no others.
        bad: Samples without a finite statistic, which are left out of the curve.
    """

    window: tuple[float, float]
    statistic: Statistic
    curve: Roc | None
    bad: int

    @property
    def area(self) -> float:
        """Area under the curve; NaN without one."""
        return math.nan if self.curve is None else self.curve.area


def scan_windows(
    run: Callable[[tuple[TrajectoryStatistics, ...]], Samples],
    wrong: Callable[[Tensor], Tensor],
    windows: Sequence[tuple[float, float]],
    *,
    of: str = "denoised",
    statistics: Sequence[Statistic] = _STATISTICS,
) -> tuple[WindowScore, ...]:
    """Score windows on data whose wrong samples are known, all in one run.

    Args:
        run: ``run(modifiers)`` draws samples with these modifiers as its last ones.
        wrong: Samples ``(B, *D)`` -> which are wrong, ``(B,)`` bool.
        windows: Windows of times.
        of: Quantity of the fields.
        statistics: Names of the statistics.

    Returns:
        One score per window and statistic, the largest area first, those without one last.

    Raises:
        InvalidInputError: If there is no window, or a statistic is unknown.
    """
    if not windows:
        raise invalid("scan_windows", "windows must have at least one entry", "none")
    for name in statistics:
        one_of("scan_windows", "statistic", name, _STATISTICS)
    observers = tuple(TrajectoryStatistics(of, window) for window in windows)
    done = run(observers)
    marked = wrong(done.x)
    found = [
        _scored(_scores(done, name, k - len(windows)), marked, window, name)
        for k, window in enumerate(windows)
        for name in statistics
    ]
    return tuple(
        sorted(found, key=lambda score: -math.inf if score.curve is None else score.area, reverse=True)
    )


def _scored(scores: Tensor, wrong: Tensor, window: tuple[float, float], statistic: Statistic) -> WindowScore:
    good = torch.isfinite(scores)
    kinds = wrong[good]
    curve = roc(scores[good], kinds) if bool(kinds.any()) and not bool(kinds.all()) else None
    return WindowScore(window, statistic, curve, int((~good).sum()))


def _scores(done: Samples, statistic: str, report: int) -> Tensor:
    """The statistic of each sample; infinite where something in the window was not finite."""
    if not -len(done.reports) <= report < len(done.reports) or statistic not in done.reports[report]:
        found = [sorted(one) for one in done.reports]
        remedy = "Sample with modifiers=filter.observer and details=True."
        raise invalid(_WHO, "the run must have the report of its observer", found or "no reports", remedy)
    told = done.reports[report]
    is_good = torch.isfinite(told[statistic]) & (told["bad"] == 0)
    return torch.where(is_good, told[statistic], math.inf)
