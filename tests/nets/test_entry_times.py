"""What a network with one time per entry is given."""

import torch
from torch.testing import assert_close

from interpolants.foundations.row_times import TakesOneTime
from interpolants.nets.entry_times import EntryTimes


class Kept(TakesOneTime, torch.nn.Module):
    def forward(self, x, t, cond=None):
        self.x, self.t = x, t
        return 2 * x


def test_times_are_further_entries_of_unit_variance_and_the_least_is_that_of_the_row():
    inner, x = Kept(), torch.randn(1000, 2, 3, generator=torch.Generator().manual_seed(0))
    t = torch.rand(1000, 2, 3, generator=torch.Generator().manual_seed(1))
    found = EntryTimes(inner)(x, t)
    assert_close(inner.x[:, :2], x)
    assert_close(inner.x[:, 2:], 12**0.5 * (t - 0.5))
    assert abs(float(inner.x[:, 2:].std()) - 1) < 0.03
    assert_close(inner.t, t.flatten(1).min(1).values)
    assert_close(found, 2 * x)
