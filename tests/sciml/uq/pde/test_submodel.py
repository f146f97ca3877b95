"""A part driven by its interface, against the whole; Newmark's scheme against an oscillator."""

import numpy as np
import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.uq.pde import submodel
from interpolants.sciml.uq.pde.submodel import Submodel, newmark
from interpolants.sciml.uq.problems.clamped_plate import QUANTITIES, ClampedPlate

PLATE = ClampedPlate(along=16, across=8)


def chain(size):
    """Stiffness and mass of masses on springs, as elements of two nodes give them."""
    stiffness, mass = np.zeros((size, size)), np.zeros((size, size))
    for k in range(size - 1):
        stiffness[k : k + 2, k : k + 2] += [[1, -1], [-1, 1]]
        mass[k : k + 2, k : k + 2] += np.array([[2, 1], [1, 2]]) / 6
    return stiffness, mass


def test_the_part_of_a_plate_moves_as_in_the_whole():
    inputs = PLATE.inputs(5, generator=torch.Generator().manual_seed(0))
    whole = PLATE.solutions(inputs)[:, PLATE._parts.of_part]
    part = PLATE.submodel.solve(whole[:, PLATE.submodel.interface])
    assert np.abs(part - whole).max() < 1e-10 * np.abs(whole).max()
    drawn = PLATE.sample(5, generator=torch.Generator().manual_seed(0))
    found = PLATE.quantities(drawn["interface"])
    torch.testing.assert_close(found, drawn["quantities"], rtol=1e-10, atol=1e-14)
    assert PLATE.names == QUANTITIES
    assert set(drawn["quantities"][:, 2].tolist()) <= {0.0, 1.0}


def test_a_part_that_is_stretched_has_the_energy_of_uniform_strain():
    """Free above and below: in plane strain the modulus is 1 / (1 - nu^2) and the contraction nu / (1 - nu)."""
    plate, stretch, nu = PLATE._parts, 0.01, 0.3
    (along, across), (x, y) = plate.basis.nodal_dofs, plate.mesh.p
    moved = np.zeros(plate.basis.N)
    moved[along], moved[across] = stretch * x, -nu / (1 - nu) * stretch * y
    found = PLATE.quantities(torch.tensor(moved[plate.of_part][PLATE.submodel.interface])[None])
    area, middle = 0.75 * 1.0, 0.5
    wanted = [0.5 * stretch**2 / (1 - nu**2) * area, nu / (1 - nu) * stretch * middle, 0.0]
    torch.testing.assert_close(found[0], torch.tensor(wanted, dtype=torch.float64), rtol=1e-9, atol=0)


def test_a_chain_that_is_held_at_one_end_alone_follows_it_to_the_other():
    part = Submodel(stiffness=chain(5)[0], interface=np.array([0]), fixed=np.array([], dtype=np.int64))
    np.testing.assert_allclose(part.solve(np.array([[0.7]])), np.full((1, 5), 0.7), rtol=1e-12)


def test_the_inclusion_matters_and_the_load_scales():
    inputs = PLATE.inputs(1, generator=torch.Generator().manual_seed(0)).repeat(3, 1)
    inputs[1, :2] *= 2
    inputs[2, 4] = 5.0 if float(inputs[0, 4]) < 1 else 0.1
    first, doubled, other = PLATE.solutions(inputs)
    np.testing.assert_allclose(doubled, 2 * first, rtol=1e-10, atol=1e-16)
    assert np.abs(other - first).max() > 0.05 * np.abs(first).max()


def test_a_linear_motion_of_the_interface_strains_evenly():
    """Patch test: with both sides moved along x in proportion to x, and free edges, energy has a closed form."""
    part = PLATE.submodel
    places = PLATE._parts.basis.doflocs[:, PLATE._parts.of_part]
    axis = np.arange(len(PLATE._parts.of_part)) % 2  # of a degree of freedom, in scikit-fem's order
    np.testing.assert_array_equal(np.unique(axis[PLATE.submodel.interface]), [0, 1])
    linear = np.where(axis == 0, 0.3 * places[0] - 0.1 * places[1], 0.2 * places[0] + 0.4 * places[1])
    everywhere = Submodel(part.stiffness, np.nonzero(np.isclose(places[0], 0.5) | np.isclose(places[0], 1.25)
                          | np.isclose(places[1], 0) | np.isclose(places[1], 1))[0])  # fmt: skip
    found = everywhere.solve(linear[None, everywhere.interface])[0]
    np.testing.assert_allclose(found, linear, rtol=0, atol=1e-12)
    nu = 0.3
    lame, shear = nu / ((1 + nu) * (1 - 2 * nu)), 1 / (2 * (1 + nu))
    strain = np.array([[0.3, 0.05], [0.05, 0.4]])
    energy = 0.75 * (0.5 * lame * np.trace(strain) ** 2 + shear * (strain**2).sum())
    assert abs(0.5 * found @ (part.stiffness @ found) - energy) < 1e-12


