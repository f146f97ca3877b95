"""Residuals of a user's own: refused where autograd does not see u, or where rows depend on each other."""

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.pde.residual_checks import check_slopes

VALUES = {
    "zeros": torch.zeros(5, 1, dtype=torch.float64),
    "two components": torch.tensor([[1.0, 0.2]] * 5, dtype=torch.float64),
}


def checked(residual, values="zeros"):
    check_slopes("solver", residual, VALUES[values], {"", "xx"})


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize(
    "residual",
    [
        lambda u: u["xx"] + u[""] ** 3,
        lambda u: u["xx"] - u[""].abs() - torch.relu(u[""]),
        lambda u: 1e6 * u["xx"] + torch.tanh(300 * u[""]),
        lambda u: (u["xx"].float() - u[""].float().sin()).double(),
        lambda u: u["xx"] + u[""].flip(1),
        lambda u: u[""] - 1,
    ],
)
def test_a_residual_that_autograd_sees_passes(residual, values):
    checked(residual, values)


def test_values_near_those_given_and_some_of_size_one_are_asked_and_none_beyond():
    """Given 1 and 0.2: no slope beyond 1.5 is no matter, but one below -0.2 is; a kink at a value itself is not met."""
    checked(lambda u: torch.where(u[""] > 1.5, u[""].detach(), u[""]), "two components")
    checked(lambda u: torch.relu(u[""] - 1), "two components")
    with pytest.raises(InvalidInputError, match="got the slope 0"):
        checked(lambda u: torch.where(u[""] < -0.2, u[""].detach(), u[""]), "two components")


def test_where_a_residual_is_not_finite_nothing_is_said():
    checked(lambda u: u["xx"] + u[""].log(), "two components")


@pytest.mark.parametrize(
    ("residual", "told"),
    [
        (lambda u: u["xx"].detach() + u[""], r"depends on u\('xx'\), got the slope 0, and 1 by differences"),
        (lambda u: u["xx"] + u[""].detach() ** 3, r"depends on u\(\), got the slope 0"),
        (lambda u: u["xx"] + torch.tensor(u[""].detach().numpy()), r"depends on u\(\)"),
        (lambda u: u["xx"] + u[""] * u[""].detach(), r"depends on u\(\)"),
        (
            lambda u: u["xx"] - u[""].mean(),
            r"at its own point alone, got another row that changes with u\(\)",
        ),
        (lambda u: u["xx"].cumsum(0), r"changes with u\('xx'\)"),
        (lambda u: torch.ones(5, 1, dtype=torch.float64), "must read u or its derivatives"),
    ],
)
def test_what_autograd_does_not_see_and_what_is_not_local_is_refused(residual, told):
    with pytest.raises(InvalidInputError, match=told):
        checked(residual)
