"""Assimilation: the distribution of a hidden state given noisy measurements over time, by particles.

Notation: N members; K times, one lag of the forecaster apart; ``y_k = H(x_k) + r`` with Gaussian r of covariance R. The
weighted mean of the members at time k is the filter's estimate, given the measurements up to then.

* ``"guided"``: each member is drawn given the next measurement
  (:func:`~interpolants.guidance.guided_bridge.guided_bridge`), and weighed by how well its parent predicted it.
* ``"bootstrap"``: members are forecast, and weighed by the density of the measurement.
* ``"enkf"``: members are forecast, and moved by Kalman's formula with their own covariances (Evensen 1994). There
  are no weights. The result is exact for many members of a linear Gaussian model only.

Weighted members are resampled before the next forecast if their effective number falls below a share of N.

Source: Gordon, Salmond & Smith (1993) for the bootstrap filter; Burgers, van Leeuwen & Evensen (1998) for perturbed
measurements; Kitagawa (1996) for the smoother by ancestors.
"""

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.data.arrays import Kind as Given
from interpolants.data.files import read_array
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import DivergedError, invalid, nearest
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Remedy, Share, Whole
from interpolants.foundations.randomness import BlockNoise, generator, key
from interpolants.foundations.tell import FitWarning, tell
from interpolants.framework.frames import Standard
from interpolants.framework.role import Reading, Role, role_kind
from interpolants.framework.rows import Rows
from interpolants.guidance.guided_bridge import GaussianMeasurement, GuidedDraws, log_normal
from interpolants.operators.measurement import Matrix, Operator, as_matrix, as_operator, check_measurement
from interpolants.solvers.resampling import Systematic, effective_size

WHO = "Forecaster.assimilate"
# Fewer effective members than this say nothing of a distribution.
_COLLAPSED = 2.0
# Root mean square innovation above which something is wrong, such as units.
_SURPRISING = 5.0
# Number of members, and of forecasts of each, that estimate the standard deviation of a forecast for the guide.
SPREAD_STARTS, SPREAD_DRAWS = 8, 8


@dataclass(frozen=True, kw_only=True)
class Assimilation(Checked):
    """Settings of :meth:`~interpolants.methods.Forecaster.assimilate`.

    Raises:
        InvalidInputError: If a setting breaks its rule, or does not belong to the chosen filter.
    """

    method: Literal["guided", "bootstrap", "enkf"] = "guided"
    """Filter: guided particles, bootstrap particles, or the ensemble Kalman filter."""
    members: Annotated[int, Ge(2), Remedy("Use 200.")] = 200
    """Members N."""
    lag: Whole = 0
    """Later measurements that each answer uses: 0 is the filter, L a smoother over L lags. Ancestors die out: above 5
    to 10 few distinct members are left."""
    inflation: Annotated[float, Ge(1)] = 1.0
    """Factor of the members' distances from their mean before each update of ``"enkf"``, >= 1."""
    ess: Share = 0.5
    """Members are resampled if their effective number falls below this share of N; 0 never, 1 always."""
    n_steps: Annotated[int, Ge(2)] = 50
    """Steps of the sampler per lag."""

    def check_settings(self) -> None:
        """Check that the chosen filter uses the settings."""
        if self.inflation != 1 and self.method != "enkf":
            remedy = "Omit inflation, or use method='enkf'."
            raise invalid(WHO, "inflation must go with method='enkf'", repr(self.method), remedy)
        if self.lag and self.method == "enkf":
            remedy = "Use method='guided', whose members have ancestors."
            raise invalid(WHO, "lag must be 0 for method='enkf'", self.lag, remedy)


@dataclass(frozen=True)
class Observed:
    """Measurements: one row per time, one lag apart, with NaN where nothing was measured.

    Attributes:
        y: ``(K, *M)`` float64.
        columns: Names of the columns; empty if they have none.
    """

    y: Tensor
    columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.y)


