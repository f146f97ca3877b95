import numpy as np
import pandas as pd
import pytest

from interpolants import Bridge
from interpolants.foundations.errors import InvalidInputError

X = np.random.default_rng(0).normal(size=(30, 2))
DATES = pd.DataFrame({"day": pd.date_range("2020", periods=30)})


@pytest.mark.parametrize(
    ("cond", "got"),
    [
        (DATES, r"column 'day' of type datetime64\[.s\]"),
        (DATES["day"], r"type datetime64\[.s\]"),
        (DATES["day"].to_numpy(), r"type datetime64\[.s\]"),
        (DATES.assign(day=DATES["day"].dt.tz_localize("UTC")), r"column 'day' of type datetime64\[.s, UTC\]"),
        (DATES - pd.Timestamp("2020"), r"column 'day' of type timedelta64\[.s\]"),
    ],
)
def test_dates_are_no_conditions(cond, got):
    with pytest.raises(
        InvalidInputError, match=f"cond must be numbers or labels, got {got}. Pass what matters"
    ):
        Bridge("one_sided_linear", steps=1).fit(x1=X, cond=cond)


def test_missing_cells_of_a_table_name_the_table_bridge():
    table = pd.DataFrame(X).mask(np.arange(60).reshape(30, 2) == 7)
    with pytest.raises(
        InvalidInputError, match=r"row 3\). Drop or repair these rows, or fit TableBridge, which learns"
    ):
        Bridge("one_sided_linear", steps=1).fit(x1=table)
