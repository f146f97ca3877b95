import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from interpolants import load
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import NotAbleError
from interpolants.framework.stored import fingerprint
from interpolants.methods import GeodesicBridge
from interpolants.methods.questions.globe import _graticule
from interpolants.problems import GlobeCaps
from interpolants.spaces import LatitudeLongitude, Sphere

SMALL = {"net": {"kind": "mlp", "width": 16, "depth": 2}, "steps": 20, "batch_size": 64, "seed": 0}
PLACES = {"lat, lon": "sphere"}


def rows(n=200, seed=0):
    g = np.random.default_rng(seed)
    places = GlobeCaps().sample(n, generator=torch.Generator().manual_seed(seed)).numpy()
    return pd.DataFrame(
        {
            "lat": places[:, 0],
            "wind": g.gamma(3, 10, n),
            "direction": g.normal(0, 40, n) % 360,
            "lon": places[:, 1],
        }
    )


MIXED = {"lat, lon": "sphere", "direction": "circle"}


@pytest.fixture(scope="module")
def mixed():
    return GeodesicBridge(space=MIXED, **SMALL).fit(rows(), progress=False)


def test_answers_have_the_columns_and_units_of_the_fit(mixed):
    drawn = mixed.sample(300, seed=1)
    assert list(drawn.columns) == ["lat", "wind", "direction", "lon"]
    assert drawn.lat.abs().max() <= 90
    assert -180 <= drawn.lon.min() < drawn.lon.max() < 180
    assert 0 <= drawn.direction.min() < 90 < 270 < drawn.direction.max() < 360
    assert 10 < drawn.wind.mean() < 50


def test_a_sample_depends_on_its_index_and_not_on_its_neighbours(mixed):
    whole, part = mixed.sample(20, seed=1), mixed.sample(5, seed=1, first_index=10)
    assert np.abs(whole[10:15].to_numpy() - part.to_numpy()).max() < 1e-3


def test_a_flow_back_undoes_the_flow(mixed):
    x = rows(30, seed=5)
    there = mixed.transport(mixed.transport(x, reverse=True, n_steps=60), n_steps=60)
    frame = mixed.state["frame"]
    points = [frame.encode(torch.tensor(one.to_numpy())) for one in (x, there)]
    assert float(frame.space.distance(*points).max()) < 2e-3


def test_log_densities_integrate_to_one_in_the_units_that_are_asked_for():
    model = GeodesicBridge(space={"0": "circle"}, **SMALL).fit(
        rows()[["direction"]].to_numpy(), progress=False
    )
    grid = np.linspace(0, 360, 361)[:-1, None]
    assert math.isclose(model.log_prob(grid).exp().sum(), 1.0, abs_tol=2e-3)
    assert_close(
        torch.as_tensor(model.log_prob(grid, per="space")),
        torch.as_tensor(model.log_prob(grid)) - math.log(math.pi / 180),
    )


def test_units_of_real_columns_enter_the_density():
    x = rows()[["direction", "wind"]]
    models = [
        GeodesicBridge(space={"direction": "circle"}, **SMALL).fit(table, progress=False)
        for table in (x, x.assign(wind=10 * x.wind))
    ]
    first, second = (
        model.log_prob(x.assign(wind=k * x.wind)) for model, k in zip(models, (1, 10), strict=True)
    )
    assert_close(torch.as_tensor(first), torch.as_tensor(second) + math.log(10), atol=1e-4, rtol=0)


def test_a_saved_bridge_answers_alike(mixed, tmp_path):
    mixed.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.sample(10, seed=3).equals(mixed.sample(10, seed=3))
    x = rows(5, seed=7)
    assert np.array_equal(again.log_prob(x), mixed.log_prob(x))


def test_held_out_rows_leave_no_trace_in_units_and_weights():
    def learnt(row):
        table = rows(60)
        if row is not None:
            table.loc[row, "wind"] = 1e4
        model = GeodesicBridge(space=MIXED, held_out=0.5, **SMALL)
        state = model.fit(table, progress=False, validate=lambda modules, step: {}).state
        return fingerprint({"frame": state["frame"], "net": state["net"]})

    before = learnt(None)
    unseen = [learnt(row) == before for row in range(4)]
    assert any(unseen)
    assert not all(unseen)


def test_noise_is_refused_on_a_geodesic_path(mixed):
    for ask in (lambda: mixed.sample(3, eps=0.5), lambda: mixed.transport(rows(3), eps=0.5)):
        with pytest.raises(InvalidInputError, match=r"eps must be 0 on a geodesic path.*got 0.5"):
            ask()


