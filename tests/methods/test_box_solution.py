"""The question about solutions in a box: errors of functions that are known."""

import math

import pytest
import torch

from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.questions import ask
from interpolants.framework.role import Role
from interpolants.framework.task import Task
from interpolants.methods.questions.box_solution import SolutionInBox
from interpolants.pde import BoxPDE, Manufactured


class Off(Method):
    """The truth plus a constant."""

    by: float = 0.1

    def roles(self):
        return (Role(name="problem", kind="problem", axis=""),)

    def learn(self, data, run):
        return {"problem": data["problem"]}

    @capability(like="u", reads={"points": Role(name="points")})
    def solve(self, points):
        return self.state["problem"].truth_at(points.double()) + self.by

    @capability(like="u", reads={"points": Role(name="points")})
    def residual(self, points):
        return torch.full((len(points), 1), 3.0)


def asked(problem, **settings):
    method = Off().fit(problem)
    task = Task.of(method.roles(), {"problem": problem})
    return ask(SolutionInBox(**settings), method, task, [{"name": "worse", "twin": {"by": 0.2}}])


@pytest.mark.parametrize("dimension", [1, 2])
def test_a_constant_error_is_measured_relative_to_the_size_of_the_truth(dimension):
    found = asked(Manufactured(frequency=2 * math.pi, dimension=dimension), points=20_000)
    scores = {score.name: score for score in found.scores}
    size = 2 ** (-dimension / 2)
    assert scores["relative_l2"].value == pytest.approx(0.1 / size, rel=0.02)
    assert scores["worst"].value == pytest.approx(0.1 / size, rel=0.02)
    assert scores["residual"].value == pytest.approx(3.0)
    (figure,) = found.figures
    assert len(figure.panels) == (2 if dimension == 1 else 4)


def test_without_a_truth_the_residual_alone_is_told():
    problem = BoxPDE(residual=lambda x, u: u("xx"), boundary=lambda x: x, box=((0.0, 1.0),))

    class Known(Off):
        @capability(like="u", reads={"points": Role(name="points")})
        def solve(self, points):
            return points

    method = Known().fit(problem)
    found = ask(SolutionInBox(points=20), method, Task.of(method.roles(), {"problem": problem}))
    assert [score.name for score in found.scores] == ["residual"]
    assert len(found.figures[0].panels) == 1


def test_an_exact_answer_can_be_drawn_on_a_logarithmic_axis():
    class Exact(Off):
        by: float = 0.0

    problem = Manufactured(frequency=2 * math.pi, dimension=1)
    method = Exact().fit(problem)
    (figure,) = ask(SolutionInBox(points=20), method, Task.of(method.roles(), {"problem": problem})).figures
    (error,) = figure.panels[1].series
    assert float(torch.as_tensor(error.arrays["y"]).min()) > 0
    assert float(torch.as_tensor(error.arrays["y"]).max()) < 1e-12
