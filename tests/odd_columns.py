"""Columns that a method of tables should name before it learns: a heavy tail, and whole numbers."""

import warnings

import pandas as pd
import torch

from interpolants.foundations.randomness import generator
from interpolants.foundations.tell import DataWarning


def odd_rows(k=0):
    """A column with a heavy tail, one of whole numbers, and an ordinary one."""
    rows = torch.randn(300, 3, dtype=torch.float64, generator=generator(k, "odd rows"))
    rows[:, 0] = rows[:, 0].sinh() * 0.1
    rows[7, 0], rows[:, 1] = 60.0, (2 * rows[:, 1]).round()
    return pd.DataFrame(rows.numpy(), columns=["gain", "count", "plain"])


def check_odd_columns_are_named(fit):
    """``fit``, a function of a table, warns of the odd columns, and names a remedy."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(odd_rows())
    told = [str(one.message) for one in caught if issubclass(one.category, DataWarning)]
    tail, *_ = (one for one in told if "heavy-tailed" in one)
    assert "column gain of" in tail
    assert "transform={'gain': 'quantile'}" in tail or "data.Quantile" in tail
    whole, *_ = (one for one in told if "whole numbers" in one)
    assert "column count of" in whole
