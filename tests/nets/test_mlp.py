import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from interpolants.nets import MLP, null_condition
from interpolants.nets.mlp import ACTIVATIONS

FORMS = [
    {},
    {"residual": True},
    {"residual": True, "layer_norm": True},
    {"heads": 3},
    {"time_features": 0},
    {"n_classes": 4},
    {"cond_dim": 3},
    {"activation": "gelu", "depth": 1},
]
each_form = pytest.mark.parametrize("form", FORMS, ids=str)


def rand(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def times(n, seed=1, dtype=torch.float64):
    return torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def condition(form, rows):
    if "n_classes" in form:
        return torch.arange(rows) % 5 - 1
    if "cond_dim" in form:
        cond = rand(rows, 3, seed=2)
        cond[0] = torch.nan
        return cond
    return None


def make(shape=(2, 3), dtype=torch.float64, seed=0, **settings):
    """A small network whose biases and last layer are not zero."""
    net = MLP(shape, width=16, depth=settings.pop("depth", 3), seed=seed, **settings).to(dtype)
    for bias in (layer.bias for layer in (net.input, *net.hidden)):
        bias.data = rand(*bias.shape, seed=8, dtype=dtype) / 2
    weight = net.output.weight
    weight.data = rand(*weight.shape, seed=9, dtype=dtype) / 4
    return net


# Values ----------------------------------------------------------------------------------------------------


def test_the_forward_is_the_formula_on_the_bare_weights():
    net = make(2)
    x, t = rand(7, 2), times(7)
    w = dict(net.named_parameters())
    h = torch.cat([x, net.time(t)], 1)
    for layer in ("input", "hidden.0", "hidden.1"):
        h = h @ w[f"{layer}.weight"].T + w[f"{layer}.bias"]
        h = h * torch.sigmoid(h)
    assert_close(net(x, t), h @ w["output.weight"].T + w["output.bias"])


def test_the_residual_form_is_the_formula_on_the_bare_weights():
    net = make(2, residual=True, layer_norm=True)
    x, t = rand(7, 2), times(7)

    def branch(h):
        mean, variance = h.mean(1, keepdim=True), h.var(1, correction=0, keepdim=True)
        return functional.silu((h - mean) / (variance + 1e-5).sqrt())

    h = functional.linear(torch.cat([x, net.time(t)], 1), net.input.weight, net.input.bias)
    for layer in net.hidden:
        h = h + functional.linear(branch(h), layer.weight, layer.bias)
    assert_close(net(x, t), functional.linear(branch(h), net.output.weight, net.output.bias))


@each_form
def test_one_time_for_all_gives_what_a_time_per_row_gives(form):
    net = make(**form)
    x, cond = rand(7, 2, 3), condition(form, 7)
    t = torch.tensor(0.3, dtype=torch.float64)
    assert_close(net(x, t, cond), net(x, t.expand(7), cond), rtol=1e-12, atol=1e-13)
    assert_close(net(x, 0.3, cond), net(x, t, cond), rtol=0, atol=0)


@each_form
def test_a_batch_gives_what_its_rows_give(form):
    net = make(**form)
    x, t, cond = rand(6, 2, 3), times(6), condition(form, 6)
    rows = [net(x[i : i + 1], t[i : i + 1], None if cond is None else cond[i : i + 1]) for i in range(6)]
    assert_close(net(x, t, cond), torch.cat(rows), rtol=1e-12, atol=1e-13)


@each_form
def test_without_gradients_the_values_are_the_same_and_x_is_left_alone(form):
    net = make(**form)
    x, t, cond = rand(6, 2, 3), times(6), condition(form, 6)
    kept = x.clone()
    with torch.inference_mode():
        found = net(x, t, cond)
    assert_close(found, net(x, t, cond), rtol=1e-13, atol=1e-14)
    assert torch.equal(x, kept)


def test_heads_are_one_linear_layer_each_on_one_trunk():
    net, single = make(heads=2), make(heads=1)
    single.load_state_dict({k: v[6:] if k.startswith("output") else v for k, v in net.state_dict().items()})
    x, t = rand(5, 2, 3), times(5)
    assert net(x, t).shape == (5, 2, 2, 3)
    assert_close(net(x, t)[:, 1], single(x, t))


def test_the_time_matters_unless_it_has_no_features():
    x = rand(5, 2, 3)
    assert (make()(x, 0.1) - make()(x, 0.2)).abs().max() > 1e-3
    assert torch.equal(make(time_features=0)(x, 0.1), make(time_features=0)(x, 0.2))


@pytest.mark.parametrize("form", FORMS[5:7], ids=str)
def test_no_condition_is_the_null_of_every_row_and_differs_from_a_condition(form):
    net = make(**form)
    x, t, cond = rand(5, 2, 3), times(5), condition(form, 5)
    null = net(x, t, None)
    assert_close(net(x, t, null_condition(cond)), null)
    assert_close(net(x, t, cond)[0], null[0])
    assert (net(x, t, cond)[1:] - null[1:]).abs().amax((1, 2)).min() > 1e-4


@pytest.mark.parametrize("shape", [4, (), (1,), (2, 3, 2)])
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_shapes(shape, rows):
    event = (shape,) if isinstance(shape, int) else shape
    for heads, front in ((1, (rows,)), (2, (rows, 2))):
        net = make(shape, heads=heads)
        assert net.shape == event
        for t in (times(rows), times(1)[0]):
            assert net(rand(rows, *event), t).shape == (*front, *event)


# Derivatives -----------------------------------------------------------------------------------------------


@each_form
def test_derivatives_in_x_and_t_agree_with_differences(form):
    net = make(**form)
    cond = condition(form, 2)
    x, t = rand(2, 2, 3).requires_grad_(), times(2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, t: net(x, t, cond), (x, t), check_forward_ad=True)
    assert torch.autograd.gradcheck(lambda x, t: net(x, t, cond), (x, t[0].detach().requires_grad_()))


@each_form
def test_forward_mode_without_gradients_sees_the_activations_that_overwrite(form):
    net = make(**form)
    x, t, cond, v = rand(6, 2, 3), times(6), condition(form, 6), rand(6, 2, 3, seed=5)

    def call(x):
        return net(x, t, cond)

    _, slope = torch.func.jvp(call, (x,), (v,))
    with torch.no_grad():
        _, quiet = torch.func.jvp(call, (x,), (v,))
        several = torch.func.vmap(lambda v: torch.func.jvp(call, (x,), (v,))[1])(torch.stack([v, 2 * v]))
    assert_close(quiet, slope)
    assert_close(several, torch.stack([slope, 2 * slope]))


# Weights ---------------------------------------------------------------------------------------------------


def test_a_seed_means_the_same_weights_and_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    first, second, other = MLP(2, seed=3), MLP(2, seed=3), MLP(2, seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    for a, b, c in zip(first.parameters(), second.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.ndim == 1 or not a.any() or not torch.equal(a, c)


def test_the_default_device_is_where_the_weights_live():
    with torch.device("meta"):
        net = MLP(2, n_classes=3)
    assert {tensor.device.type for tensor in (*net.parameters(), *net.buffers())} == {"meta"}


def test_a_seed_means_the_same_weights_in_float64(float64):
    double = MLP(2, width=8)
    torch.set_default_dtype(torch.float32)
    single = MLP(2, width=8)
    torch.set_default_dtype(torch.float64)
    for a, b in zip(double.parameters(), single.parameters(), strict=True):
        assert a.dtype == torch.float64
        assert torch.equal(a, b.double())


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_gain_keeps_the_mean_square_of_a_normal_signal(activation):
    z = torch.linspace(-10, 10, 20001, dtype=torch.float64)
    weight = torch.softmax(-z.square() / 2, 0)
    mean_square = (weight * ACTIVATIONS[activation].call(z).square()).sum()
    assert abs(ACTIVATIONS[activation].gain * mean_square.sqrt() - 1) < 1e-4


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_activation_in_place_is_the_same_function(activation):
    z = rand(100)
    assert torch.equal(ACTIVATIONS[activation].in_place(z.clone()), ACTIVATIONS[activation].call(z))


def test_the_signal_keeps_its_size_from_layer_to_layer():
    # x brings a mean square of 1 and the time one of 1/2 (sines), in whatever number of dimensions.
    for dims in (1, 100):
        net = MLP(dims, width=512)
        x, t = rand(512, dims, dtype=torch.float32), times(512, dtype=torch.float32)
        h = net.input(torch.cat([x, net.time(t)], 1))
        assert 1.2 < h.square().mean() < 1.8
        for layer in net.hidden:
            h = layer(functional.silu(h))
        assert 1.0 < h.square().mean() < 2.5


def test_all_weights_are_finite_and_the_network_starts_at_zero():
    for form in FORMS:
        net = MLP(2, **form)
        assert all(p.isfinite().all() for p in net.parameters())
        assert not net(torch.ones(3, 2), 0.5).any()


# Types -----------------------------------------------------------------------------------------------------


@each_form
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.1)])
def test_types_are_kept_and_agree_with_float64(form, dtype, tolerance):
    exact = make(**form)
    x, t, cond = rand(6, 2, 3), times(6, dtype=torch.float32), condition(form, 6)
    expected = exact(x, t, cond)
    net = make(**form).to(dtype)
    low = cond.to(dtype) if cond is not None and cond.is_floating_point() else cond
    found = net(x.to(dtype), t, low)
    assert found.dtype == dtype
    assert net(x.to(dtype), t[0], low).dtype == dtype
    assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)


