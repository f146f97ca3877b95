import pandas as pd
import pytest
import torch

import interpolants as itp
from interpolants.apps.tables.mixed_table import MixedTable


@pytest.fixture(scope="module")
def days():
    return MixedTable().sample(1500, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["GaussianCopula", "BootstrapRows", "IndependentColumns"])
def test_rivals_keep_types_and_marginals(days, name):
    rows = getattr(itp, name)().fit(days).sample(1500)
    assert rows.dtypes.equals(days.dtypes)
    assert (rows["rain"] == 0).mean() == pytest.approx((days["rain"] == 0).mean(), abs=0.05)
    assert rows["temperature"].isna().mean() == pytest.approx(days["temperature"].isna().mean(), abs=0.03)


def test_the_copula_tells_a_gap_from_the_lowest_value_and_fills_none_with_a_gap():
    source = torch.Generator().manual_seed(0)
    x = torch.randn(400, 2, dtype=torch.float64, generator=source)
    x[:, 1] = 0.9 * x[:, 0] + 0.4 * x[:, 1]
    gap = x[:, 1] < x[:, 1].quantile(0.3)  # the lowest are missing
    table = pd.DataFrame({"a": x[:, 0], "b": torch.where(gap, torch.nan, x[:, 1])})
    copula = itp.GaussianCopula().fit(table)
    rows = copula.sample(1000)
    assert rows["b"].isna().mean() == pytest.approx(0.3, abs=0.05)
    assert rows["a"][rows["b"].isna()].mean() < -0.5
    full = copula.complete(table)
    assert not full.isna().any().any()
    filled = full["b"][gap.numpy()]
    assert filled.min() >= table["b"].min()
    assert filled.mean() < table["b"].quantile(0.4)


def test_a_completed_cell_follows_the_truncated_gaussian():
    x = torch.randn(5_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.cat([x, torch.where(x < 0, torch.nan, x)], 1)  # the lower half of the second is missing
    copula = itp.GaussianCopula().fit(x)
    full = copula.complete(torch.tensor([[torch.nan, torch.nan]]).double().expand(1500, 2))
    assert float(full[:, 1].median()) == pytest.approx(0.6745, abs=0.08)  # of |N(0, 1)|
    assert float(full[:, 1].min()) >= 0


def test_the_bootstrap_has_rows_of_the_fit_and_independent_columns_no_correlation(days):
    number = days[["temperature", "visitors"]].dropna().reset_index(drop=True)
    rows = itp.BootstrapRows().fit(number).sample(500)
    assert len(rows.merge(number.drop_duplicates())) == 500
    apart = itp.IndependentColumns().fit(number).sample(1500)
    assert number.corr().iloc[0, 1] > 0.4
    assert abs(apart.corr().iloc[0, 1]) < 0.1


def test_the_copula_has_the_rank_correlation_and_completes_given_the_row(days):
    number = days[["temperature", "visitors"]].dropna().reset_index(drop=True)
    copula = itp.GaussianCopula().fit(number)
    rows = copula.sample(1500)
    exact = number.corr("spearman").iloc[0, 1]
    assert rows.corr("spearman").iloc[0, 1] == pytest.approx(exact, abs=0.08)
    cold, hot = number.quantile(0.05)["temperature"], number.quantile(0.95)["temperature"]
    asked = pd.DataFrame({"temperature": [cold] * 300 + [hot] * 300, "visitors": [float("nan")] * 600})
    full = copula.complete(asked)
    assert full["visitors"].iloc[:300].mean() + 1 < full["visitors"].iloc[300:].mean()
    assert full["temperature"].equals(asked["temperature"])