@pytest.fixture(scope="module")
def heated():
    return GeodesicBridge(path="heat", space=MIXED, **SMALL).fit(rows(), progress=False)


def test_a_heat_path_has_samples_by_ode_and_sde_in_the_columns_of_the_fit(heated, tmp_path):
    for eps in (0.0, 0.5, 1.0):
        drawn = heated.sample(100, seed=1, eps=eps)
        assert list(drawn.columns) == ["lat", "wind", "direction", "lon"]
        assert drawn.lat.abs().max() <= 90
        assert drawn.direction.between(0, 360, inclusive="left").all()
    whole, part = (heated.sample(n, seed=1, eps=1, first_index=first) for n, first in ((20, 0), (5, 10)))
    assert np.abs(whole[10:15].to_numpy() - part.to_numpy()).max() < 1e-2
    assert not np.allclose(whole.to_numpy(), heated.sample(20, seed=1).to_numpy(), atol=1e-2)
    heated.save(tmp_path / "model")
    assert load(tmp_path / "model").sample(10, seed=3, eps=1).equals(heated.sample(10, seed=3, eps=1))


def test_rows_are_moved_along_a_heat_path(heated):
    x = rows(30, seed=5)
    there = heated.transport(heated.transport(x, reverse=True, n_steps=60), n_steps=60)
    points = [heated.state["frame"].encode(torch.tensor(one.to_numpy())) for one in (x, there)]
    assert float(heated.state["frame"].space.distance(*points).median()) < 1e-2
    once, again = (heated.transport(x, eps=1, seed=3) for _ in range(2))
    assert once.equals(again)
    with pytest.raises(InvalidInputError, match=r"eps must be 0 for reverse=True.*got 0.5"):
        heated.transport(x, eps=0.5, reverse=True)


def test_noise_levels_of_a_heat_path_are_not_negative(heated):
    with pytest.raises(InvalidInputError, match="eps must be finite and >= 0, got -1"):
        heated.sample(3, eps=-1)


def test_densities_of_a_heat_path_integrate_to_one():
    x = rows()[["direction"]].to_numpy()
    model = GeodesicBridge(path="heat", space={"0": "circle"}, **SMALL).fit(x, progress=False)
    grid = np.linspace(0, 360, 181)[:-1, None]
    assert math.isclose(model.log_prob(grid, n_steps=80).exp().sum() * 2, 1.0, abs_tol=0.02)


def test_a_heat_path_takes_neither_pairs_nor_spheres_of_many_dimensions():
    for coupling in ("minibatch_ot", "paired"):
        with pytest.raises(InvalidInputError, match="coupling must be 'independent' on a heat path"):
            GeodesicBridge(path="heat", space=PLACES, coupling=coupling)
    x = np.random.default_rng(0).normal(size=(50, 12))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    with pytest.raises(InvalidInputError, match=r"spheres of at most 10 dimensions.*got 11 in '0', '1'"):
        GeodesicBridge(path="heat", space="sphere", **SMALL).fit(x, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("eps", [0.0, 1.0])
def test_the_heat_path_learns_directions_across_the_seam(eps):
    """A mixture of two wrapped normal distributions, one of them at north, with Fourier coefficients in closed form."""
    g = np.random.default_rng(0)
    x = np.where(g.random(20_000) < 0.5, g.normal(0, 20, 20_000), g.normal(150, 40, 20_000))[:, None] % 360
    settings = {"net": {"kind": "mlp", "width": 64, "depth": 3}, "batch_size": 256, "steps": 1500, "seed": 0}
    model = GeodesicBridge(path="heat", space={"0": "circle"}, **settings).fit(x, progress=False)
    drawn = np.deg2rad(model.sample(20_000, seed=1, eps=eps, n_steps=40)[:, 0])
    for k in (1, 2, 3, 4):
        parts = [
            np.exp(-((k * np.deg2rad(s)) ** 2) / 2 + 1j * k * np.deg2rad(m)) for m, s in ((0, 20), (150, 40))
        ]
        assert abs(np.exp(1j * k * drawn).mean() - np.mean(parts)) < 0.05


def test_rows_off_the_space_are_refused_when_asked(mixed):
    with pytest.raises(InvalidInputError, match=r"^GeodesicBridge.log_prob: column 'lat'.*got 95 in row 1"):
        mixed.log_prob(rows(3).assign(lat=[0.0, 95.0, 10.0]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"space": None}, "space must be set, as all columns would be real numbers"),
        (
            {"space": {"lat, lan": "sphere"}},
            "space must name columns of the table, or their numbers from 0, got 'lan'.*lon",
        ),
        (
            {"space": {"lat, lon": "sphere", "lon": "circle"}},
            "each column must belong to one space, got 'lon' twice",
        ),
        ({"space": {"lat, lon": "hyperbolic"}}, "a space must be one of circle, sphere, rotations"),
        ({"space": {"direction": {"kind": "circle", "perod": 3}}}, "'perod'"),
    ],
)
def test_spaces_that_do_not_fit_the_table(settings, message):
    with pytest.raises(InvalidInputError, match=message):
        GeodesicBridge(**settings, **SMALL).fit(rows(), progress=False)


