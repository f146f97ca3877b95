"""Answers of the command line on files that other programs have written."""

import numpy as np
import pytest
import torch

from interpolants.apps.simulation.data.mesh_fields import MeshField, mesh_field
from interpolants.apps.simulation.simulation_roles import (
    MeshKind,
    PromptKind,
    SimulationKind,
    SimulationList,
    Simulations,
)
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.role import Reading, Role

FIELDS, PROMPT, POINTS = (
    Role(name=name, kind=kind)
    for name, kind in (("fields", "simulations"), ("prompt", "prompts"), ("points", "meshes"))
)
HERE = Reading("f", rows=3)


def simulation(seed=0):
    g = torch.Generator().manual_seed(seed)
    return MeshField(
        torch.rand(6, 2, generator=g).double(),
        torch.tensor([0.0, 1.0]).double(),
        torch.rand(2, 6, 1, generator=g),
    )


def test_a_netcdf_file_of_xarray_goes_in_and_out(tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("scipy")
    one, kind = simulation(), SimulationKind()
    one.to_xarray().rename(u1="smoke").to_netcdf(tmp_path / "one.nc")
    read, given = kind.read(kind.read_file(str(tmp_path / "one.nc"), FIELDS), FIELDS, HERE)
    Simulations(read).in_kind(given).write_file(tmp_path / "out.nc")
    with xarray.open_dataset(tmp_path / "out.nc") as data:
        assert list(data.data_vars) == ["smoke"]
        assert np.array_equal(data["smoke"].to_numpy(), one.values[..., 0].numpy())
        assert np.allclose(data["x"].to_numpy(), one.points[:, 0].numpy())


def test_several_simulations_go_into_one_npz_file_and_come_back(tmp_path):
    kind, many = SimulationKind(), [simulation(k) for k in range(3)]
    SimulationList(many).write_file(tmp_path / "many.npz")
    back, _ = kind.read(kind.read_file(str(tmp_path / "many.npz"), FIELDS), FIELDS, HERE)
    assert all(torch.equal(a.values, b.values) for a, b in zip(back, many, strict=True))


def test_one_prompt_and_one_mesh_stand_for_all_rows():
    rows, _ = PromptKind().read("Smoke drifts north", PROMPT, HERE)
    assert rows == ["Smoke drifts north"] * 3
    for mesh in (
        [[0.1, 0.2], [0.3, 0.4]],
        np.array([[0.1, 0.2], [0.3, 0.4]]),
        {"points": [[0.1, 0.2], [0.3, 0.4]]},
    ):
        meshes, _ = MeshKind().read(mesh, POINTS, HERE)
        assert [tuple(one.shape) for one in meshes] == [(2, 2)] * 3


def test_a_column_of_a_table_holds_prompts_with_gaps():
    pandas = pytest.importorskip("pandas")
    rows, _ = PromptKind().read(pandas.Series(["a plume", None, float("nan")]), PROMPT, HERE)
    assert rows == ["a plume", None, None]
    with pytest.raises(InvalidInputError, match="prompt must be texts, got 3"):
        PromptKind().read(["a", 3, "b"], PROMPT, HERE)


def test_meshes_that_are_none_are_refused():
    for bad in (np.full((3, 2), np.nan), np.zeros((0, 2)), np.zeros((2, 2, 2))):
        with pytest.raises(InvalidInputError, match="points must be finite points"):
            MeshKind().read(bad, POINTS, HERE)


def test_a_list_of_numbers_is_a_mesh_along_a_line_and_views_are_read():
    found = MeshKind().read([0.5, 1.0, 1.5], POINTS, HERE)[0]
    assert found[0].tolist() == [[0.5], [1.0], [1.5]]
    one = {
        "points": np.arange(3.0)[::-1],
        "times": np.arange(2.0),
        "values": np.arange(6.0).reshape(2, 3)[:, ::-1],
    }
    assert mesh_field(one, "test", "fields").values[0, :, 0].tolist() == [2.0, 1.0, 0.0]
    with pytest.raises(InvalidInputError, match="times"):
        mesh_field({**one, "times": np.arange(2.0)[::-1]}, "test", "fields")


def test_simulations_of_one_fit_agree_in_channels_and_coordinates():
    one = simulation()
    other = MeshField(one.points, one.times, one.values.repeat(1, 1, 2))
    with pytest.raises(InvalidInputError, match="as many coordinates and channels"):
        SimulationKind().read([one, other], FIELDS, HERE)
    with pytest.raises(InvalidInputError, match=r"must have values \(T, M, C\)"):
        SimulationKind().read([MeshField(one.points, one.times, one.values[None])], FIELDS, HERE)
    with pytest.raises(InvalidInputError, match="must contain simulations"):
        SimulationKind().read([], FIELDS, HERE)
