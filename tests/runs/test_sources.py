"""Data of a run: splits that stay pairs, labels, conditions, and files that do not fit."""

import numpy as np
import pytest
import torch

from interpolants.foundations.errors import InvalidInputError, MissingExtraError
from interpolants.framework.roles import Role
from interpolants.runs.answers import read_rows
from interpolants.runs.config import DataConfig, make_config
from interpolants.runs.files import check_free, write_table
from interpolants.runs.sources import load_data
from interpolants.runs.values import Place, read_value


def data(**settings) -> DataConfig:
    return make_config({"data": settings}).tasks[0].data


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_rows_are_split_without_overlap_and_pairs_stay_pairs(folder):
    rows = np.arange(100.0, dtype=np.float32)[:, None]
    np.save("a.npy", rows)
    np.save("b.npy", rows + 1000)
    found = load_data(data(x0="a.npy", x1="b.npy", test_fraction=0.3))
    assert (len(found.x1.train), len(found.x1.test), found.kind) == (70, 30, "translation")
    assert torch.equal(
        torch.cat([found.x1.train.x, found.x1.test.x]).sort(0).values, torch.tensor(rows) + 1000
    )
    assert torch.equal(found.x0.train.x + 1000, found.x1.train.x)
    other = load_data(data(x0="a.npy", x1="b.npy", test_fraction=0.3, seed=1))
    assert not torch.equal(other.x1.test.x, found.x1.test.x)


def test_labels_from_a_column_an_array_and_a_file_follow_their_rows(folder):
    x = np.arange(40.0)
    labels = (x % 3).astype(int)
    (folder / "t.csv").write_text(
        "u,v,kind\n" + "\n".join(f"{a},{-a},{k}" for a, k in zip(x, labels, strict=True))
    )
    np.savez("t.npz", x=np.stack([x, -x], 1).astype(np.float32), kind=labels)
    np.save("kind.npy", labels)
    np.save("x.npy", np.stack([x, -x], 1).astype(np.float32))
    table = load_data(data(x1={"file": "t.csv", "labels": "kind"}, condition="labels"))
    array = load_data(data(x1={"file": "t.npz", "key": "x", "labels": "kind"}, condition="labels"))
    beside = load_data(data(x1="x.npy", condition="kind.npy"))
    for found in (table, array, beside):
        assert found.cond_train.dtype == torch.int64
        assert torch.equal(found.cond_train, found.x1.train.x[:, 0].long() % 3)
        assert torch.equal(found.cond_test, found.x1.test.x[:, 0].long() % 3)
    only = load_data(data(x1={"file": "t.csv", "columns": ["v"]}))
    assert only.x1.train.x.shape == (32, 1)


def test_digits_keep_their_split_and_the_classifier_sees_all_classes():
    threes = {"dataset": "digits", "classes": [3]}
    found = load_data(data(x0=threes, x1={"dataset": "digits", "classes": [8]}))
    assert set(found.x1.train.labels.tolist()) == {8}
    assert set(found.x1.all_train.labels.tolist()) == set(range(10))
    assert found.x1.chosen == (8,)
    assert len(found.x0.train) + len(found.x0.test) == 183


