import pytest

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.registry import names
from interpolants.solvers import available, get_solver


def test_names_find_the_solvers_that_carry_them():
    assert sorted(available()) == sorted(
        [name for kind in ("ode", "multistep", "sde", "adaptive_sde") for name in available(kind)]
    )
    assert set(available()) == set(names("solver"))
    assert {"euler", "midpoint", "heun", "rk4", "dopri5", "tsit5"} <= set(available("ode"))
    assert {"euler_maruyama", "stochastic_heun", "sra1"} <= set(available("sde"))
    for name in available():
        solver = get_solver(name)
        assert solver.name == name
        assert name in available(solver.kind)


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(InvalidInputError, match=r"got 'huen'\. Did you mean 'heun'"):
        get_solver("huen")


def test_an_unknown_kind_is_refused():
    with pytest.raises(InvalidInputError, match="got 'pde'"):
        available("pde")
