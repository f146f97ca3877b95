"""Finite differences and Fourier modes for equations in a box, as rivals of methods that learn."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.extras import require
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.kernels.kronecker import product, rows
from interpolants.pde.box import BoxProblem, check_problem
from interpolants.pde.product_grid import ProductGrid

# Largest dense system; Newton steps, halvings of one, and the relative residual at which they end.
_DENSE, _NEWTON, _HALVINGS, _SETTLED = 4100, 30, 10, 1e-10
_STENCIL = 4
POINTS = Role(name="points", about="File with columns x, or x and y.")


class Collocation(Method):
    """Values on a grid for which the equation holds at each inner point, by Newton's method.

    ``"finite_differences"`` has second order, and cubic polynomials between the points; ``"fourier"`` takes u for
    periodic along each axis, and is then exact up to rounding once the grid holds all frequencies.

    Raises:
        InvalidInputError: If there is no such scheme, or too many Fourier modes.
        DivergedError: If Newton's method does not settle.
    """

    noun: ClassVar[str] = "solver"
    only_cpu: ClassVar[str] = "its sparse systems are solved by SciPy"

    scheme: Literal["finite_differences", "fourier"] = "finite_differences"
    """How derivatives are taken."""
    points: Annotated[int, Ge(_STENCIL)] = 400
    """Points along each axis."""

    def roles(self) -> tuple[Role, ...]:
        """The problem; there are no data."""
        return (Role(name="problem", kind="problem", axis="", about="An equation in a box."),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Solve once."""
        problem: BoxProblem = data["problem"]
        orders = check_problem("Collocation.fit", problem)
        fourier, n = self.scheme == "fourier", self.points
        if fourier and n ** len(problem.box) > _DENSE:
            rule = f"points ** {len(problem.box)} must be at most {_DENSE} with Fourier modes"
            raise invalid("Collocation.fit", rule, n ** len(problem.box), "Use fewer points along each axis.")
        shift = 0 if fourier else 1
        x = [low + (high - low) / (n - shift) * torch.arange(n).double() for low, high in problem.box]
        if not fourier:  # the last point is the end itself, to the bit
            for known, (_, high) in zip(x, problem.box, strict=True):
                known[-1] = high
        values = _solved(ProductGrid(problem, orders, x), fourier)
        return {"x": x, "values": values, "box": problem.box, "axes": problem.axes, "name": problem.name}

    def columns(self, name: str) -> tuple[str, ...]:
        """Axes of points and the name of u, as the problem has them."""
        if not self.is_fitted:
            return ()
        known: dict[str, tuple[str, ...]] = {
            "points": tuple(self.state["axes"]),
            "u": (self.state["name"],),
        }
        return known.get(name, ())

    @capability(reads={"points": POINTS}, like="u", blocks=True)
    def solve(self, points: Tensor) -> Tensor:
        """The solution at points, ``(N, 1)``.

        Args:
            points: ``(N, d)``.
        """
        state = self.state
        if points.ndim != 2 or points.shape[1] != len(state["x"]):
            raise invalid("Collocation.solve", f"points must have shape (N, {len(state['x'])})", points.shape)
        if self.scheme != "fourier":  # which goes on periodically
            self._check_inside(points)
        between = _trigonometric if self.scheme == "fourier" else _cubic
        matrices = [
            between(points[:, j].double(), known, side)
            for j, (known, side) in enumerate(zip(state["x"], state["box"], strict=True))
        ]
        return rows(matrices, state["values"])[:, None]

    def _check_inside(self, points: Tensor) -> None:
        """Refuse points outside of the box, where a cubic polynomial says nothing."""
        state = self.state
        for axis, (low, high), x in zip(state["axes"], state["box"], points.double().unbind(1), strict=True):
            slack = 1e-6 * (high - low)
            outside = x[(x < low - slack) | (x > high + slack)]
            if len(outside):
                rule = f"{axis} must lie in [{low:g}, {high:g}], where the equation was solved"
                raise invalid("Collocation.solve", rule, f"{float(outside[0]):g}")


