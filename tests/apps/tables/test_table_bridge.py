import numpy as np
import pandas as pd
import pytest
import torch

import interpolants as itp
from interpolants.apps.tables.mixed_table import DRY, GAPS, SEASONS, WARMTH, MixedTable
from interpolants.apps.tables.table_questions import Detection
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import DataWarning, OutsideWarning
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task


@pytest.fixture(scope="module")
def days():
    return MixedTable().sample(1200, torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model(days):
    return itp.TableBridge(seed=0, steps=400, width=64, depth=3).fit(days)


def test_the_problem_has_its_shares(days):
    table = MixedTable().sample(40_000, torch.Generator().manual_seed(1))
    by = table.groupby("season", observed=False)
    for season, dry, warmth, gaps in zip(SEASONS, DRY, WARMTH, GAPS, strict=True):
        own = by.get_group(season)
        assert (own["rain"] == 0).mean() == pytest.approx(dry, abs=0.02)
        assert own["temperature"].mean() == pytest.approx(warmth, abs=0.15)
        assert own["temperature"].isna().mean() == pytest.approx(gaps, abs=0.02)


def test_samples_have_the_columns_types_atoms_and_gaps_of_the_table(model, days):
    rows = model.sample(600, seed=1)
    assert rows.dtypes.equals(days.dtypes)
    assert list(rows.columns) == list(days.columns)
    assert (rows["rain"] == 0).mean() == pytest.approx((days["rain"] == 0).mean(), abs=0.08)
    assert 0.01 < rows["temperature"].isna().mean() < 0.2
    for name in ("date", "rain", "temperature", "visitors"):
        assert rows[name].min() >= days[name].min()
        assert rows[name].max() <= days[name].max()
    assert rows["rain"].isin(days["rain"]).all()
    warm = rows.groupby("season", observed=False)["temperature"].mean()
    assert warm["summer"] - warm["winter"] > 10


def test_rows_given_some_columns_have_them(model):
    rows = model.sample(200, given={"season": "summer", "rain": 0.0})
    assert (rows["season"] == "summer").all()
    assert (rows["rain"] == 0).all()
    assert rows["temperature"].mean() == pytest.approx(21, abs=2.5)


def test_completion_keeps_what_is_known_and_leaves_no_gap(model, days):
    holed = days.head(100).copy()
    holed.loc[holed.index[::2], "season"] = None
    full = model.complete(holed)
    assert full.dtypes.equals(days.dtypes)
    assert not full.isna().any().any()
    pd.testing.assert_frame_equal(full.where(holed.notna()), holed.where(holed.notna()), check_dtype=False)
    hits = (full["season"] == days["season"].head(100)).iloc[::2].mean()
    assert hits > 0.45  # chance: .25
    first, second = model.complete(holed, draws=2)
    pd.testing.assert_frame_equal(first, full)
    assert not second.equals(first)


def test_the_bound_prefers_rows_of_the_table(model, days):
    real = model.log_prob(days.head(200), draws=8)
    mixed = days.head(200).assign(season=days["season"].head(200).sample(frac=1, random_state=0).to_numpy())
    assert real.mean() > model.log_prob(mixed, draws=8).mean() + 1
    assert isinstance(real, pd.Series)


def test_integers_and_booleans_come_back_as_such():
    source = np.random.default_rng(0)
    table = pd.DataFrame({"n": source.integers(0, 500, 60), "b": source.random(60) < 0.3})
    with pytest.warns(DataWarning, match="x1 has 60 rows. Rows may be learnt by heart below 200"):
        rows = itp.TableBridge(steps=5, width=8, depth=1, n_steps=3).fit(table).sample(50)
    assert rows.dtypes.equals(table.dtypes)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seson": "summer"}, "given must name columns of the fit, got 'seson'. Did you mean 'season'"),
        (
            {"season": "sumer"},
            "'season' .* must contain values of the fit, got 'sumer' in row 0. Did you mean 'summer'",
        ),
        ({"date": 3.0}, "column 'date' of x1 must contain dates, as in the fit, got numbers"),
    ],
)
def test_conditions_that_the_table_does_not_have_are_refused(model, given, message):
    with pytest.raises(InvalidInputError, match=message):
        model.sample(2, given=given)


def test_a_known_number_beyond_the_fit_is_used_and_told(model):
    with pytest.warns(OutsideWarning, match="column 'rain' has 900, and 0 to .* in the fit"):
        rows = model.sample(2, given={"rain": 900.0})
    assert rows["rain"].tolist() == [900.0, 900.0]


def test_what_cannot_be_a_table_is_refused(days):
    with pytest.raises(InvalidInputError, match="at least two rows"):
        itp.TableBridge().fit(days.head(1))
    with pytest.raises(InvalidInputError, match="columns_as must name columns of the table, got 'seasons'"):
        itp.TableBridge(columns_as={"seasons": "category"}).fit(days)


@pytest.mark.slow
def test_a_long_fit_knows_the_season_of_a_date_and_beats_the_copula(days):
    model = itp.TableBridge(seed=0).fit(days)
    rows = model.sample(400, given={"season": "summer"})
    assert rows["date"].dt.month.isin([6, 7, 8]).mean() > 0.7
    task = Task.of(model.roles(), {"x1": days}, Split(test=0.4))
    found = ask(Detection(), task.fit(itp.TableBridge(seed=0)), task, rivals=["gaussian_copula"])
    assert found["auc"].value < dict(found["auc"].rivals)["gaussian_copula"].value - 0.05