class Measurements:
    """Kind of role: measurements over time, from any container of rows; a table or file keeps its column names."""

    has_rows = False

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[Observed, Given]:
        """The rows and their names."""
        if hasattr(value, "to_frame") and getattr(value, "ndim", 0) == 1:
            value = value.to_frame()
        first_reading = replace(reading, before=None, rows=None)
        rows, container = Rows().read(value, replace(role, gaps=True, like="", columns=()), first_reading)
        return Observed(rows.double(), tuple(map(str, container.columns))), Given("thing", "")

    def read_file(self, text: str, role: Role, key: str | None = None) -> Any:
        """Rows of a data file; a table has the names of its columns."""
        file = read_array(text, f"--{role.name}", key=key, exact=True, gaps=True)
        if not file.columns or importlib.util.find_spec("pandas") is None:
            return file.x
        pandas = require("pandas", by=f"--{role.name}")
        return pandas.DataFrame(file.x.numpy(), columns=list(file.columns))


role_kind("measurements", Measurements())


@dataclass(frozen=True, eq=False)
class Assimilated:
    """Weighted members of the hidden state at each time, given the measurements up to then (or a lag later).

    Attributes:
        x: Members, ``(K, N, *D)``, in data units.
        log_weights: ``(K, N)`` float64; only differences within a time matter.
        log_evidence: Log density of the measurements of each time given those before, ``(K,)`` in nats, in the units of
            y; 0 where nothing was measured. Its sum is the log evidence of all; of ``"enkf"`` an approximation.
        ess: Effective number of members at each time, ``(K,)``; N for ``"enkf"``.
        ancestors: Number of each member's parent at the time before, ``(K, N)``; at the first time its start.
        innovations: ``(y - mean forecast) / standard deviation of the forecast of y``, ``(K, *M)``; NaN where nothing
            was measured. Mean square 1 if the model and the noise are right.
        lag: Number of later measurements that each time uses.
        names: Names of the entries of a state; empty if they have none.
    """

    x: Tensor
    log_weights: Tensor
    log_evidence: Tensor
    ess: Tensor
    ancestors: Tensor
    innovations: Tensor
    lag: int = 0
    names: tuple[str, ...] = ()

    @property
    def weights(self) -> Tensor:
        """``(K, N)``, with sum 1 at each time."""
        return self.log_weights.softmax(1)

    @property
    def mean(self) -> Tensor:
        """Weighted mean of the members, ``(K, *D)``."""
        return self._average(self.x.double()).to(self.x)

    @property
    def std(self) -> Tensor:
        """Weighted standard deviation of the members, ``(K, *D)``, without a correction for their number."""
        x = self.x.double()
        return self._average((x - self._average(x)[:, None]).square()).sqrt().to(self.x)

    def smoothed(self, lag: int) -> "Assimilated":
        """The members at each time that have descendants ``lag`` times later, with the weights of these.

        Args:
            lag: Times >= 0; the last times use message there is.
        """
        last, x, log_weights = len(self.x) - 1, self.x.clone(), self.log_weights.clone()
        for k in range(len(x)):
            later = min(k + lag, last)
            index = torch.arange(x.shape[1], device=x.device)
            for between in range(later, k, -1):
                index = self.ancestors[between, index]
            x[k], log_weights[k] = self.x[k, index], self.log_weights[later]
        return replace(self, x=x, log_weights=log_weights, ess=effective_size(log_weights), lag=lag)

    def in_kind(self, container: Given) -> "Assimilated":
        """The same, of states that came in a container: names of a table's columns."""
        named = container.container == "pandas" and len(container.columns) == self.x.shape[-1]
        return replace(self, names=tuple(map(str, container.columns))) if named else self

    def columns(self) -> dict[str, Tensor]:
        """All parts by name, for files with several arrays."""
        return {
            "mean": self.mean,
            "std": self.std,
            "log_evidence": self.log_evidence,
            "ess": self.ess,
            "innovations": self.innovations,
            "x": self.x,
            "log_weights": self.log_weights,
        }

    def table(self) -> Any:
        """A DataFrame with one row per time: mean and standard deviation of each entry, log evidence and ESS."""
        pandas = require("pandas", by="Assimilated.table")
        mean, std = self.mean.flatten(1), self.std.flatten(1)
        width = mean.shape[1]
        names = self.names if len(self.names) == width else [f"x{i}" for i in range(width)]
        columns = {name: mean[:, i] for i, name in enumerate(names)}
        columns |= {f"{name}_std": std[:, i] for i, name in enumerate(names)}
        columns |= {"log_evidence": self.log_evidence, "ess": self.ess}
        index = pandas.RangeIndex(1, len(mean) + 1, name="time")
        return pandas.DataFrame({name: x.cpu().numpy() for name, x in columns.items()}, index=index)

    @property
    def writes(self) -> Sequence[str]:
        """File extensions of the table of means and standard deviations."""
        return (".csv",)

    def write_file(self, out: Path) -> None:
        """Write the table of means and standard deviations to a CSV file."""
        self.table().to_csv(out)

    def _average(self, x: Tensor) -> Tensor:
        weights = self.weights.reshape(*self.log_weights.shape, *(1,) * (x.ndim - 2))
        return (weights * x).sum(1)