def test_autocast_chooses_the_type():
    net = make(dtype=torch.float32, n_classes=4)
    x, cond = rand(6, 2, 3, dtype=torch.float32), condition({"n_classes": 4}, 6)
    expected = net(x, 0.3, cond)
    with torch.autocast("cpu", torch.bfloat16):
        for t in (torch.tensor(0.3), torch.full((6,), 0.3)):
            assert_close(net(x, t, cond).float(), expected, rtol=0.1, atol=0.1)


# Refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "t", "message"),
    [
        (torch.zeros(4, 3, 2), torch.zeros(4), r"x must have shape \(B, 2, 3\), got \(4, 3, 2\)"),
        (torch.zeros(2, 3), torch.zeros(()), r"x must have shape \(B, 2, 3\), got \(2, 3\).*x\[None\]"),
        (torch.zeros(4, 2, 3), torch.zeros(3), r"t must be 0-d or have shape \(4,\), got \(3,\)"),
        (torch.zeros(4, 2, 3), torch.zeros(4, 1), r"t must be .* got \(4, 1\)"),
        (torch.zeros(4, 2, 3).double(), torch.zeros(4), "x must have the type of the weights, torch.float32"),
        (torch.zeros(4, 2, 3).long(), torch.zeros(4), "x must have the type .* got torch.int64"),
    ],
)
def test_an_argument_that_does_not_fit_is_refused(x, t, message):
    with pytest.raises(ValueError, match=f"MLP: {message}"):
        MLP((2, 3), width=4)(x, t)


