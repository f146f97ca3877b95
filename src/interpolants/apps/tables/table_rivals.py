"""Rivals of table methods: a Gaussian copula, rows drawn with replacement, and independent columns."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.special import ndtr, ndtri

from interpolants.apps.tables.columns import scores as normal_scores
from interpolants.apps.tables.table_bridge import table_role
from interpolants.foundations.kinds import Count
from interpolants.foundations.randomness import BlockNoise, generator
from interpolants.foundations.shrinkage import shrunk_correlation
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run


class _OfTables(Method):
    """A method that learns from the rows of a table."""

    learns_rows: ClassVar[bool] = False

    def roles(self) -> tuple[Role, ...]:
        """The rows of the table."""
        return (table_role(),)


class GaussianCopula(_OfTables):
    """Normal scores of all columns with their correlation; categories are ranks too, and missing cells the lowest.

    Completed cells are not missing: each is drawn from its conditional Gaussian above the scores of missing cells.

    Source: Patki, Wedge & Veeramachaneni (2016), The Synthetic Data Vault; randomised ranks as in `TableBridge`.
    """

    noun: ClassVar[str] = "Gaussian copula"  # prose: keep

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Ranks of each column, and the correlation of the scores."""
        x = data["x1"].double()
        columns = [_RankedColumn.of(cells) for cells in x.T]
        v = torch.rand(x.shape, generator=generator(self.seed, "copula ranks"), dtype=torch.float64)
        z = torch.stack([c.scores(*pair) for c, *pair in zip(columns, x.T, v.T, strict=True)], 1)
        values, vectors = shrunk_correlation(z)
        return {
            "columns": [(column.values, column.upper, column.missing) for column in columns],
            "correlation": (vectors * values) @ vectors.T,
        }

    @capability(like="x1")
    def sample(self, n: Count, *, seed: int = 0, first_index: int = 0) -> Any:
        """Draw scores and decode them."""
        x = torch.full((n, len(self.state["columns"])), torch.nan, dtype=torch.float64)
        return self._completed(x, seed, first_index, missing_too=True)

    @capability(reads={"x": "x1"}, like="x1")
    def complete(self, x: Tensor, *, seed: int = 0, first_index: int = 0) -> Tensor:
        """Draw the missing cells of rows from the conditional Gaussian of their scores."""
        return torch.where(
            x.isnan(), self._completed(x.double(), seed, first_index, missing_too=False), x.double()
        )

    def _completed(self, x: Tensor, seed: int, first_index: int, *, missing_too: bool) -> Tensor:
        """Rows with their NaN drawn; these may be missing too."""
        columns = [_RankedColumn(*parts) for parts in self.state["columns"]]
        normals = BlockNoise.like(x, seed, "gaussian copula", first=first_index).normal()
        v = BlockNoise.like(x, seed, "copula ranks of observed cells", first=first_index).uniform()
        z = torch.stack([c.scores(*pair) for c, *pair in zip(columns, x.T, v.T, strict=True)], 1)
        floors = torch.tensor(
            [0.0 if missing_too else column.missing for column in columns], dtype=torch.float64
        )
        for row, observed, noise in zip(z, ~x.isnan(), normals, strict=True):
            row[~observed] = _conditional(row, observed, noise, self.state["correlation"], floors)
        u = ndtr(z).maximum(floors)  # a score at its floor is not missing by rounding
        return torch.stack([column.values_at(ranks) for column, ranks in zip(columns, u.T, strict=True)], 1)


@dataclass(frozen=True)
class _RankedColumn:
    """Ranks of a column; those of missing cells are the lowest.

    Attributes:
        values: Its values, increasing, ``(m,)``.
        upper: Fraction of cells that are missing or up to each value, ``(m,)``.
        missing: Fraction of missing cells.
    """

    values: Tensor
    upper: Tensor
    missing: float

    @classmethod
    def of(cls, cells: Tensor) -> "_RankedColumn":
        values, counts = torch.unique(cells[~cells.isnan()], return_counts=True)
        missing = int(cells.isnan().sum())
        return cls(values, (missing + counts.cumsum(0)).double() / len(cells), missing / len(cells))

    def scores(self, x: Tensor, v: Tensor) -> Tensor:
        """Normal scores of cells; ``v`` is their place in their ranks."""
        edges = torch.cat([self.upper.new_tensor([self.missing]), self.upper])
        x = x.contiguous()
        lower = edges[torch.searchsorted(self.values, x)]
        upper = edges[torch.searchsorted(self.values, x, right=True)]
        empty = x.isnan()
        return normal_scores(lower.masked_fill(empty, 0), torch.where(empty, self.missing, upper - lower), v)

    def values_at(self, u: Tensor) -> Tensor:
        """Values at ranks; NaN at those of missing cells."""
        if not len(self.values):
            return torch.full_like(u, torch.nan)
        at = torch.searchsorted(self.upper, u.contiguous())
        return torch.where(u < self.missing, torch.nan, self.values[at])


def _conditional(row: Tensor, observed: Tensor, noise: Tensor, correlation: Tensor, floors: Tensor) -> Tensor:
    """Scores of the cells of a row that are not observed, given the others, each above the score of its floor."""
    across = correlation[observed][:, ~observed]
    gain = torch.linalg.solve(correlation[observed][:, observed], across).T
    covariance = correlation[~observed][:, ~observed] - gain @ across
    covariance = (covariance + covariance.T) / 2 + 1e-9 * torch.eye(len(covariance), dtype=covariance.dtype)
    mean, deviation = gain @ row[observed], covariance.diagonal().sqrt()
    z = mean + torch.linalg.cholesky(covariance) @ noise[~observed]
    floor, bounded = ndtri(floors[~observed]), floors[~observed] > 0
    tail = ndtr((mean - floor) / deviation) * ndtr((mean - z) / deviation)  # of scores above the drawn one
    above = mean - deviation * ndtri(tail.clamp_min(1e-300))
    return torch.where(bounded, above.maximum(floor), z)


class BootstrapRows(_OfTables):
    """Rows of the fit, drawn with replacement: no row is new.

    Source: Efron (1979), Ann. Statist. 7, 1-26.
    """

    noun: ClassVar[str] = "bootstrap"  # prose: keep

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Keep the rows of the fit."""
        return {"x": data["x1"].double()}

    @capability(like="x1")
    def sample(self, n: Count, *, seed: int = 0, first_index: int = 0) -> Any:
        """Draw rows with replacement."""
        rows: Tensor = self.state["x"]
        pick = BlockNoise(
            seed, ("bootstrap",), first=first_index, count=n, shape=(1,), dtype=torch.float64
        ).uniform()
        return rows[(pick[:, 0] * len(rows)).long()]


class IndependentColumns(_OfTables):
    """Cells of each column, drawn with replacement by themselves: the marginals without any dependence.

    Source: Efron (1979), Ann. Statist. 7, 1-26, column by column.
    """

    noun: ClassVar[str] = "independent columns"  # prose: keep

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Keep the rows of the fit."""
        return {"x": data["x1"].double()}

    @capability(like="x1")
    def sample(self, n: Count, *, seed: int = 0, first_index: int = 0) -> Any:
        """Draw each cell from its column."""
        rows: Tensor = self.state["x"]
        shape = rows.shape[1:]
        pick = BlockNoise(
            seed, ("columns",), first=first_index, count=n, shape=shape, dtype=torch.float64
        ).uniform()
        return rows.gather(0, (pick * len(rows)).long())
