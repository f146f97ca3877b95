import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.simulation.data.mesh_fields import MeshField
from interpolants.apps.simulation.problems.plume import GaussianPlume
from interpolants.apps.simulation.problems.plume_prompts import HELD_OUT, PHRASINGS, compass, sentence
from interpolants.foundations.errors import InvalidInputError

PLUME = torch.tensor([0.4, 0.6, 0.2, -0.1, 0.12, 1.3], dtype=torch.float64)


def test_the_solution_solves_the_equation_of_advection_and_diffusion():
    problem = GaussianPlume(diffusivity=0.01)

    def u(z):
        return problem.solution(PLUME, z[None, 1:], z[:1])[0, 0, 0]

    for z in torch.rand(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)):
        slope, bend = torch.func.grad(u)(z), torch.func.hessian(u)(z)
        assert_close(slope[0] + PLUME[2:4] @ slope[1:], 0.01 * (bend[1, 1] + bend[2, 2]))


def test_it_begins_as_a_gaussian_and_keeps_its_mass():
    problem = GaussianPlume()
    line = torch.linspace(-1, 2, 301, dtype=torch.float64)
    u = problem.solution(
        PLUME, torch.cartesian_prod(line, line), torch.tensor([0.0, 1.0], dtype=torch.float64)
    )
    assert_close(u.sum((1, 2)) * 0.01**2, PLUME[5] * math.pi * PLUME[4].square().expand(2))


def test_width_and_height_are_those_at_the_beginning_and_frames_are_even():
    problem = GaussianPlume(frames=5)
    away = torch.tensor([[0.0, 0.0], [0.12, 0.0], [0.0, -0.24]], dtype=torch.float64)
    u = problem.solution(PLUME, PLUME[:2] + away, problem.times)
    assert_close(u[0, :, 0], 1.3 * torch.tensor([0.0, -1.0, -4.0], dtype=torch.float64).exp())
    assert_close(problem.times, torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], dtype=torch.float64))


def test_the_fit_finds_the_plume_again_and_tells_what_it_leaves(generator):
    problem = GaussianPlume()
    plumes = problem.plumes(8, generator=generator)
    for plume in plumes:
        mesh = torch.rand(200, 2, generator=generator, dtype=torch.float64)
        exact = MeshField(mesh, problem.times[:4], problem.solution(plume, mesh, problem.times[:4]))
        found = problem.fit(exact)
        assert_close(found.plume, plume, rtol=0, atol=1e-6)
        assert found.residual < 1e-6
    noise = 0.1 * exact.values.square().mean().sqrt() * torch.randn(exact.values.shape, generator=generator)
    assert 0.05 < problem.fit(MeshField(mesh, problem.times[:4], exact.values + noise)).residual < 0.12


def test_sentences_tell_what_is_there():
    told = sentence(0, [0.314, 0.5, 0.2, 0.2, 0.127])
    assert (
        told
        == "A plume starts at x = 0.31, y = 0.50 and drifts north-east at speed 0.28; its initial width is 0.13."
    )
    assert [compass(k * math.pi / 8) for k in (0, 1, 3, 4, 5, 6, 7, 8, 10, 12, 15, -1)] == [
        "east", "east-north-east", "north-north-east", "north", "north-north-west", "north-west", "west-north-west",
        "west", "south-west", "south", "east-south-east", "east-south-east",
    ]  # fmt: skip
    names = {
        name
        for text in (*PHRASINGS, *HELD_OUT)
        for name in ("{x}", "{y}", "{d}", "{v}", "{s}")
        if name in text
    }
    assert len(names) == 5
    assert not set(PHRASINGS) & set(HELD_OUT)


def test_draws_belong_together_and_depend_on_the_generator_alone():
    drawn = [
        GaussianPlume(held_out=0.5).sample(40, generator=torch.Generator().manual_seed(3)) for _ in range(2)
    ]
    assert drawn[0]["prompt"] == drawn[1]["prompt"]
    sizes = {len(field.points) for field in drawn[0]["fields"]}
    assert len(sizes) > 10
    assert min(sizes) >= 150
    assert max(sizes) <= 250
    held = [name.startswith("held out") for name in drawn[0]["phrasing"]]
    assert 8 < sum(held) < 32
    field, prompt = drawn[0]["fields"][0], drawn[0]["prompt"][0]
    plume = GaussianPlume().fit(field).plume
    assert f"{float(plume[0]):.2f}" in prompt
    assert f"{float(plume[4]):.2f}" in prompt


def test_bad_settings_are_refused():
    with pytest.raises(InvalidInputError, match="width must be a lowest and a highest"):
        GaussianPlume(width=(0.2, 0.1))
    with pytest.raises(InvalidInputError, match="at least two frames"):
        GaussianPlume().fit(MeshField(torch.rand(5, 2), torch.zeros(1), torch.rand(1, 5, 1)))