def test_problems_are_drawn_from_the_seed_and_know_their_density():
    settings = {"problem": "moons", "n": 50, "noise": 0.2}
    one, two = (load_data(data(x1=settings)).x1 for _ in range(2))
    assert torch.equal(one.train.x, two.train.x)
    assert one.distribution.noise == 0.2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"x1": "none.npy"}, r"data\.x1: the file must exist, got none\.npy"),
        ({"x1": "nan.csv"}, r"data\.x1: nan\.csv: values must be finite, got 1 of 20 rows"),
        ({"x1": "words.csv"}, r"data\.x1: words\.csv: column 'a' must be numeric, got 'x' in row 2"),
        ({"x1": "ragged.csv"}, r"data\.x1: ragged\.csv: every line must have 2 cells"),
        (
            {"x1": "few.npy"},
            r"data\.x1: few\.npy: there must be at least 10 samples, one per row, got shape \(5, 2\)",
        ),
        ({"x1": "scalar.npy"}, r"data\.x1: scalar\.npy: the array must have a dimension of samples"),
        ({"x1": "objects.npy"}, r"data\.x1: objects\.npy must be a NumPy file of plain numbers"),
        (
            {"x0": "three.npy", "x1": "two.npy"},
            r"same shape, got \(3,\) in three\.npy and \(2,\) in two\.npy",
        ),
        ({"x1": "two.npy", "condition": "three.npy"}, r"three\.npy must have 20 rows like x1, got 30"),
        ({"x1": "two.npy", "condition": "labels"}, r"'labels' needs labels of x1, got none in two\.npy"),
        (
            {"x1": {"file": "two.npy", "columns": ["a"]}},
            r"columns can be chosen in a table with a header only",
        ),
        (
            {"x1": {"file": "good.csv", "columns": ["aa"]}},
            r"the column must be in the table, got 'aa'. Did you",
        ),
        ({"x1": {"file": "good.csv", "limit": 3}}, r"limit must leave at least 10 samples, got 3"),
        ({"x1": {"file": "good.csv", "labels": "b"}}, r"column 'b': labels must be whole numbers >= 0"),
        ({"x1": {"dataset": "digit"}}, r"name must be one of .*, got 'digit'\. Did you mean 'digits'"),
        (
            {"x1": {"dataset": "digits", "classes": [3, 11]}},
            r"classes must be labels of 'digits', got \[11\]",
        ),
        ({"x1": {"problem": "moons", "nois": 1}}, r"got 'nois'\. Did you mean 'noise'"),
        ({"x1": {"problem": "moons", "noise": -1}}, r"noise"),
    ],
)
def test_what_does_not_fit_is_refused(folder, settings, message):
    good = [f"{a},{a + 0.5}" for a in range(20)]
    (folder / "good.csv").write_text("a,b\n" + "\n".join(good))
    (folder / "nan.csv").write_text("a,b\n" + "\n".join([*good[:7], "nan,1", *good[8:]]))
    (folder / "words.csv").write_text("a,b\n" + "\n".join([*good[:2], "x,1", *good[3:]]))
    (folder / "ragged.csv").write_text("a,b\n" + "\n".join([*good, "1,2,3"]))
    np.save("few.npy", np.zeros((5, 2), np.float32))
    np.save("scalar.npy", np.float32(1))
    np.save("objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    np.save("two.npy", np.random.default_rng(0).normal(size=(20, 2)))
    np.save("three.npy", np.random.default_rng(0).normal(size=(30, 3)))
    with pytest.raises(InvalidInputError, match=message):
        load_data(data(**settings))


def test_rows_with_gaps_are_left_out_of_labels_and_conditions_too(folder):
    x, labels = np.arange(80.0).reshape(40, 2), np.arange(40) % 7
    x[[3, 20], 1] = np.nan
    np.savez("gaps.npz", x=x, labels=labels)
    np.save("labels.npy", labels)
    file = {"file": "gaps.npz", "key": "x", "drop_nan": True, "limit": 30}
    named = load_data(data(x1={**file, "labels": "labels"}, condition="labels"))
    beside = load_data(data(x1=file, condition="labels.npy"))
    for found in (named, beside):
        rows = (found.x1.train.x[:, 0] / 2).long()
        assert torch.equal(found.cond_train, rows % 7)
        assert len(found.cond_train) + len(found.cond_test) == 30


def test_a_file_is_written_whole_and_never_over_another(folder):
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    for name in ("s.npz", "s.csv", "s.npy", "s.safetensors"):
        write_table(name, {"x": x, "label": np.arange(5)})
        with pytest.raises(InvalidInputError, match="must not exist"):
            write_table(name, {"x": x})
    table = np.genfromtxt("s.csv", delimiter=",", names=True)
    assert table.dtype.names == ("x_0", "x_1", "label")
    assert np.array_equal(table["x_1"].astype(np.float32), x[:, 1])
    with np.load("s.npz") as stored:
        assert np.array_equal(stored["x"], x)
        assert np.array_equal(stored["label"], np.arange(5))
    assert sorted(path.name for path in folder.iterdir()) == ["s.csv", "s.npy", "s.npz", "s.safetensors"]
    with pytest.raises(InvalidInputError, match="must end in"):
        check_free(folder / "s.pt")


def test_a_file_of_a_role_of_series_is_read_with_its_times(folder):
    (folder / "h.csv").write_text("time,v\n2024-01-01,1\n2024-01-02,\n2024-01-04,3\n2024-01-05,4\n")
    place = Place(roles={"series": Role(name="series", kind="series")})
    table = read_value("series", "h.csv", place).value
    assert table["v"].isna().tolist() == [False, True, True, False, False]
    assert len(read_value("series", {"file": "h.csv", "limit": 2}, place).value) == 2
    with pytest.raises(InvalidInputError, match="columns and limit alone, got 'labels'"):
        read_value("series", {"file": "h.csv", "labels": "v"}, place)


def test_a_data_set_with_times_comes_as_one_table_which_the_split_cuts(folder):
    try:
        found = read_value("series", {"dataset": "electricity_demand", "limit": 96}, Place())
    except MissingExtraError as error:
        pytest.skip(str(error))
    assert found.parts is None
    assert str(found.value.index[0]) == "2000-08-26 00:00:00"
    assert str(found.value.index[-1]) == "2000-08-27 23:30:00"


def test_columns_of_a_data_set_are_a_table_with_names():
    found = read_value("x", {"dataset": "wine", "columns": ["hue", "alcohol"]}, Place()).value
    assert list(found.columns) == ["hue", "alcohol"]
    with pytest.raises(
        InvalidInputError, match=r"columns must be columns of 'wine', got 'hues'. Did you mean 'hue'"
    ):
        read_value("x", {"dataset": "wine", "columns": ["hues"]}, Place())


def test_files_of_exact_roles_keep_their_digits_dates_and_words(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("city,when,x\nRome,2020-01-01 00:00,1600000000.5\nBern,2020-01-02 00:00,0.1\n")
    role = Role(name="points", exact=True, words=True)
    place = Place(roles={"points": role})
    found = read_value("points", {"file": str(file), "columns": ["when", "x"]}, place).value
    assert found.dtypes["when"].kind == "M"
    assert found.x.tolist() == [1600000000.5, 0.1]
    assert read_rows(str(file), role).city.tolist() == ["Rome", "Bern"]
    np.save(tmp_path / "y.npy", np.array([1600000000.5, 0.1]))
    y = {"y": Role(name="y", exact=True)}
    exact = read_value("y", str(tmp_path / "y.npy"), Place(roles=y)).value
    assert exact[:, 0].tolist() == [1600000000.5, 0.1]
    with pytest.raises(
        InvalidInputError, match="a table of coordinates takes columns and limit, got 'labels'"
    ):
        read_value("points", {"file": str(file), "labels": "city"}, place)