def _solved(grid: ProductGrid, fourier: bool) -> Tensor:
    """Newton's method from 0, with values on the boundary where they are given; steps that fail are halved."""
    maps = [[_derivative(x, k, fourier) for k in range(3)] for x in grid.x]
    step = _dense_step if fourier else _sparse_step

    def left(u: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        values = {
            name: product([maps[j][k] for j, k in enumerate(orders)], u)
            for name, orders in grid.orders.items()
        }
        residual, slopes = grid.linearised(values)
        return torch.where(grid.given, grid.boundary - u, -residual), slopes

    u = torch.where(grid.given, grid.boundary, 0.0)
    right, slopes = left(u)
    first = size = float(right.norm())
    for _ in range(_NEWTON):
        if size <= _SETTLED * first:
            return u
        moved = step(grid, maps, slopes, right)
        for k in range(_HALVINGS):
            there = u + moved / 2**k
            right, slopes = left(there)
            if float(right.norm()) < size:
                break
        u, size = there, float(right.norm())
    if size <= 1e4 * _SETTLED * first:  # the roundings of many points
        return u
    raise DivergedError("Collocation: Newton's method did not settle. Use more points.")


def _dense_step(
    grid: ProductGrid, maps: Sequence[Sequence[Tensor]], slopes: Mapping[str, Tensor], right: Tensor
) -> Tensor:
    total = torch.diag(grid.given.flatten().double())
    for name, orders in grid.orders.items():
        whole_map = _kron([maps[j][k] for j, k in enumerate(orders)], torch.kron)
        total = total + torch.where(grid.given, 0.0, slopes[name]).reshape(-1, 1) * whole_map
    found: Tensor = torch.linalg.solve(total, right.flatten())
    return found.reshape(right.shape)


def _sparse_step(
    grid: ProductGrid, maps: Sequence[Sequence[Tensor]], slopes: Mapping[str, Tensor], right: Tensor
) -> Tensor:
    sparse = require("scipy.sparse", by="Collocation")
    solver = require("scipy.sparse.linalg", by="Collocation")
    total = sparse.diags(grid.given.flatten().double().numpy())
    for name, orders in grid.orders.items():
        parts = [sparse.csr_matrix(maps[j][k].numpy()) for j, k in enumerate(orders)]
        scale = torch.where(grid.given, 0.0, slopes[name]).flatten().numpy()
        total = total + sparse.diags(scale) @ _kron(parts, sparse.kron)
    found = solver.spsolve(total.tocsc(), right.flatten().numpy())
    return torch.from_numpy(found).reshape(right.shape)


def _kron(parts: Sequence[Any], kron: Callable[[Any, Any], Any]) -> Any:
    found = parts[0]
    for part in parts[1:]:
        found = kron(found, part)
    return found


def _derivative(x: Tensor, order: int, fourier: bool) -> Tensor:
    """Matrix of a derivative on a uniform grid."""
    n, h = len(x), float(x[1] - x[0])
    if order == 0:
        return torch.eye(n, dtype=torch.float64)
    if fourier:
        modes = torch.fft.fft(torch.eye(n, dtype=torch.float64), dim=0)
        wave = 2j * math.pi * torch.fft.fftfreq(n, h, dtype=torch.float64)
        if order % 2 and n % 2 == 0:
            wave[n // 2] = 0
        found: Tensor = torch.fft.ifft(wave[:, None] ** order * modes, dim=0).real.contiguous()
        return found
    matrix = torch.zeros(n, n, dtype=torch.float64)
    stencil = {1: (-0.5, 0.0, 0.5), 2: (1.0, -2.0, 1.0)}[order]
    for shift, value in zip((-1, 0, 1), stencil, strict=True):
        matrix += value * torch.diag(torch.ones(n - abs(shift), dtype=torch.float64), shift)
    # One-sided at the ends, of second order too; the second derivative's own end is that of the next stencil.
    edge = {1: (-1.5, 2.0, -0.5, 0.0), 2: (2.0, -5.0, 4.0, -1.0)}[order]
    matrix[0], matrix[-1] = 0, 0
    matrix[0, :4] = torch.tensor(edge, dtype=torch.float64)
    matrix[-1, -4:] = (-1) ** order * torch.tensor(edge, dtype=torch.float64).flip(0)
    return matrix / h**order


def _cubic(x: Tensor, known: Tensor, side: tuple[float, float]) -> Tensor:
    """Weights ``(N, n)`` of the four next points, of the cubic polynomial through them."""
    n, h = len(known), float(known[1] - known[0])
    first = ((x - known[0]) / h).floor().long().sub(1).clamp(0, n - _STENCIL)
    s = (x - known[first]) / h
    nodes = range(_STENCIL)
    weights = [torch.stack([(s - k) / (j - k) for k in nodes if k != j]).prod(0) for j in nodes]
    found = torch.zeros(len(x), n, dtype=torch.float64)
    for j, weight in enumerate(weights):
        found[torch.arange(len(x)), first + j] = weight
    return found


def _trigonometric(x: Tensor, known: Tensor, side: tuple[float, float]) -> Tensor:
    """Weights ``(N, n)`` of all points, of the trigonometric polynomial through them."""
    n = len(known)
    phase = math.pi * (x[:, None] - known) / (side[1] - side[0])
    hit = phase.sin().abs() < 1e-13
    safe = torch.where(hit, 0.5, phase)
    last = safe.tan() if n % 2 == 0 else safe.sin()
    return torch.where(hit, 1.0, (n * safe).sin() / (n * last))
