"""The carried wave: its equation, its path, the faces where it comes in, refusals."""

import torch
from torch.testing import assert_close

from interpolants.pde import Jet
from interpolants.sciml.gp.pde.advection import Advection


def points(n=20):
    return torch.rand(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_the_wave_solves_the_equation_and_moves_with_its_speed():
    problem, at = Advection(speed=7.0), points().requires_grad_(True)
    u = problem.truth_at(at)
    (slopes,) = torch.autograd.grad(u.sum(), at)
    jet = Jet({"": u, "x": slopes[:, :1], "y": slopes[:, 1:]})
    assert_close(problem.residual_at(at, jet), torch.zeros_like(u), atol=1e-12, rtol=0)
    late = at.detach() + 0.3 * torch.tensor([7.0, 1.0])
    assert_close(problem.truth_at(late), u.detach())


def test_it_is_given_where_it_comes_in():
    problem = Advection()
    corners = torch.tensor([[0.0, 0.5], [1.0, 0.0], [problem.width, 0.5], [1.0, problem.end]]).double()
    assert problem.on_boundary(corners).tolist() == [True, True, False, False]
