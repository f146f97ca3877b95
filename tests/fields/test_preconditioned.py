"""Inputs, outputs and losses of one size: against the exact answer for normal data, and in heavy tails."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.dynamics import sample
from interpolants.fields import QUANTITIES, LearnedFields, Preconditioned
from interpolants.foundations import Gaussian
from interpolants.foundations.errors import InvalidInputError
from interpolants.objectives import joint_loss
from interpolants.paths import (
    EDM,
    VP,
    DiscreteSchedule,
    FourierBasis,
    Linear,
    OneSidedLinear,
    OneSidedTrigonometric,
    ShortestPath,
    VariancePreserving,
)
from interpolants.paths.student_t import StudentT
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

F64 = torch.float64
SPREAD = 0.6
PATHS = {
    "edm": EDM(smax=20.0),
    "linear": OneSidedLinear(),
    "linear, wide base": OneSidedLinear(base=Gaussian(scale=3.0)),
    "trigonometric": OneSidedTrigonometric(),
    "vp": VP(),
}
HEAVY = {"edm, df 3": EDM(df=3, smax=20.0), "linear, df 3": OneSidedLinear(base=StudentT(3))}
TIMES = [0.05, 0.5, 0.9, 0.999]


class Constant(nn.Module):
    """A network that answers one number and keeps what it was asked."""

    def __init__(self, value, heads=1):
        super().__init__()
        self.value, self.heads = value, heads

    def forward(self, x, t, cond=None):
        self.asked, self.clock = x, t
        shape = x.shape if self.heads == 1 else (len(x), self.heads, *x.shape[1:])
        return torch.full(shape, float(self.value), dtype=x.dtype)


def normal_data(n, size=2, seed=0):
    return SPREAD * torch.randn(n, size, generator=torch.Generator().manual_seed(seed), dtype=F64)


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("name", PATHS)
def test_for_normal_data_a_silent_network_is_exact(name, quantity, generator):
    """The answer is ``skip x``, the mean given the state in closed form."""
    path = PATHS[name]
    one, zero = torch.ones(1, dtype=F64), torch.zeros(1, 2, dtype=F64)
    rho1 = GaussianMixture(one, zero, SPREAD**2 * one)
    truth = GaussianMixtureBridge(path.base, rho1).fields(path)
    silent = Preconditioned(Constant(0.0), path, (quantity,), SPREAD)
    x = 2 * torch.randn(5, 2, generator=generator, dtype=F64)
    for t in TIMES:
        time = torch.tensor(t, dtype=F64)
        assert_close(silent(x, time), getattr(truth, quantity)(x, t), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("path", [VP(), DiscreteSchedule(), VariancePreserving()])
def test_where_a_rate_is_infinite_the_velocity_is_the_limit_of_those_inside(path, generator):
    one, zero = torch.ones(1, dtype=F64), torch.zeros(1, 2, dtype=F64)
    rho1 = GaussianMixture(one, zero, SPREAD**2 * one)
    truth = GaussianMixtureBridge(path.base, rho1).fields(path)
    field = Preconditioned(Constant(0.0), path, ("velocity",), SPREAD)
    x = 2 * torch.randn(5, 2, generator=generator, dtype=F64)
    for t in (torch.tensor(1.0, dtype=F64), torch.ones(5, dtype=F64)):
        assert_close(field(x, t), truth.velocity(x, 1.0), rtol=1e-2, atol=1e-2)
    whole = LearnedFields(path, velocity=Preconditioned(Constant(0.1), path, ("velocity",), SPREAD))
    assert bool(sample(whole, x, n_steps=4).x.isfinite().all())


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("name", PATHS)
def test_for_normal_data_inputs_and_what_is_left_have_unit_variance(name, quantity):
    """Within 5 standard errors at 20,000 rows: input ``x/sqrt(V)``, and the weighted loss of a silent network."""
    path, n = PATHS[name], 20_000
    net = Preconditioned(Constant(0.0), path, (quantity,), SPREAD)
    loss = joint_loss((quantity,), path, net.weight)
    for t in TIMES:
        time = torch.full((n,), t, dtype=F64)
        left = loss(net, x1=normal_data(n), t=time, generator=torch.Generator().manual_seed(1))[quantity]
        assert abs(float(left.mean()) / 2 - 1) < 5 * (1 / n) ** 0.5
        asked = net.net.asked
        assert abs(float(asked.square().mean()) - 1) < 5 * (1 / n) ** 0.5


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("name", HEAVY)
def test_heavy_tails_reach_the_network_and_the_loss_at_order_one(name, quantity):
    """df = 3: the states' fourth moment is infinite; the largest of 20,000 inputs stays moderate, and so does the
    largest loss while the noise stands out from the data."""
    path, n = HEAVY[name], 20_000
    net = Preconditioned(Constant(0.0), path, (quantity,), SPREAD)
    loss = joint_loss((quantity,), path, net.weight)
    for t in TIMES:
        time = torch.full((n,), t, dtype=F64)
        x1, source = normal_data(n, 16), torch.Generator().manual_seed(1)
        left = loss(net, x1=x1, t=time, generator=source)[quantity] / 16
        assert 0.2 < float(left.median()) < 2
        assert t > 0.5 or float(left.max()) < 30
        assert float(net.net.asked.square().mean(1).max()) < 12
        plain = path.sample(x1=x1, t=time, generator=torch.Generator().manual_seed(1)).x_t
        row = plain.square().mean(1)
        assert float(row.max() / row.median()) > (20 if t < 0.9 else 1)


def test_many_degrees_of_freedom_are_the_normal_noise(generator):
    x = 3 * torch.randn(6, 4, generator=generator, dtype=F64)
    many, normal = (Preconditioned(Constant(0.3), EDM(df=df), ("denoised",), SPREAD) for df in (1e9, "inf"))
    for t in (0.1, 0.99, 0.9999):
        time = torch.tensor(t, dtype=F64)
        assert_close(many(x, time), normal(x, time), rtol=1e-5, atol=1e-5)


def test_it_is_the_preconditioning_of_karras(generator):
    path, sd = EDM(), 0.5
    x, sigma = torch.randn(4, 3, generator=generator, dtype=F64), 0.7
    t = 1 - torch.tensor(sigma, dtype=F64) / 80
    net = Preconditioned(Constant(2.0), path, ("denoised",), sd)
    expected = sd**2 / (sigma**2 + sd**2) * x + sigma * sd / (sigma**2 + sd**2) ** 0.5 * 2.0
    assert_close(net(x, t), expected)
    assert_close(net.net.asked, x / (sigma**2 + sd**2) ** 0.5)
    weight = net.weight(x, t)["denoised"]
    assert_close(weight, torch.full((4,), (sigma**2 + sd**2) / (sigma * sd) ** 2, dtype=F64))


def test_the_clock_runs_from_noise_to_data_and_is_one_for_all_paths(generator):
    """Where noise over signal is the same, so is the clock."""
    clocks = []
    for path in (EDM(smax=20.0), OneSidedLinear(), VP()):
        net = Preconditioned(Constant(0.0), path, ("denoised",), 1.0)
        levels = torch.tensor([10.0, 1.0, 0.05], dtype=F64)
        times = path.time_at_log_snr(-2 * levels.log())
        x = torch.randn(3, 2, generator=generator, dtype=F64)
        for _ in range(2):  # the first call is checked, at other times too
            net(x, times)
        clocks.append(net.net.clock)
    assert_close(clocks[0], clocks[1])
    assert_close(clocks[0], clocks[2])
    assert_close(clocks[0], 0.5 - levels.log() / torch.log(torch.tensor(1e6, dtype=F64)))


def test_the_rate_in_time_is_finite_where_there_is_no_signal():
    """Noise over signal is infinite at t = 0, where the clock stands at its first mark."""

    class Clock(nn.Module):
        def forward(self, x, t, cond=None):
            return 1 + x * 0 + t.reshape(-1, 1)

    net, x = Preconditioned(Clock(), OneSidedLinear(), ("denoised",), 0.7), normal_data(3)
    net(x, torch.full((3,), 0.5, dtype=F64))  # the first call is checked
    start = torch.zeros(3, dtype=F64, requires_grad=True)
    value = net(x, start).sum()
    (rate,) = torch.autograd.grad(value, start)
    later = net(x, start.detach() + 1e-6).sum()
    assert_close(rate.sum(), (later - value.detach()) / 1e-6, rtol=1e-4, atol=1e-4)


def test_heads_rows_and_types_are_kept(generator):
    heads = ("denoised", "score", "velocity")
    net = Preconditioned(Constant(0.5, 3), EDM(df=5), heads, SPREAD)
    x, t = torch.randn(4, 2, 3, generator=generator), torch.tensor([0.1, 0.5, 0.9, 0.99])
    out = net(x, t)
    assert out.shape == (4, 3, 2, 3)
    assert out.dtype == torch.float32
    for k, head in enumerate(heads):
        alone = Preconditioned(Constant(0.5), EDM(df=5), (head,), SPREAD)
        for i in range(4):
            assert_close(alone(x[i : i + 1], t[i])[0], out[i, k])
    assert {name: tuple(w.shape) for name, w in net.weight(x, t).items()} == dict.fromkeys(heads, (4,))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Preconditioned(Constant(0), Linear(), ("velocity",), 1.0),
            "one-sided and spatially linear, got Lin",
        ),
        (
            lambda: Preconditioned(Constant(0), OneSidedLinear(Gaussian(mean=1.0)), ("velocity",), 1.0),
            "the base must be centred with one scale",
        ),
        (
            lambda: Preconditioned(
                Constant(0), ShortestPath(FourierBasis(1), torch.ones(2)), ("denoised",), 1.0
            ),
            "the path must have one schedule for all directions, got ShortestPath",
        ),
        (lambda: Preconditioned(Constant(0), EDM(), ("denoisd",), 1.0), "Did you mean 'denoised'"),
        (
            lambda: Preconditioned(Constant(0), EDM(), ("denoised",), 0.0),
            "data_std must be finite and > 0, got 0.0",
        ),
    ],
)
def test_bad_input_is_refused_with_its_value(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_a_state_a_little_smaller_than_the_data_has_a_level_of_noise_too():
    """Its noise by size is negative where the signal alone explains more than there is."""
    net = Preconditioned(Constant(0.0), HEAVY["linear, df 3"], ("denoised",), 1.0)
    x = torch.full((1, 64), (6 / 7) ** 0.5, dtype=F64)
    assert_close(net(x, torch.tensor(1.0, dtype=F64)), x, rtol=1e-4, atol=0)
