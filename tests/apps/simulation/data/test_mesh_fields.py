import numpy as np
import pytest
import torch
from torch.testing import assert_close

from hostile_content import lying_arrays
from interpolants.apps.simulation.data.mesh_fields import (
    MeshField,
    mesh_field,
    read_mesh_fields,
    write_mesh_fields,
)
from interpolants.foundations.errors import InvalidInputError

xarray = pytest.importorskip("xarray")


def simulation(points=5, frames=3):
    mesh = np.random.RandomState(0).rand(points, 2)
    times = np.array([0.0, 0.5, 1.5])[:frames]
    return {
        "points": mesh,
        "times": times,
        "values": np.arange(frames * points * 2.0).reshape(frames, points, 2),
    }


def test_arrays_and_datasets_are_the_same_simulation():
    one = mesh_field(simulation(), "f", "x")
    back = mesh_field(one.to_xarray(), "f", "x")
    assert torch.equal(back.points, one.points)
    assert torch.equal(back.times, one.times)
    assert torch.equal(back.values, one.values)
    assert (back.channels, back.axes) == (("u1", "u2"), ("x", "y"))


def test_a_regular_grid_of_xarray_becomes_points_with_their_coordinates():
    grid = xarray.DataArray(
        np.arange(24.0).reshape(2, 3, 4), dims=("time", "y", "x"),
        coords={"time": [0.0, 1.0], "y": [0.0, 0.5, 1.0], "x": [0.0, 1.0, 2.0, 3.0]}, name="heat",
    )  # fmt: skip
    one = mesh_field(grid.transpose("x", "time", "y"), "f", "x")
    assert one.axes in (("x", "y"), ("y", "x"))
    assert one.channels == ("heat",)
    column = {axis: one.points[:, k] for k, axis in enumerate(one.axes)}
    for k in range(12):
        expected = grid.sel(x=float(column["x"][k]), y=float(column["y"][k])).to_numpy()
        assert_close(one.values[:, k, 0].numpy(), expected)


def test_the_cloud_has_the_points_of_every_frame_in_turn():
    one = mesh_field(simulation(), "f", "x")
    cloud, values = one.cloud()
    assert_close(cloud[7], torch.cat([one.times[1:2], one.points[2]]))
    assert_close(values[7], one.values[1, 2])


def test_dates_become_seconds():
    one = mesh_field(simulation(), "f", "x").to_xarray()
    dated = one.assign_coords(
        time=np.array(["2020-01-01", "2020-01-02", "2020-01-04"], dtype="datetime64[ns]")
    )
    times = mesh_field(dated, "f", "x").times
    assert_close(times - times[0], torch.tensor([0.0, 86400.0, 3 * 86400.0], dtype=torch.float64))


def test_files_come_back(tmp_path):
    one, other = mesh_field(simulation(), "f", "x"), mesh_field(simulation(4), "f", "x")
    write_mesh_fields([one, other], tmp_path / "two.npz")
    write_mesh_fields([one], tmp_path / "one.npz")
    write_mesh_fields([one], tmp_path / "one.nc")
    two = [mesh_field(part, "f", "x") for part in read_mesh_fields(tmp_path / "two.npz", "f")]
    assert [len(part.points) for part in two] == [5, 4]
    for name in ("one.npz", "one.nc"):
        assert torch.equal(mesh_field(read_mesh_fields(tmp_path / name, "f"), "f", "x").values, one.values)
    assert len(read_mesh_fields(tmp_path, "f")) == 4
    with pytest.raises(InvalidInputError, match="a NetCDF file holds one simulation"):
        write_mesh_fields([one, other], tmp_path / "two.nc")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": np.zeros((3, 4, 2))}, r"points \(M, d\), times \(T,\) and values \(T, M, C\)"),
        ({"times": np.array([0.0, 2.0, 1.0])}, "times of x must be strictly increasing"),
        ({"values": np.full((3, 5, 2), np.nan)}, "numbers of x must be finite"),
        ({"points": np.full((5, 2), np.inf)}, "numbers of x must be finite"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        mesh_field({**simulation(), **changes}, "f", "x")


def test_what_is_no_simulation_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="a simulation of x must have values"):
        mesh_field({"points": np.zeros((3, 2))}, "f", "x")
    with pytest.raises(InvalidInputError, match="or a Dataset of xarray, got list"):
        mesh_field([1.0], "f", "x")
    with pytest.raises(InvalidInputError, match="must have an axis named time"):
        mesh_field(xarray.Dataset({"u": (("a", "b"), np.zeros((2, 2)))}), "f", "x")
    with pytest.raises(InvalidInputError, match="must have coordinates"):
        mesh_field(xarray.Dataset({"u": (("time", "b"), np.zeros((2, 2)))}), "f", "x")
    np.savez(tmp_path / "other.npz", a=np.zeros(2))
    with pytest.raises(InvalidInputError, match="must have the arrays points, times and values"):
        read_mesh_fields(tmp_path / "other.npz", "f")
    with pytest.raises(InvalidInputError, match="the file must exist"):
        read_mesh_fields(tmp_path / "none.npz", "f")


def test_members_are_no_points():
    one = mesh_field(simulation(), "f", "x")
    several = MeshField(one.points, one.times, torch.stack([one.values, 2 * one.values]))
    back = mesh_field(several.to_xarray(), "f", "x")
    assert torch.equal(back.values, several.values)
    assert torch.equal(back.points, one.points)


def test_a_variable_without_times_and_members_of_other_names_are_told():
    data = xarray.Dataset({"u": (("time", "x"), np.ones((3, 4)))}, {"time": [0, 1, 2], "x": np.arange(4.0)})
    with pytest.raises(
        InvalidInputError, match=r"must have the axes time, x, got others in mask. Leave them out"
    ):
        mesh_field(data.assign(mask=("x", np.ones(4))), "test", "fields")
    several = data.expand_dims(number=2)
    assert mesh_field(several, "test", "fields").values.shape == (2, 3, 4, 1)


def test_arrays_that_lie_are_refused_by_name(tmp_path):
    for file in lying_arrays(tmp_path):
        if file.suffix == ".npz":
            with pytest.raises(InvalidInputError):
                read_mesh_fields(str(file), "who")
