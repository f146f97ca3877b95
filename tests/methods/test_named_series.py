import numpy as np
import pandas as pd

from interpolants.data.series_table import each_column
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
