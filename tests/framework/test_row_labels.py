"""Tables are matched by position: row labels that say otherwise are refused."""

import numpy as np
import pandas
import pytest
import torch
import xarray

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.row_labels import is_shift
from interpolants.framework.task import Split, Task


class Pairs(Method):
    """Mean difference of what is matched."""

    def roles(self):
        return Role(name="x"), Role(name="y"), Role(name="cond", kind="condition", optional=True)

    def learn(self, data, run):
        return {"gap": (data["y"] - data["x"]).double().mean(0)}

    @capability()
    def log_prob(self, x, y):
        return (y - x).flatten(1).sum(1)


N = 100


def table(index=None):
    values = np.arange(float(N))
    return pandas.DataFrame({"a": values}, index=index if index is not None else range(N))


def dropped():
    """X without two rows, y without two others: 37 labels of 98 differ."""
    whole = table()
    return whole.drop(index=[10, 98]), whole.drop(index=[47, 99])


def test_rows_that_were_dropped_apart_are_refused_with_counts():
    x, y = dropped()
    words = (
        r"38 of 98 rows with different labels, and 96 labels that both have.*x.index.intersection\(y.index\)"
    )
    with pytest.raises(InvalidInputError, match=words):
        Pairs().fit(x, y)
    rows = x.index.intersection(y.index)
    assert float(Pairs().fit(x.loc[rows], y.loc[rows]).state["gap"]) == 0.0
    assert Pairs().fit(x.reset_index(drop=True), y.reset_index(drop=True)).is_fitted


@pytest.mark.parametrize("as_kind", [lambda t: t["a"], lambda t: t, lambda t: t["a"].to_xarray()])
def test_series_arrays_of_xarray_conditions_and_verbs_too(as_kind):
    x, y = map(as_kind, dropped())
    with pytest.raises(InvalidInputError, match="38 of 98 rows"):
        Pairs().fit(x, y)
    with pytest.raises(InvalidInputError, match="x and cond are matched by position"):
        Pairs().fit(x, x, cond=y)
    with pytest.raises(InvalidInputError, match=r"cond\['c'\]"):
        Pairs().fit(x, x, cond={"c": y})
    with pytest.raises(InvalidInputError, match=r"held.*38 of 98 rows"):
        Pairs().fit(x, x, held={"x": x, "y": y})
    with pytest.raises(InvalidInputError, match=r"log_prob: rows of x and y"):
        Pairs().fit(x, x).log_prob(x, y)


INDICES = {
    "numbers": range(N),
    "words": [f"row {i}" for i in range(N)],
    "days": pandas.date_range("2024-01-01", periods=N),
    "months": pandas.date_range("2024-01-31", periods=N, freq="ME"),
    "places": pandas.MultiIndex.from_product([range(10), range(10)]),
    "gaps": [i * i for i in range(N)],
}


@pytest.mark.filterwarnings("ignore::interpolants.foundations.tell.AssumptionWarning")
@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("step", [1, 3])
def test_a_constant_shift_is_usual(index, step):
    whole = table(INDICES[index])
    for before, after in ((whole[:-step], whole[step:]), (whole[step:], whole[:-step])):
        assert abs(float(Pairs().fit(before, after).state["gap"])) == step
        task = Task.of(Pairs().roles(), {"x": before, "y": after}, Split(test=0.3, held=0.2))
        assert abs(float(task.fit(Pairs()).state["gap"])) == step  # random rows of both
        assert bool((task.call(Pairs().fit(before, after), "log_prob").abs() == step).all())


def test_labels_without_an_overlap_or_that_repeat_say_nothing():
    x = table()
    assert Pairs().fit(x, table(range(N, 2 * N))).is_fitted
    assert Pairs().fit(x, table([0] * N)).is_fitted
    assert Pairs().fit(x, table([f"row {i}" for i in range(N)])).is_fitted
    assert Pairs().fit(x, torch.zeros(N, 1)).is_fitted


def test_a_shift_is_one_constant():
    index = pandas.Index
    assert is_shift(index([1, 2, 4]), index([3, 4, 6]))
    assert is_shift(index(["a", "b", "c"]), index(["b", "c", "z"]))
    assert is_shift(index(["b", "c", "z"]), index(["a", "b", "c"]))
    assert not is_shift(index([1, 2, 4]), index([2, 3, 6]))
    assert not is_shift(index(["a", "b", "c"]), index(["a", "c", "d"]))
    assert not is_shift(index(["a", "b", "c"]), index(["b", "d", "e"]))


def test_the_same_labels_in_another_order():
    x = xarray.DataArray(np.zeros((3, 1)), dims=["case", "c"], coords={"case": ["a", "b", "c"]})
    with pytest.raises(InvalidInputError, match="the same index in another order"):
        Pairs().fit(x, x[::-1])
