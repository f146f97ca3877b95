import pytest
import torch
from torch.testing import assert_close

from interpolants.data.equation_trees import read_system
from interpolants.framework.questions import ask
from interpolants.framework.task import Task
from interpolants.sciml.symbolic import FittedEquations
from interpolants.sciml.symbolic.problems.equation_families import EquationFamilies
from interpolants.sciml.symbolic.recovered_equations import (
    RecoveredEquations,
    _relative,
    symbol_error,
    terms_of,
)


def test_errors_of_equations_are_relative_distances_of_right_sides():
    truth = read_system("u2 | -(2.0*u1)")
    assert symbol_error(truth, truth) == 0
    assert_close(symbol_error(read_system("1.1*u2 | -(2.2*u1)"), truth), 0.1)
    assert symbol_error(read_system("u1"), truth) == 2
    assert symbol_error(read_system("inv(u1 - u1) | u1"), truth) == 2


def test_terms_are_compared_multiplied_out_and_without_constants():
    a, b = read_system("10.0*(u2 - u1) | u1*u2"), read_system("3.0*u2 - 9.0*u1 | 0.5*(u2*u1)")
    assert terms_of(a) == terms_of(b)
    assert terms_of(a) != terms_of(read_system("10.0*u2 | u1*u2"))


def test_the_error_of_repeating_the_last_state_is_that_of_the_trajectories():
    families = EquationFamilies(systems=("oscillator",), points=16, later=16, noise=0.0)
    method = FittedEquations(by="still")
    task = Task.of(method.roles(), {"problem": families})
    found = ask(RecoveredEquations(equations=12), task.fit(method), task)
    drawn = families.draw(12, 1, seed=0, part="test", name="question")
    off = (drawn.values[:, 15:16] - drawn.labels).flatten(1).norm(dim=1) / drawn.labels.flatten(1).norm(dim=1)
    assert_close(found["relative_l2"].value, float(off.clamp_max(2).mean()), rtol=1e-6, atol=1e-6)
    assert found["relative_l2"].value > 0.8
    assert_close(found["symbol_error"].value, 1.0)
    assert found["true_terms"].value == 0
    assert [figure.name for figure in found.figures] == ["trajectories"]
    assert torch.isfinite(torch.tensor(found["diverged"].value))


def test_a_state_at_rest_that_is_predicted_to_rest_has_no_error():
    rest = torch.zeros(4, 1, dtype=torch.float64)
    told = torch.zeros(4, 2, dtype=torch.float64)
    assert _relative([told], [rest], slice(None)).tolist() == [0.0]
    assert _relative([told], [rest + 2], slice(None)).tolist() == pytest.approx([1.0], rel=1e-6)
