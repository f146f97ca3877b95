"""Generated rows beside held-out rows, column by column: quantiles, largest gap of the distributions, correlations."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from interpolants.foundations.kinds import Count
from interpolants.foundations.randomness import generator
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import MAKING, generate, unknown_option
from interpolants.methods.questions.distances import column_names, pooled_rows, real_rows
from interpolants.metrics.estimate import Estimate, bootstrap_error
from interpolants.metrics.two_sample import real_floor

TABLE = "Columns, held-out rows → generated rows"
_QUANTILES = (0.05, 0.5, 0.95)
_REAL = "two sets of real data"
_LEVEL = 0.01  # chance that any column of a right distribution is named
_REMEDY = "Look at the columns that are off: logarithms of skewed ones, noise of one step on counts, longer training."
_NAMED = 3  # columns that a finding names


@dataclass(frozen=True, kw_only=True)
class ColumnQuality(Question):
    """Which columns of generated rows are like those of held-out rows, and which are not.

    Two numbers sum the table up: the largest Kolmogorov-Smirnov distance of a column, and the root mean square error of
    the correlations between columns. Both are within [0, 1] and [0, 2] whatever the units.

    Source: the critical distance is that of Smirnov (1948), Ann. Math. Stat. 19, 279-281, for each of D columns at 1/D
    of the level.
    """

    needs: ClassVar[str] = "sample"
    front: ClassVar[tuple[str, ...]] = (TABLE,)
    numbers: ClassVar[Mapping[str, About]] = {
        "worst_ks": About(
            "Kolmogorov-Smirnov distance of the worst column",
            floor_of=_REAL,
        ),
        "correlation_error": About(
            "Error of correlations between columns", note="Root mean square.", floor_of=_REAL
        ),
    }

    role: str = "x1"
    """Role that the rows should look like."""
    start: str = "x0"
    """Role of the starts, where the method carries rows."""
    n: Annotated[int, Ge(2)] = 2000
    """Most rows to make."""
    most: Count = 12
    """Most columns in the table, the worst ones."""
    seed: int = 1
    """Seed of the rows."""
    options: Mapping[str, Any] | None = None
    """Options of the verb, such as ``eps`` and ``n_steps``."""

    def cannot(self, method: Method) -> str:
        """Options that the method does not know."""
        return unknown_option(method, MAKING, self.options)

    def measure(self, method: Method, task: Task) -> Measured:
        """Both numbers, the table, and the columns that are off by more than chance."""
        real = _flat(real_rows(task, self.role)[: self.n])
        options = {"seed": self.seed, **(self.options or {})}
        made = _flat(generate(method, task, len(real), start=self.start, options=options).x)
        names = column_names(task, self.role)
        source = generator(self.seed, "bootstrap of correlations")
        values: dict[str, Number] = {"worst_ks": worst_ks(made, real)}
        if real.shape[1] > 1:
            values["correlation_error"] = correlation_error(made, real, source)
        return Measured(
            values, texts={TABLE: self._table(made, real, names)}, findings=_off(made, real, names)
        )

    def floors(self, task: Task) -> Mapping[str, Estimate]:
        """Both numbers between random sets of real rows."""
        pool, n = _flat(pooled_rows(task, self.role)), min(self.n, len(real_rows(task, self.role)))
        known = {"worst_ks": lambda x, y, source: worst_ks(x, y)}
        known |= {"correlation_error": lambda x, y, source: _apart(x, y)} if pool.shape[1] > 1 else {}
        return {name: real_floor(distance, pool, n, n, self.seed) for name, distance in known.items()}

    def _table(self, made: Tensor, real: Tensor, names: Sequence[str]) -> list[str]:
        gaps, errors = ks_by_column(made, real), _errors(made, real)
        quantiles = [torch.quantile(x.double(), torch.tensor(_QUANTILES).double(), 0) for x in (real, made)]
        head = ["column", "KS distance", "correlation error", "5 %", "median", "95 %"]
        lines = [_cells(head), _cells(["---", *("---:" for _ in head[1:])])]
        for k in gaps.argsort(descending=True)[: self.most].tolist():
            pairs = [f"{a[k]:.4g} → {b[k]:.4g}" for a, b in zip(*quantiles, strict=True)]
            lines.append(_cells([names[k], f"{gaps[k]:.3f}", f"{errors[k]:.3f}", *pairs]))
        left = len(gaps) - self.most
        rest = (
            "One column with a smaller distance is"
            if left == 1
            else f"{left} columns with smaller distances are"
        )
        return [*lines, f"{rest} left out."] if left > 0 else lines


def _flat(x: Tensor) -> Tensor:
    return x.reshape(len(x), -1)


def ks_by_column(x: Tensor, y: Tensor) -> Tensor:
    """Kolmogorov-Smirnov distance of each column of ``x (N, D)`` and ``y (M, D)``, float64 ``(D,)``."""
    both = torch.cat([x, y]).double().T.contiguous()
    shares = [
        torch.searchsorted(rows.double().T.contiguous().sort(1).values, both, right=True).double() / len(rows)
        for rows in (x, y)
    ]
    return (shares[0] - shares[1]).abs().amax(1)


def worst_ks(x: Tensor, y: Tensor) -> Estimate:
    """The largest of these distances; its error is at most that of two shares of one half."""
    error = 0.5 * math.sqrt(1 / len(x) + 1 / len(y))
    return Estimate(float(ks_by_column(x, y).max()), error, min(len(x), len(y)), "largest KS distance")


def correlation_error(x: Tensor, y: Tensor, source: Generator) -> Estimate:
    """Root mean square difference of the correlations of ``x (N, D)`` and ``y (M, D)``, with a bootstrap error."""
    found = _apart(x, y)
    error = bootstrap_error(lambda a, b: _apart(a, b).value, x, y, n_bootstrap=20, generator=source)
    return Estimate(found.value, error, found.n, found.name)


def _apart(x: Tensor, y: Tensor) -> Estimate:
    size = x.shape[1]
    total = (_correlations(x) - _correlations(y)).square().sum() / (size * (size - 1))
    return Estimate(float(total.sqrt()), math.nan, min(len(x), len(y)), "correlation error")


def _errors(x: Tensor, y: Tensor) -> Tensor:
    """The same for each column with the others, ``(D,)``."""
    apart = (_correlations(x) - _correlations(y)).square().sum(1)
    return (apart / max(1, x.shape[1] - 1)).sqrt()


def _correlations(x: Tensor) -> Tensor:
    """Correlations ``(D, D)``; those of a column that does not vary are 0."""
    centred = x.double() - x.double().mean(0)
    unit = centred / centred.norm(dim=0).clamp(min=1e-300)
    found: Tensor = unit.T @ unit
    return found.fill_diagonal_(1.0)


def _off(made: Tensor, real: Tensor, names: Sequence[str]) -> list[Finding]:
    """A finding where some column's distance is beyond chance at 1 %, taken over all columns."""
    gaps = ks_by_column(made, real)
    limit = math.sqrt(-math.log(_LEVEL / (2 * len(gaps))) / 2 * (1 / len(made) + 1 / len(real)))
    worst = [k for k in gaps.argsort(descending=True).tolist() if gaps[k] > limit]
    if not worst:
        return []
    told = ", ".join(f"{names[k]} (KS {gaps[k]:.2f})" for k in worst[:_NAMED])
    more = f" and {len(worst) - _NAMED} more" if len(worst) > _NAMED else ""
    words = f"{len(worst)} of {len(gaps)} columns" if len(gaps) > 1 else "The column"
    verb = "are" if len(worst) > 1 else "is"
    found = f"{words} {verb} off by more than chance (KS above {limit:.2f}): {told}{more}."
    return [Finding(found, grave=False, remedy=_REMEDY)]


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
