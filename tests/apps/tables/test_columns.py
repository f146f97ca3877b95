import math

import pandas as pd
import pytest
import torch

from interpolants.apps.tables.columns import ColumnCode, TableCode, column_codes, scores
from interpolants.data.typed_columns import ColumnType, typed, untyped
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import DataWarning


def coded(frame, **asked):
    x, types = typed(frame, "fit", "x1")
    x = torch.from_numpy(x)
    names = [str(name) for name in frame.columns]
    return x, types, TableCode(column_codes(x, [ColumnType(*one) for one in types], names, asked, "fit"))


def rain(n=4000):
    source = torch.Generator().manual_seed(0)
    wet = torch.rand(n, generator=source) < 0.42
    amount = (torch.rand(n, generator=source) * 300).round() / 10 + 0.1
    return torch.where(wet, amount, 0.0).double()


def frame(n=600):
    source = torch.Generator().manual_seed(1)
    noise = torch.randn(n, generator=source, dtype=torch.float64).numpy()
    table = pd.DataFrame(
        {
            "day": pd.date_range("2012-01-01", periods=n).as_unit("us"),
            "rain": rain(n).numpy(),
            "smooth": noise,
            "price": (1000 + 300 * noise).astype("int64"),
            "sort": pd.Categorical.from_codes((noise > 0).astype(int), ["a", "b"]),
            "cylinders": noise.round().astype("int64"),
        }
    )
    table["gaps"] = table["smooth"].where(table["sort"] == "a")
    return table


def test_decoding_the_code_of_a_table_gives_it_back():
    table = frame()
    x, types, code = coded(table)
    levels, lower, width = code.code(x, "fit")
    v = torch.rand(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    back = untyped(code.decode(levels, scores(lower, width, v)).numpy(), types, table.columns, table.index)
    smooth = ["smooth", "gaps"]
    pd.testing.assert_frame_equal(back.drop(columns=smooth), table.drop(columns=smooth), check_exact=True)
    pd.testing.assert_frame_equal(back[smooth], table[smooth], rtol=1e-9, atol=1e-12)


def test_scores_are_standard_normal_whatever_repeats_and_levels_are_told_apart():
    x = rain()[:, None]
    number = ColumnType("number", "float64")
    zeros = float((x == 0).double().mean())
    (one,) = column_codes(x, [number], ["rain"], {}, "fit")
    assert one.levels.tolist() == [0.0]  # an atom: 58 % of the rows
    assert not one.smooth  # in tenths: values of the fit alone
    x[:] = x * 3 + torch.arange(len(x))[:, None] % 2 * 7  # two heaps of .29 each
    heaps = column_codes(x, [number], ["rain"], {}, "fit")[0]
    assert heaps.levels.tolist() == [0.0, 7.0]
    # Without levels, 58 % of the scores would be one point by middle ranks.
    whole = TableCode([type(one)("rain", x.new_zeros(0), *_ranked(rain()), False, False, False)])
    _, lower, width = whole.code(rain()[:, None], "fit")
    v = torch.rand(lower.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    z = scores(lower, width, v)
    ranks = torch.special.ndtr(z.flatten()).sort().values
    gap = (ranks - torch.arange(1, len(ranks) + 1) / len(ranks)).abs().max()
    assert float(gap) < 1.63 / math.sqrt(len(ranks))  # 1 % of Kolmogorov's test
    assert float(scores(lower, width, torch.full_like(v, 0.5)).var()) < 0.8
    assert torch.equal(whole.decode(torch.zeros(z.shape, dtype=torch.long), z)[:, 0], rain())
    drawn = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(4))
    share = (whole.decode(torch.zeros(drawn.shape, dtype=torch.long), drawn) == 0).double().mean()
    assert abs(float(share) - zeros) < 0.012


def _ranked(x):
    values, counts = torch.unique(x, return_counts=True)
    return values, counts.cumsum(0).double() / len(x)


def test_a_heap_is_no_atom_and_few_values_are_ordered_levels():
    _, _, code = coded(pd.DataFrame({"mpg": [18.0] * 12 + [10 + 0.5 * (k % 40) for k in range(188)]}))
    assert not len(code.columns[0].levels)
    _, _, code = coded(frame())
    by = {one.name: one for one in code.columns}
    assert by["cylinders"].ordered
    assert not by["sort"].ordered
    assert by["cylinders"].centres().diff().gt(0).all()
    assert by["gaps"].size == 2
    assert [one.size for one in code.columns][:4] == [0, 2, 0, 0]
    assert by["smooth"].smooth
    assert not by["price"].smooth


def test_dates_have_periods_of_which_they_span_two():
    day = pd.date_range("2012-01-01", periods=800)
    hour = pd.date_range("2012-01-01", periods=100, freq="h")
    assert coded(pd.DataFrame({"day": day}))[2].columns[0].periods == (365.2425, 7.0)
    assert coded(pd.DataFrame({"hour": hour}))[2].columns[0].periods == (24.0,)


def test_the_user_decides():
    table = frame()
    _, _, code = coded(table[["cylinders", "price"]], cylinders="number")
    assert code.columns[0].has_numbers
    assert not coded(table[["cylinders"]], cylinders="category")[2].columns[0].ordered
    with pytest.raises(InvalidInputError, match="column 'sort' must contain numbers or dates to be a number"):
        coded(table[["sort"]], sort="number")


def test_identifiers_are_refused_by_name():
    names = pd.DataFrame({"id": [f"customer {k}" for k in range(30)]})
    with pytest.raises(InvalidInputError, match=r"'id' .* identifier, got 30 different values in 30 rows"):
        coded(names)


def test_constant_and_empty_columns_are_kept_and_told():
    table = pd.DataFrame({"one": [3.0] * 4, "none": [float("nan")] * 4, "two": [1, 2, 1, 2]})
    with pytest.warns(DataWarning) as told:
        x, _, code = coded(table)
    assert ["column none is all missing" in str(one.message) for one in told] == [True, False]
    assert "column one is constant" in str(told[1].message)
    levels, *_ = code.code(x, "fit")
    assert torch.equal(code.decode(levels, torch.zeros_like(x)).nan_to_num(-1), x.nan_to_num(-1))


def test_what_the_fit_did_not_have_is_refused_with_its_row():
    x, _, code = coded(pd.DataFrame({"a": [1, 2, 4, 1], "b": [0.5, 0.25, 0.75, 1.0]}), b="number")
    wrong = x.clone()
    wrong[2, 0] = 3.6
    with pytest.raises(
        InvalidInputError, match=r"'a' must have values of the fit, .* 3.6 in row 2. The nearest is 4"
    ):
        code.code(wrong, "complete")
    wrong[2, 0] = torch.nan
    with pytest.raises(InvalidInputError, match="'a' must have no missing cells, as in the fit, got row 2"):
        code.code(wrong, "complete")


def test_a_score_beyond_shares_that_sum_to_less_than_one_is_the_last_value():
    values, empty = torch.tensor([1.0, 2.0]).double(), torch.zeros(0).double()
    upper = torch.tensor([0.5, 1 - 2**-52], dtype=torch.float64)
    code = ColumnCode("count", empty, values, upper, False, False, False)
    assert code.decode(torch.zeros(2).long(), torch.tensor([-40.0, 40.0]).double()).tolist() == [1, 2]
