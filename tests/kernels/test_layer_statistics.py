"""Recursions over layers: closed forms of ReLU, limits of tanh, widths and skips against drawn networks."""

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.kernels import layer_statistics

RELU = {"mean_square": 0.5, "weight_variance": 2.0}


def test_relu_in_closed_form():
    """At the critical point with K = 1, ``l_W = 1`` and ``l_b = 1/2``: T = l, V = 5 (l - 1)."""
    found = layer_statistics("relu", 5, bias_rate=0.5, **RELU)
    layer = torch.arange(1, 6, dtype=torch.float64)
    torch.testing.assert_close(found.kernel, torch.ones(5, dtype=torch.float64), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.vertex, 5 * (layer - 1), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(found.tangent, layer, rtol=1e-12, atol=0)
    # B' = B + 2 T^2, F' = F + 2 T: sums of squares and of numbers.
    assert float(found.b[-1]) == pytest.approx(2 * (1 + 4 + 9 + 16), rel=1e-12)
    assert float(found.f[-1]) == pytest.approx(2 * (1 + 2 + 3 + 4), rel=1e-12)
    assert float(found.a[-1]) == pytest.approx(87.5, rel=1e-12)
    assert float(found.d[-1]) == pytest.approx(35, rel=1e-12)


def test_fluctuations_depend_on_depth_over_width():
    known = {5: 0.2720, 10: 0.3180, 20: 0.3420, 40: 0.35425}
    for depth, spread in known.items():
        found = layer_statistics("relu", depth, **RELU).tangent_spread(10 * depth)[-1]
        assert float(found) == pytest.approx(spread, abs=1e-5)


def test_tanh_tends_to_its_class():
    """``l K -> 1/2`` and ``V / (K^2 l) -> 2/3``."""
    found = layer_statistics("tanh", 300, mean_square=0.7, weight_variance=1.0)
    assert float(found.spread(1)[-1]) / 300 == pytest.approx(2 / 3, abs=0.01)


@pytest.mark.parametrize("name", ["tanh", "gelu"])
def test_fluctuations_go_on_by_the_slopes_of_the_means(name):
    """``C' = J C J^T + N`` for the pair (K, T): N and J, a difference, from networks that start where a layer is."""
    fixed = {"weight_variance": 1.3, "bias_variance": 0.2, "weight_rate": 0.7}

    def covariance(of, layer):
        return torch.stack([of.vertex, of.d, of.d, of.a], -1)[layer].reshape(2, 2)

    def start(k, t, depth=2):
        x2 = (k - 0.2) / 1.3
        return layer_statistics(name, depth, mean_square=x2, bias_rate=t - 0.7 * x2, **fixed)

    def means(k, t):  # without the rate of the biases, which is not that of the network below
        of = start(k, t)
        return torch.stack([of.kernel[1], of.tangent[1] - (t - 0.7 * (k - 0.2) / 1.3)])

    whole = start(0.9, 1.5, depth=3)
    k, t, h = float(whole.kernel[1]), float(whole.tangent[1]), 1e-5
    j = torch.stack([means(k + h, t) - means(k - h, t), means(k, t + h) - means(k, t - h)], 1) / (2 * h)
    found = j @ covariance(whole, 1) @ j.T + covariance(start(k, t), 1)
    torch.testing.assert_close(found, covariance(whole, 2), rtol=1e-8, atol=0)


def test_many_inputs_at_once():
    both = layer_statistics(
        "tanh", 3, mean_square=torch.tensor([0.2, 0.7]).double(), weight_variance=1.2, bias_variance=0.1
    )
    one = layer_statistics(
        "tanh", 3, mean_square=float(torch.tensor(0.7)), weight_variance=1.2, bias_variance=0.1
    )
    for name, values in vars(both).items():
        assert values.shape == (2, 3)
        torch.testing.assert_close(values[1], getattr(one, name), rtol=1e-12, atol=1e-15)


def test_skips_against_drawn_networks():
    """K and V of ``z' = z / 2 + b + W tanh(z)`` from 8,000 networks of width 40."""
    n, depth, skip, weight = 40, 4, 0.5, 1.3
    source = torch.Generator().manual_seed(3)
    z = torch.randn(8_000, n, generator=source) * (weight * 0.7) ** 0.5
    for _ in range(depth - 1):
        w = torch.randn(8_000, n, n, generator=source) * (weight / n) ** 0.5
        z = skip * z + (w @ torch.tanh(z)[..., None])[..., 0] + 0.3 * torch.randn(8_000, n, generator=source)
    found = layer_statistics(
        "tanh", depth, mean_square=0.7, weight_variance=weight, bias_variance=0.09, skip=skip
    )
    # The first layer above has no bias: a smaller input gives the same first kernel.
    same = layer_statistics(
        "tanh", depth, mean_square=0.7 - 0.09 / weight, weight_variance=weight, bias_variance=0.09, skip=skip
    )
    square = z.double().square()
    mean = square.mean(1)
    pairs = (square.sum(1) ** 2 - square.square().sum(1)) / (n * (n - 1))
    vertex = n * (pairs - 2 * mean.mean() * mean + mean.mean() ** 2)
    error = float(vertex.std()) / len(z) ** 0.5
    assert float(mean.mean()) == pytest.approx(float(same.kernel[-1]), rel=0.02)
    assert abs(float(vertex.mean()) - float(same.vertex[-1])) < 3 * error + 0.05 * float(same.vertex[-1])
    # Without its third term the recursion would be far off.
    assert float(same.vertex[-1]) > 1.5 * float(
        layer_statistics("tanh", depth, mean_square=0.63, weight_variance=weight, bias_variance=0.09).vertex[
            -1
        ]
    )
    assert found.tangent.isnan().all()


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"weight_variance": 0.0}, "weight_variance"),
        ({"bias_variance": -0.1}, "bias_variance"),
        ({"mean_square": 0.0}, "positive where there are no biases"),
        ({"mean_square": float("nan")}, "finite"),
        ({"depth": 0}, "depth"),
        ({"weight_variance": 1e6, "depth": 60}, "within numbers"),
    ],
)
def test_bad_numbers_are_refused(changes, rule):
    settings = {"depth": 3, "mean_square": 0.5, "weight_variance": 2.0} | changes
    with pytest.raises(InvalidInputError, match=rule):
        layer_statistics("relu", settings.pop("depth"), **settings)
