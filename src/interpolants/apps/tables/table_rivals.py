"""Rivals of table methods: a Gaussian copula, rows samples with replacement, and independent columns."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.apps.tables.columns import ColumnCode, TableCode, scores
from interpolants.apps.tables.table_bridge import table_role, types_of
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
    """Normal scores of all columns with their correlation; categories and gaps are ranks too, gaps the lowest.

    Source: Patki, Wedge & Veeramachaneni (2016), The Synthetic Data Vault; randomised ranks as in `TableBridge`.
    """

    noun: ClassVar[str] = "Gaussian copula"  # prose: keep

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Ranks of each column, and the correlation of the scores."""
        x = data["x1"].double()
        names = types_of(self, x)[1]
        columns = [
            _ranked(cells, name) for cells, name in zip(_lowest(x, x).T.contiguous(), names, strict=True)
        ]
        _, lower, ranks = TableCode(columns).code(_lowest(x, x), "GaussianCopula.fit")
        v = torch.rand(x.shape, generator=generator(self.seed, "ranks"), dtype=torch.float64, device=x.device)
        values, vectors = shrunk_correlation(scores(lower, ranks, v))
        correlation = (vectors * values) @ vectors.T
        return {
            "columns": [column.parts() for column in columns],
            "correlation": correlation,
            "sentinel": _sentinel(x),
        }

    @capability(like="x1")
    def sample(self, n: Count, *, seed: int = 0, first_index: int = 0) -> Tensor:
        """Draw scores and decode them."""
        return self.complete_codes(
            torch.full((n, len(self.state["columns"])), torch.nan).double(), seed, first_index
        )

    @capability(reads={"x": "x1"}, like="x1")
    def complete(self, x: Tensor, *, seed: int = 0, first_index: int = 0) -> Tensor:
        """Draw the missing cells of rows from the conditional Gaussian of their scores."""
        samples = self.complete_codes(x.double(), seed, first_index)
        return torch.where(x.isnan(), samples, x.double())

    def complete_codes(self, x: Tensor, seed: int, first_index: int) -> Tensor:
        """Rows with their NaN samples; samples gaps are NaN."""
        columns = [ColumnCode.of_parts(parts) for parts in self.state["columns"]]
        code, correlation = TableCode(columns), self.state["correlation"]
        noise = BlockNoise.like(x, seed, "gaussian copula", first=first_index)
        e, v = noise.normal(), BlockNoise.like(x, seed, "ranks of known cells", first=first_index).uniform()
        filled = torch.where(x.isnan(), torch.stack([column.values[0] for column in columns]), x)
        _, lower, ranks = code.code(filled, "GaussianCopula.complete")
        z = scores(lower, ranks, v)
        for row, fixed, normals in zip(z, ~x.isnan(), e, strict=True):
            gain = torch.linalg.solve(correlation[fixed][:, fixed], correlation[fixed][:, ~fixed]).T
            covariance = correlation[~fixed][:, ~fixed] - gain @ correlation[fixed][:, ~fixed]
            covariance = (covariance + covariance.T) / 2 + 1e-9 * torch.eye(
                len(covariance), dtype=covariance.dtype
            )
            row[~fixed] = gain @ row[fixed] + torch.linalg.cholesky(covariance) @ normals[~fixed]
        samples = code.decode(torch.zeros(x.shape, dtype=torch.long), z)
        return torch.where(samples == self.state["sentinel"], torch.nan, samples)


class BootstrapRows(_OfTables):
    """Rows of the fit, samples with replacement: no row is new.

    Source: Efron (1979), Ann. Statist. 7, 1-26.
    """

    noun: ClassVar[str] = "bootstrap"  # prose: keep

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Keep the rows of the fit."""
        return {"x": data["x1"].double()}

    @capability(like="x1")
    def sample(self, n: Count, *, seed: int = 0, first_index: int = 0) -> Tensor:
        """Draw rows with replacement."""
        rows: Tensor = self.state["x"]
        pick = BlockNoise(
            seed, ("bootstrap",), first=first_index, count=n, shape=(1,), dtype=torch.float64
        ).uniform()
        return rows[(pick[:, 0] * len(rows)).long()]


class IndependentColumns(_OfTables):
    """Cells of each column, samples with replacement by themselves: the marginals without any dependence.

    Source: Efron (1979), Ann. Statist. 7, 1-26, column by column.
    """

    noun: ClassVar[str] = "independent columns"  # prose: keep

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Keep the rows of the fit."""
        return {"x": data["x1"].double()}

    @capability(like="x1")
    def sample(self, n: Count, *, seed: int = 0, first_index: int = 0) -> Tensor:
        """Draw each cell from its column."""
        rows: Tensor = self.state["x"]
        shape = rows.shape[1:]
        pick = BlockNoise(
            seed, ("columns",), first=first_index, count=n, shape=shape, dtype=torch.float64
        ).uniform()
        return rows.gather(0, (pick * len(rows)).long())


def _sentinel(x: Tensor) -> float:
    """A number below all cells, which stands for missing ones."""
    present = x[~x.isnan()]
    return float(present.min()) - 1.0 if len(present) else 0.0


def _lowest(x: Tensor, fit: Tensor) -> Tensor:
    return torch.where(x.isnan(), _sentinel(fit), x)


def _ranked(cells: Tensor, name: str) -> ColumnCode:
    values, counts = torch.unique(cells, return_counts=True)
    return ColumnCode(
        name, cells.new_zeros(0), values, counts.cumsum(0).double() / len(cells), False, False, False
    )
