"""A learnt prior against the conditional mean of a Gaussian, and what is refused."""

import pytest
import torch
from torch.testing import assert_close

from interpolants import Bridge
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import SettingWarning
from interpolants.framework.method import load
from interpolants.guidance.replacement import Replacement
from interpolants.methods import FlowMap, Forecaster, PriorRestoration
from interpolants.operators import Blur, Downsample, Mask, Matrix
from interpolants.operators.measurement import Measurement, as_matrix

# Two coordinates with correlation 0.8: given the one, the other is 0.8 of it on average.
RHO = 0.8
NET = {"kind": "mlp", "width": 32, "depth": 2}
FIRST = Mask(torch.tensor([True, False]))
SECOND = Mask(torch.tensor([False, True]))


def pairs(n, generator):
    z = torch.randn(n, 2, generator=generator)
    return torch.stack([z[:, 0], RHO * z[:, 0] + (1 - RHO**2) ** 0.5 * z[:, 1]], 1)


@pytest.fixture(scope="module")
def method():
    x = pairs(4000, torch.Generator().manual_seed(0))
    settings = {"steps": 400, "batch_size": 256}
    return PriorRestoration(FIRST, net=NET, red_diff={"n_steps": 100}, **settings).fit(x)


@pytest.fixture
def asked():
    return torch.linspace(-1.5, 1.5, 7)[:, None]


def slope(x, y):
    return float((x @ y) / (y @ y))


@pytest.mark.slow
def test_a_hidden_coordinate_is_its_conditional_mean(method, asked):
    x = method.restore(asked, seed=1).x[:, 0]
    # lambda 0.25 against a data term of weight one moves what is known by a few percent.
    assert float((x[:, 0] - asked[:, 0]).abs().max()) < 0.25
    assert slope(x[:, 1], asked[:, 0]) == pytest.approx(RHO, abs=0.2)
    assert method.residual(x, asked) < 0.15


def test_another_measurement_needs_no_other_network(method, asked):
    other = method.restore(asked, operator=SECOND, seed=1).x[:, 0]
    assert float((other[:, 1] - asked[:, 0]).abs().max()) < 0.25
    mean = method.restore(asked, operator=lambda x: x.mean(1, keepdim=True), seed=1).x[:, 0]
    assert float((mean.mean(1) - asked[:, 0]).abs().max()) < 0.25
    # By symmetry both coordinates are the mean.
    assert float((mean[:, 0] - mean[:, 1]).abs().max()) < 0.4


def test_measurements_of_another_width_are_refused(method, asked):
    """A whole state where a mask measures one entry is the usual slip."""
    with pytest.raises(InvalidInputError, match=r"PriorRestoration.restore: y must have the shape of H\(x\)"):
        method.restore(torch.cat([asked, asked], 1), operator=FIRST)


def test_draws_differ_little_and_a_row_does_not_feel_the_others(method, asked):
    both = method.restore(asked, draws=2, seed=1).x
    assert 0 < float((both[:, 0] - both[:, 1]).abs().max()) < 0.2
    assert_close(method.restore(asked[:3], draws=2, seed=1).x, both[:3], rtol=1e-4, atol=1e-4)


def test_measured_samples_are_restored_better_than_by_the_inverse(method, generator):
    x = pairs(50, generator)
    back = FIRST.pinv(FIRST(x))
    assert method.residual(back, FIRST(x)) < 1e-6
    moved = method.restore(FIRST(x), seed=3).x[:, 0]
    assert float((moved - x).square().mean()) < 0.6 * float((back - x).square().mean())


