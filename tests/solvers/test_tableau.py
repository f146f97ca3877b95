"""Coefficients against the order conditions, and the order that a global error shows."""

import math

import numpy as np
import pytest
import torch

from interpolants.solvers import (
    RK4,
    Dopri5,
    Euler,
    Heun,
    Midpoint,
    Tsit5,
    available,
    get_solver,
    integrate_fixed,
)
from interpolants.solvers.tableau import Tableau

ODE = [get_solver(name) for name in available("ode")]  # a new solver is tested by its card alone
EMBEDDED = [solver for solver in ODE if solver.adaptive]


def rooted_trees(order):
    """Rooted trees with ``order`` nodes, each as the sorted tuple of its branches."""
    if order == 1:
        return {()}
    trees = set()

    def grow(left, branches, largest):
        if left == 0:
            trees.add(tuple(sorted(branches)))
        for size in range(1, min(left, largest) + 1):
            for branch in rooted_trees(size):
                grow(left - size, (*branches, branch), size)

    grow(order - 1, (), order - 1)
    return trees


def size(tree):
    return 1 + sum(size(branch) for branch in tree)


def density(tree):
    return size(tree) * math.prod(density(branch) for branch in tree)


def stage_values(tree, a):
    """Elementary weight of a tree in each stage."""
    values = np.ones(len(a))
    for branch in tree:
        values = values * (a @ stage_values(branch, a))
    return values


def residuals(tableau, b, order):
    """How far ``sum_i b_i phi_i = 1/density`` is from holding, over all trees of up to ``order`` nodes."""
    a = np.zeros((tableau.stages, tableau.stages))
    for i, row in enumerate(tableau.a):
        a[i, : len(row)] = row
    trees = [tree for n in range(1, order + 1) for tree in rooted_trees(n)]
    return np.array([np.dot(b, stage_values(tree, a)) - 1 / density(tree) for tree in trees])


def test_the_solvers_of_the_library_are_all_among_those_that_are_tested():
    assert {Euler(), Midpoint(), Heun(), RK4(), Dopri5(), Tsit5()} <= set(ODE)


def test_there_are_as_many_rooted_trees_as_there_should_be():
    assert [len(rooted_trees(n)) for n in range(1, 7)] == [1, 1, 2, 4, 9, 20]


@pytest.mark.parametrize("solver", ODE, ids=lambda solver: solver.name)
def test_order_conditions_hold_up_to_the_order_and_not_beyond(solver):
    tableau = solver.tableau
    assert np.abs(residuals(tableau, tableau.b, solver.order)).max() < 5e-14
    assert np.abs(residuals(tableau, tableau.b, solver.order + 1)).max() > 1e-5


@pytest.mark.parametrize("solver", EMBEDDED, ids=lambda solver: solver.name)
def test_the_embedded_method_is_one_order_lower(solver):
    tableau = solver.tableau
    b_hat = np.array(tableau.b) - np.array(tableau.e)
    assert np.abs(residuals(tableau, b_hat, solver.order - 1)).max() < 5e-14
    assert np.abs(residuals(tableau, b_hat, solver.order)).max() > 1e-5


@pytest.mark.parametrize("solver", ODE, ids=lambda solver: solver.name)
def test_rows_sum_to_their_times_and_the_last_stage_can_be_reused(solver):
    tableau: Tableau = solver.tableau
    assert [sum(row) for row in tableau.a] == pytest.approx(list(tableau.c), abs=1e-14)
    assert [len(row) for row in tableau.a] == list(range(tableau.stages))
    if tableau.fsal:
        assert (*tableau.a[-1], 0.0) == tableau.b
        assert tableau.c[-1] == 1.0


def pumped(x, t):
    """x' = 8 cos(8 t) exp(-x), so that exp(x) = exp(x0) + sin(8 t)."""
    return 8 * torch.cos(8 * t) * torch.exp(-x)


def pumped_at(x, t):
    return torch.log(torch.exp(x) + math.sin(8 * t))


def rotation(x, t):
    """Rotation at the rate 2 + cos t."""
    return (2 + torch.cos(t)) * torch.stack([-x[:, 1], x[:, 0]], dim=1)


def rotation_at(x, t):
    angle = 2 * t + math.sin(t)
    c, s = math.cos(angle), math.sin(angle)
    return x @ torch.tensor([[c, s], [-s, c]], dtype=x.dtype)


PROBLEMS = {
    "pumped": (pumped, pumped_at, torch.tensor([[1.2], [1.5], [1.7]], dtype=torch.float64), 1.0),
    "rotation": (rotation, rotation_at, torch.tensor([[1.0, 0.0], [0.3, -2.0]], dtype=torch.float64), 3.0),
}
# Fine enough for the leading term (Tsit5's is so small that the next one shows for long), above rounding.
STEPS = {1: [1024, 2048, 4096], 2: [512, 1024, 2048], 4: [256, 384, 512], 5: [128, 192, 256]}


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("solver", ODE, ids=lambda solver: solver.name)
def test_measured_order(solver, problem):
    f, exact, x, end = PROBLEMS[problem]
    steps = STEPS[solver.order]
    errors = [
        float((integrate_fixed(f, x, np.linspace(0, end, n + 1), solver).x - exact(x, end)).norm())
        for n in steps
    ]
    measured = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert measured == pytest.approx(solver.order, abs=0.1), errors
