"""Equations that are fitted to one trajectory at a time: what a network over many families must beat.

Letters: S times, d states, F terms of a library.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.data.equation_trees import Ends, Tree, read_system, shown_system
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Count, NonNegative
from interpolants.foundations.randomness import key
from interpolants.foundations.tell import FitWarning, tell
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.sciml.symbolic.operator_transformer import X, checked_families
from interpolants.sciml.symbolic.refinement import integrated
from interpolants.sciml.symbolic.trajectory_roles import Paths, times_by_window

_ROUNDS, _LOCAL, _STEPS = 10, 9, 200
_EXPLAINED = (
    0.1  # share of the variance of a state that linear terms leave, below which it is told that none stayed
)


class FittedEquations(Method):
    """One equation per trajectory, from its window alone; then it is integrated.

    ``"sparse"``: with library terms ``Theta``, ``u(t) = u_0 + int_0^t Theta(u) xi`` is solved for ``u_0`` and xi by
    least squares, and terms with ``|xi| < threshold`` are left out, again and again. No derivative of noisy data is
    taken. Libraries are the linear terms, with products of two, or with sines; of each equation the best by BIC stays.

    ``"pysindy"`` and ``"gplearn"`` are these packages: sparse regression and genetic programming on smoothed
    derivatives. ``"still"`` is the equation ``u' = 0``: the last state is repeated.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Brunton, Proctor & Kutz (2016); Koza (1992).
    """

    noun: ClassVar[str] = "regression of equations"
    only_cpu: ClassVar[str] = "equations are fitted on the CPU"

    by: Literal["sparse", "pysindy", "gplearn", "still"] = "sparse"
    """How equations are fitted."""
    threshold: NonNegative = 0.05
    """Smallest coefficient that stays."""
    population: Annotated[int, Ge(20)] = 300
    """Of genetic programming."""
    generations: Count = 10
    """Of genetic programming."""

    def roles(self) -> tuple[Role, ...]:
        """The families, which say how far to predict; nothing is learnt of them."""
        return (Role(name="problem", kind="problem", axis="", about="Families of dynamical systems."),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The last time of the families."""
        return {"end": checked_families(data["problem"]).end}

    @capability(reads={"x": X}, like="x")
    def predict(self, x: list[Tensor], *, end: float = 0.0, steps: int = 128, times: Any = None) -> Any:
        """Integrate the fitted equation from the smoothed end of each window; NaN where it blows up.

        Args:
            x: Windows, times first.
            end: Last time; 0 for that of the families, counted from the first time of the window.
            steps: Evenly spaced times after the window.
            times: These times instead, after the window: ``(Q,)`` for all windows alike, or ``(N, Q)`` or a list of N
                arrays, of any lengths, for one window each.
        """
        own = times_by_window(who(), times, len(x))
        return Paths([self._predicted(one, end, steps, at) for one, at in zip(x, own, strict=True)])

    @capability(reads={"x": X})
    def identify(self, x: list[Tensor]) -> list[str]:
        """The fitted equations, ``"u1' | u2' | ..."``: a list, also for one trajectory.

        Args:
            x: Windows, times first.
        """
        return [shown_system(self._fitted_to(one)) for one in x]

    def _predicted(self, window: Tensor, end: float, steps: int, times: Tensor | None) -> Tensor:
        last = float(window[-1, 0])
        until = end or float(window[0, 0]) + self.state["end"]
        share = torch.arange(1, steps + 1, dtype=torch.float64) / steps
        at = last + share * (until - last) if times is None else times
        if not bool((at >= last).all()):
            rule = f"times must lie after the window, from {last:g} on"
            raise invalid(rule, f"{float(at.min()):g}")
        if self.by == "still":
            return torch.cat([at[:, None], window[-1:, 1:].expand(len(at), -1)], 1)
        order, start = at.argsort(), smoothed_end(window)
        step = float(window[-1, 0] - window[0, 0]) / _STEPS
        path = integrated(self._fitted_to(window), start, torch.cat([window[-1:, 0], at[order]]), step=step)
        found = torch.empty(len(at), window.shape[1] - 1, dtype=torch.float64)
        found[order] = path[1:]
        return torch.cat([at[:, None], found], 1)

    def _fitted_to(self, window: Tensor) -> Ends:
        if self.by == "still":
            return tuple(Tree("whole", value=0) for _ in range(window.shape[1] - 1))
        found: Ends = _FITS[self.by](self, window)
        if self.by in ("sparse", "pysindy"):
            self._tell_of_lost_terms(found, window)
        return found

    def _tell_of_lost_terms(self, found: Ends, window: Tensor) -> None:
        """Say so where the threshold, which has units of u over t, left nothing of an equation that has terms."""
        linear = libraries(window.shape[1] - 1)["linear"]
        design = torch.cat([torch.ones(len(window), 1), _integrals(linear, window)], 1)
        size = design.norm(dim=0).clamp_min(1e-300)
        for k, target in enumerate(window[:, 1:].T):
            if shown_system((found[k],)) != "0" or len(target) <= design.shape[1]:
                continue
            solution = torch.linalg.lstsq(design / size, target[:, None], driver="gelsd").solution
            left = (target - (design / size @ solution)[:, 0]).square().mean()
            if float(left) < _EXPLAINED * float(target.var(correction=0)):
                told = f"no term of u{k + 1}' is as large as threshold = {self.threshold:g}, though linear ones fit it"
                remedy = "Use times in units in which states change by about one, or a smaller threshold."
                tell(FitWarning, f"{who()}: {told}. {remedy}")


