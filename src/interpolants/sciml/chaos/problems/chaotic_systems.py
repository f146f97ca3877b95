"""Known chaotic flows by name: right sides and metadata of the package dysts, with our solver and checked invariants.

Letters: B states, d coordinates, T times.
"""

import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from interpolants.foundations.checks import number, whole
from interpolants.foundations.errors import DivergedError, invalid, nearest
from interpolants.foundations.extras import require
from interpolants.foundations.randomness import generator
from interpolants.metrics.lyapunov import LyapunovSpectrum, central_jacobian, lyapunov_spectrum
from interpolants.sciml.chaos.problems.chaotic_invariants import Invariants, known_invariants

Array = NDArray[np.float64]
# What the package calls the right side of numbers, and the map of angles to bounded coordinates.
_FORMULA, _BOUND = "_rhs", "_postprocessing"
# Relative tolerance of a path, and of one that only has to stay on the attractor.
_TOLERANCE, _ROUGH = 1e-9, 1e-6
# Size beyond which a path has left for ever; with other parameters, in units of its start (and of the time).
_LARGEST, _LARGEST_CHANGED = 1e12, 1e5
# Most evaluations of the rates per period of the path, and beside them; the slowest flow takes 6500 a period.
_EVALUATIONS, _EVALUATIONS_MORE = 50_000, 500_000


def _flows() -> Any:
    """The package's module of flows; its import warns that numba is missing, which it need not have."""
    with _undisturbed(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return require("dysts.flows", by="ChaoticSystem")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep NumPy's global generator, which the package seeds whenever it makes a system."""
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)


@cache
def chaotic_systems() -> tuple[str, ...]:
    """Names of the flows, sorted; those with a delay are left out, for their state is a function."""
    flows = _flows()
    delayed = _delayed()
    classes = inspect.getmembers(flows, inspect.isclass)
    return tuple(
        name
        for name, one in classes
        if issubclass(one, flows.DynSys) and one is not flows.DynSys and name not in delayed
    )


def _delayed() -> tuple[str, ...]:
    flows = _flows()
    return tuple(n for n, c in inspect.getmembers(flows, inspect.isclass) if issubclass(c, flows.DynSysDelay))


