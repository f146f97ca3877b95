"""Limits on files whose rows are sorted."""

import warnings

import numpy as np
import pytest
import torch

from interpolants.foundations.tell import DataWarning
from interpolants.framework.role import Role
from interpolants.runs.files import read_table
from interpolants.runs.first_rows import warn_of_first_rows
from interpolants.runs.values import Place, aligned, read_values

RNG = np.random.default_rng(0)


@pytest.fixture
def flowers(tmp_path):
    """Thirty flowers of each of three species, one species after the other."""
    x, kind = RNG.normal(size=(90, 2)), np.repeat([0, 1, 2], 30)
    file = tmp_path / "flowers.csv"
    np.savetxt(
        file,
        np.column_stack([x, kind]),
        delimiter=",",
        header="length,width,species",
        comments="",
        fmt="%.6g",
    )
    return file


def test_a_label_that_no_kept_row_has_is_named(flowers):
    with pytest.warns(
        DataWarning, match=r"limit=50 keeps the first of 90 rows, and none of them has the label 2\. "
    ):
        assert len(read_table(str(flowers), "data.x", labels="species", limit=50).x) == 50


def test_a_sorted_column_is_named(flowers):
    with pytest.warns(DataWarning, match="sorted by column 'species': they lie at one end"):
        read_table(str(flowers), "data.x", limit=50)


def test_labels_of_a_file_of_their_own_are_looked_at(tmp_path):
    np.save(tmp_path / "x.npy", RNG.normal(size=(90, 2)))
    np.save(tmp_path / "y.npy", np.repeat([0, 1, 2], 30))
    roles = [Role(name="x"), Role(name="y", kind="labels")]
    tables = {"x": {"file": str(tmp_path / "x.npy"), "limit": 60}, "y": str(tmp_path / "y.npy")}
    values = read_values(tables, Place(roles={role.name: role for role in roles}))
    with pytest.warns(DataWarning, match="none of them has the label 2"):
        assert len(aligned(values, roles)["y"].value) == 60


def test_words_are_looked_at(tmp_path):
    file = tmp_path / "kind.csv"
    file.write_text("kind\n" + "dog\n" * 20 + "cat\n" * 20)
    role = Role(name="kind", words=True)
    with pytest.warns(DataWarning, match="the label cat"):
        read_values({"kind": {"file": str(file), "limit": 20}}, Place(roles={"kind": role}))


@pytest.mark.parametrize("limit", [None, 90, 100, 50])
def test_rows_in_no_order_are_not_spoken_of(flowers, limit):
    table = np.loadtxt(flowers, delimiter=",", skiprows=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_first_rows(
            "x", torch.from_numpy(RNG.permutation(table)), limit, RNG.permutation(table[:, 2]).tolist()
        )


def test_a_column_that_rises_but_in_one_place_is_not_sorted():
    x = torch.arange(5000.0)[:, None]
    x[[1234, 1235]] = x[[1235, 1234]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_first_rows("x", x, 100)
        warn_of_first_rows("x", torch.ones(50, 1), 10)
    with pytest.warns(DataWarning, match="column 1"):
        warn_of_first_rows("x", torch.cat([x, -torch.arange(5000.0)[:, None]], 1), 100)