def smoothed_end(window: Tensor) -> Tensor:
    """The last state ``(d,)``, by a parabola through the last points."""
    last = window[-_LOCAL:]
    s = (last[:, 0] - last[-1, 0]) / (last[-1, 0] - last[0, 0])
    basis = torch.stack([torch.ones_like(s), s, s.square()], 1)[:, : min(3, len(s))]
    found: Tensor = torch.linalg.lstsq(basis, last[:, 1:], driver="gelsd").solution[0]
    return found


def libraries(d: int) -> dict[str, list[Tree]]:
    """Linear terms, these with products of two, and these with sines."""
    states = [Tree(f"u{k + 1}") for k in range(d)]
    linear = [Tree("whole", value=1), *states]
    products = [Tree("mul", pair) for pair in combinations_with_replacement(states, 2)]
    waves = [Tree("sin", (u,)) for u in states]
    return {"linear": linear, "products": [*linear, *products], "sines": [*linear, *waves]}


def combination(coefficients: Sequence[float], terms: Sequence[Tree]) -> Tree:
    """``sum_i c_i term_i`` without the terms whose coefficient is 0."""
    parts = []
    for value, term in zip(coefficients, terms, strict=True):
        if value:
            size = Tree.number(abs(value))
            one = size if term.label == "whole" else Tree("mul", (size, term))
            parts.append(Tree("neg", (one,)) if value < 0 else one)
    return Tree.sum_of(parts)


def _sparse(method: FittedEquations, window: Tensor) -> Ends:
    """Thresholded least squares on integrals of each library."""
    found = []
    for terms in libraries(window.shape[1] - 1).values():
        design = torch.cat([torch.ones(len(window), 1), _integrals(terms, window)], 1)
        rows = (_thresholded(design, target, method.threshold) for target in window[:, 1:].T)
        found.append(tuple(combination(row, terms) for row in rows))
    return _best(found, window)


def _integrals(terms: Sequence[Tree], window: Tensor) -> Tensor:
    """Integrals of terms from the first time on, by trapezoids, ``(S, F)``."""
    u = window[:, 1:].unbind(1)
    values = torch.stack([torch.as_tensor(term.at(u)).double().expand(len(window)) for term in terms], 1)
    steps = window[:, 0].diff()[:, None]
    return torch.cat([values.new_zeros(1, len(terms)), (steps * (values[1:] + values[:-1]) / 2).cumsum(0)])


