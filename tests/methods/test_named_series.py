import numpy as np
import pandas as pd
import pytest

from interpolants.apps.timeseries import SelfGuidedDiffusion
from interpolants.data.series_table import each_column
from interpolants.foundations.errors import InvalidInputError
from interpolants.methods import SeasonalNaive


def test_forecasts_of_each_column_have_its_name_whatever_the_order_of_the_columns():
    hours = pd.date_range("2024-03-01", periods=40, freq="h")
    table = pd.DataFrame({"Queen": np.arange(40.0), "Albert": 100 + np.arange(40.0)}, index=hours)
    model = SeasonalNaive(season=2).fit(each_column(table))
    for order in (["Queen", "Albert"], ["Albert", "Queen"]):
        found = model.forecast(each_column(table[order]), members=1, steps=2)
        rows, middle = found.table().reset_index(), found.summary([0.5]).reset_index()
        assert rows[rows.case == "Queen"].value.tolist() == [38.0, 39.0]
        assert rows[rows.case == "Albert"].value.tolist() == [138.0, 139.0]
        assert middle[middle.case == "Albert"]["0.5"].tolist() == [138.0, 139.0]


def test_a_series_without_values_is_named():
    hours = pd.date_range("2024-03-01", periods=60, freq="h")
    table = pd.DataFrame({"Queen": np.arange(60.0), "Albert": np.arange(60.0)}, index=hours)
    small = {"net": {"kind": "gated_convolution", "width": 4, "blocks": 1}, "steps": 1, "batch_size": 2}
    model = SelfGuidedDiffusion(context=8, horizon=4, **small).fit(each_column(table))
    table.loc[hours[-10:], "Albert"] = np.nan
    with pytest.raises(InvalidInputError, match="last 8 values of series Albert must be seen"):
        model.forecast(each_column(table))
