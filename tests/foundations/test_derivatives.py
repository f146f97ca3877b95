"""Divergences: reverse, forward, probes and closed forms agree, on any event shape and through real networks."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations import derivatives as module
from interpolants.foundations.derivatives import (
    divergence,
    exact_divergence,
    gradient,
    jacobian,
    probed_divergence,
    random_signs,
    skew_product,
    value_and_gradient,
)
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import BlockNoise, generator
from interpolants.nets import MLP, UNet
from interpolants.paths import Linear
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge
from stirred_nets import stirred

F64 = torch.float64


def awake(net, seed=3):
    """A network in double precision in which nothing is left at its zero start."""
    return stirred(net.double(), seed=seed)


@pytest.mark.parametrize("mode", ["reverse", "forward", "auto"])
@pytest.mark.parametrize("shape", [(1,), (3,), (12,), (2, 3, 4)])
def test_the_divergence_of_a_known_map(mode, shape):
    """v_i = x_i^3 + sum_j x_j: divergence sum 3 x_i^2 + D."""
    x = torch.randn(5, *shape, dtype=F64, generator=generator(0))

    def velocity(y):
        return y**3 + y.flatten(1).sum(1).reshape(-1, *(1,) * len(shape))

    value, divergence = exact_divergence(velocity, x, mode=mode)
    assert_close(value, velocity(x))
    assert_close(divergence, 3 * x.square().flatten(1).sum(1) + math.prod(shape))
    with torch.no_grad():
        value, divergence = exact_divergence(velocity, x, mode=mode)
    assert not value.requires_grad
    assert not divergence.requires_grad


@pytest.mark.parametrize("mode", ["reverse", "forward"])
@pytest.mark.parametrize("t", [0.1, 0.6])
def test_the_divergence_of_a_mixture_is_its_closed_form(mode, t):
    fields = GaussianMixtureBridge(Gaussian((3,)), GaussianMixture.random(3, 3, 2.0, 0)).fields(Linear())
    x, time = torch.randn(20, 3, dtype=F64, generator=generator(1)), torch.tensor(t, dtype=F64)
    _, found = exact_divergence(lambda y: fields.evaluate(y, time, ("velocity",))["velocity"], x, mode=mode)
    assert_close(found, fields.divergence(x, time))


NETS = {
    "mlp": (lambda: awake(MLP(12, width=32, depth=2)), (12,)),
    "residual": (lambda: awake(MLP(12, width=32, depth=2, residual=True, layer_norm=True)), (12,)),
    "unet": (lambda: awake(UNet((1, 6, 6), channels=8, blocks=1)), (1, 6, 6)),
}


@pytest.mark.cases(2)
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("times", ["one", "each"])
def test_networks_have_the_same_divergence_by_every_mode_and_by_brute_force(name, times):
    """U-Nets end in attention, for which forward mode may be missing: then another way is taken."""
    make, shape = NETS[name]
    net = make()
    x = torch.randn(3, *shape, dtype=F64, generator=generator(2))
    t = torch.tensor(0.3, dtype=F64) if times == "one" else torch.tensor([0.1, 0.5, 0.9], dtype=F64)
    values = {
        mode: exact_divergence(lambda y: net(y, t), x, mode=mode) for mode in ("reverse", "forward", "auto")
    }
    row = torch.autograd.functional.jacobian(lambda y: net(y, t), x)
    size = math.prod(shape)
    full = row.reshape(3, size, 3, size)
    wanted = torch.stack([full[i, :, i].diagonal().sum() for i in range(3)])
    assert float(wanted.abs().min()) > 1e-3
    for mode, (value, found) in values.items():
        assert_close(value, net(x, t).detach(), msg=lambda text, mode=mode: f"{mode}: {text}")
        assert_close(found, wanted, msg=lambda text, mode=mode: f"{mode}: {text}")


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_a_field_that_does_not_depend_on_the_state_has_no_divergence(mode):
    x = torch.randn(4, 2, dtype=F64, generator=generator(0))
    value, divergence = exact_divergence(torch.ones_like, x, mode=mode)
    assert_close(value, torch.ones_like(x))
    assert_close(divergence, torch.zeros(4, dtype=F64))
    _, probed = probed_divergence(torch.ones_like, x, [torch.ones_like(x)] * 2)
    assert_close(probed, torch.zeros(4, 2, dtype=F64))


def test_a_field_without_forward_mode_is_taken_in_reverse():
    """The gradient of an energy is taken inside: forward mode cannot see through that, reverse can."""
    x = torch.randn(4, 12, dtype=F64, generator=generator(0))

    def velocity(y):
        with torch.enable_grad():
            point = y if y.requires_grad else y.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(torch.cos(point).sum(), point, create_graph=True)
        return slope

    with pytest.raises(RuntimeError):
        exact_divergence(velocity, x, mode="forward")
    with torch.no_grad():
        value, divergence = exact_divergence(velocity, x)
    assert_close(value, -torch.sin(x))
    assert_close(divergence, -torch.cos(x).sum(1))


def test_many_tangents_go_through_in_pieces(monkeypatch):
    x = torch.randn(5, 12, dtype=F64, generator=generator(0))
    wanted = exact_divergence(torch.sin, x, mode="forward")[1]
    monkeypatch.setattr(module, "_MOST_TANGENT_ROWS", 10)
    assert_close(exact_divergence(torch.sin, x, mode="forward")[1], wanted)
    assert_close(wanted, torch.cos(x).sum(1))


def test_probes_are_unbiased_and_their_spread_is_the_known_one():
    """For signs v and a matrix A, Var v^T A v = 2 sum of squared off-diagonal entries of the symmetric part."""
    size, k = 6, 4000
    a = torch.randn(size, size, dtype=F64, generator=generator(5))
    x = torch.zeros(1, size, dtype=F64)
    noise = BlockNoise(0, (2,), count=k, shape=(size,), dtype=F64)
    signs = noise.rademacher()
    _, found = probed_divergence(lambda y: y @ a.T, x.expand(k, -1), [signs])
    symmetric = (a + a.T) / 2
    variance = 2 * (symmetric.square().sum() - symmetric.diagonal().square().sum())
    assert abs(float(found.mean() - a.trace())) < 4.5 * math.sqrt(float(variance) / k)
    assert float(found.var() / variance) == pytest.approx(1, abs=0.15)


def test_gradients_pass_through_when_they_are_on():
    weight = torch.tensor([2.0, -1.0], dtype=F64, requires_grad=True)
    x = torch.tensor([[0.5, 1.0]], dtype=F64)
    for mode in ("reverse", "forward"):
        _, divergence = exact_divergence(lambda y: weight * y**2, x, mode=mode)
        (slope,) = torch.autograd.grad(divergence.sum(), weight)
        assert_close(slope, 2 * x[0])
    _, probed = probed_divergence(lambda y: weight * y**2, x, [torch.ones_like(x)])
    (slope,) = torch.autograd.grad(probed.sum(), weight)
    assert_close(slope, 2 * x[0])


def test_an_unknown_mode_is_refused():
    with pytest.raises(InvalidInputError, match="Did you mean 'forward'"):
        exact_divergence(torch.sin, torch.zeros(1, 2), mode="forwards")


# --- gradients, Jacobians, skew products --------------------------------------------------------------------


def wave(x, t):
    """``sum sin(x_i) x_{i+1} + t^2 sum x``, its gradient and its rate are below."""
    return (torch.sin(x) * x.roll(-1, 1)).sum(1) + t.square() * x.sum(1)


def wave_gradient(x, t):
    return torch.cos(x) * x.roll(-1, 1) + torch.sin(x.roll(1, 1)) + t.square()[:, None]


def points():
    source = generator(4)
    return torch.randn(6, 3, dtype=F64, generator=source), torch.rand(6, dtype=F64, generator=source)


def test_the_gradient_in_every_argument_is_the_closed_form_with_gradients_on_and_off():
    x, t = points()
    value, (in_x, in_t) = value_and_gradient(wave, x, t)
    assert_close(value, wave(x, t))
    assert_close(in_x, wave_gradient(x, t))
    assert_close(in_t, 2 * t * x.sum(1))
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            value, (in_x, in_t) = value_and_gradient(wave, *points())
        assert not value.requires_grad
        assert not in_x.requires_grad
        assert_close(in_x, wave_gradient(x, t))
        assert_close(in_t, 2 * t * x.sum(1))


def test_the_gradient_of_what_does_not_depend_on_an_argument_is_zero():
    x, t = points()
    _, (in_x, in_t) = value_and_gradient(lambda x, t: x.sum(1), x, t)
    assert_close(in_x, torch.ones_like(x))
    assert_close(in_t, torch.zeros_like(t))
    assert_close(gradient(lambda y: torch.ones(len(y), dtype=F64), x), torch.zeros_like(x))


def test_the_gradient_can_be_trained_on():
    x, t = points()
    weight = torch.tensor(0.7, dtype=F64, requires_grad=True)
    size = gradient(lambda y: weight * wave(y, t), x).square().sum()
    (slope,) = torch.autograd.grad(size, weight)
    assert_close(slope, 2 * 0.7 * wave_gradient(x, t).square().sum())


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_the_divergence_of_a_gradient_is_the_laplacian_by_either_mode(mode):
    """Forward mode runs inside transforms of ``torch.func``, where only their own gradients work."""
    x, t = points()
    value, found = exact_divergence(lambda y: gradient(lambda p: wave(p, t), y), x, mode=mode)
    assert_close(value, wave_gradient(x, t))
    assert_close(found, (-torch.sin(x) * x.roll(-1, 1)).sum(1))


def test_the_jacobian_of_a_linear_map_is_its_matrix_and_its_skew_product_the_difference():
    x, _ = points()
    a = torch.randn(3, 3, dtype=F64, generator=generator(5))
    value, found = jacobian(lambda y: y @ a.T + torch.sin(y), x)
    assert_close(value, x @ a.T + torch.sin(x))
    assert_close(found, a + torch.cos(x).diag_embed())
    v = torch.randn(6, 3, dtype=F64, generator=generator(6))
    skew = skew_product(lambda y: y @ a.T + torch.sin(y), x, v)
    assert_close(skew, v @ (a - a.T).T)
    assert float(skew.detach().abs().min()) > 1e-3
    with torch.no_grad():
        assert_close(skew_product(lambda y: y @ a.T + torch.sin(y), x, v), skew)
    assert_close(skew_product(torch.ones_like, x, v), torch.zeros_like(x))


def test_a_gradient_has_no_skew_product_and_the_product_can_be_trained_on():
    x, t = points()
    v = torch.randn(6, 3, dtype=F64, generator=generator(6))
    assert_close(skew_product(lambda y: gradient(lambda p: wave(p, t), y), x, v), torch.zeros_like(x))
    a = torch.randn(3, 3, dtype=F64, generator=generator(5)).requires_grad_(True)
    (slope,) = torch.autograd.grad(skew_product(lambda y: y @ a.T, x, v).square().sum(), a)
    inner = 2 * (v @ (a - a.T).T).T @ v
    assert_close(slope, (inner - inner.T).detach())


def test_a_divergence_by_probes_is_the_mean_over_random_signs():
    x, _ = points()
    signs = random_signs(x, 3, generator(7))
    assert {float(s) for sign in signs for s in sign.flatten()} == {-1.0, 1.0}
    value, found = divergence(lambda y: torch.sin(y) + y.roll(1, 1), x, probes=3, generator=generator(7))
    _, columns = probed_divergence(lambda y: torch.sin(y) + y.roll(1, 1), x, signs)
    assert_close(found, columns.mean(1))
    assert_close(divergence(torch.sin, x)[1], torch.cos(x).sum(1))
    assert_close(value, torch.sin(x) + x.roll(1, 1))


@pytest.mark.slow
@pytest.mark.parametrize("rows", [3, 1000, 20_000])
def test_tangents_of_small_states_go_through_together(rows):
    """Every push evaluates the field once more: 64 entries of 1,000 rows take one push and not eight."""
    calls = []

    def velocity(x):
        calls.append(len(x))
        return x * x.sum(1, keepdim=True)

    x = torch.randn(rows, 64, dtype=torch.float64)
    value, found = exact_divergence(velocity, x)
    assert len(calls) == (2 if rows <= 1000 else 23)  # the value, and pushes of 64 or of 3 tangents
    assert torch.equal(value, velocity(x))
    assert torch.allclose(found, 65 * x.sum(1))


@pytest.mark.slow
def test_tangents_of_large_states_are_pushed_in_small_parts(monkeypatch):
    pushed = []
    whole = torch.func.vmap
    monkeypatch.setattr(
        torch.func, "vmap", lambda f, chunk_size: pushed.append(chunk_size) or whole(f, chunk_size=chunk_size)
    )
    x = torch.randn(4, 3, 40, 40)
    exact_divergence(lambda y: y * 0.5, x, mode="forward")
    assert pushed == [8192 // 4]