@pytest.mark.slow
def test_a_fitted_flow_with_units_of_its_own_serves_as_the_prior(asked):
    # Data of scale 10 about 5: the flow learns in units where they are standard, the measurement is in those of data.
    x = 5 + 10 * pairs(4000, torch.Generator().manual_seed(0))
    flow = FlowMap(path="one_sided_linear", net=NET, steps=500, diagonal=0.9).fit(x1=x)
    method = PriorRestoration(FIRST, red_diff={"n_steps": 100, "noise": 1.0}).fit(model=flow)
    y = 5 + 10 * asked
    found = method.restore(y, seed=1).x[:, 0]
    assert slope(found[:, 1] - 5, 10 * asked[:, 0]) == pytest.approx(RHO, abs=0.25)
    assert float((found[:, 0] - y[:, 0]).abs().max()) < 2.5
    # Without a pseudo-inverse it starts from the flow's mean.
    mean = method.restore(y, operator=lambda x: x.mean(1, keepdim=True), seed=1).x[:, 0]
    assert float((mean.mean(1) - y[:, 0]).abs().max()) < 2.5


@pytest.mark.slow
def test_a_bridge_that_learnt_from_float64_serves_as_the_prior():
    """Its answers are float64, its network is not."""
    x = 5 + pairs(400, torch.Generator().manual_seed(0)).double()
    bridge = Bridge("one_sided_linear", net=NET, steps=20, seed=0)
    single = (
        PriorRestoration(FIRST)
        .fit(model=bridge.fit(x1=x.float(), progress=False))
        .restore(x[:3, :1].float())
        .x
    )
    double = PriorRestoration(FIRST).fit(model=bridge.clone().fit(x1=x, progress=False)).restore(x[:3, :1]).x
    assert_close(double, single, rtol=0.0, atol=0.01, check_dtype=False)


@pytest.mark.slow
def test_conditions_reach_the_prior(generator):
    label = torch.arange(3000) % 2
    x = torch.stack(
        [torch.randn(3000, generator=generator), 4.0 * label + 0.05 * torch.randn(3000, generator=generator)],
        1,
    )
    method = PriorRestoration(FIRST, net=NET, red_diff={"n_steps": 100}, steps=400).fit(x, cond=label)
    for value in (0, 1):
        found = method.restore(torch.zeros(5, 1), cond=value).x[..., 1].mean()
        assert float(found) == pytest.approx(4.0 * value, abs=0.6)


@pytest.mark.parametrize(
    "operator",
    [FIRST, Matrix(torch.eye(2)[:1]), Blur(torch.tensor([0.25, 0.5, 0.25])), Downsample(2)],
    ids=lambda operator: type(operator).__name__,
)
def test_it_is_saved_with_its_operator(operator, tmp_path, generator):
    method = PriorRestoration(operator, net=NET, red_diff={"n_steps": 3}, steps=2).fit(pairs(50, generator))
    y = operator(pairs(3, generator))
    back = load(method.save(tmp_path / "m"))
    assert torch.equal(back.restore(y).x, method.restore(y).x)