# --- message is measured ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sensor:
    """H in data units, and the standard deviation of its noise.

    Attributes:
        operator: H.
        y: Measurements, ``(K, M)`` float64, with NaN for gaps; entries in the order of H.
        std: ``(M,)`` float64.
        shape: Event shape of a state.
        matrix: ``(M, D)`` of a linear H; None for a nonlinear H.
    """

    operator: Operator
    y: Tensor
    std: Tensor
    shape: tuple[int, ...]
    matrix: Tensor | None

    def at(self, k: int, frame: Standard, scale: Tensor) -> GaussianMeasurement:
        """The measured entries of one time, for states in the units of a frame; empty if nothing was measured.

        Args:
            k: The time.
            frame: The frame.
            scale: Its scale for each entry, ``(D,)``.
        """
        observed = ~self.y[k].isnan()

        def measure(z: Tensor) -> Tensor:
            return self.operator(frame.decode(z.reshape(-1, *self.shape))).flatten(1)[:, observed]

        jacobian = None if self.matrix is None else (self.matrix * scale)[observed]
        return GaussianMeasurement(measure, self.y[k][observed], self.std[observed], jacobian)


def sensor_of(
    observed: Observed,
    noise: Any,
    operator: Any,
    shape: tuple[int, ...],
    names: Sequence[str],
    start: Tensor,
) -> Sensor:
    """The measurements and H, checked.

    Args:
        observed: Measurements.
        noise: Standard deviation of their noise, a number or one per entry, in the units of y.
        operator: Names or numbers of the measured columns, a matrix, an ``Operator`` or a function of states; None for
            the columns of y that states have, or whole states.
        shape: Event shape of a state.
        names: Names of a state's columns, if they are known.
        start: States, ``(S, *D)``.

    Raises:
        InvalidInputError: If a name is unknown, or shapes do not fit.
    """
    operator, observed = _operator(operator, observed, shape, names)
    if observed.y.ndim < 2:
        raise invalid(WHO, "y must have one row per time, (K, *M)", tuple(observed.y.shape))
    if isinstance(operator, Tensor | list | tuple):
        matrix = torch.as_tensor(operator, dtype=torch.float64)
        if matrix.ndim != 2 or matrix.shape[1] != math.prod(shape):
            rule = f"a matrix must have {math.prod(shape)} columns, one per entry of a state"
            raise invalid(WHO, rule, tuple(matrix.shape))
        operator, observed = Matrix(matrix, shape), replace(observed, y=observed.y.flatten(1))
    measure = as_operator(WHO, operator)
    check_measurement(WHO, measure, start.double(), observed.y[:1].nan_to_num())
    y = observed.y.flatten(1)
    std = torch.as_tensor(noise, dtype=torch.float64).flatten()
    if len(std) not in (1, y.shape[1]):
        rule = f"noise must be one number, or {y.shape[1]}, one per entry of y"
        raise invalid(WHO, rule, f"{len(std)} numbers")
    linear = as_matrix(measure, shape) if measure.is_linear else None
    return Sensor(measure, y, std.expand(y.shape[1]).contiguous(), shape, linear)


def _operator(
    operator: Any, observed: Observed, shape: tuple[int, ...], names: Sequence[str]
) -> tuple[Any, Observed]:
    """H as a matrix if it measures columns or whole states, else unchanged; y with its columns in the order of H."""
    remedy = "Pass operator=..., the columns or the function that y measures."
    if operator is None and observed.columns and names:
        operator = [_named(column, names, remedy) for column in observed.columns]
    columns = _columns(operator, names, shape)
    if columns is not None:
        observed = _in_order(observed, [names[i] for i in columns] if names else [], names)
        return torch.eye(shape[0], dtype=torch.float64)[columns], observed
    if operator is not None:
        return operator, observed
    if observed.y.shape[1:] != torch.Size(shape):
        rule = f"without operator, y must have the shape of the states, (K, {', '.join(map(str, shape))})"
        raise invalid(WHO, rule, tuple(observed.y.shape), remedy)
    return torch.eye(math.prod(shape), dtype=torch.float64), observed


