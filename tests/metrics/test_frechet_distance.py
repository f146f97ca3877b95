"""The Fréchet distance in features against closed forms, repetition and the distance of Gaussians."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics import bures_wasserstein, frechet_distance
from interpolants.metrics.features import PrincipalComponents, RandomConvolutions

SCALES = torch.tensor([2.0, 1.0, 0.5, 0.1], dtype=torch.float64)


def draws(n, seed, scales=SCALES, mean=0.0):
    return torch.randn(n, len(scales), generator=torch.Generator().manual_seed(seed)).double() * scales + mean


def test_it_is_the_distance_of_the_gaussians_with_these_moments():
    x, y = draws(300, 0), draws(400, 1, SCALES.flip(0), 0.3)
    found = frechet_distance(x, y, features=lambda z: z)
    means, covs = (
        [z.float().double().mean(0) for z in (x, y)],
        [torch.cov(z.float().double().T) for z in (x, y)],
    )
    assert_close(
        found.value, bures_wasserstein(means[0], covs[0], means[1], covs[1]) ** 2, rtol=1e-8, atol=1e-10
    )
    assert found.n == 300


def test_two_gaussians_in_closed_form():
    found = frechet_distance(draws(40_000, 0), draws(40_000, 1, 2 * SCALES, 1.0), features=lambda z: z)
    truth = len(SCALES) + float(SCALES.square().sum())
    assert abs(found.value - truth) < 4 * found.error
    assert found.error < 0.03 * truth


def test_the_error_is_the_spread_over_repetitions():
    runs = [
        frechet_distance(draws(500, k), draws(700, 1000 + k, 1.5 * SCALES, 0.5), features=lambda z: z)
        for k in range(150)
    ]
    spread = float(np.std([run.value for run in runs], ddof=1))
    told = float(np.mean([run.error for run in runs]))
    assert 0.85 < told / spread < 1.15


def test_principal_components_keep_the_directions_of_largest_variance():
    x = draws(2000, 0)
    turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(3)).double())[0]
    kept = PrincipalComponents.of(x @ turn, 2)
    assert_close(kept(x @ turn).var(0), torch.linalg.eigvalsh(torch.cov(x.T)).flip(0)[:2])
    flat = torch.cat([x, torch.zeros(2000, 3).double()], 1)
    assert PrincipalComponents.of(flat, 20)(flat).shape == (2000, 4)  # no direction without variance
    # The default of the distance: a shift along a direction beyond the first 20 does not count.
    even = torch.linalg.qr(x.new_ones(2000, 22).normal_(generator=torch.Generator().manual_seed(5)))[0]
    even = torch.linalg.qr(even - even.mean(0))[0][:, :21] * 0.9 ** torch.arange(21).double()
    far = even.clone()
    far[:, 20] += 100.0
    assert frechet_distance(far, even).value < 1e-8


def test_what_the_real_rows_have_one_value_in_counts_where_there_are_few_directions():
    y = torch.cat([draws(400, 0), torch.full((400, 1), 0.1).double()], 1)
    x = y.clone()
    x[:, 4] += 3.0
    assert_close(frechet_distance(x, y).value, 9.0)
    x[:, 4] = 0.1 + 2 * draws(400, 3)[:, 0]
    spread = float(x[:, 4].var() + (x[:, 4].mean() - 0.1) ** 2)
    alone = frechet_distance(x, y).value
    assert abs(alone - spread) < 0.1 * spread
    one = y.new_tensor([[0.1, 0.3]]).expand(200, 2)  # all real rows alike
    x = draws(300, 7, SCALES[:2])
    truth = (x.mean(0) - one[0]).square().sum() + torch.cov(x.T).trace()
    assert_close(frechet_distance(x, one).value, float(truth))


def test_components_are_centred_and_uncorrelated():
    x = draws(500, 0, mean=3.0) @ torch.linalg.qr(draws(4, 6))[0]
    kept = PrincipalComponents.of(x, 3)
    assert_close(kept(x).mean(0), torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0)
    found = torch.cov(kept(x).T)
    assert_close(found, found.diagonal().diag(), atol=1e-12, rtol=0)


def test_features_are_differentiable_and_the_same_for_one_seed():
    pictures = torch.randn(5, 2, 9, 7, requires_grad=True)
    one, other = RandomConvolutions(2, width=4), RandomConvolutions(2, width=4)
    assert one(pictures).shape == (5, 32)
    assert torch.equal(one(pictures), other(pictures))
    assert not torch.equal(one(pictures), RandomConvolutions(2, width=4, seed=1)(pictures))
    one(pictures).sum().backward()
    assert float(pictures.grad.abs().min()) > 0 or bool((pictures.grad != 0).any())
    assert 0.05 < float(one(torch.randn(200, 2, 8, 8)).std()) < 20


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: frechet_distance(torch.randn(5, 2), torch.randn(5, 3)), "shape"),
        (lambda: frechet_distance(torch.randn(5, 2), torch.randn(5, 2), features=lambda z: z[:3]), "5 rows"),
        (
            lambda: frechet_distance(torch.randn(5, 2), torch.randn(5, 2), features=lambda z: z / 0),
            "features must be finite",
        ),
        (lambda: PrincipalComponents.of(torch.ones(5, 2)), "samples must differ"),
        (lambda: PrincipalComponents.of(torch.randn(5, 2))(torch.randn(5, 3)), "must have 2 entries"),
        (lambda: RandomConvolutions(3)(torch.randn(4, 1, 8, 8)), r"pictures \(N, 3, H, W\)"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()


def test_random_convolutions_keep_noise_of_order_one():
    """The second layer sees mean squares of 1 and, by He's scale, gives N(0, 2) over its filters: mean 1 / sqrt(pi)."""
    noise = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for seed in range(3):
        mean = float(RandomConvolutions(3, width=64, seed=seed)(noise).mean())
        assert mean == pytest.approx(
            math.pi**-0.5, rel=0.15
        )  # 128 filters: 7%; the border of zeros takes a few


