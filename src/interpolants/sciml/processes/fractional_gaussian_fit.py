"""Classical estimates of the Hurst index: Whittle's, and maximum likelihood with the exact covariance."""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.kinds import NonNegative
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.series import listed
from interpolants.framework.stages import Run
from interpolants.methods.parts.series import series_role
from interpolants.sciml.processes.kernels.fractional_gaussian import (
    increment_covariance,
    motion_covariance,
    periodogram,
    whittle_loss,
)
from interpolants.sciml.processes.series_windows import Units, check_series, warn_at_edge

LARGEST = 1500
# Least noise of values, relative to the size of increments, and where the search begins.
_LEAST, _START = 1e-2, (0.0, 0.0, -1.2)
_ITERATIONS = 60
_ROW = 8  # fewest values in a row of which there is a spectrum

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


class FractionalGaussianFit(Method):
    """Fractional Brownian motion with a drift and noise of the values: H, sigma and noise by a classical estimate.

    Raises:
        InvalidInputError: If a setting is out of range, a series has several columns or gaps that leave fewer than 8
            values in a row for Whittle's estimate, or more values than 1,500 for the exact one.

    Source: Whittle (1953); Beran (1994), Statistics for Long-Memory Processes, chapters 5 and 6.
    """

    noun: ClassVar[str] = "process"
    only_cpu: ClassVar[str] = "its covariances are factored in float64"

    values: Literal["levels", "increments"] = "levels"
    """As for `FractionalSDE`."""
    by: Literal["whittle", "likelihood"] = "whittle"
    """``"whittle"``, from the periodogram of increments; or ``"likelihood"``, exact, at O(T^3)."""
    noise: Literal["auto"] | NonNegative = "auto"
    """Standard deviation of the noise of values in data units, or ``"auto"``; increments have none unless it is
    given."""
    gaps: Literal["longest", "closed"] = "longest"
    """What Whittle's estimate sees: the ``"longest"`` stretch without gaps; or all values, gaps ``"closed"``, as if
    those times were not there, e.g. holidays of an exchange."""

    def roles(self) -> tuple[Role, ...]:
        """A series or many."""
        return (series_role(),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """H, sigma and noise by L-BFGS; the drift is the mean of increments."""
        many = listed(data["series"])
        check_series(many, 8)
        units = Units.of(many, increments=self.values == "increments")
        scaled = [((one.values[:, 0] - units.shift) / units.unit, one.seen[:, 0]) for one in many]
        drift = self._drift(scaled)
        loss = self._whittle(scaled) if self.by == "whittle" else self._exact(scaled, drift)
        raw = run.once("estimate", lambda source: self._search(loss, units.unit))
        h, variance, noise = self._natural(raw, units.unit)
        remedy = (
            "Few values in a row tell Whittle's estimate little: by='likelihood'."
            if self.by == "whittle"
            else ""
        )
        warn_at_edge(float(h), math.sqrt(float(variance / noise)), self.values, remedy)
        found = {"hurst": h, "variance": variance, "noise": noise, "drift": drift}
        return {**found, "shift": units.shift, "unit": units.unit}

    def _drift(self, scaled: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Mean of increments: of levels, their whole growth over the whole time."""
        if self.values == "increments":
            return torch.cat([x[seen] for x, seen in scaled]).mean()
        ends = [(x[seen], seen.nonzero()[:, 0]) for x, seen in scaled]
        growth = torch.stack([x[-1] - x[0] for x, _ in ends]).sum()
        return growth / torch.stack([at[-1] - at[0] for _, at in ends]).sum()

    def _whittle(self, scaled: Sequence[tuple[Tensor, Tensor]]) -> Loss:
        """Of the longest stretch of each series without gaps, or of all its values."""
        rows: dict[int, list[Tensor]] = {}  # by length: rows of one length share their spectrum
        for x, seen in scaled:
            row = x[seen] if self.gaps == "closed" else x[slice(*_longest(seen))]
            if len(row) < _ROW:
                remedy = "Use gaps='closed', or by='likelihood'."
                raise invalid(f"{_ROW} values in a row must be seen", len(row), remedy)
            row = row if self.values == "increments" else row.diff()
            rows.setdefault(len(row), []).append(row)
        spectra = [periodogram(torch.stack(alike)) for alike in rows.values()]
        return lambda h, variance, noise: torch.stack(
            [whittle_loss(h, variance, noise, *one) for one in spectra]
        ).sum()

    def _exact(self, scaled: Sequence[tuple[Tensor, Tensor]], drift: Tensor) -> Loss:
        longest = max(len(x) for x, _ in scaled)
        if longest > LARGEST:
            rule = f"a series must have at most {LARGEST} values for the exact likelihood"
            raise invalid(rule, longest, "Use by='whittle'.")
        return lambda h, variance, noise: (
            -torch.stack(
                [_log_likelihood(x, seen, h, variance, noise, drift, self.values) for x, seen in scaled]
            ).sum()
        )

    def _search(self, loss: Loss, unit: float) -> Tensor:
        raw = torch.tensor(_START, dtype=torch.float64, requires_grad=True)
        search = torch.optim.LBFGS([raw], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            search.zero_grad()
            value: Tensor = loss(*self._natural(raw, unit))
            value.backward()  # type: ignore[no-untyped-call]
            return value

        with torch.enable_grad():
            search.step(closure)  # type: ignore[no-untyped-call]
        if not bool(torch.isfinite(raw).all()):
            raise DivergedError(f"{who()}: the estimate became NaN or infinite. Set noise.")
        return raw.detach()

    def _natural(self, raw: Tensor, unit: float) -> tuple[Tensor, Tensor, Tensor]:
        """H, and the variances of the motion and of the noise, standardised."""
        learnt = torch.exp(2 * raw[2]) + _LEAST**2
        if self.noise != "auto":
            learnt = 0 * raw[2] + max(float(self.noise) / unit, _LEAST) ** 2
        elif self.values == "increments":
            learnt = 0 * raw[2] + _LEAST**2
        return torch.sigmoid(raw[0]), torch.exp(2 * raw[1]), learnt

    @property
    def parameters(self) -> dict[str, float]:
        """H, sigma, noise and drift in data units and steps of the clock."""
        state = self.fitted_state("parameters")
        unit = state["unit"]
        drift = unit * float(state["drift"]) + (state["shift"] if self.values == "increments" else 0.0)
        found = {"scale": unit * math.sqrt(state["variance"]), "noise": unit * math.sqrt(state["noise"])}
        return {"hurst": float(state["hurst"]), **found, "drift": drift}

    @capability(reads={"x": "series"})
    def log_prob(self, x: Any) -> Tensor:
        """Log density of each series with the exact covariance, ``(B,)`` nats in data units.

        Args:
            x: One series with gaps, or several.
        """
        many = listed(x)
        check_series(many, 1)
        s = self.state
        found = []
        for one in many:
            seen = one.seen[:, 0]
            scaled = (one.values[:, 0] - s["shift"]) / s["unit"]
            law = _log_likelihood(
                scaled, seen, s["hurst"], s["variance"], s["noise"], s["drift"], self.values
            )
            found.append(law - int(seen.sum()) * math.log(s["unit"]))
        return torch.stack(found)


def _log_likelihood(
    x: Tensor, seen: Tensor, hurst: Tensor, variance: Tensor, noise: Tensor, drift: Tensor, values: str
) -> Tensor:
    """Log density of what was seen of one series; levels begin at an unknown place, with a wide Gaussian law."""
    at = torch.arange(len(x), dtype=torch.float64)[seen]
    eye = torch.eye(len(at), dtype=torch.float64)
    if values == "increments":
        covariance = variance * increment_covariance(hurst, at[:, None] - at) + noise * eye
        return gaussian_log_density(x[seen] - drift, covariance)
    wide = max(3.0, 2 * float(x[seen].std(correction=0))) ** 2
    covariance = variance * motion_covariance(hurst, at) + wide + noise * eye
    return gaussian_log_density(x[seen] - drift * at, covariance)


def gaussian_log_density(x: Tensor, covariance: Tensor) -> Tensor:
    """Log density of ``x (n,)`` with mean 0."""
    root = torch.linalg.cholesky(covariance)
    white: Tensor = torch.linalg.solve_triangular(root, x[:, None], upper=False)
    found: Tensor = -white.square().sum() / 2 - root.diagonal().log().sum()
    return found - len(x) * math.log(2 * math.pi) / 2


def _longest(seen: Tensor) -> tuple[int, int]:
    """Start and end of the longest stretch without gaps."""
    best, first = (0, 0), 0
    for k, here in enumerate([*seen.tolist(), False]):
        if not here:
            best, first = max(best, (first, k), key=lambda pair: pair[1] - pair[0]), k + 1
    return best
