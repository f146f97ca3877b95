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
