"""Questions about families: an exact solver and ones that are wrong in a known way."""

from dataclasses import dataclass, field

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import generator
from interpolants.framework.answers import Predictive
from interpolants.framework.capabilities import NotAbleError, capability
from interpolants.framework.method import Method
from interpolants.framework.questions import Measured, ask
from interpolants.framework.role import Role
from interpolants.framework.task import Split, Task
from interpolants.sciml import FamilySolutions, ParameterRecovery
from interpolants.sciml.pinn.family_questions import _map_panels, _picture, median, stretched
from interpolants.sciml.pinn.pde.family import PDEFamily
from interpolants.sciml.pinn.pde.nonlinear_poisson import NonlinearPoisson


@dataclass(frozen=True)
class Lines:
    """``u = z x w``."""

    z: torch.Tensor
    w: torch.Tensor

    def at(self, points):
        return self.z * self.w * points[..., 0]


@dataclass(frozen=True)
class Line(PDEFamily):
    """``u' = z w``, ``u(0) = 0``."""

    box: dict = field(default_factory=lambda: {"x": (0.0, 2.0)})
    unknown: dict = field(default_factory=lambda: {"z": (1.0, 3.0)})
    known: dict = field(default_factory=lambda: {"w": (1.0, 2.0)})

    def residual_at(self, points, u, z, w):
        return u("x") - z * w

    def distance_at(self, points):
        return points

    def given_points(self):
        return torch.zeros(1, 1, dtype=torch.float64)

    def solution(self, z, w):
        return Lines(z, w)


class Solver(Method):
    """Solves the line, wrongly by a factor; infers by the mean slope, with a spread of its own."""

    factor: float = 1.0
    spread: float = 0.1

    def roles(self):
        return (Role(name="problem", kind="problem", axis=""),)

    def learn(self, data, run):
        return {"fitted": True}

    @capability(reads={"x": Role(name="x")}, like="u")
    def predict(self, x):
        mean = (self.factor * x[:, 0] * x[:, 1] * x[:, 2])[None, :, None]
        return Predictive(loc=mean, scale=torch.full_like(mean, self.spread))

    @capability(reads={"points": Role(name="points")}, like="u")
    def residual(self, points):
        return (self.factor - 1) * points[:, 1:2] * points[:, 2:3]

    @capability(reads={"observed": Role(name="observed"), "case": Role(name="case", kind="labels")}, like="z")
    def infer(self, observed, case=None):
        slopes = [observed[case == k] for k in case.unique()]
        mean = torch.stack([(one[:, 1] / one[:, 0] / one[:, 2]).mean() for one in slopes])[None, :, None]
        return Predictive(loc=mean, scale=torch.full_like(mean, self.spread))


def asked(question, method, **values):
    task = Task.of((*method.roles(), *question.reads()), {"problem": Line(), **values}, Split(by="none"))
    return ask(question, method.fit(Line()), task)


def test_an_exact_solver_has_no_error_and_a_wrong_one_that_of_its_factor():
    exact = asked(FamilySolutions(cases=5, points=3), Solver())
    assert exact["nmse"].value == pytest.approx(0.0, abs=1e-12)
    assert exact["residual"].value == pytest.approx(0.0, abs=1e-12)
    wrong = asked(FamilySolutions(cases=5, points=3), Solver(factor=1.1, spread=1e-6))
    assert wrong["nmse"].value == pytest.approx(0.01)
    assert wrong["median_nmse"].value == pytest.approx(0.01)
    z, w = Line().draw(5, generator(1, "families asked"))
    assert wrong["residual"].value == pytest.approx(float((0.1 * z * w).mean()), rel=1e-5)
    assert wrong["inside"].value == pytest.approx(0.0, abs=1e-12)
    assert exact["inside"].value == pytest.approx(1.0)


def test_parameters_without_noise_are_recovered_at_any_sensors():
    places = torch.tensor([[-100.0], [-80.0], [-79.0], [-70.0]], dtype=torch.float64)
    for given in ({}, {"sensors": places}):
        found = asked(ParameterRecovery(cases=6, counts=(2, 3), noise=0.0), Solver(), **given)
        for count in (2, 3):
            assert found[f"nmse_{count}"].value == pytest.approx(0.0, abs=1e-8)
            assert found[f"coverage_{count}"].value == 1.0


def test_a_spread_that_is_right_covers_what_it_promises_and_half_of_it_less():
    """One sensor at x = 1.96 of each case: ``z = u / (w x)`` has the standard deviation ``noise / (w x)``."""
    question, places = (
        ParameterRecovery(cases=400, counts=(1,), noise=0.3),
        torch.tensor([[0.0], [1.0]]).double(),
    )
    # Both places are drawn; the far one alone tells z, so coverage is that of its share of the cases.
    at = stretched(places, Line())
    assert_close(at, torch.tensor([[0.04], [1.96]]).double())
    wide, narrow = (
        asked(question, Solver(spread=spread), sensors=places)["coverage_1"].value for spread in (0.15, 0.05)
    )
    assert 0.42 < wide < 0.65
    assert narrow < 0.75 * wide


def test_the_median_has_the_error_of_order_statistics():
    g = torch.Generator().manual_seed(0)
    found = median(torch.randn(4000, generator=g))
    assert abs(found.value) < 3 * found.error
    assert found.error == pytest.approx((3.1416 / 2 / 4000) ** 0.5, rel=0.4)


def test_what_cannot_be_asked_is_refused():
    class Unsolved(Line):
        def solution(self, z, w):
            return None

    task = Task.of(Solver().roles(), {"problem": Unsolved()})
    with pytest.raises(NotAbleError, match="Unsolved must have a solution to compare with"):
        ask(FamilySolutions(cases=3), Solver().fit(Unsolved()), task)
    with pytest.raises(InvalidInputError, match="counts must be at most the 2 sensors, got 5"):
        asked(
            ParameterRecovery(cases=2, counts=(5,)), Solver(), sensors=torch.tensor([[0.0], [1.0]]).double()
        )
    with pytest.raises(InvalidInputError, match=r"places of sensors must be \(N, 1\)"):
        asked(ParameterRecovery(cases=2, counts=(1,)), Solver(), sensors=torch.zeros(3, 2).double())


def test_a_map_shows_the_first_coordinate_from_left_to_right():
    family = NonlinearPoisson(dimension=2, degree=1)
    x = _picture(family)
    own = Measured({}, {"nmse": torch.zeros(1), "truth": x[None, :, 0] + 1, "mean": x[None, :, 1] + 1})
    across, up = (panel.series[0].arrays["values"] for panel in _map_panels(family, own, {}))
    assert_close(across, across[:1].expand_as(across))
    assert_close(up, up[:, :1].expand_as(up))
    assert bool((across[0].diff() > 0).all())
    assert bool((up[:, 0].diff() > 0).all())