def test_a_part_of_a_chain_moves_in_time_as_in_the_whole():
    stiffness, mass = chain(12)
    time = 0.1 * np.arange(121)
    load = np.zeros((121, 12))
    load[:, -1] = np.sin(time) ** 2
    whole = newmark(stiffness, mass, load, 0.1, fixed=np.array([0]))
    part = Submodel(stiffness=chain(5)[0], interface=np.array([0, 4]), mass=chain(5)[1])
    found = part.march(whole[:, [3, 7]], 0.1)
    assert np.abs(found - whole[:, 3:8]).max() < 1e-12
    assert np.abs(whole[:, 3:8]).max() > 0.1


def test_a_block_of_histories_moves_as_each_alone_and_factors_once(monkeypatch):
    stiffness, mass = chain(7)
    part = Submodel(stiffness, interface=np.array([0, 6]), fixed=np.array([3]), mass=mass)
    time = 0.1 * np.arange(41)
    sizes = np.random.default_rng(0).normal(size=(5, 1, 2))
    motion = sizes * np.sin(time[:, None] * [1.0, 2.0]) ** 2
    alone = np.stack([part.march(one, 0.1) for one in motion])
    calls, factor = [], submodel._factor
    monkeypatch.setattr(submodel, "_factor", lambda matrix: calls.append(1) or factor(matrix))
    together = part.march(motion, 0.1)
    assert together.shape == (5, 41, 7)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-13 * np.abs(alone).max())
    assert np.abs(alone[:, :, 1]).max() > 0.1
    assert len(calls) == 1
    motion[2, 0, 1] = -1e-14
    with pytest.raises(InvalidInputError, match="must begin at 0: the part is at rest, got 1e-14"):
        part.march(motion, 0.1)
    with pytest.raises(InvalidInputError, match="motion must have 2 columns"):
        part.march(motion[:, :, :1], 0.1)


def test_free_vibrations_keep_their_energy_and_period():
    stiffness, mass = np.array([[4.0]]), np.array([[1.0]])
    path = newmark(
        stiffness, mass, np.zeros((2001, 1)), 0.01, fixed=np.zeros(0, int), start=(np.ones(1), np.zeros(1))
    )
    assert abs(path[-1, 0] - np.cos(2 * 20.0)) < 2e-3
    stiffness, mass = chain(6)
    start = np.sin(np.arange(6.0)), np.zeros(6)
    start[0][0] = 0
    path = newmark(stiffness, mass, np.zeros((5001, 6)), 0.05, fixed=np.array([0]), start=start)
    # A symmetric scheme: velocities are those of the path within the second order, and the energy does not drift.
    speed = (path[2:] - path[:-2]) / 0.1
    energy = 0.5 * np.einsum("ti,ij,tj->t", speed, mass, speed) + 0.5 * np.einsum(
        "ti,ij,tj->t", path[1:-1], stiffness, path[1:-1]
    )
    halves = energy[:2000].mean(), energy[-2000:].mean()
    assert abs(halves[1] / halves[0] - 1) < 1e-3


def test_what_cannot_be_solved_is_refused():
    stiffness, mass = chain(5)
    with pytest.raises(InvalidInputError, match="could move freely"):
        Submodel(stiffness, np.zeros(0, int))
    with pytest.raises(InvalidInputError, match="different degrees of freedom"):
        Submodel(stiffness, np.array([0, 7]))
    part = Submodel(stiffness, np.array([0, 4]))
    with pytest.raises(InvalidInputError, match="motion must have 2 columns"):
        part.solve(np.zeros((3, 3)))
    with pytest.raises(InvalidInputError, match="motion must be finite"):
        part.solve(np.full((3, 2), np.nan))
    with pytest.raises(InvalidInputError, match="mass must be passed"):
        part.march(np.zeros((3, 2)), 0.1)
    with pytest.raises(InvalidInputError, match="must begin at 0"):
        Submodel(stiffness, np.array([0, 4]), mass=mass).march(np.ones((3, 2)), 0.1)
    with pytest.raises(InvalidInputError, match="dt must be"):
        newmark(stiffness, mass, np.zeros((3, 5)), 0.0, fixed=np.array([0]))
    with pytest.raises(InvalidInputError, match="a multiple of 8"):
        ClampedPlate(along=20)
