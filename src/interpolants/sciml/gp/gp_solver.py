"""Gaussian process solver for equations in a box, with a kernel whose frequencies are learnt from the equation."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from annotated_types import Ge
from torch import Generator, Tensor, nn

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.kinds import Count, NonNegative, OneOf, OneOrEach, Positive
from interpolants.foundations.tell import FitWarning, SettingWarning, tell
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.stored import misses_code
from interpolants.kernels.kronecker import product, rows, triangular_solve
from interpolants.kernels.spectral_mixture import ENVELOPES, Peaks, SpectralMixture, nyquist
from interpolants.pde.box import BoxProblem, check_problem
from interpolants.pde.evolution import Jet
from interpolants.pde.product_grid import ProductGrid
from interpolants.sciml.gp.grid_system import Factors, System

# Points along each axis by default, by dimension; and the most points in all.
_POINTS, _MOST_POINTS = {1: 400, 2: 100, 3: 24}, 250_000
# In two and three dimensions Adam's step falls from this share of the steps on, to this share of itself at the end.
# With a constant one the peaks had not settled: sin 6x cos 20x + sin 6y cos 20y ended at 1.3e-2 instead of 9e-4.
_HOLD, _LAST = 0.7, 0.1
# Defaults as shares: of the highest frequency that the grid tells apart, and of the length of an axis.
_TOP, _LENGTHSCALE = 0.6, 1 / 6
# Log precisions stay below this: they would run away as residuals vanish, and cost the digits of the linear systems.
_LARGEST = 12.0
# Conjugate gradients: tolerance and most steps while the kernel is learnt, and at the end.
_LEARNING, _FINAL = (1e-8, 300), (1e-11, 3000)
# Gauss-Newton steps at the end, and the relative change after which no other follows.
_NEWTON, _SETTLED = 30, 1e-10
# Share of the size of the equation's terms above which the residual is told: between the points of the grid, and on it;
# the second also of the size of u, for what is missed of the values on the boundary.
_TOLD, _UNSOLVED = 0.05, 0.25
_PROBES = 5
POINTS = Role(name="points", about="File with columns x, or x and y.")
FREQUENCIES = Role(name="frequencies", exact=True, about="File with one column of frequencies.")


class GPSolver(Method):
    """Solve an equation in a box by a Gaussian process on a grid, whose spectrum is found while it solves.

    u has the covariance ``prod_j k_j``, and each k_j is a mixture of spectral peaks. Given its values on a grid, the
    derivatives of u there are linear in them, in closed form. Values, peaks and two precisions maximise

    ``log N(U; 0, C) + lambda log N(g; u on the boundary, 1/tau_1) + log N(0; residual on the grid, 1/tau_2)``.

    The values are found exactly for each kernel (by Gauss-Newton steps where the equation is not linear), so that Adam
    moves kernel and tau_2 alone; tau_1 grows as ``exp(precision_lr step)``. C is a Kronecker product: time grows with
    ``sum M_j^3 + M sum M_j``.

    ::

        solver = GPSolver().fit(pde.Manufactured(high=6.283))
        u = solver.solve(points)                     # (N, 1) -> (N, 1)
        solver.peaks[0].strongest                    # cycles per unit of x

    Raises:
        InvalidInputError: If a setting is out of range, when fitted also if the problem is no equation in a box.
        DivergedError: If a covariance is not positive definite.

    Source: Fang, Cooley, Long, Li, Kirby & Zhe (2024), arXiv:2311.04465. Ours: values in closed form for each kernel,
    an eigenbasis along each axis as preconditioner, steps of their own for the precisions (that of the boundary is set,
    not learnt), Gauss-Newton.
    """

    only_cpu: ClassVar[str] = "its small factors are made in float64"
    noun: ClassVar[str] = "solver"
    free: ClassVar[tuple[str, ...]] = ("checkpoint_every",)

    points: OneOrEach[Literal["auto"] | Annotated[int, Ge(4)]] = "auto"
    """Points along each axis, for all axes or one each; ``"auto"`` is 400, 100 x 100 or 24 x 24 x 24."""
    envelope: Annotated[str, OneOf(lambda: ENVELOPES)] = "student_t"
    """Shape of the peaks."""
    components: Count = 30
    """Peaks of each axis."""
    top_frequency: OneOrEach[Literal["auto"] | NonNegative] = "auto"
    """Highest first frequency in cycles per unit, for all axes or one each; ``"auto"`` is 0.6 of what the grid tells
    apart. Frequencies are learnt."""
    lengthscale: OneOrEach[Literal["auto"] | Positive] = "auto"
    """First lengthscale of the peaks, in units of the coordinate, for all axes or one each; ``"auto"`` is a sixth of
    the side of the box."""
    steps: Count = 100
    """Steps of Adam."""
    lr: Positive = 3e-2
    """Its step for weights, frequencies and lengthscales. In two and three dimensions it falls to a tenth over the last
    30 % of the steps."""
    precision_lr: Positive = 0.1
    """Its step for the log precisions: how fast the equation is taken more seriously."""
    boundary_weight: Positive = 200.0
    """lambda."""
    checkpoint_every: Count = 50
    """Steps between checkpoints."""

    def roles(self) -> tuple[Role, ...]:
        """The problem; there are no data."""
        return (Role(name="problem", kind="problem", axis="", about="An equation in a box."),)

    def fit(self, problem: Any, **options: Any) -> Self:
        """Solve a problem.

        Args:
            problem: A :class:`interpolants.pde.BoxProblem`, such as ``pde.BoxPDE(residual=f, boundary=g, box=...)``.
            options: As in :meth:`interpolants.framework.method.Method.fit`.
        """
        return super().fit(problem, **options)

    # --- fit

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Peaks and precisions by Adam, then the values of the last kernel to rounding."""
        problem: BoxProblem = data["problem"]
        orders = check_problem(who(), problem)
        _check_same_code(run, problem, orders)
        grid = ProductGrid(problem, orders, self._axes(problem))
        unknowns = _Unknowns(self._first_peaks(grid), grid.shape)
        slow = [p for name, p in unknowns.named_parameters() if name != "log_precision"]
        groups: list[dict[str, Any]] = [
            {"params": slow},
            {"params": [unknowns.log_precision], "lr": self.precision_lr},
        ]
        adam = torch.optim.Adam(groups, lr=self.lr)

        def step(k: int, source: Generator) -> dict[str, float]:
            # Adam on the joint density, at the best values for the kernel so far.
            adam.param_groups[0]["lr"] = self._rate(k, len(grid.x))
            adam.zero_grad()
            system = self._system(grid, unknowns)
            with torch.no_grad():
                v = system.improved(unknowns.u, *_LEARNING)
                unknowns.u.copy_(product([f.factor for f in system.factors], v))
            loss = -system.log_joint(v, unknowns.log_precision, self.boundary_weight) / v.numel()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            unknowns.clamp([nyquist(x) for x in grid.x], self.precision_lr * k)
            return {"negative_log_joint": float(loss.detach())}

        parts = {"unknowns": unknowns, "adam": adam}
        run.live("spectrum", parts, step, self.steps, every=self.checkpoint_every)
        with torch.no_grad():
            found = self._finished(grid, unknowns)
        _tell_of_aliases(found)
        _tell_of_boundary(found["boundary"])
        return found

    def _rate(self, k: int, dimension: int) -> float:
        """Step of Adam for the kernel, at step k."""
        if dimension == 1:
            return self.lr
        share = max(0.0, (k / self.steps - _HOLD) / (1 - _HOLD))
        return self.lr * (_LAST + (1 - _LAST) * (1 + math.cos(math.pi * share)) / 2)

    def _system(self, grid: ProductGrid, unknowns: "_Unknowns") -> System:
        kernel, axes = SpectralMixture(self.envelope), grid.problem.axes
        factors = [
            Factors.of(kernel, unknowns.peaks(j), x, [o[j] for o in grid.orders.values()], axes[j])
            for j, x in enumerate(grid.x)
        ]
        edge, equation = unknowns.log_precision.detach().exp().tolist()
        return System(grid, factors, (self.boundary_weight * edge, equation))

    def _finished(self, grid: ProductGrid, unknowns: "_Unknowns") -> dict[str, Any]:
        """Gauss-Newton steps until the values settle, and what answers need."""
        system, u = self._system(grid, unknowns), unknowns.u
        factors = [f.factor for f in system.factors]
        for _ in range(_NEWTON):
            before, v = u, system.improved(u, *_FINAL)
            u = product(factors, v)
            if float((u - before).norm()) <= _SETTLED * float(u.norm()):
                break
        values = system.derivatives(v)
        left, slopes = grid.linearised(values)
        terms = torch.stack([(slopes[name] * values[name]).abs() for name in values]).sum(0)
        problem = grid.problem
        found = {
            "problem": problem,
            "orders": list(grid.orders.items()),
            "x": list(grid.x),
            "alpha": triangular_solve(factors, v, transposed=True),
            "peaks": [unknowns.peaks(j) for j in range(len(grid.x))],
            "log_precision": unknowns.log_precision.detach().clone(),
            "about": {"axes": problem.axes, "name": problem.name, "box": problem.box},
        }
        between = _middles(grid, _residual_of(found, SpectralMixture(self.envelope)))
        found["residual"] = {"on_grid": _rms(left), "between": between, "of_terms": _rms(terms)}
        missed, wanted = (u - grid.boundary)[grid.given], grid.boundary[grid.given]
        found["boundary"] = {"missed": _rms(missed), "of_u": max(_rms(u), _rms(wanted))}
        return found

    def _axes(self, problem: BoxProblem) -> list[Tensor]:
        """Points along each axis, both ends among them."""
        d = len(problem.box)
        counts = [_POINTS[d] if n == "auto" else int(n) for n in _each("points", self.points, d)]
        if math.prod(counts) > _MOST_POINTS:
            raise invalid(f"points must be at most {_MOST_POINTS:,} in all", counts)
        return [
            torch.linspace(low, high, n, dtype=torch.float64)
            for (low, high), n in zip(problem.box, counts, strict=True)
        ]

    def _first_peaks(self, grid: ProductGrid) -> list[Peaks]:
        """Equal peaks, evenly over the frequencies."""
        tops = _each("top_frequency", self.top_frequency, len(grid.x))
        scales = _each("lengthscale", self.lengthscale, len(grid.x))
        found = []
        for x, top, scale in zip(grid.x, tops, scales, strict=True):
            limit = nyquist(x)
            if top != "auto" and top > limit:
                told = f"{who()}: top_frequency {top:g} is above {limit:.4g}, the highest that the grid tells apart"
                tell(SettingWarning, f"{told}; use more points")
            top = _TOP * limit if top == "auto" else float(top)
            scale = _LENGTHSCALE * float(x[-1] - x[0]) if scale == "auto" else float(scale)
            found.append(Peaks.even(self.components, top, scale))
        return found

    # --- answers

    def columns(self, name: str) -> tuple[str, ...]:
        """Axes of points and the name of u, as the problem has them."""
        if not self.is_fitted:
            return ()
        about = self.state["about"]
        axes = tuple(about["axes"])
        known: dict[str, tuple[str, ...]] = {"points": axes, "u": (about["name"],), "density": axes}
        return known.get(name, ())

    def probe(self) -> Tensor | None:
        """The residual of the problem on numbers that are known; None without its code."""
        if misses_code(self.state["problem"]):
            return None
        return _probed(self.state["problem"], dict(self.state["orders"]))

    @property
    def peaks(self) -> list[Peaks]:
        """Peaks of the kernel of each axis."""
        found: list[Peaks] = self.fitted_state("peaks")["peaks"]
        return found

    @capability(reads={"points": POINTS}, like="u", blocks=True)
    def solve(self, points: Tensor) -> Tensor:
        """The solution at points of the box.

        Args:
            points: ``(N, d)``.

        Returns:
            ``(N, 1)``.
        """
        at = self._checked(points)
        return _derivative(self.state, SpectralMixture(self.envelope), at, (0,) * at.shape[1])

    @capability(reads={"points": POINTS}, like="u", blocks=True)
    def residual(self, points: Tensor) -> Tensor:
        """What is left of the equation at points of the box, in its own units.

        Args:
            points: ``(N, d)``.

        Returns:
            ``(N, 1)``.
        """
        at = self._checked(points)
        found: Tensor = _residual_of(self.state, SpectralMixture(self.envelope))(at)
        return found

    @capability(reads={"frequencies": FREQUENCIES}, like="density", blocks=True)
    def spectrum(self, frequencies: Tensor) -> Tensor:
        """Power spectral density of the kernel of each axis.

        Args:
            frequencies: In cycles per unit of the coordinate, ``(N, 1)``.

        Returns:
            ``(N, d)``.
        """
        kernel = SpectralMixture(self.envelope)
        return torch.stack([kernel.density(frequencies[:, 0], one) for one in self.state["peaks"]], 1)

    def _checked(self, points: Tensor) -> Tensor:
        """Points of the box, float64."""
        about = self.state["about"]
        axes, box = about["axes"], about["box"]
        if points.ndim != 2 or points.shape[1] != len(axes):
            remedy = f"Pass one row per point, with columns {', '.join(axes)}."
            raise invalid(f"points must have shape (N, {len(axes)})", tuple(points.shape), remedy)
        for axis, (low, high), x in zip(axes, box, points.double().unbind(1), strict=True):
            slack = 1e-6 * (high - low)
            outside = x[(x < low - slack) | (x > high + slack)]
            if len(outside):
                rule = f"{axis} must lie in [{low:g}, {high:g}], where the equation was solved"
                raise invalid(rule, f"{float(outside[0]):g}")
        return points.double()