class ChaoticSystem:
    """A flow ``du/dt = f(u)`` on a strange attractor.

    ::

        system = ChaoticSystem("Lorenz")
        path = system.trajectory(1200, per_period=15)       # (1200, 3) float64, evenly spaced
        system.invariants.exponents                         # recomputed; what the package says is flagged if it differs

    Coordinates that grow without bound, such as angles, are mapped to bounded ones by the package in
    :meth:`trajectory`; rates, Jacobians and exponents are of the coordinates as they are.

    Args:
        name: Name of the system, one of :func:`chaotic_systems`.
        parameters: Values of parameters that differ from the system's own. Period and invariants are then not known.

    Raises:
        InvalidInputError: If the name or a parameter is unknown, or the system has a delay.
        MissingExtraError: If dysts is not installed.

    Source: Gilpin (2021), arXiv:2110.05266.
    """

    def __init__(self, name: str, **parameters: float) -> None:
        if name not in chaotic_systems():
            if name in _delayed():
                remedy = "Its state is a function of time. Use a flow without delay."
                raise invalid("ChaoticSystem", "name must be a flow without delay", repr(name), remedy)
            raise invalid(
                "ChaoticSystem",
                "name must be the name of a flow",
                repr(name),
                nearest(name, chaotic_systems()),
            )
        self.name, self.parameters = name, dict(parameters)
        with _undisturbed():
            self._system = getattr(_flows(), name)()
        own = dict(self._system.params)
        for key, value in parameters.items():
            if key not in own or np.ndim(own[key]):
                known = [k for k, v in own.items() if not np.ndim(v)]
                raise invalid(
                    "ChaoticSystem",
                    f"parameters of {name} must be among its scalar parameters",
                    repr(key),
                    nearest(key, known),
                )
            own[key] = number("ChaoticSystem", key, value)
            setattr(self._system, key, own[key])
        self._values = [own[key] for key in sorted(own)]
        self._system.param_list = self._values

    # --- what the package says

    @property
    def start(self) -> Tensor:
        """A state on the attractor, ``(d,)``."""
        return torch.tensor(np.array(self._system.ic, dtype=float))

    @property
    def dim(self) -> int:
        """D."""
        return len(self._system.ic)

    @property
    def period(self) -> float:
        """Dominant period of the default system, in its unit of time."""
        return float(self._system.period)

    @property
    def annotations(self) -> Mapping[str, Any]:
        """The package's own numbers, unchecked: see :attr:`invariants`."""
        kept = ("maximum_lyapunov_estimated", "lyapunov_spectrum_estimated", "kaplan_yorke_dimension",
                "correlation_dimension", "multiscale_entropy", "pesin_entropy", "citation", "description")  # fmt: skip
        return {key: self._system.data.get(key) for key in kept}

    @property
    def invariants(self) -> Invariants:
        """Recomputed invariants of the default system, and flags where exponents do not fit.

        Raises:
            InvalidInputError: If parameters were changed: compute :meth:`lyapunov_spectrum`.
        """
        if self.parameters:
            remedy = "Call lyapunov_spectrum()."
            raise invalid(
                f"ChaoticSystem {self.name}", "invariants are of the default system", self.parameters, remedy
            )
        return known_invariants()[self.name]

    # --- the flow

    def rates_at(self, u: Tensor, time: float = 0.0) -> Tensor:
        """``f(u)``, ``(..., d)`` -> ``(..., d)`` float64; only the system Torus depends on the time."""
        flat = u.detach().double().reshape(-1, self.dim).numpy()
        with np.errstate(all="ignore"):
            found = self._together(flat, time)
        return torch.from_numpy(found).reshape(u.shape)

    def jacobian_at(self, u: Tensor) -> Tensor:
        """``df_i / du_j`` by central differences, ``(..., d)`` -> ``(..., d, d)``."""
        flat = u.double().reshape(-1, self.dim)
        return central_jacobian(self.rates_at, flat).reshape(*u.shape, self.dim)

    def trajectory(
        self,
        n: int,
        *,
        per_period: float = 15,
        start: Tensor | None = None,
        transient: float = 0.0,
        noise: float = 0.0,
        generator: Generator | None = None,
        bounded: bool = True,
    ) -> Tensor:
        """States at ``n`` times that are ``period / per_period`` apart, ``(n, d)`` float64.

        Args:
            n: Number of times.
            per_period: Times per dominant period, >= 2.
            start: First state ``(d,)``; the package's if None.
            transient: Periods to go before the first time.
            noise: Standard deviation of independent noise of the values, as a share of that of each coordinate.
            generator: Source of the noise.
            bounded: Whether coordinates without bounds are mapped to bounded ones, as by the package.

        Raises:
            InvalidInputError: If a size does not fit.
            DivergedError: If the integration stops early, with the time.
        """
        who = f"ChaoticSystem {self.name}"
        whole(who, "n", n, at_least=1), number(who, "per_period", per_period, at_least=2)
        number(who, "transient", transient, at_least=0), number(who, "noise", noise, at_least=0)
        first = self.start if start is None else start.double()
        if first.shape != (self.dim,):
            raise invalid(who, f"start must have {self.dim} coordinates", tuple(first.shape))
        times = (transient + np.arange(n) / per_period) * self.period
        path = self._integrated(first.numpy(), times)
        if bounded and (bound := getattr(self._system, _BOUND, None)) is not None:
            path = np.stack(bound(*path.T), -1)
        x = torch.from_numpy(np.ascontiguousarray(path))
        if noise:
            x = x + noise * x.std(0) * torch.randn(x.shape, dtype=x.dtype, generator=generator)
        return x

    def sample(self, n: int, *, generator: Generator | None = None, spread: float = 60.0) -> Tensor:
        """States of the attractor ``(n, d)``: of one path, at random times ``spread`` periods apart on average."""
        whole(f"ChaoticSystem {self.name}", "n", n, at_least=1)
        gaps = torch.rand(n, dtype=torch.float64, generator=generator)
        times = (10 + (torch.arange(n) + gaps) * spread) * self.period
        path = self._integrated(self.start.numpy(), times.numpy(), _ROUGH)
        return torch.from_numpy(np.ascontiguousarray(path))

    def lyapunov_spectrum(
        self,
        *,
        starts: int = 64,
        periods: float = 20.0,
        settle: float = 5.0,
        per_period: int = 0,
        seed: int = 0,
    ) -> LyapunovSpectrum:
        """Lyapunov exponents from several starts on the attractor.

        Args:
            starts: Independent starts; their spread gives the errors.
            periods: Periods that are averaged over.
            settle: Periods before them.
            per_period: Steps of the Runge-Kutta scheme per period; 0 for as many as make a quarter of a period's path
                good to 1e-4 of the attractor's size.
            seed: Seed of the starts.
        """
        u = self.sample(starts, generator=generator(seed, "starts of exponents"), spread=7.3)
        steps = per_period or self._fine_steps(u)
        return lyapunov_spectrum(
            self.rates_at, u, step=self.period / steps, steps=round(periods * steps),
            settle=round(settle * steps), jacobian=self.jacobian_at, every=max(1, steps // 50),
        )  # fmt: skip

    def _fine_steps(self, u: Tensor, most: int = 2000) -> int:
        """Steps per period at which a quarter of a period's path agrees with one of twice as many."""
        steps, size = 60, u.std(0).clamp_min(1e-12)
        coarse = self._runge_kutta(u, steps)
        while steps < most:
            fine = self._runge_kutta(u, 2 * steps)
            if float(((fine - coarse).abs() / size).nan_to_num(math.inf).max()) < 1e-4:
                return steps
            steps, coarse = 2 * steps, fine
        return steps

    def _runge_kutta(self, u: Tensor, per_period: int) -> Tensor:
        h = self.period / per_period
        for _ in range(per_period // 4):
            k1 = self.rates_at(u)
            k2 = self.rates_at(u + h / 2 * k1)
            k3 = self.rates_at(u + h / 2 * k2)
            k4 = self.rates_at(u + h * k3)
            u = u + h / 6 * (k1 + 2 * (k2 + k3) + k4)
        return u

    def _integrated(self, first: Array, times: Array, tolerance: float = _TOLERANCE) -> Array:
        """States ``(T, d)`` at times from 0 on, by LSODA."""
        integrate = require("scipy.integrate", by="ChaoticSystem")
        scale = np.maximum(np.abs(first), 1e-3)
        last = max(float(times[-1]), 1e-12)
        largest = _LARGEST
        if self.parameters:
            largest = min(_LARGEST, _LARGEST_CHANGED * max(1.0, float(np.abs(first).max()), last))
        reached, left = [0.0], [_EVALUATIONS_MORE + math.ceil(_EVALUATIONS * last / self.period)]

        def rates(t: float, x: Array) -> Array:
            left[0] -= 1
            # LSODA would go on for ever with ever smaller steps.
            if left[0] < 0 or not np.abs(x).max() < largest:
                raise FloatingPointError
            reached[0] = t
            return self._one(x, t)

        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = integrate.solve_ivp(
                    rates, (0.0, last), first, t_eval=times, method="LSODA",
                    rtol=tolerance, atol=tolerance * scale,
                )  # fmt: skip
        except FloatingPointError:
            raise self._stopped(reached[0]) from None
        path: Array = found.y.T
        if len(path) < len(times) or not np.isfinite(path).all():
            raise self._stopped(reached[0])
        return path

    def _stopped(self, time: float) -> DivergedError:
        remedy = f" with {self.parameters}; change them less" if self.parameters else ""
        return DivergedError(
            f"ChaoticSystem {self.name}: the integration stopped after time {time:.4g}{remedy}."
        )

    @cached_property
    def _one(self) -> Callable[[Array, float], Array]:
        """The right side of one state: by the plain formula where there is one, which numba need not compile first."""
        if type(self._system).rhs is not _flows().DynSys.rhs:
            return lambda x, t: np.asarray(self._system.rhs(x, t), dtype=float)
        plain, values = self._plain, self._values
        return lambda x, t: np.array(plain(*x, t, *values), dtype=float)

    def _one_by_one(self, flat: Array, t: float) -> Array:
        return np.stack([self._one(row, t) for row in flat])

    # --- many states at once

    @property
    def vectorised(self) -> bool:
        """Whether the right side takes many states at once; the others are slower by their number."""
        return self._together in (self._formula, self._columns)

    @cached_property
    def _together(self) -> Callable[[Array, float], Array]:
        """The right side for rows ``(B, d)``: at once where a formula takes columns, else row by row."""
        here = self.start.numpy()
        rows = here + 0.01 * np.arange(3)[:, None] * np.maximum(np.abs(here), 0.1)
        with np.errstate(all="ignore"):
            wanted = self._one_by_one(rows, 0.0)
            for way in (self._formula, self._columns):
                try:
                    found = way(rows, 0.0)
                except Exception:  # noqa: BLE001 - whatever a formula of numbers does with arrays
                    continue
                if found.shape == wanted.shape and np.allclose(found, wanted, rtol=1e-10, equal_nan=True):
                    return way
        return self._one_by_one

    def _formula(self, flat: Array, t: float) -> Array:
        """By the formula."""
        return _stacked(self._plain(*flat.T, t, *self._values), len(flat))

    @property
    def _plain(self) -> Callable[..., Any]:
        """The formula as plain Python, which takes columns where numba has compiled it for numbers."""
        one = getattr(type(self._system), _FORMULA)
        found: Callable[..., Any] = getattr(one, "py_func", one)
        return found

    def _columns(self, flat: Array, t: float) -> Array:
        """By a right side of the system's own, which may take a state of columns ``(d, B)``."""
        return _stacked(self._system.rhs(flat.T, t), len(flat))


def _stacked(parts: Any, rows: int) -> Array:
    """``d`` columns or numbers as ``(B, d)``."""
    return np.stack([np.broadcast_to(np.asarray(part, dtype=float), rows) for part in parts], 1)
