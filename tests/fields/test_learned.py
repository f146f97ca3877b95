"""What can be handed over as a field, and how it is called."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.clock import clock
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.registry import build
from interpolants.paths import Linear, OneSidedLinear, SpatiallyLinear
from problems.bridges import F64, bridge, states

PATH = Linear()


class Network(nn.Module):
    """Counts its calls; adds the condition."""

    def __init__(self, heads=0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5, dtype=F64))
        self.calls, self.heads = 0, heads

    def forward(self, x, t, cond=None):
        self.calls += 1
        value = self.weight * x + (0 if cond is None else cond)
        if not self.heads:
            return value
        return torch.stack([value * (k + 1) for k in range(self.heads)], 1)


class WithoutCondition(nn.Module):
    def forward(self, x, t):
        return 2 * x


class Callable:
    def __call__(self, x, t, cond):
        return x + cond


def test_functions_modules_and_objects_are_called_as_they_are_written():
    x, cond = states(4), torch.ones(4, 2, dtype=F64)
    cases = [
        (lambda x, t: 3 * x, 3 * x),
        (lambda x, t, cond: x - cond, x - cond),
        (lambda *args: args[0] + args[2], x + cond),
        (Network(), 0.5 * x + cond),
        (WithoutCondition(), 2 * x),
        (Callable(), x + cond),
    ]
    for function, wanted in cases:
        value = LearnedFields(PATH, velocity=function).velocity(x, 0.5, cond)
        assert_close(value, wanted, check_stride=False)


def test_a_network_that_stands_alone_is_probed_once_for_all_fields_made_of_it():
    """How it rounds is remembered by the network: new fields of it ask for the steps alone."""
    network, calls = Network(), []
    for _ in range(2):
        before = network.calls
        sample(LearnedFields(PATH, velocity=network), states(100), n_steps=3, method="euler")
        calls.append(network.calls - before)
    assert calls[0] > calls[1] == 3


def test_errors_of_the_noise_are_multiplied_by_noise_over_signal_in_the_end_point():
    """``E[x1|x] = (x - alpha E[z|x]) / beta``: the state itself has no error."""
    path, t = OneSidedLinear(), torch.tensor([0.2, 0.5, 0.9], dtype=F64)
    fields = LearnedFields(path, noise=lambda x, t: x)
    assert_close(fields.error_factors("denoised", t), (1 - t) / t)
    assert_close(fields.error_factors("noise", t), torch.ones_like(t))
    ends = torch.tensor([0.0, fields.margin], dtype=F64)
    # At t = 0 the relation is evaluated at the margin, as in evaluate: one over beta(0) would be infinite.
    assert_close(
        fields.error_factors("denoised", ends), (1 - fields.margin) / fields.margin * torch.ones(2, dtype=F64)
    )


def test_a_network_on_a_steep_path_is_evaluated_just_inside_both_ends():
    root = SpatiallyLinear(lambda t: 1 - t, torch.sqrt, base=Gaussian())
    assert root.is_steep_at_0
    seen = []

    def rate(x, t):
        seen.append(float(t[0]))
        return x

    fields = LearnedFields(root, velocity=rate, margin=0.01)
    fields.velocity(states(4), 0.5)  # the first call also tries the function with other times
    seen.clear()
    for t in (0.0, 0.4, 1.0):
        fields.evaluate(states(4), torch.full((4,), t, dtype=F64), ("velocity",))
    assert seen == pytest.approx([0.01, 0.4, 0.99])


def test_joint_heads_are_one_call_and_in_order():
    network, x = Network(heads=2), states(4)
    fields = LearnedFields(PATH, joint=network, heads=("velocity", "noise"))
    t = torch.tensor(0.25, dtype=F64)
    fields.velocity(x, 0.5)  # the first call is checked
    network.calls = 0
    value = fields.evaluate(x, t, ("velocity", "score", "mean_rate"))
    assert network.calls == 1
    assert_close(value["velocity"], 0.5 * x)
    assert_close(value["score"], -x / PATH.envelope.gamma(t))
    assert_close(value["mean_rate"], 0.5 * x + PATH.envelope.gamma_gamma_dot(t) * value["score"])
    assert fields.networks == [network]


def test_only_the_networks_that_are_needed_are_called():
    velocity, noise = Network(), Network()
    fields = LearnedFields(PATH, velocity=velocity, noise=noise)
    fields.velocity(states(2), 0.5)  # the first call is checked
    velocity.calls = 0
    fields.velocity(states(2), 0.5)
    assert (velocity.calls, noise.calls) == (1, 0)
    assert fields.bounded_quantity == "noise"
    assert LearnedFields(PATH, velocity=velocity, score=noise).bounded_quantity == "score"


@pytest.mark.parametrize("grad", [True, False])
def test_an_energy_gives_minus_its_slope_as_score(grad):
    exact = bridge(PATH).fields(PATH)
    fields = LearnedFields(PATH, energy=lambda x, t: -exact.log_prob(x, t), mean_rate=exact.mean_rate)
    x = states(5)
    with torch.set_grad_enabled(grad):
        assert_close(fields.score(x, 0.4), exact.score(x, 0.4))
    with torch.inference_mode():
        assert_close(fields.velocity(x, 0.4), exact.velocity(x, 0.4))


def test_gradients_reach_the_parameters_behind_an_energy():
    scale = torch.tensor(2.0, dtype=F64, requires_grad=True)
    fields = LearnedFields(PATH, energy=lambda x, t: 0.5 * scale * x.square().sum(1))
    x = states(3)
    (slope,) = torch.autograd.grad(fields.score(x, 0.5).sum(), scale)
    assert_close(slope, -x.sum())


def test_images_and_a_time_per_row_pass_through_the_relations():
    x = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=F64)
    t = torch.tensor([0.2, 0.5, 0.7], dtype=F64)
    fields = LearnedFields(OneSidedLinear(), velocity=lambda x, t: torch.zeros_like(x))
    # b = 0 is x1 = x0, so E[x0|x] = x and the score is -x/(1 - t).
    assert_close(fields.score(x, t), -x / (1 - t).reshape(3, 1, 1, 1))


@pytest.mark.parametrize("shape", [(4,), (4, 3), (1, 2)])
def test_an_output_of_another_shape_is_refused(shape):
    fields = LearnedFields(PATH, velocity=lambda x, t: torch.zeros(shape, dtype=F64))
    with pytest.raises(
        InvalidInputError, match=r"LearnedFields.velocity: the output must have shape \(4, 2\), got"
    ):
        fields.velocity(states(4), 0.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "at least one field must be given"),
        ({"velocity": 3}, "a field must be callable"),
        ({"joint": Network(2)}, "joint and heads go together"),
        ({"heads": ("velocity",)}, "joint and heads go together"),
        ({"joint": Network(2), "heads": ("velocity", "noize")}, "Did you mean 'noise'"),
        (
            {"joint": Network(1), "heads": ("velocity",), "velocity": Network()},
            "a quantity may be given once",
        ),
        ({"velocity": Network(), "margin": 0.5}, r"margin must lie in \[0, 0\.5\), got 0\.5"),
    ],
)
def test_a_bad_call_is_refused(settings, message):
    with pytest.raises(InvalidInputError, match=message):
        LearnedFields(PATH, **settings)


def test_a_path_must_be_one():
    with pytest.raises(InvalidInputError, match="path must be a Path, got str"):
        LearnedFields("linear", velocity=Network())


def test_an_unknown_quantity_is_refused_by_name():
    with pytest.raises(InvalidInputError, match="Did you mean 'score'"):
        LearnedFields(PATH, velocity=Network()).provides("scores")


def test_the_card_makes_one():
    fields = build("field", "learned_fields", path=PATH, velocity=Network())
    assert isinstance(fields, LearnedFields)


def test_a_table_of_times_gives_the_sums_of_the_relations_at_the_ends_too():
    """With a margin the relations are evaluated just inside; the table holds the same."""
    fields = LearnedFields(OneSidedLinear(), velocity=Network(), margin=1e-3)
    x, ticks = states(4), clock(np.array([0.0, 0.3, 1.0]), states(4))
    names, weights = ("velocity", "score"), lambda t: (1.0, 0.5 + t)
    told, plain = fields.combined(names, weights, ticks), fields.combined(names, weights)
    for tick in ticks:
        assert_close(told(x, tick, None), plain(x, tick.clone(), None), rtol=1e-9, atol=1e-9)
