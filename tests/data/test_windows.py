"""Windows of series: against plain loops and NumPy's interpolation."""

import numpy as np
import torch
from torch.testing import assert_close

from interpolants.data.windows import all_windows, interpolated, padded_front, with_lags


def test_lags_are_earlier_values_column_by_column():
    x = torch.arange(40.0).reshape(1, 20, 2)
    found = with_lags(x, 5, (3, 7))
    assert found.shape == (1, 6, 5)
    for k, lag in enumerate((0, 3, 7)):
        for c in range(2):
            assert found[0, 2 * k + c].tolist() == [float(x[0, t - lag, c]) for t in range(15, 20)]


def test_every_stretch():
    x = torch.arange(12.0).reshape(6, 2)
    found = all_windows(x, 4)
    assert [torch.equal(found[i], x[i : i + 4]) for i in range(3)] == [True] * 3


def test_what_is_short_is_padded_in_front_and_what_is_long_is_cut():
    x = torch.arange(1.0, 4.0).reshape(1, 3, 1)
    assert padded_front(x, 5).flatten().tolist() == [0, 0, 1, 2, 3]
    assert padded_front(x, 2).flatten().tolist() == [2, 3]
    assert padded_front(torch.ones(1, 1, 1, dtype=torch.bool), 2).flatten().tolist() == [False, True]


def test_gaps_are_straight_lines():
    g = torch.Generator().manual_seed(0)
    values, seen = torch.randn(50, 3, generator=g).double(), torch.rand(50, 3, generator=g) < 0.4
    seen[:, 2] = False
    found = interpolated(values, seen)
    for c in range(2):
        known = seen[:, c].nonzero()[:, 0].numpy()
        expected = np.interp(np.arange(50), known, values[known, c].numpy())
        assert_close(found[:, c], torch.from_numpy(expected), rtol=1e-12, atol=1e-12)
    assert not found[:, 2].any()
