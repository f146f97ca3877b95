"""Log-likelihoods against the closed form, against each other, and as functions that integrate to one."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import Status
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import generator
from interpolants.likelihood import LogProb, Scoring, log_prob, sample_with_log_prob
from interpolants.nets import MLP, UNet
from interpolants.paths import (
    EncoderDecoder,
    Linear,
    OneSidedLinear,
    QuadraticEnvelope,
    Trigonometric,
    VariancePreserving,
    ZeroEnvelope,
)
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge
from stirred_nets import stirred

F64 = torch.float64
DATA = GaussianMixture(
    torch.tensor([0.3, 0.7], dtype=F64),
    torch.tensor([[2.0, -1.0], [-1.0, 1.0]], dtype=F64),
    torch.tensor([[[0.5, 0.2], [0.2, 0.4]], [[0.3, -0.1], [-0.1, 0.6]]], dtype=F64),
)
START = GaussianMixture(
    torch.tensor([0.6, 0.4], dtype=F64),
    torch.tensor([[-1.0, -1.0], [0.5, 1.5]], dtype=F64),
    torch.tensor([[[0.6, 0.1], [0.1, 0.3]], [[0.4, 0.0], [0.0, 0.8]]], dtype=F64),
)
NORMAL = GaussianMixture.from_gaussian(Gaussian((2,)), 2)
PATHS = {
    "linear": Linear(),
    "trigonometric": Trigonometric(envelope=QuadraticEnvelope()),
    "encoder_decoder": EncoderDecoder(),
    "one_sided": OneSidedLinear(),
    "variance_preserving": VariancePreserving(),
    "flow_matching": Linear(envelope=ZeroEnvelope()),
}


def exact(name):
    path = PATHS[name]
    rho0 = NORMAL if path.is_one_sided else START
    return GaussianMixtureBridge(rho0, DATA).fields(path), rho0


def one_sided():
    return exact("one_sided")[0]


def points(n=30, seed=0):
    return DATA.sample(n, generator=generator(seed))


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("name", PATHS)
def test_the_flow_of_exact_fields_has_the_true_density(name, end):
    """Within 1e-3 nats at 1,000 points, at either end."""
    fields, rho0 = exact(name)
    here, there = (DATA, rho0) if end == 1 else (rho0, DATA)
    x = here.sample(1000, generator=generator(1))
    tight = {"rtol": 1e-6, "atol": 1e-6, "invariant": False, "chunk": 1000}
    found = log_prob(fields, x, there, end=end, **tight)
    assert float((found.log_prob - here.log_prob(x)).abs().max()) < 1e-3
    assert found.error.eq(0).all()
    assert found.status.eq(int(Status.OK)).all()
    assert bool((found.log_prob - there.log_prob(found.x)).abs().max() > 0.1)  # the volume matters


def test_single_precision_is_good_to_a_thousandth_of_a_nat_too():
    x = points(200).float()
    found = log_prob(one_sided(), x, NORMAL, rtol=1e-6, atol=1e-6)
    assert found.log_prob.dtype == torch.float32
    assert float((found.log_prob - DATA.log_prob(x)).abs().max()) < 2e-3


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_fixed_steps_converge_to_it_with_their_order(method, order):
    x = points(50)
    errors = [
        float(
            (log_prob(one_sided(), x, NORMAL, method=method, n_steps=n).log_prob - DATA.log_prob(x))
            .abs()
            .mean()
        )
        for n in (20, 40)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35)


def test_the_density_integrates_to_one():
    """The trapezoidal sum over a grid wide enough for both modes; smooth, so that the sum is exact to rounding."""
    axis = torch.linspace(-6, 7, 60, dtype=F64)
    grid = torch.cartesian_prod(axis, axis)
    found = log_prob(one_sided(), grid, NORMAL, rtol=1e-4, atol=1e-4, invariant=False, chunk=3600)
    assert float(found.log_prob.exp().sum() * (axis[1] - axis[0]) ** 2) == pytest.approx(1, abs=1e-3)


def test_a_density_of_a_network_integrates_to_one_although_nobody_knows_it():
    net = MLP(2, width=16, depth=2, activation="tanh", seed=1).double()
    with torch.no_grad():
        net.output.weight.normal_(std=0.3, generator=generator(4))
    fields = LearnedFields(Linear(envelope=ZeroEnvelope()), velocity=net)
    axis = torch.linspace(-7, 7, 40, dtype=F64)
    grid = torch.cartesian_prod(axis, axis)
    found = log_prob(fields, grid, NORMAL, rtol=1e-5, atol=1e-5)
    assert float(found.log_prob.exp().sum() * (axis[1] - axis[0]) ** 2) == pytest.approx(1, abs=1e-3)
    assert float((found.log_prob - NORMAL.log_prob(grid)).abs().max()) > 0.1


@pytest.mark.parametrize(
    "settings", [{"method": "dopri5", "rtol": 1e-8, "atol": 1e-8}, {"method": "rk4", "n_steps": 100}]
)
def test_sampling_with_densities_agrees_with_the_density_at_the_samples(settings):
    x0 = NORMAL.sample(40, generator=generator(2))
    drawn = sample_with_log_prob(one_sided(), x0, NORMAL, **settings)
    scored = log_prob(one_sided(), drawn.x, NORMAL, **settings)
    assert_close(drawn.log_prob, scored.log_prob, atol=1e-5, rtol=0)
    assert_close(scored.x, x0, atol=1e-5, rtol=0)
    assert_close(drawn.log_prob, DATA.log_prob(drawn.x), atol=1e-4, rtol=0)


# --- probes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_probes_are_unbiased_and_know_their_error(method):
    """1,000 points of one distribution, 8 probes each: errors average out and have the size they claim; seed 0."""
    x = DATA.sample(1000, generator=generator(3))
    settings = {
        "method": method,
        "n_steps": 30,
        "rtol": 1e-4,
        "atol": 1e-4,
        "invariant": False,
        "chunk": 1000,
    }
    found = log_prob(one_sided(), x, NORMAL, divergence="hutchinson", probes=8, seed=0, **settings)
    wanted = log_prob(one_sided(), x, NORMAL, **settings).log_prob
    miss = found.log_prob - wanted
    assert abs(float(miss.mean())) < 4.5 * float(miss.std()) / math.sqrt(1000)
    ratio = float(miss.square().mean() / found.error.square().mean())
    assert ratio == pytest.approx(1, abs=0.15)
    assert float(found.error.mean()) > 0.01


def test_more_probes_have_less_error_and_one_has_none_to_show():
    x = points(300)
    settings = {
        "divergence": "hutchinson",
        "method": "midpoint",
        "n_steps": 20,
        "invariant": False,
        "chunk": 300,
    }
    errors = [
        float(log_prob(one_sided(), x, NORMAL, probes=k, **settings).error.square().mean()) for k in (4, 16)
    ]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.3)
    assert log_prob(one_sided(), x, NORMAL, probes=1, **settings).error.isnan().all()


def test_probes_belong_to_the_sample():
    x = points(150)
    settings = {"divergence": "hutchinson", "probes": 2, "method": "midpoint", "n_steps": 4}
    whole = log_prob(one_sided(), x, NORMAL, seed=1, **settings).log_prob
    part = log_prob(one_sided(), x[70:80], NORMAL, seed=1, first_index=70, **settings).log_prob
    assert_close(part, whole[70:80], atol=1e-10, rtol=0)
    other = log_prob(one_sided(), x[70:80], NORMAL, seed=2, first_index=70, **settings).log_prob
    assert float((other - part).abs().max()) > 1e-3


# --- shapes, networks, bases --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 2, 3), (12,)])
@pytest.mark.parametrize("mode", ["auto", "reverse", "forward"])
def test_any_event_shape_by_any_mode(shape, mode):
    """dx/dt = a x scales by e^a: log p(x) = log N(x e^-a) - a D."""
    fields = LearnedFields(Linear(envelope=ZeroEnvelope()), velocity=lambda x, t: 0.5 * x)
    x = torch.randn(6, *shape, dtype=F64, generator=generator(0))
    found = log_prob(fields, x, Gaussian(shape), mode=mode, rtol=1e-8, atol=1e-8)
    wanted = Gaussian(shape).log_prob(x * math.exp(-0.5)) - 6.0
    assert_close(found.log_prob, wanted, atol=1e-6, rtol=0)
    mirrored = log_prob(fields, x, Gaussian(shape), end=0, mode=mode, rtol=1e-8, atol=1e-8)
    assert_close(mirrored.log_prob, Gaussian(shape).log_prob(x * math.exp(0.5)) + 6.0, atol=1e-6, rtol=0)


def test_a_unit_shift_keeps_the_density():
    """A field that does not depend on the state has no divergence and no graph."""
    fields = LearnedFields(Linear(envelope=ZeroEnvelope()), velocity=lambda x, t: torch.ones_like(x))
    x = points()
    for settings in ({}, {"divergence": "hutchinson", "probes": 2}, {"mode": "forward"}):
        assert_close(log_prob(fields, x, NORMAL, **settings).log_prob, NORMAL.log_prob(x - 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (MLP(10, width=16, depth=2, n_classes=3), (10,)),
        (UNet((1, 4, 4), channels=8, blocks=1, n_classes=3), (1, 4, 4)),
    ],
)
@pytest.mark.parametrize("method", ["midpoint", "dopri5"])
def test_networks_with_labels_are_scored_the_same_by_every_mode(net, shape, method):
    if method == "dopri5" and isinstance(net, UNet):
        pytest.skip("minutes; the adaptive route is the MLP's")
    net = stirred(net.double(), 0.1)
    fields = LearnedFields(Linear(envelope=ZeroEnvelope()), velocity=net)
    x = torch.randn(5, *shape, dtype=F64, generator=generator(0))
    label = torch.tensor([0, 1, 2, 1, 0])
    settings = {"method": method, "n_steps": 3, "cond": label, "rtol": 1e-4, "atol": 1e-4}
    values = [
        log_prob(fields, x, Gaussian(shape), mode=m, **settings).log_prob
        for m in ("reverse", "forward", "auto")
    ]
    assert_close(values[0], values[1], atol=1e-9, rtol=0)
    assert_close(values[0], values[2], atol=1e-9, rtol=0)
    alone = log_prob(fields, x[2:3], Gaussian(shape), **settings | {"cond": label[2:3]}).log_prob
    assert_close(alone, values[0][2:3], atol=1e-8, rtol=0)
    other = log_prob(fields, x[2:3], Gaussian(shape), **settings | {"cond": label[:1]}).log_prob
    assert float((other - alone).abs()) > 1e-4


def test_a_distribution_of_torch_is_a_base():
    base = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64))
    ours = log_prob(one_sided(), points(), NORMAL)
    assert_close(log_prob(one_sided(), points(), base).log_prob, ours.log_prob)
    loose = torch.distributions.Normal(torch.zeros(2, dtype=F64), torch.ones(2, dtype=F64))
    with pytest.raises(InvalidInputError, match=r"must return shape \(30,\), got \(30, 2\). .*Independent"):
        log_prob(one_sided(), points(), loose)
    wrapped = torch.distributions.Independent(loose, 1)
    assert_close(log_prob(one_sided(), points(), wrapped).log_prob, ours.log_prob)


def test_conditions_and_adaptive_steps_stay_together():
    """dx/dt = c x with a rate per sample."""
    fields = LearnedFields(
        Linear(envelope=ZeroEnvelope()), velocity=lambda x, t, cond: cond["rate"][:, None] * x
    )
    x, rate = points(100), torch.linspace(-3, 2, 100, dtype=F64)[torch.randperm(100, generator=generator(1))]
    wanted = NORMAL.log_prob(x * (-rate).exp()[:, None]) - 2 * rate
    for settings in ({}, {"divergence": "hutchinson", "probes": 2}):
        found = log_prob(fields, x, NORMAL, cond={"rate": rate}, rtol=1e-8, atol=1e-8, chunk=64, **settings)
        assert_close(found.log_prob, wanted, atol=1e-5, rtol=0)


# --- gradients, counts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"mode": "forward"}, {"divergence": "hutchinson", "probes": 2}])
def test_the_likelihood_can_be_trained(settings):
    """d log p / d weight against a central difference."""
    weight = torch.tensor([[0.3, -0.5], [0.2, 0.4]], dtype=F64, requires_grad=True)
    fields = LearnedFields(Linear(envelope=ZeroEnvelope()), velocity=lambda x, t: torch.tanh(x @ weight))
    x, settings = points(8), {"method": "midpoint", "n_steps": 8, "seed": 0} | settings
    value = log_prob(fields, x, NORMAL, differentiable=True, **settings).log_prob.sum()
    (slope,) = torch.autograd.grad(value, weight)
    for i, j in ((0, 0), (1, 0)):
        h, moved = 1e-5, []
        for sign in (1, -1):
            with torch.no_grad():
                weight[i, j] += sign * h
                moved.append(float(log_prob(fields, x, NORMAL, **settings).log_prob.sum()))
                weight[i, j] -= sign * h
        assert float(slope[i, j]) == pytest.approx((moved[0] - moved[1]) / (2 * h), rel=1e-5)
    assert not log_prob(fields, x, NORMAL, **settings).log_prob.requires_grad


def test_evaluations_are_counted():
    assert log_prob(one_sided(), points(), NORMAL, method="midpoint", n_steps=7).nfe == 14
    adaptive = log_prob(one_sided(), points(), NORMAL)
    assert adaptive.nfe.shape == (30,)
    twice = log_prob(one_sided(), points(), NORMAL, divergence="hutchinson", probes=2)
    assert int(twice.nfe.sum()) > 1.2 * int(adaptive.nfe.sum())  # one run per probe, each with its own steps


def test_the_mean_has_its_standard_error():
    made = LogProb(torch.tensor([1.0, 2.0, 3.0]), torch.zeros(3), torch.zeros(3, 2), 1, torch.zeros(3))
    assert made.mean == (2.0, pytest.approx(1 / math.sqrt(3)))


def test_the_global_generator_is_not_touched():
    before = torch.get_rng_state()
    log_prob(one_sided(), points(), NORMAL, divergence="hutchinson", probes=2, method="midpoint", n_steps=2)
    assert torch.equal(torch.get_rng_state(), before)


# --- refusals -----------------------------------------------------------------------------------------------


class Empirical:
    """A distribution that can only be sampled."""

    event_shape = (2,)

    def sample(self, n, *, generator=None):
        return torch.zeros(n, 2)


@pytest.mark.parametrize("call", [log_prob, sample_with_log_prob])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"base": Empirical()},
            "the base must have a density, got Empirical. Pass a distribution with log_prob",
        ),
        ({"x": torch.zeros(4, 2, dtype=torch.long)}, "floating-point"),
        ({"x": torch.zeros(4)}, r"shape \(4,\)"),
        ({"x": torch.zeros(0, 2)}, "x must have at least one row"),
        ({"x": torch.full((4, 2), math.nan)}, "x must be finite, got nan or inf in 4 rows, first row 0"),
        ({"divergence": "exakt"}, r" \(in Scoring\): divergence must be one of"),
        ({"method": "dopri"}, "Did you mean 'dopri5'"),
        ({"method": "ddim"}, "ODE solver with a quadrature"),
        ({"method": "sra1"}, "needs an ODE solver"),
        ({"differentiable": True}, "needs a fixed-step method"),
        ({"cond": torch.zeros(3)}, "cond must have one row per sample, 4, got 3"),
        (
            {"seed": -1, "divergence": "hutchinson", "method": "euler"},
            "seed must be a whole number >= 0, got -1",
        ),
    ],
)
def test_bad_input_is_refused_with_its_value(call, change, message):
    calls = []
    fields = LearnedFields(Linear(envelope=ZeroEnvelope()), velocity=lambda x, t: calls.append(1) or 0.5 * x)
    settings = {"x": torch.zeros(4, 2), "base": NORMAL} | change
    with pytest.raises(InvalidInputError, match=message):
        call(fields, settings.pop("x"), settings.pop("base"), **settings)
    assert len(calls) < 16  # found before the work; a dozen calls try whether rows are independent


def test_a_point_that_leaves_the_finite_numbers_is_named():
    fields = LearnedFields(Linear(envelope=ZeroEnvelope()), velocity=lambda x, t: x**3)
    x = torch.full((4, 2), 0.1, dtype=F64)
    x[2] = 5.0
    with pytest.raises(DivergedError, match=r"for 1 samples, first row 2\."):
        sample_with_log_prob(fields, x, NORMAL)
    kept = sample_with_log_prob(fields, x, NORMAL, on_failure="keep")
    assert kept.status.ne(0).tolist() == [False, False, True, False]
    with pytest.raises(DivergedError, match="max_steps for 30 samples"):
        log_prob(one_sided(), points(), NORMAL, rtol=1e-12, atol=1e-12, max_steps=4)


@pytest.mark.slow
@pytest.mark.parametrize("quantity", ["noise", "denoised"])
def test_converted_fields_are_as_exact_as_the_tolerance_asks(quantity):
    """Relations that stop 1e-4 from the ends cost 5e-4 nats, whatever the tolerance; a margin of one's own stays."""
    data = GaussianMixture([0.4, 0.6], [[-1.2], [1.0]], [[0.4], [0.5]])
    exact = GaussianMixtureBridge(GaussianMixture([1.0], [[0.0]], [[1.0]]), data).fields(OneSidedLinear())
    given = {quantity: lambda x, t: exact.evaluate(x, t, (quantity,))[quantity], "mean1": data.mean}
    x = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]

    def gap(**options):
        found = log_prob(
            LearnedFields(OneSidedLinear(), **given, **options), x, Gaussian((1,)), rtol=1e-7, atol=1e-7
        )
        return float((found.log_prob - data.log_prob(x)).abs().max())

    assert gap() < 1.2e-4
    assert gap(margin=1e-4) > 3 * gap()


def test_derivatives_of_the_mean_at_the_start_are_numbers():
    """The quotient that is not used at t = 0 gave NaN: with ``margin=0`` no noise had a density."""
    fields = LearnedFields(OneSidedLinear(), noise=lambda x, t: x, mean1=torch.zeros(1), margin=0.0)
    found = log_prob(fields, torch.ones(2, 1), Gaussian((1,)), method="rk4", n_steps=4)
    assert bool(found.log_prob.isfinite().all())


def test_settings_in_an_object_are_those_by_name_and_others_are_refused():
    (fields, _), x = exact("one_sided"), DATA.sample(5, generator=generator(0, "settings"))
    how = Scoring(method="midpoint", n_steps=6)
    found = log_prob(fields, x, NORMAL, how, n_steps=8).log_prob
    assert torch.equal(found, log_prob(fields, x, NORMAL, method="midpoint", n_steps=8).log_prob)
    with pytest.raises(InvalidInputError, match="Did you mean 'n_steps'"):
        log_prob(fields, x, NORMAL, how, nsteps=8)