def _named(column: str, names: Sequence[str], remedy: str) -> str:
    if column not in names:
        rule = f"every column of y must be a column of the states ({', '.join(names)})"
        raise invalid(WHO, rule, repr(column), nearest(column, names) or remedy)
    return column


def _columns(operator: Any, names: Sequence[str], shape: tuple[int, ...]) -> list[int] | None:
    """Numbers of the columns that are named or numbered; None for another operator."""
    requested = operator if isinstance(operator, list | tuple) else [operator]
    if not requested or not all(type(column) in (str, int) for column in requested):
        return None
    if len(shape) != 1:
        remedy = "Pass operators.Mask(known), a matrix or a function."
        raise invalid(WHO, "columns must belong to states that are vectors", f"shape {shape}", remedy)
    numbers = [_number(column, names, shape[0]) for column in requested]
    if len(set(numbers)) < len(numbers):
        raise invalid(WHO, "every column must be measured once", requested)
    return numbers


def _number(column: str | int, names: Sequence[str], width: int) -> int:
    if isinstance(column, str):
        if column not in names:
            rule = f"operator must name columns of the states ({', '.join(names) or 'which have no names'})"
            raise invalid(WHO, rule, repr(column), nearest(column, names))
        return names.index(column)
    if not 0 <= column < width:
        raise invalid(WHO, f"a column must be a number in [0, {width})", column)
    return column


def _in_order(observed: Observed, requested: Sequence[str], names: Sequence[str]) -> Observed:
    """Columns of y in the order of H, by name where they have names of states."""
    columns = observed.columns
    if not columns or not requested or not set(names) & set(columns):
        return observed
    missing = [name for name in requested if name not in columns]
    if missing or len(requested) != len(columns):
        rule = f"y must have the measured columns ({', '.join(requested)}), and no other"
        raise invalid(WHO, rule, f"{', '.join(columns)}")
    return Observed(observed.y[:, [columns.index(name) for name in requested]], tuple(requested))


# --- the filter ----------------------------------------------------------------------------------------------


def filtered(
    sensor: Sensor,
    x: Tensor,
    settings: Assimilation,
    draw: Callable[[Tensor, Tensor, int, GaussianMeasurement], GuidedDraws],
    frame: Standard,
    seed: int,
) -> Assimilated:
    """Run the filter over all times.

    Args:
        sensor: Measurements and H.
        x: Members at the start, ``(N, *D)``, in the units of the frame.
        settings: The filter.
        draw: ``(members, numbers of their starts, k, measurement)`` to members one lag later with weights.
        frame: From the members' units to those of the data.
        seed: Seed of resampling and of perturbed measurements.

    Raises:
        DivergedError: If no member has a finite weight.

    Warns:
        FitWarning: If the weights collapse to less than two members, or y lies far from its forecasts.
    """
    scale = torch.as_tensor(frame.scale, dtype=torch.float64).expand(sensor.shape).flatten()
    starts, log_weights, steps = torch.arange(len(x)), torch.zeros(len(x), dtype=torch.float64), []
    for k in range(len(sensor.y)):
        parents, log_weights = _resampled(
            log_weights, settings.ess, generator(seed, "assimilate resampling", k)
        )
        x, starts = x[parents], starts[parents]
        measurement = sensor.at(k, frame, scale)
        draws = draw(x, starts, k, measurement)
        innovation = torch.full_like(sensor.y[k], torch.nan)
        innovation[~sensor.y[k].isnan()] = _innovation(log_weights, draws, measurement)
        if settings.method == "enkf":
            x, evidence = _kalman_update(draws, measurement, key(seed, "assimilate perturbed", k))
        else:
            x, log_weights = draws.x, log_weights.log_softmax(0) + draws.log_weights
            evidence = log_weights.logsumexp(0)
        if not bool(evidence.isfinite()):
            distance = float((measurement.y - draws.expected).abs().amin())
            message = f"at time {k + 1} no member has a finite weight; the nearest is {distance:.3g} from y"
            raise DivergedError(f"{WHO}: {message}. Check the units of y, or use a larger noise.")
        steps.append((x, log_weights, evidence, effective_size(log_weights), parents, innovation))
    parts = (torch.stack(part) for part in zip(*steps, strict=True))
    states, all_weights, evidences, ess, ancestors, innovations = parts
    _warn(ess, innovations, len(x))
    return Assimilated(frame.decode(states.double()), all_weights, evidences, ess, ancestors, innovations)