@pytest.mark.parametrize("unit", [1e-6, 1e12])
def test_distances_between_samples_on_lines_follow_the_unit(unit):
    lines = torch.tensor([[1.0, 2.0, -1.0], [0.3, -0.7, 1.1]], dtype=torch.float64)
    x, y = (draws(40, 4 + k, torch.ones(1)) * line for k, line in enumerate(lines))
    found = frechet_distance(unit * x, unit * y, features=lambda z: z)
    wanted = frechet_distance(x, y, features=lambda z: z)
    # Between Gaussians on two lines W2^2 is known too: the nuclear norm is |cov(x, y)| of their scales.
    scales = [float(torch.linalg.norm(z - z.mean(0)) / 39**0.5) for z in (x, y)]
    cosine = abs(float(torch.nn.functional.cosine_similarity(*lines, dim=0)))
    exact = float((x.mean(0) - y.mean(0)).square().sum())
    exact += scales[0] ** 2 + scales[1] ** 2 - 2 * scales[0] * scales[1] * cosine
    assert wanted.value == pytest.approx(exact, rel=1e-6)
    assert found.value == pytest.approx(unit**2 * wanted.value, rel=1e-6)
    assert found.error == pytest.approx(unit**2 * wanted.error, rel=1e-6)


def test_what_the_samples_have_beside_the_directions_of_the_data_is_seen_first():
    """Of 30 columns 25 vary, and the data in one of these: it and the 19 largest beside are seen."""
    g = torch.Generator().manual_seed(0)
    x, y = (torch.zeros(200, 30, dtype=torch.float64) for _ in range(2))
    y[:, 0] = torch.tensor([-1.0, 1.0]).repeat(100)
    # No two columns are correlated about 0, so that each is a direction.
    x[:, :25] = torch.linalg.qr(torch.randn(200, 25, generator=g, dtype=torch.float64)).Q
    x[:, :25] *= torch.linspace(60, 12, 25, dtype=torch.float64)
    whole = frechet_distance(x[:, :20], y[:, :20], features=lambda z: z)
    assert_close(frechet_distance(x, y).value, whole.value, rtol=1e-6, atol=0)