def test_operators_may_be_named():
    assert PriorRestoration({"kind": "downsample", "factor": 2}).operator == Downsample(2)
    assert not PriorRestoration("phase_retrieval").operator.has_pinv


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PriorRestoration("downsampel"), "operator must be .*Did you mean 'downsample'"),
        (lambda: PriorRestoration({"kind": "downsample", "factr": 2}), "every setting must be one it has"),
        (lambda: PriorRestoration("saturate", stepz=3), "Did you mean 'steps'"),
        (lambda: PriorRestoration("saturate").restore(torch.zeros(1, 2)), r"must be fitted.*Call fit"),
        (
            lambda: PriorRestoration("saturate").fit(),
            "exactly one of x1 and model must be passed, got neither",
        ),
        (lambda: PriorRestoration("saturate").fit(model=3), "model must be a fitted method, got 3"),
        (
            lambda: PriorRestoration("saturate").fit(model=FlowMap()),
            "model must be a fitted method, got Flow",
        ),
        (
            lambda: PriorRestoration("saturate", red_diff={"n_step": 3}),
            r"every setting of red_diff must be one that it accepts, got 'n_step'\. Did you mean 'n_steps'",
        ),
        (lambda: PriorRestoration("saturate", red_diff={"lr": -1}), "lr must be finite and > 0, got -1"),
        (lambda: PriorRestoration("saturate", path="linear"), "every setting must be one it has, got 'base'"),
    ],
)
def test_bad_input_is_refused_before_the_training(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()


def test_torch_s_default_type_does_not_matter(float64):
    first = torch.randn(20, 4, dtype=torch.float32)
    matrix, net = torch.eye(4, dtype=torch.float32)[:2], {"kind": "mlp", "width": 8, "depth": 1}
    method = PriorRestoration(matrix, net=net, red_diff={"n_steps": 3}, steps=2, batch_size=8).fit(first)
    assert method.restore(first[:3, :2]).x.dtype == torch.float32


def test_a_model_whose_fields_are_in_unknown_units_is_refused(generator):
    """Taken as data units, the answers would be of a wrong scale and look right."""
    x = 1e3 * torch.randn(40, 2, generator=generator)
    model = Forecaster(net={"kind": "mlp", "width": 8, "depth": 1}, steps=1, batch_size=8).fit(x, x)
    with pytest.raises(
        InvalidInputError, match="must define the units of its fields in `frame`, got Forecaster"
    ):
        PriorRestoration(FIRST).fit(model=model)


# --- the start, the units and the settings of answers


def wide(n, seed=0):
    """Rows of 6 by 6 with a mean image, one almost constant column, and neighbours that are alike."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 36, generator=g)
    x = 0.3 * (x + x.roll(1, 1) + x.roll(2, 1)) + torch.linspace(0, 4, 36)
    x[:, 0] = 0.01 * x[:, 0]
    return x.reshape(n, 1, 6, 6)


class Plain(torch.nn.Module):
    """A network of one's own, without preconditioning."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(37, 64), torch.nn.SiLU(), torch.nn.Linear(64, 36))

    def forward(self, x, t, cond=None):
        return self.layers(torch.cat([x.flatten(1), t[:, None]], 1)).reshape(x.shape)


def no_inverse(x):
    return x[:, :, :3]


@pytest.mark.parametrize("kind", ["bridge", "prior"])
def test_a_network_without_preconditioning_does_not_throw_the_start_out_of_the_data(kind):
    x = wide(1000)
    settings = {"steps": 150, "batch_size": 128, "seed": 0}
    if kind == "bridge":
        bridge = Bridge("one_sided_linear", net=Plain(), heads="noise", held_out=0, **settings)
        with pytest.warns(SettingWarning, match=r"noise at t = 0.*precondition=True or heads=\['velocity'\]"):
            model = bridge.fit(x1=x, progress=False)
        frame = model.frame
    else:
        model = PriorRestoration(no_inverse, net=Plain(), path="one_sided_linear", **settings).fit(x)
        # as one that was saved before networks were preconditioned
        model.state = {"net": Plain(), "mean": x.mean(0)}
        frame = model.frame
    method = PriorRestoration(no_inverse, red_diff={"n_steps": 3}).fit(model=model)
    start = frame.decode(method._centre(2, None))
    assert float((start - x.mean(0)).abs().max()) < 0.1
    assert_close(start[0], x.mean(0), rtol=0, atol=0.1)


def test_the_answer_of_a_right_model_to_noise_is_still_the_start(asked):
    """A mean under a condition is nearer than that of all data."""
    label = torch.arange(2000) % 2
    x = torch.stack([torch.randn(2000), 4.0 * label + 0.1 * torch.randn(2000)], 1)
    model = Bridge("one_sided_linear", net=NET, steps=300, seed=0).fit(x1=x, cond=label, progress=False)
    method = PriorRestoration(FIRST).fit(model=model)
    centre = model.frame.decode(method._centre(2, torch.tensor([0, 1])))
    assert_close(centre[:, 1], torch.tensor([0.0, 4.0]), rtol=0, atol=0.5)


def test_a_start_far_outside_of_the_data_is_refused(method, asked):
    with pytest.raises(
        InvalidInputError, match=r"within 30 standard deviations .* got 2\d\d.*Measurement\(H\)"
    ):
        method.restore(asked + 256, seed=1)
    # Only RED-diff begins there; draws begin with noise.
    draws = PriorRestoration(FIRST, solver={"kind": "posterior_draws", "n_steps": 2}).fit(model=method)
    assert draws.restore(asked + 256).x.shape == (7, 1, 2)


@pytest.mark.parametrize("unit", [2.0**-10, 2.0**10])
def test_answers_follow_the_units_of_the_samples(unit):
    """RED-diff weighs both of its terms in data units."""
    x = pairs(500, torch.Generator().manual_seed(0))
    settings = {"net": NET, "red_diff": {"n_steps": 20}, "steps": 20, "batch_size": 64}
    first = PriorRestoration(FIRST, **settings).fit(x).restore(x[:5, :1]).x
    other = PriorRestoration(FIRST, **settings).fit(x * unit).restore(x[:5, :1] * unit).x
    assert_close(other / unit, first, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_a_prior_learnt_here_is_as_good_as_a_bridge():
    """In data units and without preconditioning its error was three times as large."""
    x, fresh = wide(2000), wide(100, seed=1)
    hidden = Mask(torch.arange(36).reshape(1, 6, 6) % 2 == 0)
    settings = {"net": {"kind": "mlp", "width": 64, "depth": 2}, "steps": 300, "batch_size": 128, "seed": 0}
    bridge = Bridge("vp", precondition=True, heads="noise", held_out=0, **settings).fit(x1=x, progress=False)
    red_diff = {"n_steps": 200}
    methods = {
        "own": PriorRestoration(hidden, red_diff=red_diff, **settings).fit(x),
        "bridge": PriorRestoration(hidden, red_diff=red_diff).fit(model=bridge),
    }
    errors = {
        name: float((one.restore(hidden(fresh), seed=0).x[:, 0] - fresh).square().mean().sqrt())
        for name, one in methods.items()
    }
    assert errors["own"] < 1.15 * errors["bridge"]


def test_settings_of_answers_keep_the_prior(method, asked):
    twin = load_free(method)
    answer = twin.restore(asked, seed=1).x
    twin.set_params(solver={"kind": "posterior_draws", "noise": 0.1, "n_steps": 4})
    assert twin.is_fitted
    assert twin.restore(asked, seed=1).x.shape == answer.shape
    twin.set_params(solver="red_diff", red_diff={"n_steps": 100}, operator=SECOND)
    assert_close(twin.restore(asked, seed=1).x, method.restore(asked, operator=SECOND, seed=1).x)
    twin.set_params(operator=FIRST)
    assert torch.equal(twin.restore(asked, seed=1).x, answer)
    assert not twin.set_params(steps=5).is_fitted


def load_free(method):
    """Another method with what this one has learnt."""
    return method.clone().take_over(method.learnt())


def test_a_linear_function_is_told_how_to_say_so(method, asked):
    draws = PriorRestoration(lambda x: x[:, :1], solver={"kind": "posterior_draws"}).fit(model=method)
    with pytest.raises(InvalidInputError, match=r"operators\.Measurement\(function, is_linear=True\)"):
        draws.restore(asked)
    linear = Measurement(lambda x: x[:, :1], is_linear=True)
    assert draws.restore(asked, operator=linear).x.shape == (7, 1, 2)
    with pytest.raises(InvalidInputError, match=r"operators\.Measurement\(function, is_linear=True\)"):
        as_matrix(Measurement(no_inverse), (1, 6, 6))
    with pytest.raises(InvalidInputError, match=r"Measurement\(function, inverse=\.\.\., is_linear=True\)"):
        Replacement(lambda x: x[:, :1], asked)
