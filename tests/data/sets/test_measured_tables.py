"""Tables of measurements against their sources."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.data import load_boston_housing, load_concrete, load_diabetes, load_leaves
from interpolants.foundations.errors import InvalidInputError, MissingExtraError

NAMES = {
    load_concrete: "cement blast_furnace_slag fly_ash water superplasticizer coarse_aggregate fine_aggregate age "
    "compressive_strength",
    load_diabetes: "age sex bmi bp s1 s2 s3 s4 s5 s6 progression",
    load_boston_housing: "crim zn indus chas nox rm age dis rad tax ptratio lstat medv",
}


def or_skip(load, *args, **options):
    try:
        return load(*args, **options)
    except MissingExtraError as error:
        pytest.skip(str(error))


def test_diabetes_is_that_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    theirs = datasets.load_diabetes(scaled=False)
    ours = load_diabetes("all")
    assert_close(ours.x, torch.from_numpy(np.column_stack([theirs.data, theirs.target])))
    assert ours.info.columns[:-1] == tuple(theirs.feature_names)
    assert len(load_diabetes("train").x) + len(load_diabetes("test").x) == 442


def test_concrete_begins_as_its_source():
    data = or_skip(load_concrete, "all")
    assert data.info.shape == (1030, 9)
    assert data.x[0].tolist() == [540.0, 0.0, 0.0, 162.0, 2.5, 1040.0, 676.0, 28.0, 79.99]


def test_boston_housing_comes_without_the_column_b():
    data = or_skip(load_boston_housing, "all")
    assert data.x[0].tolist() == [0.00632, 18, 2.31, 0, 0.538, 6.575, 65.2, 4.09, 1, 296, 15.3, 4.98, 24]
    assert "b" not in data.info.columns
    assert data.info.shape == (506, 13)


def test_leaves_have_their_species():
    data = or_skip(load_leaves, "all")
    assert data.info.shape == (1907, 50)
    counts = torch.bincount(data.labels)
    # Published counts: 77 deodar, 73 true indigo, 50 big-fruited holly are the extremes.
    assert [int(counts[data.info.classes.index(name)]) for name in ("deodar", "true_indigo")] == [77, 73]
    assert int(counts.min()) == int(counts[data.info.classes.index("big_fruited_holly")]) == 50


@pytest.mark.parametrize("load", [load_concrete, load_diabetes, load_boston_housing])
def test_a_copy_is_read_by_its_names_and_another_file_is_refused(load, tmp_path):
    pandas = pytest.importorskip("pandas")
    names = NAMES[load].split()
    rows = pandas.DataFrame(np.arange(3.0 * len(names)).reshape(3, -1), columns=names)
    rows[names[::-1]].to_csv(tmp_path / "copy.csv", index=False)
    assert_close(load("all", path=str(tmp_path / "copy.csv")).x, torch.tensor(rows.to_numpy()))
    rows.drop(columns=names[0]).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(InvalidInputError, match=f"must have a column {names[0]}"):
        load("all", path=str(tmp_path / "other.csv"))
    with pytest.raises(InvalidInputError, match=r"nowhere\.csv must be a table of text, got .*No such file"):
        load("all", path=str(tmp_path / "nowhere.csv"))
