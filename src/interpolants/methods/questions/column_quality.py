"""Generated rows beside held-out rows, column by column: distances of the distributions, quantiles, correlations."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from interpolants.foundations.asked import asking
from interpolants.foundations.kinds import Count
from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Figure
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import MAKING, generate, unknown_option
from interpolants.methods.questions.table_columns import TableColumns, marginals, shares
from interpolants.metrics.estimate import Estimate, bootstrap_error
from interpolants.metrics.two_sample import real_floor

TABLE, LEVELS = "Columns, held-out rows → generated rows", "Shares of levels, held-out rows → generated rows"
_QUANTILES = (0.05, 0.5, 0.95)
_REAL = "two sets of real data"
_LEVEL = 0.01  # chance that any column of a right distribution is named
_REMEDY = "Look at the columns that are off: logarithms of skewed ones, noise of one step on counts, longer training."
_NAMED = 3  # columns that a finding names
_SHOWN = 4  # levels of a column in the table
_DRAWN = 8  # columns of the figure
_CAPTION = "Distributions of columns in held-out and in generated rows."


@dataclass(frozen=True, kw_only=True)
class ColumnQuality(Question):
    """Which columns of generated rows are like those of held-out rows, and which are not.

    Two numbers sum the table up: the largest distance of a column, and the root mean square error of the correlations
    between columns. Both are within [0, 1] and [0, 2] whatever the units. The distance is that of Kolmogorov and
    Smirnov, in which a missing cell lies below all values, and total variation for strings and categories without an
    order, of which "missing" is one more. Correlations are those of the other columns, over rows that have both cells.

    Source: the critical distance is that of Smirnov (1948), Ann. Math. Stat. 19, 279-281, for each of D columns at 1/D
    of the level; for total variation the mean of equal distributions plus the bound of McDiarmid (1989).
    """

    needs: ClassVar[str] = "sample"
    front: ClassVar[tuple[str, ...]] = ("marginals", TABLE, LEVELS)
    numbers: ClassVar[Mapping[str, About]] = {
        "worst_ks": About(
            "Distance of the worst column",
            note="Kolmogorov-Smirnov; total variation for strings.",
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
        """Both numbers, the tables, and the columns that are off by more than chance."""
        with asking("column_quality"):
            columns = TableColumns.of(task, self.role)
            real = columns.code(task.test[self.role])[: self.n]
            options = {"seed": self.seed, **(self.options or {})}
            generated = generate(
                method, task, len(real), start=self.start, options=options, code=columns.code
            ).x.flatten(1)
        unordered = columns.unordered
        source = generator(self.seed, "bootstrap of correlations")
        values: dict[str, Number] = {"worst_ks": worst_ks(generated, real, unordered)}
        if int((~unordered).sum()) > 1:
            x, y = generated[:, ~unordered], real[:, ~unordered]
            values["correlation_error"] = correlation_error(x, y, source, has_missing=columns.has_missing)
        texts = {TABLE: self._table(generated, real, columns), LEVELS: self._levels(generated, real, columns)}
        worst = column_distances(generated, real, unordered).argsort(descending=True)[:_DRAWN].sort().values
        return Measured(
            values,
            {"real": real[:, worst], "generated": generated[:, worst], "drawn": worst},
            {heading: lines for heading, lines in texts.items() if lines},
            findings=_off(generated, real, columns),
        )

    def floors(self, task: Task) -> Mapping[str, Estimate]:
        """Both numbers between random sets of real rows."""
        with asking("column_quality"):
            columns = TableColumns.of(task, self.role)
            parts = ("test",) if task.in_sample else ("train", "test")
            pool = torch.cat([columns.code(task.part(part)[self.role]) for part in parts])
            n = min(self.n, len(columns.code(task.test[self.role])))
        numbers = ~columns.unordered
        known = {"worst_ks": lambda x, y, source: worst_ks(x, y, ~numbers)}
        if int(numbers.sum()) > 1:
            known["correlation_error"] = lambda x, y, source: _apart(x[:, numbers], y[:, numbers])
        return {name: real_floor(distance, pool, n, n, self.seed) for name, distance in known.items()}

    def figures(
        self,
        own: Measured,  # prose: keep
        rivals: Mapping[str, Measured],
        task: Task,
    ) -> Sequence[Figure]:
        """Distributions of the columns in held-out and in generated rows."""
        with asking("column_quality"):
            columns = TableColumns.of(task, self.role)
        index = own.arrays["drawn"].tolist()
        sets = {"held-out": own.arrays["real"], "generated": own.arrays["generated"]}
        complete = len(columns.names) == len(index)
        caption = (
            _CAPTION
            if complete
            else f"{_CAPTION} The {len(index)} most different of {len(columns.names)} columns."
        )
        return [marginals(columns.of_columns(index), sets, caption)]

    def _table(self, generated: Tensor, real: Tensor, columns: TableColumns) -> list[str]:
        """Lines of the columns with an order, the worst first."""
        distances, ordered = ks_by_column(generated, real), ~columns.unordered
        errors = torch.zeros(len(distances), dtype=torch.float64)
        errors[ordered] = _errors(generated[:, ordered], real[:, ordered])
        with_missing = bool(generated.isnan().any() | real.isnan().any())
        head = ["column", "KS distance", "correlation error", "5 %", "median", "95 %"]
        head += ["missing"] if with_missing else []
        lines = [_cells(head), _cells(["---", *("---:" for _ in head[1:])])]
        order = [k for k in distances.argsort(descending=True).tolist() if bool(ordered[k])]
        for k in order[: self.most]:
            pairs = [_quantile_words(columns, k, x[:, k]) for x in (real, generated)]
            cells = [" → ".join(pair) for pair in zip(*pairs, strict=True)]
            if with_missing:
                cells.append(
                    " → ".join(f"{float(x[:, k].isnan().double().mean()):.1%}" for x in (real, generated))
                )
            lines.append(_cells([columns.names[k], f"{distances[k]:.3f}", f"{errors[k]:.3f}", *cells]))
        return self._limited(lines, len(order)) if order else []

    def _levels(self, generated: Tensor, real: Tensor, columns: TableColumns) -> list[str]:
        """Lines of strings and categories without an order, the worst first."""
        distances = column_distances(generated, real, columns.unordered)
        order = [k for k in distances.argsort(descending=True).tolist() if bool(columns.unordered[k])]
        lines = [_cells(["column", "total variation", "levels"]), _cells(["---", "---:", "---"])]
        for k in order[: self.most]:
            values, p, q = shares(real[:, k], generated[:, k])
            worst = (p - q).abs().argsort(descending=True, stable=True)[:_SHOWN]
            texts = columns.text(k, values[worst])
            cells = [f"{w} {p[i]:.1%} → {q[i]:.1%}" for w, i in zip(texts, worst.tolist(), strict=True)]
            cells += [f"{len(values) - _SHOWN} more"] if len(values) > _SHOWN else []
            lines.append(_cells([columns.names[k], f"{distances[k]:.3f}", ", ".join(cells)]))
        return self._limited(lines, len(order)) if order else []

    def _limited(self, lines: list[str], count: int) -> list[str]:
        """Lines of a table, and the number of its ``count`` columns that it omits."""
        left = count - self.most
        subject = (
            "One column with a smaller distance is"
            if left == 1
            else f"{left} columns with smaller distances are"
        )
        return [*lines, f"{subject} omitted."] if left > 0 else lines


def _quantile_words(columns: TableColumns, k: int, x: Tensor) -> list[str]:
    """Quantiles of the cells of column k that are not missing, as text."""
    observed = x[~x.isnan()].double()
    if not len(observed):
        return ["–" for _ in _QUANTILES]
    return columns.text(k, torch.quantile(observed, torch.tensor(_QUANTILES, dtype=torch.float64)))


def column_distances(x: Tensor, y: Tensor, unordered: Tensor) -> Tensor:
    """Distance of each column of ``x (N, D)`` and ``y (M, D)``, float64 ``(D,)``: see :class:`ColumnQuality`."""
    result = ks_by_column(x, y)
    for k in unordered.nonzero().flatten().tolist():
        _, p, q = shares(x[:, k], y[:, k])
        result[k] = (p - q).abs().sum() / 2
    return result


def _limits(x: Tensor, y: Tensor, unordered: Tensor) -> Tensor:
    """Distances ``(D,)`` that some column of equal distributions exceeds with the chance of the level at most."""
    size, variance = x.shape[1], 1 / len(x) + 1 / len(y)
    result = torch.full(
        (size,), math.sqrt(-math.log(_LEVEL / (2 * size)) / 2 * variance), dtype=torch.float64
    )
    for k in unordered.nonzero().flatten().tolist():
        _, p, q = shares(x[:, k], y[:, k])
        pooled = (len(x) * p + len(y) * q) / (len(x) + len(y))
        mean = (pooled * (1 - pooled) * variance).sqrt().sum() / 2  # at least the mean of total variation
        result[k] = mean + math.sqrt(-math.log(_LEVEL / size) / 2 * variance)
    return result


def ks_by_column(x: Tensor, y: Tensor) -> Tensor:
    """Kolmogorov-Smirnov distance of each column of ``x (N, D)`` and ``y (M, D)``, float64 ``(D,)``.

    NaN, a missing cell, lies below all values.
    """
    x, y = (torch.where(rows.isnan(), -math.inf, rows) for rows in (x, y))
    both = torch.cat([x, y]).double().T.contiguous()
    shares = [
        torch.searchsorted(rows.double().T.contiguous().sort(1).values, both, right=True).double() / len(rows)
        for rows in (x, y)
    ]
    return (shares[0] - shares[1]).abs().amax(1)


def worst_ks(x: Tensor, y: Tensor, unordered: Tensor) -> Estimate:
    """The largest distance of a column; its error is at most that of two shares of one half."""
    error = 0.5 * math.sqrt(1 / len(x) + 1 / len(y))
    return Estimate(
        float(column_distances(x, y, unordered).max()), error, min(len(x), len(y)), "largest KS distance"
    )


def correlation_error(x: Tensor, y: Tensor, source: Generator, *, has_missing: bool = False) -> Estimate:
    """Root mean square difference of the correlations of ``x (N, D)`` and ``y (M, D)``, with a bootstrap error.

    Args:
        x: Generated rows.
        y: Real rows.
        source: Source of the redraws.
        has_missing: Whether NaN is a missing cell; else it is refused.
    """
    result = _apart(x, y)
    if has_missing:
        sets = [torch.arange(len(rows), dtype=torch.float64) for rows in (x, y)]
        statistic = lambda a, b: _apart(x[a.long()], y[b.long()]).value  # noqa: E731
    else:
        sets, statistic = [x, y], lambda a, b: _apart(a, b).value
    error = bootstrap_error(statistic, *sets, n_bootstrap=20, generator=source)
    return Estimate(result.value, error, result.n, result.name)


def _apart(x: Tensor, y: Tensor) -> Estimate:
    size = x.shape[1]
    total = (_correlations(x) - _correlations(y)).square().sum() / (size * (size - 1))
    return Estimate(float(total.sqrt()), math.nan, min(len(x), len(y)), "correlation error")


def _errors(x: Tensor, y: Tensor) -> Tensor:
    """The same for each column with the others, ``(D,)``."""
    apart = (_correlations(x) - _correlations(y)).square().sum(1)
    return (apart / max(1, x.shape[1] - 1)).sqrt()


def _correlations(x: Tensor) -> Tensor:
    """Correlations ``(D, D)``, each over rows that have both cells; those of a column that does not vary are 0.

    A column is centred at the mean of all of its cells.
    """
    observed = ~x.isnan()
    weights = observed.double()
    cells = torch.where(observed, x.double(), 0.0)
    mean = cells.sum(0) / weights.sum(0)  # NaN of a column without cells, which no cell uses
    centred = torch.where(observed, cells - mean, 0.0)
    unit = centred / centred.norm(dim=0).clamp(min=1e-300)
    squares = unit.square().T @ weights
    result: Tensor = unit.T @ unit / (squares * squares.T).sqrt().clamp(min=1e-300)
    return result.fill_diagonal_(1.0)


def _off(generated: Tensor, real: Tensor, columns: TableColumns) -> list[Finding]:
    """A finding where some column's distance is beyond chance at 1 %, taken over all columns."""
    unordered = columns.unordered
    distances, limits = column_distances(generated, real, unordered), _limits(generated, real, unordered)
    excess = distances / limits
    worst = [k for k in excess.argsort(descending=True).tolist() if excess[k] > 1]
    if not worst:
        return []
    kinds = {k: "total variation" if bool(unordered[k]) else "KS" for k in worst}
    told = ", ".join(
        f"{columns.names[k]} ({kinds[k]} {distances[k]:.2f} > {limits[k]:.2f})" for k in worst[:_NAMED]
    )
    more = f" and {len(worst) - _NAMED} more" if len(worst) > _NAMED else ""
    subject = f"{len(worst)} of {len(distances)} columns" if len(distances) > 1 else "The column"
    verb = "are" if len(worst) > 1 else "is"
    message = f"{subject} {verb} off by more than chance: {told}{more}."
    return [Finding(message, grave=False, remedy=_REMEDY)]


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
