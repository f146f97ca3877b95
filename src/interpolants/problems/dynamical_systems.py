"""Dynamical systems ``u' = f(u; theta)``: formula, function and Jacobian from one source.

Letters: d states, p parameters, N trajectories, T times.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from interpolants.data.equation_trees import Tree, read_system
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import number, whole
from interpolants.foundations.errors import DivergedError, invalid, nearest
from interpolants.foundations.kinds import Positive
from interpolants.foundations.records import record
from interpolants.pde.ordinary import ODE

Box = tuple[float, float]


@record("dynamical_system")
@dataclass(frozen=True, kw_only=True)
class DynamicalSystem(Checked):
    """An autonomous system of ordinary differential equations, written as formulas.

    Raises:
        InvalidInputError: If a formula cannot be read, names a parameter without a value, or boxes do not fit.
    """

    name: str
    """Its name."""
    rates: tuple[str, ...]
    """One formula per state, in u1 ... ud and names of parameters, such as ``"sigma*(u2 - u1)"``."""
    parameters: Mapping[str, float] = field(default_factory=dict)
    """Values of the parameters, in the system's own units."""
    start: tuple[Box, ...] = ()
    """Box of usual starts, ``(low, high)`` for each state."""
    ranges: Mapping[str, Box] = field(default_factory=dict)
    """Boxes of parameters for families of such systems; ten percent about the value for those left out."""
    step: Positive = 0.01
    """Largest step of the Runge-Kutta scheme, in the system's time."""
    source: str = ""
    """Where it comes from."""

    def check_settings(self) -> None:
        """Refuse formulas that name what has no value, and boxes that do not fit."""
        who = f"DynamicalSystem {self.name}"
        object.__setattr__(self, "rates", tuple(self.rates))
        boxes = tuple((float(a), float(b)) for a, b in self.start)
        object.__setattr__(self, "start", boxes or ((-1.0, 1.0),) * self.dim)
        for name in self.used:
            if name not in self.parameters:
                remedy = nearest(name, [*self.parameters, *(f"u{i + 1}" for i in range(self.dim))])
                raise invalid(who, "every name must be a state or a parameter", repr(name), remedy)
        for name, value in self.parameters.items():
            number(who, name, value)
        if len(self.start) != self.dim or any(a > b for a, b in (*self.start, *self.ranges.values())):
            raise invalid(who, f"start must have {self.dim} boxes (low, high)", self.start)

    # --- formulas

    @property
    def dim(self) -> int:
        """Number of states d."""
        return len(self.rates)

    @cached_property
    def trees(self) -> tuple[Tree, ...]:
        """The right sides, with their parameters by name."""
        return read_system(self.rates)

    @cached_property
    def used(self) -> tuple[str, ...]:
        """Names of the parameters in the formulas."""
        return tuple(dict.fromkeys(name for tree in self.trees for name in tree.parameters))

    def equations(self, **changes: float) -> tuple[Tree, ...]:
        """The right sides with numbers for the parameters.

        Args:
            changes: Other values of parameters.
        """
        values = {**self.parameters, **changes}
        return tuple(tree.with_parameters(values) for tree in self.trees)

    @cached_property
    def jacobian_trees(self) -> tuple[tuple[Tree, ...], ...]:
        """``df_i / du_j`` as formulas, by sympy."""
        import sympy

        names = [f"u{j + 1}" for j in range(self.dim)]
        rows = [tree.sympy() for tree in self.trees]
        return tuple(tuple(Tree.of_sympy(sympy.diff(row, name), names) for name in names) for row in rows)

    # --- values

    def rates_at(self, u: Tensor, parameters: Mapping[str, Any] | None = None) -> Tensor:
        """``f(u)``, ``(..., d)`` -> ``(..., d)``.

        Args:
            u: States.
            parameters: Values of parameters, numbers or tensors ``(...)``; the system's own for those left out.
        """
        values = {**self.parameters, **(parameters or {})}
        parts = [tree.at(u.unbind(-1), values) for tree in self.trees]
        return torch.stack([_like(part, u[..., 0]) for part in parts], -1)

    def jacobian_at(self, u: Tensor, parameters: Mapping[str, Any] | None = None) -> Tensor:
        """``df / du``, ``(..., d)`` -> ``(..., d, d)``, row i the gradient of ``f_i``."""
        values = {**self.parameters, **(parameters or {})}
        states = u.unbind(-1)
        rows = [[_like(tree.at(states, values), u[..., 0]) for tree in row] for row in self.jacobian_trees]
        return torch.stack([torch.stack(row, -1) for row in rows], -2)

    def trajectories(
        self,
        start: Tensor,
        times: Tensor,
        parameters: Mapping[str, Any] | None = None,
        *,
        finer: int = 1,
        largest: float = math.inf,
    ) -> Tensor:
        """States at times by the classical Runge-Kutta scheme, ``(N, T, d)`` float64; not finite where they blow up.

        Args:
            start: States at the first time, ``(N, d)``.
            times: ``(T,)`` for all, or ``(N, T)``, not decreasing.
            parameters: As in :meth:`rates_at`, ``(N,)``.
            finer: Divides the step.
            largest: Size of a state beyond which its trajectory is of no use: when all trajectories have exceeded it,
                the later states are NaN and not computed.
        """
        u, t = start.double(), times.double().expand(len(start), -1)
        found, useful = [u], (u.abs() <= largest).all(1)
        for k in range(1, t.shape[1]):
            gap = t[:, k] - t[:, k - 1]
            parts = max(1, int((gap.max() / self.step * finer).ceil()))
            h = (gap / parts)[:, None]
            for _ in range(parts):
                u = self._stepped(u, h, parameters)
            found.append(u)
            useful &= (u.abs() <= largest).all(1)
            if not bool(useful.any()):
                found += [torch.full_like(u, math.nan)] * (t.shape[1] - len(found))
                break
        return torch.stack(found, 1)

    def _stepped(self, u: Tensor, h: Tensor, parameters: Mapping[str, Any] | None) -> Tensor:
        k1 = self.rates_at(u, parameters)
        k2 = self.rates_at(u + h / 2 * k1, parameters)
        k3 = self.rates_at(u + h / 2 * k2, parameters)
        k4 = self.rates_at(u + h * k3, parameters)
        stepped: Tensor = u + h / 6 * (k1 + 2 * (k2 + k3) + k4)
        return stepped

    def starts(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Uniform draws of the box of starts, ``(n, d)`` float64."""
        low, high = torch.tensor(self.start, dtype=torch.float64).T
        drawn: Tensor = low + (high - low) * torch.rand(n, self.dim, generator=generator, dtype=torch.float64)
        return drawn

    def sample(self, n: int, *, generator: torch.Generator | None = None, after: float = 20.0) -> Tensor:
        """States a time ``after`` from random starts, near an attractor where there is one; ``(n, d)``.

        Raises:
            DivergedError: If a state is not finite.
        """
        times = torch.tensor([0.0, after], dtype=torch.float64)
        found = self.trajectories(
            self.starts(whole("sample", "n", n, at_least=1), generator=generator), times
        )[:, -1]
        if not bool(torch.isfinite(found).all()):
            raise DivergedError(
                f"{self.name}: a state became NaN or infinite within {after:g}. Narrow start."
            )
        return found

    def problem(self, start: Sequence[float], end: float) -> ODE:
        """The initial value problem as an evolution equation of :mod:`interpolants.pde`."""
        return ODE(rates=lambda t, u: self.rates_at(u), start=tuple(start), end=end)


def _like(value: Any, u: Tensor) -> Tensor:
    """A number as a tensor of the shape of the states."""
    return value.expand_as(u) if isinstance(value, Tensor) else torch.full_like(u, float(value))


def _named(
    name: str, rates: str, start: Sequence[Box], source: str, step: float = 0.01, **p: float
) -> DynamicalSystem:
    return DynamicalSystem(
        name=name, rates=tuple(rates.split(" | ")), parameters=p, start=tuple(start), step=step, source=source
    )


_CUBE = ((-2.0, 2.0),) * 3
SYSTEMS = {
    one.name: one
    for one in (
        _named("lorenz", "sigma*(u2 - u1) | u1*(rho - u3) - u2 | u1*u2 - beta*u3",
               ((-10, 10), (-10, 10), (15, 35)), "Lorenz (1963)", sigma=10.0, rho=28.0, beta=2.67),
        _named("rossler", "-(u2 + u3) | u1 + a*u2 | b + u3*(u1 - c)",
               ((-5, 5), (-5, 5), (0, 2)), "Rössler (1976)", a=0.2, b=0.2, c=5.7),
        _named("halvorsen", "-(a*u1) - b*(u2 + u3) - u2**2 | -(a*u2) - b*(u3 + u1) - u3**2 | "
               "-(a*u3) - b*(u1 + u2) - u1**2", ((-4, 2),) * 3, "Sprott (2003)", step=0.005, a=1.4, b=4.0),
        _named("thomas", "sin(u2) - b*u1 | sin(u3) - b*u2 | sin(u1) - b*u3",
               ((-3, 3),) * 3, "Thomas (1999)", step=0.05, b=0.19),
        _named("sprott_b", "a*u2*u3 | u1 - b*u2 | c - u1*u2", _CUBE, "Sprott (1994)", a=0.4, b=1.2, c=1.0),
        _named("chen_lee", "a*u1 - u2*u3 | b*u2 + u1*u3 | c*u3 + u1*u2/3",
               ((-5, 5),) * 3, "Chen & Lee (2004)", step=0.003, a=5.0, b=-10.0, c=-0.38),
        DynamicalSystem(name="oscillator", rates=("u2", "-(stiffness*u1) - damping*u2"),
                        parameters={"stiffness": 2.0, "damping": 0.15}, start=((-2, 2), (-2, 2)), step=0.05,
                        ranges={"stiffness": (1.0, 4.0), "damping": (0.0, 0.3)}),
    )
}  # fmt: skip


def dynamical_system(name: str, **parameters: float) -> DynamicalSystem:
    """A known system by its name, with its usual parameters or others.

    ``lorenz``, ``rossler``, ``halvorsen``, ``thomas``, ``sprott_b``, ``chen_lee``, ``oscillator``, and
    ``lorenz96`` with the parameters ``states`` and ``forcing``.

    Args:
        name: The name.
        parameters: Values of parameters that differ.

    Raises:
        InvalidInputError: If name or parameter is unknown.
    """
    if name == "lorenz96":
        return lorenz96(**parameters)
    if name not in SYSTEMS:
        known = [*SYSTEMS, "lorenz96"]
        raise invalid(
            "dynamical_system", "name must be the name of a system", repr(name), nearest(name, known)
        )
    one = SYSTEMS[name]
    for parameter in parameters:
        if parameter not in one.parameters:
            remedy = nearest(parameter, one.parameters)
            raise invalid(
                "dynamical_system",
                f"parameters of {name} must be among those of the system",
                repr(parameter),
                remedy,
            )
    return DynamicalSystem(**{**_fields(one), "parameters": {**one.parameters, **parameters}})


def lorenz96(states: Any = 8, forcing: float = 8.0) -> DynamicalSystem:
    """``u_i' = (u_{i+1} - u_{i-2}) u_{i-1} - u_i + forcing``, indices around a circle.

    Args:
        states: Number of states, >= 4.
        forcing: The forcing.

    Source: Lorenz (1996).
    """
    n = whole("lorenz96", "states", states, at_least=4, at_most=99)
    rates = [
        f"(u{(i + 1) % n + 1} - u{(i - 2) % n + 1})*u{(i - 1) % n + 1} - u{i + 1} + forcing" for i in range(n)
    ]
    near = ((forcing - 1.0, forcing + 1.0),) * n
    return DynamicalSystem(
        name="lorenz96", rates=tuple(rates), parameters={"forcing": forcing}, start=near, step=0.005,
        source="Lorenz (1996)",
    )  # fmt: skip


def _fields(one: DynamicalSystem) -> dict[str, Any]:
    names = ("name", "rates", "parameters", "start", "ranges", "step", "source")
    return {name: getattr(one, name) for name in names}