def test_settings_that_are_refused_at_once():
    with pytest.raises(InvalidInputError, match="space must be a kind of space, or a mapping"):
        GeodesicBridge(space=3)
    with pytest.raises(InvalidInputError, match="space of 'a' must be a kind, or a table with a kind"):
        GeodesicBridge(space={"a": 3})
    with pytest.raises(InvalidInputError, match="a paired coupling needs samples of both ends"):
        GeodesicBridge(space=PLACES, coupling="paired")
    with pytest.raises(
        InvalidInputError, match="path must be one of one_sided_geodesic, geodesic, heat, got 'linear'"
    ):
        GeodesicBridge(space=PLACES, path="linear")


def test_a_constant_real_column_and_missing_values_are_refused():
    with pytest.raises(InvalidInputError, match="real columns must vary, got 'wind'"):
        GeodesicBridge(space=MIXED, **SMALL).fit(rows().assign(wind=3.0), progress=False)
    table = rows()
    table.loc[7, "lat"] = math.nan
    with pytest.raises(InvalidInputError, match="row"):
        GeodesicBridge(space=MIXED, **SMALL).fit(table, progress=False)


def test_columns_may_be_named_by_tuples_and_one_kind_makes_a_torus():
    assert GeodesicBridge(space={("lat", "lon"): "sphere"}).space == {"lat, lon": {"kind": "sphere"}}
    torus = np.random.default_rng(0).uniform(0, 360, (60, 3))
    model = GeodesicBridge(space="circle", **SMALL).fit(torus, progress=False)
    assert [len(places) for places in model.state["frame"].columns] == [1, 1, 1]
    assert model.sample(4).shape == (4, 3)


def test_two_sets_are_joined_and_carried_both_ways():
    x0, x1 = rows(seed=1)[["lat", "lon"]], rows(seed=2)[["lat", "lon"]]
    model = GeodesicBridge(space=PLACES, path="geodesic", coupling="minibatch_ot", **SMALL).fit(
        x0, x1, progress=False
    )
    assert list(model.transport(x0).columns) == ["lat", "lon"]
    assert len(model.sample(7, seed=0)) == 7
    with pytest.raises(NotAbleError, match="x0 was given by samples and has no density"):
        model.log_prob(x1)


def test_opposite_points_of_pairs_are_refused_with_their_row():
    x0 = np.array([[10.0], [20.0], [100.0]])
    model = GeodesicBridge(space={"0": "circle"}, path="geodesic", coupling="paired", **SMALL)
    with pytest.raises(
        InvalidInputError, match="single shortest geodesic in '0', got opposite points in row 1"
    ):
        model.fit(x0, np.array([[20.0], [200.0], [90.0]]), progress=False)


def test_pairs_that_turn_by_one_angle_are_learnt_across_the_seam():
    x0 = np.random.default_rng(0).uniform(0, 360, (400, 1))
    settings = {**SMALL, "steps": 150}
    model = GeodesicBridge(space={"0": "circle"}, path="geodesic", coupling="paired", **settings)
    model.fit(x0, (x0 + 50) % 360, progress=False)
    turned = model.transport(np.array([[355.0], [10.0], [330.0]]))
    assert np.abs((turned - [[45.0], [60.0], [20.0]] + 180) % 360 - 180).max() < 8


def test_a_condition_chooses_the_distribution():
    g = np.random.default_rng(0)
    label = g.integers(0, 2, 400)
    x = (np.where(label == 0, 0.0, 180.0) + g.normal(0, 15, 400))[:, None] % 360
    model = GeodesicBridge(space={"0": "circle"}, **{**SMALL, "steps": 300}).fit(
        x, cond=label, progress=False
    )
    north, south = (model.sample(100, cond=k, seed=0) for k in (0, 1))
    assert np.cos(np.deg2rad(north)).mean() > 0.7
    assert np.cos(np.deg2rad(south)).mean() < -0.7