class _Unknowns(nn.Module):
    """What is learnt, and the values of the last step."""

    u: Tensor

    def __init__(self, peaks: Sequence[Peaks], shape: Sequence[int]) -> None:
        super().__init__()
        self.log_weight = nn.ParameterList([one.log_weight for one in peaks])
        self.frequency = nn.ParameterList([one.frequency for one in peaks])
        self.log_lengthscale = nn.ParameterList([one.log_lengthscale for one in peaks])
        self.log_precision = nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.register_buffer("u", torch.zeros(*shape, dtype=torch.float64))

    def peaks(self, axis: int) -> Peaks:
        """Peaks of one axis; they are part of the graph where one is made."""
        parts = (self.log_weight[axis], self.frequency[axis], self.log_lengthscale[axis])
        return Peaks(*(p if torch.is_grad_enabled() else p.detach().clone() for p in parts))

    @torch.no_grad()
    def clamp(self, limits: Sequence[float], edge: float) -> None:
        """Keep frequencies among those that the grid tells apart, and precisions finite; that of the boundary is set.

        Values on the boundary are data. Were their precision learnt, a kernel that lacks the frequencies of the
        equation would give the boundary up for a small residual.
        """
        for frequency, limit in zip(self.frequency, limits, strict=True):
            frequency.clamp_(0, limit)
        self.log_precision[0] = edge
        self.log_precision.clamp_(max=_LARGEST)


