"""The picture of a path in the report, also where every direction has a schedule of its own."""

import torch

from interpolants.paths import ShortestPath
from interpolants.reports.tables import _first_and_last


def test_of_many_schedules_the_first_the_middle_and_the_last_are_shown():
    path = ShortestPath.fit(torch.randn(50, 1, 4, 4, generator=torch.Generator().manual_seed(0)).cumsum(-1))
    t = torch.linspace(0, 1, 21, dtype=torch.float64)
    first, middle, last = _first_and_last(path.beta(t)).values()
    flat = path.beta(t).flatten(1)
    assert first[10] == float(flat[10].max())
    assert last[10] == float(flat[10].min())
    assert last[10] < middle[10] < first[10]
