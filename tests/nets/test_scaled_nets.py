"""Networks in units of their own: what comes in and out, by hand."""

import torch
from torch import nn
from torch.testing import assert_close

from interpolants.nets.features import ConvFeatures
from interpolants.nets.scaled_condition import ScaledCondition, scaled
from interpolants.nets.scaled_velocity import ScaledVelocity


class Told(nn.Module):
    def forward(self, x, t, cond=None):
        return x if cond is None else cond


def test_conditions_are_scaled_by_entry_and_by_channel():
    cond = torch.tensor([[3.0, 10.0]])
    assert scaled(cond, (1.0, 2.0), (2.0, 4.0)).tolist() == [[1.0, 2.0]]
    field = cond[..., None, None].expand(1, 2, 3, 5)
    assert scaled(field, (1.0, 2.0), (2.0, 4.0))[0, :, 1, 1].tolist() == [1.0, 2.0]
    net = ScaledCondition(Told(), (1.0, 2.0), (2.0, 4.0))
    assert net(torch.zeros(1, 2), torch.zeros(1), cond).tolist() == [[1.0, 2.0]]


def test_inside_they_are_asked_at_the_same_time():
    class Clock(nn.Module):
        def forward(self, x, t, cond=None):
            return x * 0 + t[:, None]

    x, t = torch.zeros(3, 2), torch.tensor([0.1, 0.5, 0.8])
    assert_close(ScaledCondition(Clock(), (1.0,), (2.0,))(x, t, torch.ones(3, 1)), t[:, None].expand(3, 2))
    rate = ScaledVelocity(Clock(), (1.0, 2.0), (2.0, 4.0))(x, t)
    assert_close(rate, t[:, None] * torch.tensor([2.0, 4.0]))


def test_labels_are_not_scaled():
    labels = torch.tensor([3])
    assert ScaledCondition(Told(), (1.0,), (2.0,))(torch.zeros(1, 2), torch.zeros(1), labels).tolist() == [3]


def test_a_velocity_in_standard_units_has_data_units():
    x = torch.tensor([[3.0, 10.0]])
    net = ScaledVelocity(Told(), (1.0, 2.0), (2.0, 4.0))
    assert_close(net(x, torch.zeros(1)), torch.tensor([[2.0, 8.0]]))  # the identity, in units and back


def test_features_have_a_row_for_each_image(generator):
    net = ConvFeatures((1, 9, 11), 3, width=4)
    assert net(torch.randn(5, 1, 9, 11, generator=generator)).shape == (5, 3)
