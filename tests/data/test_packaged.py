"""What ``@packaged`` does for every loader: the split, the user's own file, the origin, the docstring."""

import inspect
from dataclasses import replace

import numpy as np
import pytest

from interpolants.data.bundled import BundledFile, carriers
from interpolants.data.packaged import Found, packaged
from interpolants.data.sets.images import DIGITS
from interpolants.data.sets.tables import WINE
from interpolants.foundations.errors import InvalidInputError

ROWS = np.arange(50.0)[:, None]


def made(found, *files, own=""):
    """A loader of what is found, whatever it reads."""

    def load_toy(file):
        """Numbers.

        Returns:
            ``x`` (N, 1).

        Source: none.
        """
        for one in file.files:
            file.raw("" if file.path else one.name)
        return found(file) if callable(found) else found

    return packaged(*(files or [DIGITS]), licence="free", own=own)(load_toy)


def test_the_splits_partition_the_rows():
    load = made(Found(x=ROWS, labels=np.arange(50) % 3))
    train, test, whole = load(), load("test"), load("all")
    assert sorted([*train.x.flatten().tolist(), *test.x.flatten().tolist()]) == whole.x.flatten().tolist()
    assert train.labels.tolist() == [int(v) % 3 for v in train.x.flatten().tolist()]
    assert train.info.shape == (40, 1)
    assert (train.info.split, whole.info.split, whole.info.name) == ("train", "all", "toy")


def test_equal_rows_lie_in_one_part():
    once = np.random.RandomState(0).random_sample((50, 1))
    load = made(Found(x=np.tile(once, (2, 1))))
    train, test = (set(load(split).x.flatten().tolist()) for split in ("train", "test"))
    assert train | test == set(once.flatten().tolist())
    assert not train & test


def test_a_function_may_part_its_rows_itself_and_leave_some_in_neither():
    part = np.array(["train", "test", "all"])[np.arange(50) % 3]
    load = made(Found(x=ROWS, part=part))
    assert [len(load(split).x) for split in ("train", "test", "all")] == [17, 17, 50]
    assert load("test").x[:2, 0].tolist() == [1, 4]


def test_rows_that_are_cut_already_stay_whole():
    assert len(made(Found(x=ROWS, is_cut=True))("test").x) == 50


def test_the_first_time_is_that_of_the_part():
    times = np.datetime64("2000-01-31") + np.arange(50)
    load = made(
        Found(
            x=ROWS, part=np.where(ROWS[:, 0] < 3, "train", "test"), times=times, frequency="D", columns=("n",)
        )
    )
    assert [load(split).info.start for split in ("train", "test")] == ["2000-01-31", "2000-02-03"]
    assert str(load("test").table().index[0].date()) == "2000-02-03"


def test_the_origin_names_packages_once_and_files_that_were_read(tmp_path):
    info = made(Found(x=ROWS), DIGITS, WINE)("all").info
    assert info.source == f"scikit-learn {DIGITS.installed_version()}"
    assert dict(info.sha256) == {"digits.csv.gz": DIGITS.sha256, "wine_data.csv": WINE.sha256}
    assert info.licence == "free"
    some = packaged(DIGITS, WINE, licence="free")(_load_one)
    assert list(some().info.sha256) == ["wine_data.csv"]


def _load_one(file):
    """One file of two."""
    file.text(WINE.name)
    return Found(x=ROWS)


def test_a_file_of_an_older_release_has_its_own_hash():
    other = replace(DIGITS, sha256="0" * 64, older=(DIGITS.sha256,))
    assert dict(made(Found(x=ROWS), other)().info.sha256) == {"digits.csv.gz": DIGITS.sha256}


def test_a_set_is_there_with_the_first_file_of_each_package():
    absent = BundledFile("no-such-package", "no_such_package/a.csv", "0" * 64, "1", "pip install none")
    assert carriers(made(Found(x=ROWS), DIGITS, absent, WINE)) == (DIGITS, absent)


def failing(file):
    raise KeyError("column")


def test_a_fault_in_a_users_file_is_refused_and_one_in_a_packaged_file_is_ours(tmp_path):
    (tmp_path / "own.csv").write_text("a,b\n1,2\n")
    load = made(failing, own="a table of things")
    with pytest.raises(
        InvalidInputError, match="load_toy: path must be a table of things, got a damaged one"
    ):
        load(path=str(tmp_path / "own.csv"))
    with pytest.raises(InvalidInputError, match=r"path must be a table of things, got .*No such file"):
        load(path=str(tmp_path / "none.csv"))
    with pytest.raises(KeyError):
        load()


def test_columns_are_read_by_name_and_one_that_is_missing_is_told_with_the_nearest(tmp_path):
    (tmp_path / "own.csv").write_text("\N{ZERO WIDTH NO-BREAK SPACE}price,date\n1.5,x\n2.5,y\n")
    own = {"path": str(tmp_path / "own.csv")}
    load = made(lambda file: Found(x=file.numbers("price")), own="a table")
    assert load("all", **own).x.tolist() == [[1.5], [2.5]]
    for read in (lambda file: file.rows("prices"), lambda file: file.frame("prices")):
        with pytest.raises(
            InvalidInputError, match=r"must have a column prices, got none. Did you mean 'price'"
        ):
            made(read, own="a table")("all", **own)


def test_an_empty_part_is_refused():
    with pytest.raises(InvalidInputError, match="load_toy: the part 'test' must have rows"):
        made(Found(x=ROWS, part=np.full(50, "train")))("test")


def test_settings_are_those_of_the_function_and_a_misspelt_one_fails():
    load = made(Found(x=ROWS), own="a table")
    assert str(inspect.signature(load)).startswith(
        "(split: Literal['train', 'test', 'all'] = 'train', *, path: str"
    )
    assert "path" not in inspect.signature(made(Found(x=ROWS))).parameters
    with pytest.raises(TypeError, match=r"load_toy\(\) got an unexpected keyword argument 'pth'"):
        load(pth="a")
    with pytest.raises(InvalidInputError, match="split must be one of train, test, all, got 'tset'"):
        load("tset")


def test_the_docstring_tells_what_all_loaders_share():
    text = inspect.getdoc(made(Found(x=ROWS), own="a table"))
    heads = [
        "Numbers.",
        "Args:",
        "    split: ",
        "    path: A table, instead",
        "Returns:",
        "Raises:",
        "Source: none.",
    ]
    assert [text.index(head) for head in heads] == sorted(text.index(head) for head in heads)
    assert "path" not in inspect.getdoc(made(Found(x=ROWS)))
