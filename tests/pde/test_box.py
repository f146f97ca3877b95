"""Equations in a box: what is read of a residual, faces, refusals."""

import warnings

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import SettingWarning
from interpolants.pde import BoxPDE, Jet, Manufactured
from interpolants.pde.box import check_problem

BOX = ((0.0, 1.0), (0.0, 2.0))


def poisson(x, y, u):
    return u("xx") + u("yy") - torch.sin(x) * y


def own(**changes):
    return BoxPDE(**{"residual": poisson, "boundary": lambda x, y: x - y, "box": BOX, **changes})


def test_derivatives_that_a_residual_reads_are_known_by_axis():
    assert check_problem("solver", own()) == {"": (0, 0), "xx": (2, 0), "yy": (0, 2)}
    mixed = own(residual=lambda x, y, u: u("xy") + u() * u("x"))
    assert check_problem("solver", mixed) == {"": (0, 0), "x": (1, 0), "xy": (1, 1)}
    assert check_problem("solver", Manufactured(equation="allen_cahn")) == {"": (0,), "xx": (2,)}


def test_the_residual_of_a_user_sees_vectors():
    points = torch.tensor([[0.2, 0.4], [0.5, 1.5]], dtype=torch.float64)
    jet = Jet({"xx": torch.ones(2, 1).double(), "yy": 2 * torch.ones(2, 1).double()})
    exact = 3 - torch.sin(points[:, :1]) * points[:, 1:]
    assert_close(own().residual_at(points, jet), exact)
    assert_close(own().boundary_at(points), points[:, :1] - points[:, 1:])


def test_a_problem_is_tried_inside_its_box_alone():
    """Where it need not be defined beyond: roots of the distances from the faces."""

    def boundary(x, y):
        return ((x - 2) * (2.5 - x)).sqrt() + ((y + 1) * (4 - y)).sqrt()

    def residual(x, y, u):
        return u("xx") + u("yy") + u() * boundary(x, y)

    found = check_problem("solver", own(residual=residual, boundary=boundary, box=((2.0, 2.5), (-1.0, 4.0))))
    assert found == {"": (0, 0), "xx": (2, 0), "yy": (0, 2)}


def test_u_is_given_on_the_faces_that_are_named():
    points = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.5, 0.0], [0.5, 2.0], [0.5, 0.5]], dtype=torch.float64)
    assert own().on_boundary(points).tolist() == [True, True, True, True, False]
    assert own(faces=("x-", "y+")).on_boundary(points).tolist() == [True, False, False, True, False]


def wave(x, y, u):
    return u("yy") - u("xx")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"faces": ("x-", "y-", "y+")}, "order 2 along x, and u is given on 1 face there"),
        ({"residual": wave, "faces": ("x-", "x+", "y-")}, "order 2 along y"),
        (
            {"residual": lambda x, y, u: u("x") + u("y"), "faces": ("x-",)},
            "order 1 along y, and u is given on 0",
        ),
    ],
)
def test_too_few_boundary_values_are_told(changes, told):
    with pytest.warns(SettingWarning, match=told):
        check_problem("solver", own(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"residual": lambda x, y, u: u("x") + u("y"), "faces": ("x-", "y-")},
        {"residual": lambda x, y, u: u("y") - u("xx"), "faces": ("x-", "x+", "y-")},
    ],
)
def test_enough_boundary_values_are_not(changes):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_problem("solver", own(**changes))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"box": ((1.0, 0.0),)}, "ends of x must be .* low < high"),
        ({"box": ()}, "one to three pairs"),
        ({"box": ((0.0, float("inf")), (0.0, 1.0))}, "ends of x"),
        ({"faces": ("x",)}, "faces must be among those of the box, got 'x'"),
        ({"residual": lambda x, y, u: u("xxx")}, "at most twice"),
        ({"residual": lambda x, y, u: u("z")}, "along x, y"),
        ({"residual": lambda x, y, u: u("xx")[:, None] + x}, "residual must be one number per point"),
        ({"boundary": lambda x, y: 1.0}, "boundary must be one number per point.* got float"),
        ({"boundary": lambda x, y: x / 0}, "boundary must be finite"),
    ],
)
def test_what_is_no_problem_is_refused(changes, told):
    with pytest.raises(InvalidInputError, match=told):
        check_problem("solver", own(**changes))


def test_other_objects_are_refused():
    with pytest.raises(InvalidInputError, match="solver: problem must be an equation in a box, got str"):
        check_problem("solver", "poisson")
