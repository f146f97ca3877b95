"""Observed fields: the answers of the inner ones, and an observer that is told quantities at the same point."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.fields import LearnedFields
from interpolants.fields.observed import ObservedFields
from interpolants.paths import VP

TOLD = ("denoised", "noise", "velocity")
WAYS = {
    "evaluate": lambda fields, x, t: fields.evaluate(x, t, ("score",))["score"],
    "combine": lambda fields, x, t: fields.combine(x, t, [("velocity", 1.0), ("score", 0.3)]),
    "combined": lambda fields, x, t: fields.combined(("velocity", "score"), lambda _: (1.0, 0.3))(x, t, None),
    "velocity_of": lambda fields, x, t: fields.velocity_of()(x, t),
}


class Net(torch.nn.Module):
    calls = 0

    def forward(self, x, t):
        self.calls += 1
        return torch.sin(x + t[:, None])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("learnt", ["velocity", "noise"])
def test_the_observer_is_told_the_fields_where_they_were_asked(way, learnt, generator):
    net, seen = Net(), []
    fields = LearnedFields(VP(), **{learnt: net})
    x, t = torch.randn(5, 2, generator=generator).double(), torch.tensor(0.3).double()
    wanted, told = WAYS[way](fields, x, t), fields.evaluate(x, t, TOLD)
    observed = ObservedFields(fields, TOLD, lambda *what: seen.append(what))
    WAYS[way](observed, x, t)  # the first call is checked, by more calls
    before = net.calls
    seen.clear()
    assert torch.equal(WAYS[way](observed, x, t), wanted)
    assert net.calls == before + 1  # what was not asked for costs no call
    ((state, time, values),) = seen
    assert torch.equal(state, x)
    assert torch.equal(time, t)
    assert set(values) == set(TOLD)
    for name in TOLD:
        assert_close(values[name], told[name])