def test_a_condition_is_refused_by_a_network_without():
    with pytest.raises(ValueError, match=r"MLP: cond must be None.*n_classes="):
        MLP(2, width=4)(torch.zeros(3, 2), 0.5, torch.zeros(3, dtype=torch.long))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"shape": 0}, "shape must be whole numbers >= 1, .* got 0"),
        ({"shape": (2, 1.5)}, "shape must be"),
        ({"width": 0}, "width must be a whole number >= 1, got 0"),
        ({"depth": 0}, "depth must be"),
        ({"heads": 0}, "heads must be"),
        ({"heads": True}, "heads must be .* got True"),
        ({"activation": "sliu"}, "activation must be one of .*, got 'sliu'. Did you mean 'silu'"),
        ({"layer_norm": True}, "layer_norm goes with residual=True"),
        ({"n_classes": 0}, "n_classes must be"),
        ({"seed": -1}, "seed must be a whole number >= 0, got -1"),
    ],
)
def test_a_bad_setting_is_refused(bad, message):
    with pytest.raises(ValueError, match=f"MLP: {message}"):
        MLP(**({"shape": 2} | bad))


# Learning and compiling ------------------------------------------------------------------------------------


def test_it_learns_a_known_field():
    # y = cos(3 x) + t (1 - x): a straight line in x at each t explains all but about half of the variance. Seed 0.
    generator = torch.Generator().manual_seed(0)
    net = MLP(1, width=64, depth=2)
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)

    def batch(n):
        x, t = torch.randn(n, 1, generator=generator), torch.rand(n, generator=generator)
        return x, t, torch.cos(3 * x) + t[:, None] * (1 - x)

    for _ in range(400):
        x, t, y = batch(256)
        optimizer.zero_grad()
        (net(x, t) - y).square().mean().backward()
        optimizer.step()
    x, t, y = batch(4000)
    with torch.no_grad():
        error = (net(x, t) - y).square().mean() / y.var()
    assert error < 0.02


@pytest.mark.slow  # two minutes on a busy core
# The compiler itself uses what torch deprecates.
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@each_form
def test_compiled_whole_it_gives_the_same(form):
    torch.compiler.reset()
    net = make(dtype=torch.float32, **form)
    compiled = torch.compile(net, fullgraph=True)
    x, t, cond = rand(6, 2, 3, dtype=torch.float32), times(6, dtype=torch.float32), condition(form, 6)
    cond = cond.float() if cond is not None and cond.is_floating_point() else cond
    for time in (t, t[0]):
        assert_close(compiled(x, time, cond), net(x, time, cond), rtol=1e-4, atol=1e-5)
        with torch.no_grad():
            assert_close(compiled(x, time, cond), net(x, time, cond), rtol=1e-4, atol=1e-5)