def _each(name: str, value: Any, count: int) -> list[Any]:
    """A setting of each axis, from one for all or several."""
    values = list(value) if isinstance(value, tuple) else [value] * count
    if len(values) != count:
        raise invalid(f"{name} must be one value, or one for each of {count} axes", value)
    return values


def _derivative(
    state: Mapping[str, Any], kernel: SpectralMixture, x: Tensor, orders: Sequence[int]
) -> Tensor:
    """A derivative of the solution at points ``(N, d)``, ``(N, 1)``."""
    matrices = [
        kernel.covariance(x[:, j, None] - known, state["peaks"][j], k)
        for j, (known, k) in enumerate(zip(state["x"], orders, strict=True))
    ]
    return rows(matrices, state["alpha"])[:, None]


def _residual_of(state: Mapping[str, Any], kernel: SpectralMixture) -> Any:
    """The residual as a function of points ``(N, d)``."""
    problem, orders = state["problem"], dict(state["orders"])

    def residual(x: Tensor) -> Tensor:
        jet = Jet({name: _derivative(state, kernel, x, k) for name, k in orders.items()})
        found: Tensor = problem.residual_at(x, jet)
        return found

    return residual


def _middles(grid: ProductGrid, residual: Any) -> float:
    """Root mean square of the residual midway between points of the grid, on a line through the box for each axis."""
    d, found = len(grid.x), []
    sides = torch.stack([x[-1] - x[0] for x in grid.x])
    for j, x in enumerate(grid.x):
        at = torch.stack([known.mean().expand(len(x) - 1) for known in grid.x], 1)
        at[:, j] = (x[1:] + x[:-1]) / 2
        if d > 1:  # off the lines of symmetry, where much is zero
            at = at + torch.tensor([0.0 if i == j else 0.137 for i in range(d)]) * sides
        found.append(residual(at))
    return _rms(torch.cat(found))


