"""One reading of numbers and names, whatever holds them; what is doubtful is told or refused."""

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

from interpolants import Bridge
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import AssumptionWarning
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role

COUNTS = np.arange(24).reshape(12, 2) % 7


class Regression(Method):
    """Keeps what it reads."""

    def roles(self):
        return Role(name="x"), Role(name="y"), Role(name="cond", kind="condition", optional=True)

    def learn(self, data, run):
        return dict(data)

    @capability(like="y")
    def predict(self, x):
        return self.state["y"][: len(x)] / 2


@pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint16, np.bool_])
def test_whole_numbers_of_an_array_are_read_as_those_of_a_table(dtype):
    counts = COUNTS.astype(dtype)
    array, table = (
        Regression().fit(counts, counts[:, 0]),
        Regression().fit(pandas.DataFrame(counts), counts[:, 0]),
    )
    assert array.state["x"].dtype == torch.float64
    assert torch.equal(array.state["x"], table.state["x"])
    answer = array.predict(counts[:3])
    assert answer.dtype == np.float64
    assert np.array_equal(answer, counts[:3, 0] / 2)


def test_image_levels_are_refused_in_an_array_and_in_a_list_of_images():
    levels = np.arange(12 * 16, dtype=np.uint8).reshape(12, 4, 4)
    for images in (levels, list(levels), [Image.fromarray(one) for one in levels], levels.astype(np.int64)):
        with pytest.raises(InvalidInputError, match=r"x1 must be floating point.*scale image levels"):
            Bridge(path="one_sided_linear").fit(x1=images)


@pytest.mark.parametrize(
    "cond",
    [
        pandas.Series(["a", pandas.NA] * 6),
        pandas.Series(["a", pandas.NA] * 6, dtype="string"),
        pandas.Series([1, pandas.NA] * 6, dtype="Int64"),
        pandas.DataFrame({"age": pandas.array([1, pandas.NA] * 6, dtype="Int64")}),
        pandas.DataFrame({"kind": ["a", pandas.NA] * 6}),
        {"age": pandas.Series([1.5, pandas.NA] * 6, dtype="Float64")},
        np.array([1, None] * 6, dtype=object),
    ],
    ids=["objects", "strings", "numbers", "table", "words", "dict", "array"],
)
def test_a_missing_condition_is_refused_with_its_row(cond):
    with pytest.raises(InvalidInputError, match=r"cond.*6 (missing|of 12 rows) \(row 1\)"):
        Regression().fit(COUNTS, COUNTS, cond=cond)


def test_a_name_in_every_row_is_told():
    names = [f"file {i}" for i in range(12)]
    for cond in (names, np.array(names), {"file": names}, pandas.DataFrame({"file": names})):
        with pytest.warns(AssumptionWarning, match="a different name in each of 12 rows"):
            Regression().fit(COUNTS, COUNTS, cond=cond)
    assert Regression().fit(COUNTS, COUNTS, cond=["a", "b"] * 6).is_fitted
    assert Regression().fit(COUNTS[:5], COUNTS[:5], cond=names[:5]).is_fitted


def test_ages_as_labels_are_told_with_the_rule():
    ages = 18 + np.arange(300) % 60
    rows = np.zeros((300, 1))
    for cond in (ages, torch.from_numpy(ages), pandas.Series(ages)):
        with pytest.warns(AssumptionWarning, match=r"60 different ones in 300 rows.*numbers in a table"):
            found = Regression().fit(rows, rows, cond=cond)
        assert found.state["cond"].dtype == torch.int64
    table = Regression().fit(rows, rows, cond=pandas.DataFrame({"age": ages}))
    assert torch.equal(table.state["cond"][:, 0].long(), torch.from_numpy(ages))
    assert Regression().fit(rows, rows, cond=ages.astype(float)).state["cond"].shape == (300, 1)
    assert Regression().fit(rows, rows, cond=ages % 29).is_fitted
