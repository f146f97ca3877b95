"""Solutions with a known error and residual, and numerical solutions as rivals."""

import math

import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from interpolants import pde
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.questions import ask
from interpolants.framework.role import Role
from interpolants.framework.task import Task
from interpolants.methods.questions.solution import SolutionAndResidual
from interpolants.methods.rivals.numerical_solver import NumericalSolver

DECAY = pde.ODE(rates=lambda t, u: -u, start=(1.0,), end=2.0)
SWING = pde.ODE(rates=lambda t, u: torch.stack([u[:, 1], -u[:, 0]], 1), start=(1.0, 0.0), end=5.0)
POINTS = {"points": Role(name="points")}


class Scaled(Method):
    """``factor exp(-t)``, and the residual of ``exp(-t) + shift``."""

    factor: float = 1.0
    shift: float = 0.0

    def roles(self):
        return (Role(name="problem", kind="problem", axis=""),)

    def learn(self, data, run):
        return {}

    @capability(reads=POINTS)
    def solve(self, points):
        return self.factor * torch.exp(-points.double())

    @capability(reads=POINTS)
    def residual(self, points):
        return torch.full_like(points, self.shift)


def asked(method, problem=DECAY, rivals=(), **settings):
    task = Task.of(method.roles(), {"problem": problem})
    return ask(SolutionAndResidual(**settings), task.fit(method), task, rivals)


def test_a_relative_error_is_that_of_the_factor_and_a_residual_that_of_the_shift():
    found = asked(Scaled(factor=1.03, shift=0.2), steepness=2.5, times=500)
    assert found["relative_l2"].value == pytest.approx(0.03, rel=1e-6)
    size = math.sqrt((1 - math.exp(-4)) / 4)  # root mean square of exp(-t) on [0, 2]
    assert found["worst"].value == pytest.approx(0.03 / size, rel=0.01)
    assert found["residual"].value == pytest.approx(0.2, rel=1e-6)
    # w(2) = exp(-steepness int_0^2 0.04 dt), but for the last of 500 cells.
    assert found["w_min"].value == pytest.approx(math.exp(-2.5 * 0.04 * 2 * 499 / 500), rel=1e-6)
    assert found["w_min"].better == "higher"
    assert "steepness = eps n / T = 2.5" in " ".join(line for lines in found.texts.values() for line in lines)


@pytest.mark.slow
def test_a_plain_solver_is_a_rival_without_a_residual():
    found = asked(Scaled(factor=1.01), rivals=[{"kind": "numerical_solver", "steps": 50}])
    assert found["relative_l2"].rivals["numerical_solver"] < 1e-6
    assert found["residual"].rivals == {}
    assert [figure.name for figure in found.figures] == ["solution", "over_time"]


def test_without_a_truth_only_the_residual_is_told():
    problem = pde.PeriodicPDE(
        residual=lambda t, x, u: u("t"), initial=lambda x: torch.sin(math.pi * x), end=1.0, period=(-1.0, 1.0)
    )

    class Still(Scaled):
        @capability(reads=POINTS)
        def solve(self, points):
            return torch.sin(math.pi * points[:, 1:])

        @capability(reads=POINTS)
        def residual(self, points):
            return 0 * points[:, 1:]

    found = asked(Still(), problem)
    assert {score.name for score in found.scores} == {"residual", "w_min"}
    assert found["w_min"].value == 1
    assert len(found.figures[0].panels) == 1


@pytest.mark.slow
@pytest.mark.parametrize("problem", [SWING, pde.AllenCahn(diffusion=1e-2)], ids=["ode", "pde"])
def test_numerical_solutions_are_of_fourth_order(problem):
    at = torch.rand(50, len(problem.axes), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    at[:, 0] = problem.end * (
        0.5 + 0.5 * at[:, 0]
    )  # where what the kink of the initial data excites has died out
    truth = problem.truth_at(at)
    few, more = (NumericalSolver(steps=n).fit(problem).solve(at) for n in (40, 80))
    order = math.log2(float((few - truth).norm() / (more - truth).norm()))
    assert 3.5 < order < 4.6


def test_a_numerical_solution_is_stored_and_names_its_columns(tmp_path):
    import interpolants

    method = NumericalSolver(steps=40).fit(pde.AllenCahn(diffusion=1e-2))
    back = interpolants.load(method.save(tmp_path / "m"))
    points = pd.DataFrame({"t": [0.0, 0.5], "x": [0.1, -0.2]})
    found = back.solve(points)
    assert_close(torch.tensor(found.to_numpy()), method.solve(torch.tensor(points.to_numpy())))
    assert list(found.columns) == ["u"]


def test_what_cannot_be_is_refused():
    with pytest.raises(InvalidInputError, match="must have an integrator"):
        NumericalSolver().fit(
            pde.PeriodicPDE(
                residual=lambda t, x, u: u("t"), initial=torch.sin, end=1.0, period=(0.0, 2 * math.pi)
            )
        )
    with pytest.raises(InvalidInputError, match=r"shape \(N, 1\)"):
        NumericalSolver().fit(DECAY).solve(torch.zeros(3, 2))
    ends = torch.tensor(
        [[DECAY.end], [DECAY.end * (1 + 5e-7)]], dtype=torch.float64
    )  # the last one by rounding
    assert_close(*NumericalSolver().fit(DECAY).solve(ends), rtol=1e-5, atol=1e-5)
    with pytest.raises(InvalidInputError, match=r"times must lie in \[0, .*which were solved"):
        NumericalSolver().fit(DECAY).solve(torch.tensor([[1.1 * DECAY.end]]))
    with pytest.raises(InvalidInputError, match="got -1"):
        NumericalSolver().fit(DECAY).solve(torch.tensor([[-1.0]]))
