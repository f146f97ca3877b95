import math

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
    wet = table["rain"][table["rain"] > 0]  # exponential, rounded up to tenths
    assert wet.mean() == pytest.approx(0.1 / -math.expm1(-0.1 / 6), rel=0.03)
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
    assert not second.equals(model.complete(holed, seed=1))  # draws of neighbouring seeds do not overlap


def test_a_given_gap_is_a_missing_cell(model):
    rows = model.sample(100, given={"temperature": None})
    assert rows["temperature"].isna().all()
    assert not rows["season"].isna().any()
    assert (rows["season"] == "winter").mean() > 0.4  # .2 / (.2 + 3 * .02) = .77 of the gaps are in winter
    with pytest.raises(InvalidInputError, match="column 'season' must have no missing cells, as in the fit"):
        model.sample(3, given={"season": None})


def test_a_row_of_the_bound_does_not_depend_on_the_others(model, days):
    all_rows = model.log_prob(days.head(70))
    alone = model.log_prob(days.iloc[66:67], first_index=66)
    assert alone.iloc[0] == pytest.approx(all_rows.iloc[66], rel=1e-4)


def test_levels_of_a_column_are_predicted_given_the_others(model, days):
    fresh = MixedTable().sample(100, torch.Generator().manual_seed(5))
    found = model.predict(fresh, column="season")
    assert list(found.probabilities.columns) == list(SEASONS)
    assert found.probabilities.sum(axis=1).to_numpy() == pytest.approx(1)
    assert (found.mode == fresh["season"]).mean() > 0.6  # the date alone knows it; chance: .25
    assert found.mode.dtype == fresh["season"].dtype
    hidden = fresh.assign(season=None, date=pd.NaT, visitors=np.nan)
    few = model.predict(hidden.head(20), column="season", draws=5)
    assert few.probabilities.sum(axis=1).to_numpy() == pytest.approx(1)
    assert few.probabilities.max(axis=1).mean() < found.probabilities.max(axis=1).mean() - 0.05
    with pytest.raises(
        InvalidInputError, match="column 'season' must consist of numbers or dates, got strings"
    ):
        _ = found.mean
    with pytest.raises(InvalidInputError, match="column 'season' must have an order"):
        found.quantile(0.5)
    with pytest.raises(InvalidInputError, match="column must be a column of the fit, got 'seson'"):
        model.predict(fresh, column="seson")


def test_numbers_and_dates_are_predicted_by_draws(model, days):
    asked = days.dropna().head(40)
    warm = model.predict(asked, column="temperature", draws=50)
    exact = asked["season"].map(dict(zip(SEASONS, WARMTH, strict=True))).astype(float)
    assert (warm.mean - exact).abs().mean() < 3
    assert warm.mean.index.equals(asked.index)
    assert not warm.quantile(0.5).isna().any()
    assert (warm.quantile(0.05) < warm.quantile(0.95)).all()
    rain = model.predict(asked.assign(rain=np.nan), column="rain", draws=50)
    assert (rain.quantile(0.2) == 0).mean() > 0.5
    date = model.predict(asked, column="date", draws=10)
    assert date.mean.dtype == date.quantile(0.5).dtype == asked["date"].dtype
    assert 30 < date.std.mean() < 700  # days
    visitors = model.predict(asked, draws=10)  # the last column
    assert visitors.name == "visitors"
    assert visitors.quantile(0.5).dtype == asked["visitors"].dtype
    with pytest.raises(InvalidInputError, match="column 'temperature' must consist of levels, got numbers"):
        _ = warm.probabilities
    with pytest.raises(InvalidInputError, match=r"p must lie in \(0, 1\), got 1"):
        warm.quantile(1)


def test_probabilities_of_levels_are_those_of_draws(model, days):
    asked = days.dropna().head(100)
    exact = model.predict(asked, column="season").probabilities
    drawn = [model.complete(asked.assign(season=None), seed=k)["season"] for k in range(20)]
    shares = pd.DataFrame({s: sum((d == s).astype(float) for d in drawn) / 20 for s in SEASONS})
    truth = asked["season"].map(dict(zip(SEASONS, range(4), strict=True))).to_numpy(int)
    right = [float(p.to_numpy()[np.arange(100), truth].mean()) for p in (shares, exact)]
    assert right[0] == pytest.approx(right[1], abs=3 * 0.5 / 2000**0.5)


