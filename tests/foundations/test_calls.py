"""What a user's function takes is read from its signature, settings with defaults and compiled modules included."""

import inspect

import pytest
import torch
from torch import nn

from interpolants import Bridge
from interpolants.couplings import MinibatchOT
from interpolants.fields import LearnedFields
from interpolants.foundations.calls import takes_third
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import generator
from interpolants.likelihood import dequantise
from interpolants.objectives import joint_loss
from interpolants.paths import OneSidedLinear


class Plain(nn.Module):
    """Without a condition."""

    def forward(self, x, t):
        return 2 * x


FUNCTIONS = {
    "two": (lambda x, t: x, False),
    "three": (lambda x, t, c: x, True),
    "optional": (lambda x, t, cond=None: x, True),
    "labelled": (lambda x, t, cond=0: x, True),
    "setting": (lambda x, t, k=3.0: x, False),
    "any": (lambda *given: given[0], True),
    "module": (Plain(), False),
    "compiled": (torch.compile(Plain(), backend="eager"), False),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_condition_is_told_from_a_setting(name):
    function, wanted = FUNCTIONS[name]
    assert takes_third(function) is wanted


def test_settings_keep_their_defaults_in_fields():
    fields = LearnedFields(OneSidedLinear(), velocity=lambda x, t, k=3.0: k * x)
    assert float(fields.velocity(torch.ones(1, 1), 0.5)) == 3
    assert float(LearnedFields(OneSidedLinear(), velocity=Plain()).velocity(torch.ones(1, 1), 0.5)) == 2


def test_networks_without_a_condition_are_refused_where_one_is_passed():
    x = torch.randn(8, 2, generator=generator(0))
    rule = r"net must be callable as net\(x, t, cond\), got Plain, called as net\(x, t\). Write def forward"
    with pytest.raises(InvalidInputError, match=rf"Bridge: {rule}"):
        Bridge("one_sided_linear", net=Plain(), steps=2).fit(x1=x, progress=False)
    path = OneSidedLinear()
    loss, sample = joint_loss(["velocity"], path), path.sample(x1=x, t=0.5)
    with pytest.raises(InvalidInputError, match=rf"JointLoss: {rule}"):
        loss.at(Plain(), sample, None, pairs=False, generator=None)


def test_whole_numbers_and_many_dimensions_are_refused_with_a_remedy():
    with pytest.raises(InvalidInputError, match=r"dequantise: x must be floating point, got torch.uint8"):
        dequantise(torch.zeros(2, 3, dtype=torch.uint8), 1.0)
    x = torch.randn(16, 9, generator=generator(0))
    with pytest.raises(InvalidInputError, match=r"rows of at most 8 numbers, got 9. Use method='exact'"):
        MinibatchOT(method="fast").pair(x, x)


def test_a_signature_is_read_once_for_all_instances(monkeypatch):
    class Net(nn.Module):
        def forward(self, x, t, cond=None):
            return x

    read = []
    whole = inspect.signature
    monkeypatch.setattr(inspect, "signature", lambda target: read.append(target) or whole(target))
    assert all(takes_third(Net()) for _ in range(5))
    assert len(read) == 1


def test_a_function_and_the_method_that_it_is_are_told_apart():
    def answer(self, x, t):
        return x

    class Holder:
        call = answer

    assert takes_third(answer)  # three arguments, the last without a default
    assert not takes_third(Holder().call)
