"""Fields that answer for others pass on what they leave alone."""

import torch
from torch import nn

from interpolants.dynamics import sample
from interpolants.fields import Fields, LearnedFields, WrappedFields
from interpolants.paths import Linear


class Doubled(WrappedFields):
    def evaluate(self, x, t, want, cond=None):
        return {name: 2 * value for name, value in self.inner.evaluate(x, t, want, cond).items()}


class Exact(Fields):
    def evaluate(self, x, t, want, cond=None):
        return dict.fromkeys(want, x)

    def provides(self, quantity):
        return quantity == "velocity"


class Still(nn.Module):
    def forward(self, x, t):
        return 0.5 * x


def test_fields_of_a_formula_know_the_velocity_and_hold_no_network():
    assert Exact().known == ("velocity",)
    assert Exact().networks == []


def test_a_wrapper_knows_holds_and_provides_what_the_inner_fields_do():
    net = Still()
    inner = LearnedFields(Linear(), mean_rate=net, noise=lambda x, t: x)
    outer = Doubled(inner)
    assert outer.path is inner.path
    assert outer.known == ("mean_rate", "noise")
    assert outer.networks == [net]
    assert outer.bounded_quantity == "noise"
    assert outer.provides("score")


def test_a_sampler_does_not_go_around_a_wrapper():
    inner = LearnedFields(Linear(), velocity=Still(), noise=lambda x, t: 0 * x)
    x = torch.ones(4, 2, dtype=torch.float64)
    for eps in (0.0, 0.5):
        plain, doubled = (sample(f, x, eps=eps, seed=0, n_steps=5).x for f in (inner, Doubled(inner)))
        assert not torch.equal(plain, doubled)
