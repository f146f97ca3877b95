"""Integration of Ito equations with additive noise, ``dX = f(X, t) dt + g(t) dW``, forwards or backwards.

Letters: ``dt`` signed step, ``dw`` increment of the driving Brownian motion in running time, ``area`` its
space-time Levy area, ``g0, g1`` noise strength at the start and at the end of the step: a number, or a tensor with one
strength per entry of the state.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.foundations.brownian import check_grid
from interpolants.foundations.errors import invalid
from interpolants.solvers.fixed import OnStep, Velocity, check_state, check_velocity, stage_clock

Strength = float | Tensor


@dataclass(frozen=True)
class SdeSolver(ABC):
    """Base of the solvers for additive noise.

    Attributes:
        strong_order: The path error falls as the step to this power.
        weak_order: The error of moments falls as the step to this power.
        ito: The equation solved is the Ito equation. With additive noise Ito and Stratonovich agree.
        levy_area: Whether a step needs the space-time Levy area of the noise.
        c: Stage times in units of the step.
        b: Weights of the stages' drifts in the step.
    """

    name: ClassVar[str]
    strong_order: ClassVar[float]
    weak_order: ClassVar[float]
    c: ClassVar[tuple[float, ...]]
    b: ClassVar[tuple[float, ...]]
    ito: ClassVar[bool] = True
    levy_area: ClassVar[bool] = False
    kind: ClassVar[str] = "sde"

    @property
    def stages(self) -> int:
        """Number of stages of the scheme."""
        return len(self.c)

    @property
    def nfe_per_step(self) -> int:
        """Evaluations of the drift in one step."""
        return len(self.c)

    @abstractmethod
    def step(
        self,
        f: Velocity,
        x: Tensor,
        clock: list[Tensor],
        dt: float,
        g0: Strength,
        g1: Strength,
        dw: Tensor,
        area: Tensor | None,
    ) -> Tensor:
        """One step from ``x``, in new memory; ``clock`` holds the stage times. May overwrite ``area``."""


@dataclass(frozen=True)
class SdeResult:
    """Result of an SDE integration.

    Attributes:
        x: State at the last time, ``(B, *D)``.
        nfe: Evaluations of ``f``, the same for every sample.
        path: States at all times, ``(n + 1, B, *D)``; ``None`` unless asked for.
    """

    x: Tensor
    nfe: int
    path: Tensor | None


def integrate_sde(
    f: Velocity,
    g: Callable[[Tensor], Tensor] | Sequence[Strength],
    x: Tensor,
    times: npt.ArrayLike,
    solver: SdeSolver,
    brownian: Iterable[tuple[Tensor, Tensor | None]],
    *,
    on_step: OnStep | None = None,
    return_path: bool = False,
) -> SdeResult:
    """Integrate ``dX = f(X, t) dt + g(t) dW`` over the grid ``times``.

    On a decreasing grid the equation is the one run down in time: a step of length h is
    ``X(t - h) = X(t) - f h + g sqrt(h) xi`` to first order, where ``f`` is still the drift per unit of
    increasing t; pass ``b - eps s`` for the backward equation of an interpolant.

    Args:
        f: Drift ``(B, *D)`` at state ``(B, *D)`` and time ``()``.
        g: Noise strength, one number per time, or one per time and entry ``(n + 1, *D)``: called once with all grid
            times ``(n + 1,)`` in float64 on the CPU. Finite and >= 0. For ``sqrt(2 eps) dW`` it is ``sqrt(2 eps)``. Or
            what :func:`noise_strengths` made of it.
        x: Start, ``(B, *D)``; not modified.
        times: ``(n + 1,)``, strictly monotone.
        solver: Scheme for additive noise.
        brownian: Yields ``(dw, area)`` per step, such as a ``BrownianPath`` on the same times, with
            ``levy_area=solver.levy_area``.
        on_step: Called after step 1, ..., n with the step, the time reached and the state. A returned tensor
            replaces the state.
        return_path: Keep the states at all times.

    Returns:
        The state at the last time, the number of evaluations, the path.

    Raises:
        InvalidInputError: If ``times`` is not such a grid, ``g`` is negative or not finite on it, ``f``
            returns another shape than ``x``, or the noise lacks steps or the Levy area.
    """
    grid = check_grid("integrate_sde", times)
    check_state("integrate_sde", x)
    strength = noise_strengths(g, grid, x) if callable(g) else g
    clock = stage_clock(grid, solver.c, x)
    steps = np.diff(grid).tolist()
    path = [x]
    noise = iter(brownian)
    for n, dt in enumerate(steps):
        dw, area = next(noise, (None, None))
        if dw is None or (solver.levy_area and area is None):
            raise _missing_noise(solver, n, len(steps), dw)
        # what holds of the first values holds of all
        x = solver.step(f if n else _checked(f), x, clock[n], dt, strength[n], strength[n + 1], dw, area)
        if on_step is not None:
            replaced = on_step(n + 1, clock[n + 1][0], x)
            x = x if replaced is None else replaced
        if return_path:
            path.append(x)
    nfe = len(steps) * solver.nfe_per_step
    return SdeResult(x=x, nfe=nfe, path=torch.stack(path) if return_path else None)


def add_noise(x: Tensor, noise: Tensor, strength: Strength) -> Tensor:
    """``x + strength noise``, in the memory of ``x``."""
    return x.addcmul_(noise, strength) if isinstance(strength, Tensor) else x.add_(noise, alpha=strength)


def noise_strengths(
    g: Callable[[Tensor], Tensor], grid: npt.NDArray[np.float64], x: Tensor
) -> Sequence[Strength]:
    """``g`` on the grid: Python numbers, so that a step multiplies by them without touching a tensor, or tensors.

    Raises:
        InvalidInputError: As :func:`integrate_sde`.
    """
    times = torch.from_numpy(grid)
    values = torch.as_tensor(g(times), dtype=torch.float64).detach().cpu()
    per_entry = tuple(values.shape) == (len(grid), *x.shape[1:])
    if not per_entry and (values.ndim > 1 or values.numel() not in (1, len(grid))):
        rule = "g must give one number per time, or one per time and entry of the state"
        raise invalid("integrate_sde", rule, tuple(values.shape), "It must be a function of time alone.")
    values = values if per_entry else values.expand(len(grid))
    bad = ~(values.isfinite() & (values >= 0))
    if bool(bad.any()):
        first = tuple(bad.nonzero()[0].tolist())
        found = f"{values[first].item()} at t = {times[first[0]].item()}"
        remedy = "Stop before the time where it is singular, or let it vanish there."
        raise invalid("integrate_sde", "g must be finite and >= 0", found, remedy)
    if per_entry:
        return values.to(x).unbind()
    numbers: list[float] = values.tolist()
    return numbers


def _checked(f: Velocity) -> Velocity:
    def drift(x: Tensor, t: Tensor) -> Tensor:
        slope = f(x, t)
        check_velocity("integrate_sde", slope, x)
        return slope

    return drift


def _missing_noise(solver: SdeSolver, n: int, steps: int, dw: Tensor | None) -> Exception:
    if dw is None:
        rule = f"brownian must give an increment for each of the {steps} steps"
        return invalid("integrate_sde", rule, f"{n} of them", "Build it on the same times.")
    rule = f"{solver.name} needs the space-time Levy area of the noise"
    return invalid("integrate_sde", rule, "None", "Pass BrownianPath(..., levy_area=True).")