def _best(systems: Sequence[Ends], window: Tensor) -> Ends:
    """Of each equation the one with the lowest BIC of ``u - u_0 - int f``."""
    found = []
    for k, target in enumerate(window[:, 1:].T):
        scores = []
        for system in systems:
            gap = target - _integrals([system[k]], window)[:, 0]
            spread = float((gap - gap.mean()).square().mean()) + 1e-300
            scores.append(len(target) * math.log(spread) + len(system[k].terms()) * math.log(len(target)))
        found.append(systems[min(range(len(scores)), key=scores.__getitem__)][k])
    return tuple(found)


def _thresholded(design: Tensor, target: Tensor, threshold: float) -> list[float]:
    """Coefficients of the terms (the first column is the start, which always stays)."""
    kept = torch.ones(design.shape[1], dtype=torch.bool)
    found = torch.zeros(design.shape[1], dtype=torch.float64)
    for _ in range(_ROUNDS):
        size = design[:, kept].norm(dim=0).clamp_min(1e-300)
        solution = torch.linalg.lstsq(design[:, kept] / size, target[:, None], driver="gelsd").solution[:, 0]
        found = torch.zeros_like(found).masked_scatter(kept, solution / size)
        stays = kept & ((found.abs() >= threshold) | (torch.arange(len(found)) == 0))
        if torch.equal(stays, kept):
            break
        kept = stays
    return torch.where(kept, found, 0.0)[1:].tolist()


def _by_pysindy(method: FittedEquations, window: Tensor) -> Ends:
    ps = require("pysindy", by="FittedEquations(by='pysindy')")
    t, u = window[:, 0].numpy(), window[:, 1:].numpy()
    names = [f"u{k + 1}" for k in range(u.shape[1])]
    waves = ps.FourierLibrary(1, include_cos=False)
    kinds = (ps.PolynomialLibrary(1), ps.PolynomialLibrary(2), ps.PolynomialLibrary(1) + waves)
    found = []
    for kind in kinds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = ps.SINDy(
                optimizer=ps.STLSQ(threshold=method.threshold), feature_library=kind,
                differentiation_method=ps.SmoothedFiniteDifference(),
            )  # fmt: skip
            model.fit(u, t=t, feature_names=names)
        terms = [_term(name) for name in model.get_feature_names()]
        found.append(tuple(combination(row.tolist(), terms) for row in np.asarray(model.coefficients())))
    return _best(found, window)


def _term(name: str) -> Tree:
    """A term from its name in pysindy: ``u1 u2``, ``u1^2``, ``sin(1 u1)``."""
    text = name.replace("^", "**").replace("(1 ", "(").replace(" ", "*")
    return Tree.of_text(text)


def _by_gplearn(method: FittedEquations, window: Tensor) -> Ends:
    gp = require("gplearn.genetic", by="FittedEquations(by='gplearn')")
    slopes = smoothed_slopes(window)
    found = []
    for k in range(slopes.shape[1]):
        model = gp.SymbolicRegressor(
            population_size=method.population, generations=method.generations, parsimony_coefficient=0.01,
            function_set=("add", "sub", "mul", "sin"), random_state=key(method.seed, "genetic", k) >> 32,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(window[:, 1:].numpy(), slopes[:, k].numpy())
        found.append(_of_program(str(model), slopes.shape[1]))
    return tuple(found)


def _of_program(text: str, d: int) -> Tree:
    """A program of gplearn as a tree; zero where it is too deep to be an equation."""
    try:
        return read_system([text, *["0"] * (d - 1)], [f"X{i}" for i in range(d)])[0]
    except InvalidInputError:
        return Tree("whole", value=0)


def smoothed_slopes(window: Tensor) -> Tensor:
    """Derivatives ``(S, d)`` by parabolas through the points about each time."""
    t, u, half = window[:, 0], window[:, 1:], _LOCAL // 2
    rows = []
    for k in range(len(t)):
        near = slice(max(0, k - half), k + half + 1)
        s = t[near] - t[k]
        basis = torch.stack([torch.ones_like(s), s, s.square()], 1)
        rows.append(torch.linalg.lstsq(basis, u[near], driver="gelsd").solution[1])
    return torch.stack(rows)


_FITS: dict[str, Callable[[FittedEquations, Tensor], Ends]] = {
    "sparse": _sparse,
    "pysindy": _by_pysindy,
    "gplearn": _by_gplearn,
}
