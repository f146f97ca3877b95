"""Counterfactuals of a linear structural model: the classical answer, in closed form.

Letters: B rows, n factors, y factors in units of the fit, W coefficients of the causes, M images of the factors.
"""

from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from interpolants.apps.causal.causal_graph import CausalGraph, Graph
from interpolants.apps.causal.factor_ranges import check_factors
from interpolants.apps.causal.interventions import DO
from interpolants.apps.causal.nets.structural_layer import intervene
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.kinds import Positive
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import Standard, constant_columns
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run


class LinearCausalModel(Method):
    """``y_i = W_i y_causes + u_i`` and ``x = M y + e``, by least squares: a counterfactual is ``x + M (y' - y)``.

    Factors of an image are read by ridge regression on its pixels. Where all of this is linear and Gaussian, the answer
    is exact. Rows with an unknown factor are left out of the fit.

    Raises:
        InvalidInputError: If the graph has a cycle, or the penalty is not positive.

    Source: Wright (1921), Journal of Agricultural Research 20; Pearl (2009), Causality, section 7.1.
    """

    noun: ClassVar[str] = "linear causal model"

    graph: Graph = "cause -> effect"
    """Factors and which causes which, as in ``CausalAutoencoder``."""
    penalty: Positive = 1e-3
    """Weight of the size of the coefficients that read factors, in units of the pixels' deviation squared; of vectors,
    each column is read in its own deviation."""

    @property
    def dag(self) -> CausalGraph:
        """The graph of the factors."""
        return CausalGraph.of(self.graph)

    @property
    def _is_named(self) -> bool:
        return self.given["factors"].container == "pandas"

    def roles(self) -> tuple[Role, ...]:
        """Images, or vectors, and their factors."""
        names = self.dag.names
        return Role(name="x", about="Images or vectors."), Role(name="factors", gaps=True, columns=names)

    def columns(self, name: str) -> tuple[str, ...]:
        """Factors have the names of the graph."""
        return self.dag.names if name in ("factors", "do") else super().columns(name)

    def fit(self, x: Any = None, factors: Any = None, **options: Any) -> Self:
        """Learn from images and their factors.

        Args:
            x: Images ``(N, C, H, W)``, or vectors ``(N, D)``.
            factors: ``(N, n)``, or a table with the names of the graph; rows with NaN are left out.
            options: As in :meth:`interpolants.framework.method.Method.fit`.
        """
        return super().fit(x=x, factors=factors, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Coefficients in double precision."""
        check_factors(who(), data["factors"], self.graph, named=self._is_named)
        whole = ~data["factors"].isnan().any(1)
        if int(whole.sum()) < 2:
            rule = "at least two rows must have values of all factors"
            raise invalid(rule, int(whole.sum()))
        x, factors = data["x"][whole].flatten(1).double(), data["factors"][whole].double()
        units, mean = Standard().fit(factors), x.mean(0)
        y, pixels = units.encode(factors), x - x.mean(0)
        varies = ~constant_columns(x)
        if not bool(varies.any()):
            rule, found = "x must vary between rows", "all rows are the same"
            raise invalid(rule, found, "Nothing can be read from a constant.")
        # Pixels share one unit, columns of vectors need not: each is read in its own.
        size = pixels.square().mean(0 if data["x"].ndim == 2 else None).sqrt().expand(x.shape[1])
        told = torch.where(varies, pixels / torch.where(varies, size, 1.0), 0.0)
        ridge = self.penalty * len(x) * told.square().mean() * torch.eye(x.shape[1], dtype=x.dtype)
        reads = (
            torch.linalg.solve(told.T @ told + ridge, told.T @ y) / torch.where(varies, size, 1.0)[:, None]
        )
        shows = torch.linalg.lstsq(y, pixels, driver="gelsd").solution
        weights = {}
        for name in self.dag.names:
            if causes := [self.dag.place(cause) for cause in self.dag.parents(name)]:
                own = y[:, [self.dag.place(name)]]
                weights[name] = torch.linalg.lstsq(y[:, causes], own, driver="gelsd").solution[:, 0]
        return {"units": units, "mean": mean, "reads": reads, "shows": shows, "causes": weights}

    @capability(reads={"do": DO}, like="x", blocks=True)
    def counterfactual(self, x: Tensor, *, do: Tensor | None = None) -> Tensor:
        """``x + M (y' - y)``, ``(B, *D)``.

        Args:
            x: Rows as they are.
            do: Which factors are set, as in ``CausalAutoencoder``; rows come back as they are without it.
        """
        y = self._read(x)
        moved = (self._after(y, do) - y) @ self.state["shows"]
        found: Tensor = (x.double() + moved.reshape(x.shape)).to(x)
        return found

    @capability(reads={"do": DO}, like="do", blocks=True)
    def encode(self, x: Tensor, *, do: Tensor | None = None) -> Tensor:
        """Factors of rows, ``(B, n)``: as they are, or after an intervention.

        Args:
            x: Rows as they are.
            do: As in :meth:`counterfactual`.
        """
        decoded: Tensor = self.state["units"].decode(self._after(self._read(x), do)).to(x)
        return decoded

    def _read(self, x: Tensor) -> Tensor:
        found: Tensor = (x.flatten(1).double() - self.state["mean"]) @ self.state["reads"]
        return found

    def _after(self, y: Tensor, do: Tensor | None) -> Tensor:
        if do is None:
            return y
        wanted = self.state["units"].encode(do.double())
        return intervene(self.dag, self._mechanism, y[:, :, None], wanted[:, :, None])[:, :, 0]

    def _mechanism(self, name: str, causes: Tensor) -> Tensor:
        weights: Tensor = self.state["causes"][name]
        found: Tensor = torch.einsum("bpd,p->bd", causes, weights)
        return found