def _resampled(log_weights: Tensor, ess: float, source: torch.Generator) -> tuple[Tensor, Tensor]:
    """Parents ``(N,)`` and their log weights: all members and theirs, or resampled ones with equal weights."""
    if float(effective_size(log_weights)) >= ess * len(log_weights):
        return torch.arange(len(log_weights)), log_weights
    u = torch.rand(1, 1, generator=source, dtype=torch.float64)
    return Systematic().ancestors(log_weights.softmax(0)[None], u)[0], torch.zeros_like(log_weights)


def free_draws(x: Tensor, measurement: GaussianMeasurement, inflation: float) -> GuidedDraws:
    """Forecasts ``(N, *D)``, weighed by the density of the measurement."""
    if len(measurement.y):
        x = x + (inflation - 1) * (x - x.mean(0))
    values = measurement.function(x.double().flatten(1))
    return GuidedDraws(x, measurement.log_prob(values), values, measurement.std.square()[None])


def _innovation(log_weights: Tensor, draws: GuidedDraws, measurement: GaussianMeasurement) -> Tensor:
    """Y less its forecast, in standard deviations of the forecast, ``(M,)``, with the weights before y."""
    weights = log_weights.softmax(0)[:, None]
    mean = (weights * draws.expected).sum(0)
    variance = (weights * (draws.variance + (draws.expected - mean).square())).sum(0)
    return (measurement.y - mean) / variance.sqrt()


def _warn(ess: Tensor, innovations: Tensor, members: int) -> None:
    """Warn of collapsed weights, and of measurements that no forecast expects."""
    collapsed = torch.nonzero(ess < _COLLAPSED)[:, 0]
    if len(collapsed):
        message = f"the weights collapsed to less than {_COLLAPSED:g} of {members} members"
        message += f" at {len(collapsed)} of {len(ess)}"
        remedy = "Use more members, a larger noise, fewer measured entries, or method='enkf'."
        tell(FitWarning, f"{WHO}: {message} times, first at time {int(collapsed[0]) + 1}. {remedy}")
    size = float(innovations.square().nanmean().sqrt())  # NaN if nothing was measured
    if size > _SURPRISING:
        message = f"y lies {size:.3g} standard deviations from its forecasts (root mean square)"
        tell(FitWarning, f"{WHO}: {message}. Check the units of y, the operator, the noise and the start.")


def _kalman_update(draws: GuidedDraws, measurement: GaussianMeasurement, seed: int) -> tuple[Tensor, Tensor]:
    """Members moved by Kalman's formula with perturbed measurements, and the Gaussian log density of y."""
    x, expected = draws.x, draws.expected
    flat, count = x.double().flatten(1), len(x) - 1
    distance, distance_y = flat - flat.mean(0), expected - expected.mean(0)
    covariance = distance_y.mT @ distance_y / count + torch.diag(measurement.std.square())
    eta = BlockNoise.like(expected, seed, "perturbed").normal()
    wrong = measurement.y + measurement.std * eta - expected
    pull = torch.linalg.solve(covariance, wrong.mT)
    updated = flat + (distance_y @ pull).mT @ distance / count
    log_prob = log_normal(measurement.y - expected.mean(0, keepdim=True), covariance[None])[0]
    return updated.reshape(x.shape).to(x), log_prob


def start_members(start: Tensor, members: int, seed: int) -> Tensor:
    """Indices of the members' rows in ``start``, ``(N,)``: all rows about as often, in random order."""
    if len(start) == 1:
        return torch.zeros(members, dtype=torch.long)
    source = generator(seed, "assimilate start")
    rounds = -(-members // len(start))
    return torch.cat([torch.randperm(len(start), generator=source) for _ in range(rounds)])[:members]
