"""Integration of ``dX = f(X, t) dt + g(X, t) dW``: noise whose strength depends on the state, with gradients.

Letters: ``m`` Brownian motions of a sample, which all entries of its state share; ``dw (B, m)`` their increments over a
step; ``g (B, *D, m)`` strength of each in each entry. With m = 1 one Brownian motion drives all entries.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.foundations.brownian import check_grid
from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid
from interpolants.solvers.fixed import OnStep, Velocity, check_state, check_velocity, stage_clock
from interpolants.solvers.sde import SdeResult

ITO, STRATONOVICH = "ito", "stratonovich"


class StateNoiseScheme(ABC):
    """Base of the schemes for noise that depends on the state.

    Attributes:
        strong_order: The path error falls as the step to this power, if the columns of g commute.
        integral: ``"ito"`` or ``"stratonovich"``: they are two equations where g depends on the state.
        one_motion: Whether it needs m = 1.
        nfe_per_step: Evaluations of the drift in one step.
    """

    name: ClassVar[str]
    strong_order: ClassVar[float]
    integral: ClassVar[str]
    one_motion: ClassVar[bool] = False
    nfe_per_step: ClassVar[int] = 1

    @abstractmethod
    def step(
        self, f: Velocity, g: Velocity, x: Tensor, start: Tensor, end: Tensor, dt: float, dw: Tensor
    ) -> Tensor:
        """The state at ``end``, in new memory."""


@dataclass(frozen=True)
class ItoEuler(StateNoiseScheme):
    """``X + f dt + g dW``, of strong order 1/2.

    Source: Maruyama (1955); Kloeden & Platen, Numerical Solution of Stochastic Differential Equations, 10.2.
    """

    name: ClassVar[str] = "euler"
    strong_order: ClassVar[float] = 0.5
    integral: ClassVar[str] = ITO

    def step(
        self, f: Velocity, g: Velocity, x: Tensor, start: Tensor, end: Tensor, dt: float, dw: Tensor
    ) -> Tensor:
        """One step."""
        return x + dt * f(x, start) + driven(g(x, start), dw)


@dataclass(frozen=True)
class ItoMilstein(StateNoiseScheme):
    """``X + f dt + g dW + (dg/dx g) (dW^2 - dt) / 2``, of strong order 1; the derivative is taken along g alone.

    Source: Kloeden & Platen, Numerical Solution of Stochastic Differential Equations, 10.3.
    """

    name: ClassVar[str] = "milstein"
    strong_order: ClassVar[float] = 1.0
    integral: ClassVar[str] = ITO
    one_motion: ClassVar[bool] = True

    def step(
        self, f: Velocity, g: Velocity, x: Tensor, start: Tensor, end: Tensor, dt: float, dw: Tensor
    ) -> Tensor:
        """One step."""
        strength = g(x, start)[..., 0]
        along: Tensor = torch.func.jvp(lambda y: g(y, start)[..., 0], (x,), (strength,))[1]
        w = dw.reshape(len(x), *[1] * (x.ndim - 1))
        return x + dt * f(x, start) + strength * w + along * (w.square() - dt) / 2


@dataclass(frozen=True)
class StratonovichHeun(StateNoiseScheme):
    """Trapezoidal drift and noise with an Euler guess of the end, of strong order 1 for one Brownian motion.

    Source: Kloeden & Platen, Numerical Solution of Stochastic Differential Equations, 11.1.
    """

    name: ClassVar[str] = "heun"
    strong_order: ClassVar[float] = 1.0
    integral: ClassVar[str] = STRATONOVICH
    nfe_per_step: ClassVar[int] = 2

    def step(
        self, f: Velocity, g: Velocity, x: Tensor, start: Tensor, end: Tensor, dt: float, dw: Tensor
    ) -> Tensor:
        """One step."""
        f0, g0 = f(x, start), g(x, start)
        guess = x + dt * f0 + driven(g0, dw)
        return x + dt / 2 * (f0 + f(guess, end)) + driven(g0 + g(guess, end), dw) / 2


SCHEMES: dict[str, StateNoiseScheme] = {
    one.name: one for one in (ItoEuler(), ItoMilstein(), StratonovichHeun())
}


def driven(g: Tensor, dw: Tensor) -> Tensor:
    """``g dW``: strengths ``(B, *D, m)`` and increments ``(B, m)`` -> ``(B, *D)``."""
    found: Tensor = (g * dw.reshape(len(dw), *[1] * (g.ndim - 2), dw.shape[-1])).sum(-1)
    return found


def integrate_state_noise(
    f: Velocity,
    g: Velocity,
    x: Tensor,
    times: npt.ArrayLike,
    brownian: Iterable[tuple[Tensor, Tensor | None]],
    *,
    scheme: str = "euler",
    on_step: OnStep | None = None,
    return_path: bool = False,
) -> SdeResult:
    """Integrate ``dX = f(X, t) dt + g(X, t) dW`` over the grid ``times``; gradients reach x and parameters of f and g.

    For strengths that depend on time alone, :func:`integrate_sde` has schemes of higher order.

    Args:
        f: Drift ``(B, *D)`` at state ``(B, *D)`` and time ``()``.
        g: Strength ``(B, *D, m)`` of each of m Brownian motions, at the same.
        x: Start, ``(B, *D)``; not modified.
        times: ``(n + 1,)``, strictly increasing.
        brownian: Yields ``(dw, area)`` per step with ``dw (B, m)``, such as a ``BrownianPath`` on the same times; areas
            are not used.
        scheme: ``"euler"`` and ``"milstein"`` (m = 1) solve the Ito equation, ``"heun"`` that of Stratonovich.
        on_step: As for ``integrate_sde``.
        return_path: Keep the states at all times.

    Returns:
        The state at the last time, the number of evaluations of f, the path.

    Raises:
        InvalidInputError: If ``times`` is not such a grid, the scheme is unknown or needs one Brownian motion, f or g
            return another shape, or the noise lacks steps.
    """
    who = "integrate_state_noise"
    grid = check_grid(who, times)
    if grid[1] < grid[0]:
        remedy = (
            "Run the time-reversed equation forwards; with state-dependent noise it is a different equation."
        )
        raise invalid(who, "times must be increasing", f"{grid[0]} to {grid[-1]}", remedy)
    check_state(who, x)
    rule = SCHEMES[one_of(who, "scheme", scheme, SCHEMES)]
    clock = [row[0] for row in stage_clock(grid, (0.0,), x)]
    steps, noise, path = np.diff(grid).tolist(), iter(brownian), [x]
    for n, dt in enumerate(steps):
        dw, _ = next(noise, (None, None))
        if dw is None:
            told = f"brownian must give an increment for each of the {len(steps)} steps"
            raise invalid(who, told, f"{n} of them", "Build it on the same times.")
        if n == 0:
            _check_first(who, f, g, x, clock[0], dw, rule)
        x = rule.step(f, g, x, clock[n], clock[n + 1], dt, dw)
        replaced = None if on_step is None else on_step(n + 1, clock[n + 1], x)
        x = x if replaced is None else replaced
        if return_path:
            path.append(x)
    kept = torch.stack(path) if return_path else None
    return SdeResult(x=x, nfe=len(steps) * rule.nfe_per_step, path=kept)


def _check_first(
    who: str, f: Velocity, g: Velocity, x: Tensor, t: Tensor, dw: Tensor, rule: StateNoiseScheme
) -> None:
    """Refuse shapes that would broadcast; what holds of the first values holds of all."""
    with torch.no_grad():
        check_velocity(who, f(x, t), x)
        shape = tuple(g(x, t).shape)
    if dw.ndim != 2 or len(dw) != len(x):
        raise invalid(who, f"increments must have shape ({len(x)}, m)", tuple(dw.shape))
    if shape != (*x.shape, dw.shape[1]):
        remedy = "One strength per entry of the state and Brownian motion: unsqueeze(-1) for a single one."
        raise invalid(who, f"g must return shape {(*x.shape, dw.shape[1])}", shape, remedy)
    if rule.one_motion and dw.shape[1] != 1:
        remedy = "Use 'euler', or 'heun' for the Stratonovich equation."
        raise invalid(who, f"{rule.name} must have one Brownian motion", dw.shape[1], remedy)