def test_geodesic_pairs_cost_less_than_euclidean_pairs_of_angles():
    optimize = pytest.importorskip("scipy.optimize")
    from interpolants.methods.geodesic_bridge import _assignment
    from interpolants.spaces import Product

    space = Product([Sphere(1)])
    g = torch.Generator().manual_seed(0)
    angles = 2 * math.pi * torch.rand(2, 64, generator=g, dtype=torch.float64)
    x0, x1 = torch.stack([angles.cos(), angles.sin()], -1)
    gap = (angles[0].sort().values[:, None] - angles[1].sort().values[None]).remainder(2 * math.pi)
    cost = torch.minimum(gap, 2 * math.pi - gap).square()
    shifts = [float(cost.roll(-k, 1).diagonal().mean()) for k in range(64)]
    found = Sphere(1).distance(x0[_assignment(space, x0, x1)], x1).square().mean()
    assert math.isclose(float(found), min(shifts), rel_tol=1e-9)
    flat = optimize.linear_sum_assignment((angles[1][:, None] - angles[0][None]).square().numpy())[1]
    assert float(Sphere(1).distance(x0[torch.as_tensor(flat)], x1).square().mean()) > min(shifts)


def rotations(n, seed=0):
    """Rotations about the first axis by angles near 1, with either sign of the quaternion."""
    g = np.random.default_rng(seed)
    angle, sign = g.normal(1.0, 0.2, n) / 2, g.choice([-1.0, 1.0], n)
    return sign[:, None] * np.stack([np.cos(angle), np.sin(angle), 0 * angle, 0 * angle], 1)


def test_rotations_come_back_with_one_sign_and_poses_are_a_product():
    table = pd.DataFrame(rotations(200), columns=list("wxyz")).assign(height=np.arange(200.0))
    model = GeodesicBridge(space={"w, x, y, z": "rotations"}, **SMALL).fit(table, progress=False)
    drawn = model.sample(50, seed=0)
    assert np.allclose(np.square(drawn[list("wxyz")].to_numpy()).sum(1), 1)
    assert drawn.w.min() >= 0
    signs = table.assign(**{name: -table[name] for name in "wxyz"})
    assert np.allclose(model.log_prob(table), model.log_prob(signs), atol=1e-5)


@pytest.mark.slow
def test_caps_on_the_globe_reach_the_floor_and_the_density_integrates_to_one():
    g = torch.Generator().manual_seed(0)
    x, test = GlobeCaps().sample(20_000, generator=g), GlobeCaps().sample(2000, generator=g)
    settings = {"net": {"kind": "mlp", "width": 128, "depth": 3}, "batch_size": 512, "steps": 2000, "seed": 0}
    model = GeodesicBridge(space={"0, 1": "sphere"}, **settings).fit(x, progress=False)
    code = LatitudeLongitude(unit="degrees")
    drawn, real = code.encode(model.sample(2000, seed=1, n_steps=10).double()), code.encode(test.double())

    def mean(a, b):
        return float(Sphere(2).distance(a[:, None], b[None]).mean())

    unbiased = 2000 / 1999
    energy = 2 * mean(drawn, real) - unbiased * (mean(drawn, drawn) + mean(real, real))
    assert energy < 0.003
    pole = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    near = [float((Sphere(2).distance(points, pole) < 0.15).double().mean()) for points in (drawn, real)]
    assert abs(near[0] - near[1]) < 0.02
    lat, lon = torch.meshgrid(torch.arange(-87.5, 90, 5.0), torch.arange(-177.5, 180, 5.0), indexing="ij")
    grid = torch.stack([lat.flatten(), lon.flatten()], -1)
    assert abs(float(model.log_prob(grid).exp().sum()) * 25 - 1) < 0.02
    gap = (GlobeCaps().log_prob(test) - model.log_prob(test)).mean()
    assert float(gap) < 0.15


def test_meridians_and_parallels_are_thirty_degrees_apart():
    lines = _graticule(torch.zeros(1, 3, dtype=torch.float64))
    assert len(lines) == 12 + 5
    heights = sorted(float(line[0, 2]) for line in lines[12:])
    assert heights == pytest.approx([-(3**0.5) / 2, -0.5, 0, 0.5, 3**0.5 / 2], abs=1e-12)
