"""Weights in the command line: a file, or a column of the table that they belong to."""

import numpy as np
import pytest

from interpolants.foundations.errors import InvalidInputError
from interpolants.runs.own_files import own_tables
from interpolants.runs.recipe import make_method, make_recipe, make_task
from interpolants.runs.values import Place


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "b.csv"
    path.write_text("u,v,w\n" + "".join(f"{i},{i * i},{1 + i % 3}\n" for i in range(30)), encoding="utf-8")
    return str(path)


def test_a_column_of_the_table_is_its_weight_and_no_longer_a_value(table):
    tables = own_tables({"x1": table, "weights": "w"})
    assert tables["data"]["weights"] == {"file": table, "columns": ["w"]}
    assert tables["data"]["x1"] == {"file": table, "columns": ["u", "v"]}
    recipe = make_recipe(tables).tasks[0]
    task, _ = make_task(recipe, make_method(recipe, 0), Place())
    assert [float(w) for w in task.weights["x1"][:4]] == [1.0, 2.0, 3.0, 1.0]


def test_weights_in_a_file_of_their_own(table, tmp_path):
    file = str(tmp_path / "w.npy")
    np.save(file, np.arange(1.0, 31.0))
    tables = own_tables({"x0": table, "x1": table, "weights0": file})
    assert tables["data"]["weights0"] == file
    assert tables["data"]["x0"] == table


def test_a_misspelt_column_is_refused(table):
    with pytest.raises(InvalidInputError, match=r"--weights must be a file, or a column of .*Known: u, v, w"):
        own_tables({"x1": table, "weights": "W"})