def test_a_row_of_a_prediction_does_not_depend_on_the_others(model, days):
    asked = days.dropna().head(20)
    every = model.predict(asked, column="rain", draws=5)
    alone = model.predict(asked.iloc[7:8], column="rain", draws=5, first_index=7)
    torch.testing.assert_close(alone.values, every.rows(slice(7, 8)).values)
    both = type(every).joined([every.rows(slice(0, 8)), every.rows(slice(8, 20))])
    torch.testing.assert_close(both.values, every.values)


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
    assert found["auc"].value < dict(found["auc"].rivals)["gaussian_copula"] - 0.05


@pytest.mark.parametrize("column", ["season", "rain", "date", ""])
def test_rows_may_lack_the_column_to_predict(model, days, column):
    rows = days.iloc[2:12]
    before = rows.copy()
    name = column or "visitors"
    found = model.predict(rows, column=column, draws=4)
    absent = model.predict(rows.drop(columns=name), column=column, draws=4)
    other = model.predict(rows.assign(**{name: "not a value of the fit"}), column=column, draws=4)
    pd.testing.assert_frame_equal(rows, before)
    for one in (absent, other):
        assert torch.equal(one.values, found.values)
        assert torch.equal(one.weights, found.weights)
        assert one.columns().keys() == found.columns().keys()
    assert (absent.probabilities if column == "season" else absent.mean).index.equals(rows.index)
    with pytest.raises(InvalidInputError, match=r"x must have the columns.*none named 'temperature'"):
        model.predict(rows.drop(columns=[name, "temperature"]), column=column)


def test_rows_of_an_array_may_lack_the_column_too():
    x = torch.randn(300, 3, generator=torch.Generator().manual_seed(0)).double()
    fitted = itp.TableBridge(steps=2, width=8, depth=1, n_steps=2).fit(x)
    for k, name in enumerate(("x1", "x2", "x3")):
        found = fitted.predict(x[:5], column=name, draws=3)
        rest = x[:5, torch.arange(3) != k]
        assert torch.equal(fitted.predict(rest, column=name, draws=3).values, found.values)
        assert torch.equal(fitted.predict(rest.numpy(), column=name, draws=3).values, found.values)
    with pytest.raises(InvalidInputError, match="event shape"):
        fitted.predict(x[:5, :1], column="x1")


def test_columns_that_are_missing_or_new_are_refused_by_name(model, days):
    calls = {
        "complete": model.complete,
        "predict": lambda x: model.predict(x, column="season"),
        "log_prob": model.log_prob,
    }
    rows = days[:5]
    for verb, call in calls.items():
        with pytest.raises(
            InvalidInputError, match=rf"TableBridge.{verb}: x must have the columns.*none named 'rain'"
        ):
            call(rows.drop(columns="rain"))
        rule = rf"TableBridge.{verb}: x must have no columns but those of the fit, date.*got 'extra'.*drop"
        with pytest.raises(InvalidInputError, match=rule):
            call(rows.assign(extra=1.0))
    backwards = model.complete(rows[rows.columns[::-1]], seed=1)
    assert backwards.equals(model.complete(rows, seed=1)[backwards.columns])


def test_cells_that_an_array_or_an_empty_column_cannot_have_are_refused():
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0)).double()
    fitted = itp.TableBridge(steps=2, width=8, depth=1, n_steps=2).fit(x)
    for value in ("sun", "3", pd.Timestamp("2012-01-02"), pd.NA, [1, 2], math.inf):
        with pytest.raises(InvalidInputError, match="column 'x1' must be a finite number, or None"):
            fitted.sample(2, given={"x1": value})
    assert (fitted.sample(3, given={"x1": 1})[:, 0] == 1).all()
    empty = pd.DataFrame({"a": x[:, 0].numpy(), "b": math.nan})
    with pytest.warns(DataWarning, match="column b is all missing"):
        fitted = itp.TableBridge(steps=2, width=8, depth=1, n_steps=2).fit(empty)
    rule = "column 'b' must have values of the fit, or be missing, got 3 in row 0. All cells of the fit are"
    with pytest.raises(InvalidInputError, match=rule):
        fitted.sample(2, given={"b": 3})
