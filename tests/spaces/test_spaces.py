import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.spaces import Product, Reals, Rotations, Sphere

SPACES = {
    "circle": Sphere(1),
    "sphere": Sphere(2),
    "sphere in 5-d": Sphere(4),
    "rotations": Rotations(),
    "reals": Reals(3),
    "product": Product([Sphere(2), Sphere(1), Rotations(), Reals(2)]),
}
EACH = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
PRECISIONS = pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])


def draws(space, n=500, seed=0, dtype=torch.float64):
    z = torch.randn(n, space.size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return space.base(z).to(dtype)


@EACH
@PRECISIONS
def test_exp_undoes_log_and_the_length_of_log_is_the_distance(space, dtype, close):
    x, y = draws(space, dtype=dtype), draws(space, seed=1, dtype=dtype)
    v = space.log(x, y)
    assert float(space.distance(space.exp(x, v), y).max()) < close
    assert_close(space.tangent(x, v), v, atol=close, rtol=0)
    assert_close(space.norm(v), space.distance(y, x), atol=close, rtol=0)


@EACH
@PRECISIONS
def test_log_of_the_same_and_of_near_points(space, dtype, close):
    x = draws(space, dtype=dtype)
    assert float(space.norm(space.log(x, x)).max()) < close
    step = 1e-3 * space.tangent(x, torch.ones_like(x))
    assert_close(space.log(x, space.exp(x, step)), step, atol=close, rtol=0)


def test_angles_of_known_points():
    north, east = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    assert_close(Sphere(2).distance(north, east), torch.tensor([math.pi / 2]))
    turn = torch.tensor([[math.cos(0.35), math.sin(0.35), 0.0, 0.0]])  # by 0.7 about the first axis
    identity = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    assert_close(Rotations().distance(identity, turn), torch.tensor([0.7]))
    assert_close(Rotations().distance(identity, -turn), torch.tensor([0.7]))


@pytest.mark.parametrize("space", [Sphere(1), Sphere(2), Sphere(4)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_log_at_the_cut_locus_is_one_of_the_shortest_geodesics(space, dtype):
    x = draws(space, dtype=dtype)
    v = space.log(x, -x)
    assert_close(space.norm(v), torch.full((len(x),), math.pi, dtype=dtype))
    assert float((space.exp(x, v) + x).abs().max()) < 1e-5


@EACH
def test_the_rate_of_a_geodesic_is_its_derivative_and_points_to_its_end(space):
    x, y = draws(space), draws(space, seed=1)
    v, t, h = space.log(x, y), torch.full((500, 1), 0.3, dtype=torch.float64), 1e-6
    point, rate = space.geodesic(x, v, t)
    ahead, behind = (space.geodesic(x, v, t + step)[0] for step in (h, -h))
    assert_close(rate, (ahead - behind) / (2 * h), atol=1e-8, rtol=0)
    assert_close(rate, space.log(point, y) / 0.7, atol=1e-9, rtol=0)


@EACH
def test_parallel_transport_keeps_lengths_and_carries_the_velocity_of_the_geodesic(space):
    x, y = draws(space), draws(space, seed=1)
    y = space.exp(x, space.log(x, y))  # of y and -y in a quaternion, the one that the geodesic reaches
    v = space.log(x, y)
    assert_close(space.carry(x, y, v), space.geodesic(x, v, 1.0)[1], atol=1e-8, rtol=0)
    other = space.tangent(x, draws(space, seed=2))
    moved = space.carry(x, y, other)
    assert_close(space.tangent(y, moved), moved, atol=1e-9, rtol=0)
    assert_close(space.norm(moved), space.norm(other), atol=1e-9, rtol=0)


def test_features_of_a_rotation_are_columns_of_its_matrix_and_do_not_see_the_sign():
    q = draws(Rotations(), 20)
    a, b, c, d = q.unbind(-1)
    cross = torch.zeros(20, 3, 3, dtype=q.dtype)
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -d, c, -b
    cross = cross - cross.mT
    matrix = torch.eye(3, dtype=q.dtype) + 2 * a[:, None, None] * cross + 2 * cross @ cross
    assert_close(Rotations().features(q), torch.cat([matrix[:, :, 0], matrix[:, :, 1]], 1))
    assert_close(Rotations().features(-q), Rotations().features(q))


def test_velocities_of_a_rotation_turn_the_body_whatever_the_sign_of_the_quaternion():
    q, output = draws(Rotations(), 20), torch.randn(20, 6, dtype=torch.float64)
    v = Rotations().velocity(q, output)
    assert_close((v * q).sum(-1), torch.zeros(20, dtype=q.dtype))
    assert_close(torch.linalg.vector_norm(v, dim=-1), torch.linalg.vector_norm(output[:, :3], dim=-1))
    assert_close(Rotations().velocity(-q, output), -v)


@pytest.mark.parametrize(
    ("space", "volume"),
    [
        (Sphere(1), 2 * math.pi),
        (Sphere(2), 4 * math.pi),
        (Sphere(3), 2 * math.pi**2),
        (Rotations(), 8 * math.pi**2),
    ],
)
def test_volumes(space, volume):
    assert math.isclose(space.log_volume, math.log(volume), rel_tol=1e-12)
    assert_close(
        space.base_log_prob(draws(space, 3)).exp(), torch.full((3,), 1 / volume, dtype=torch.float64)
    )


@EACH
def test_the_spread_is_the_distance_of_the_base_from_a_point(space):
    x, y = draws(space, 100_000), draws(space, 100_000, seed=1)
    mean = float(space.distance(x, y).square().mean())
    assert abs(mean / space.rms_distance**2 - 1) < 0.02


def test_spreads_in_closed_form():
    assert math.isclose(Sphere(1).rms_distance, math.pi / math.sqrt(3), rel_tol=1e-6)
    assert math.isclose(Sphere(2).rms_distance, math.sqrt((math.pi**2 - 4) / 2), rel_tol=1e-6)
    assert math.isclose(Rotations().rms_distance, math.sqrt(math.pi**2 / 3 + 2), rel_tol=1e-6)


def test_the_base_is_uniform_and_independent_of_other_factors():
    x = draws(Product([Sphere(2), Sphere(1)]), 100_000)
    second = x.T @ x / len(x)
    assert_close(
        second, torch.diag(torch.tensor([1 / 3] * 3 + [1 / 2] * 2, dtype=x.dtype)), atol=0.01, rtol=0
    )


def test_products_refuse_what_is_no_space():
    with pytest.raises(InvalidInputError, match=r"^Product: factors must be spaces, got 'sphere'"):
        Product([Reals(1), "sphere"])
    with pytest.raises(InvalidInputError, match="at least one"):
        Product([])
