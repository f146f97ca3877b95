"""Change of features along a run: at rest, and without a trace in the samples."""

import torch
from torch import nn
from torch.testing import assert_close

from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.generative.acceleration.feature_observer import FeatureObserver, feature_change
from interpolants.nets import MLP, UNet
from interpolants.paths import Linear, OneSidedLinear
from stirred_nets import stirred


class Still(nn.Module):
    """Features that are the state; an answer that is zero where the state is."""

    def encode(self, x, t, cond=None):
        return (x,)

    def decode(self, features, t, cond=None):
        return 2 * features[0]

    def forward(self, x, t, cond=None):
        return self.decode(self.encode(x, t, cond), t, cond)


def test_features_that_are_zero_and_stay_so_do_not_change():
    fields, x = LearnedFields(OneSidedLinear(), velocity=Still()), torch.zeros(3, 2, dtype=torch.float64)
    found = feature_change(fields, x, n_steps=4, method="euler")
    assert found.encoder.tolist() == found.decoder.tolist() == [0.0] * 3


def test_a_growth_by_one_half_each_step_is_a_change_of_one_half(generator):
    fields, x = (
        LearnedFields(OneSidedLinear(), velocity=Still()),
        torch.randn(3, 2, generator=generator).double(),
    )
    found = feature_change(fields, x, n_steps=4, method="euler")  # x + 2 x / 4
    half = torch.full((3,), 0.5, dtype=torch.float64)
    assert_close(found.encoder, half)
    assert_close(found.decoder, half)
    assert_close(found.times, torch.tensor([0.0, 0.25, 0.5, 0.75], dtype=torch.float64))


def test_samples_are_those_of_a_plain_run_also_where_calls_are_not_looked_at(generator):
    """The second call of a step, and a network that is not split."""
    nets = stirred(UNet((1, 4, 4), channels=8, blocks=1)), stirred(MLP((1, 4, 4), width=8))
    fields = LearnedFields(Linear(), velocity=nets[0].eval(), noise=nets[1].eval())
    x = torch.randn(5, 1, 4, 4, generator=generator)
    for run in ({"method": "heun"}, {"eps": 0.3, "seed": 1}):
        plain = sample(fields, x, n_steps=3, **run).x
        assert torch.equal(sample(fields, x, n_steps=3, modifiers=FeatureObserver(), **run).x, plain)