def _rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())


def _tell_of_aliases(found: Mapping[str, Any]) -> None:
    """A residual that is large, or small on the grid alone, which a function has that oscillates between its points."""
    left = found["residual"]
    if left["on_grid"] > _UNSOLVED * left["of_terms"]:
        share = left["on_grid"] / max(left["of_terms"], 1e-300)
        told = (
            f"GPSolver: on the grid the residual is {share:.2g} of the equation's terms: this is no solution"
        )
        remedy = "Use more steps, and units in which the box and u are of size one"
        told += f". {remedy}; or there is none, and the equation contradicts the boundary values"
        tell(FitWarning, told)
        return
    if left["between"] > max(_TOLD * left["of_terms"], 10 * left["on_grid"]):
        share = left["between"] / max(left["of_terms"], 1e-300)
        told = f"GPSolver: between the points of the grid the residual is {share:.2g} of the equation's terms"
        told += f", and {left['between'] / max(left['on_grid'], 1e-300):.2g} times that on the grid"
        tell(SettingWarning, f"{told}: the solution is not reliable. Use more points")


def _tell_of_boundary(left: Mapping[str, float]) -> None:
    """Values on the boundary that the solution does not take, as in units in which all of u is small."""
    if left["missed"] > _UNSOLVED * left["of_u"]:
        share = left["missed"] / max(left["of_u"], 1e-300)
        told = f"GPSolver: on the boundary the solution is {share:.2g} of the size of u away from the values given"
        remedy = "Use units in which u is of size one, or more steps"
        tell(FitWarning, f"{told}: this is no solution. {remedy}")


def _probed(problem: BoxProblem, orders: Mapping[str, Sequence[int]]) -> Tensor:
    """The residual of fixed numbers at a few points."""
    share = torch.linspace(0.1, 0.9, _PROBES, dtype=torch.float64)
    points = torch.stack([low + (high - low) * share.roll(j) for j, (low, high) in enumerate(problem.box)], 1)
    jet = {name: torch.cos(points[:, :1] * (i + 1) + i) for i, name in enumerate(sorted(orders))}
    with torch.no_grad():
        return torch.cat([problem.residual_at(points, Jet(jet)), problem.boundary_at(points)], 1)


def _check_same_code(run: Run, problem: BoxProblem, orders: Mapping[str, Sequence[int]]) -> None:
    """Files know code of a user's own by its name alone: a fit that goes on compares what it answers."""
    now = _probed(problem, orders)
    then = run.once("problem", lambda source: now)
    if not torch.allclose(now, then, rtol=1e-5, atol=1e-8, equal_nan=True):
        rule = "resume=True must go on with the same problem"
        raise invalid(rule, "a residual with other values", "Choose another folder.")
