import importlib
import math

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics import median_bandwidth, mmd, pairwise


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def kernel_mean(mean, variance, bandwidth):
    """E exp(-d^2 / 2 b^2) for d ~ N(mean, variance)."""
    total = bandwidth**2 + variance
    return math.sqrt(bandwidth**2 / total) * math.exp(-(mean**2) / (2 * total))


def closed_form(mean, std, bandwidths):
    def one(b):
        return kernel_mean(0, 2, b) + kernel_mean(0, 2 * std**2, b) - 2 * kernel_mean(mean, 1 + std**2, b)

    return sum(map(one, bandwidths)) / len(bandwidths)


@pytest.mark.parametrize("bandwidths", [[1.0], [0.3, 1.0, 4.0]])
def test_two_gaussians_on_a_line_have_the_closed_form(bandwidths):
    x, y = torch.randn(3000, generator=seeded(0)), 0.5 + 1.5 * torch.randn(2000, generator=seeded(1))
    found, wanted = mmd(x, y, bandwidths=bandwidths), closed_form(0.5, 1.5, bandwidths)
    assert abs(found.value - wanted) < 4 * found.error
    assert found.error < 0.15 * wanted


@pytest.mark.parametrize("pairs", [1, 2**20])
def test_value_is_the_double_sum_whatever_the_block(monkeypatch, pairs):
    monkeypatch.setattr(pairwise, "_PAIRS", pairs)
    x = torch.randn(13, 2, generator=seeded(2), dtype=torch.float64)
    y = torch.randn(9, 2, generator=seeded(3), dtype=torch.float64) + 1

    def k(a, b):
        return sum(math.exp(-(math.dist(a, b) ** 2) / (2 * s**2)) for s in (0.5, 2.0)) / 2

    x_list, y_list = x.tolist(), y.tolist()
    within = sum(k(a, b) for i, a in enumerate(x_list) for j, b in enumerate(x_list) if i != j) / (13 * 12)
    within += sum(k(a, b) for i, a in enumerate(y_list) for j, b in enumerate(y_list) if i != j) / (9 * 8)
    cross = sum(k(a, b) for a in x_list for b in y_list) / (13 * 9)
    assert mmd(x, y, bandwidths=[0.5, 2.0]).value == pytest.approx(within - 2 * cross, abs=1e-14)


def test_median_bandwidth_is_the_median_distance_of_two_gaussian_samples():
    # |X - X'| for X in the plane is Rayleigh with scale sqrt(2): median sqrt(2) sqrt(2 ln 2).
    x, y = torch.randn(5000, 2, generator=seeded(4)), torch.randn(700, 2, generator=seeded(5))
    found = median_bandwidth(x, y, generator=seeded(6))
    assert found == pytest.approx(2 * math.sqrt(math.log(2)), rel=0.05)
    assert found == median_bandwidth(x, y, generator=seeded(6))
    assert median_bandwidth(3 * x, 3 * y, generator=seeded(6)) == pytest.approx(3 * found)


def test_median_costs_no_more_than_a_thousand_samples_half_from_each_set(monkeypatch):
    module, seen = importlib.import_module("interpolants.metrics.mmd"), []

    def record(a, b):
        seen.append(a)
        return pairwise.squared_distances(a, b)

    monkeypatch.setattr(module, "squared_distances", record)
    median_bandwidth(
        torch.randn(3000, 1, generator=seeded(11)), 1e3 + torch.randn(600, 1, generator=seeded(12))
    )
    assert (int((seen[0] < 0).sum()), int((seen[0] > 0).sum())) == (500, 500)


def test_default_bandwidths_are_five_multiples_of_the_median():
    x, y = torch.randn(80, 3, generator=seeded(7)), torch.randn(60, 3, generator=seeded(8)) + 1
    median = median_bandwidth(x, y, generator=seeded(9))
    explicit = mmd(x, y, bandwidths=[m * median for m in (0.25, 0.5, 1, 2, 4)])
    assert mmd(x, y, generator=seeded(9)) == explicit


@pytest.mark.parametrize(
    ("shift", "bandwidth", "low", "high"),
    [(1.0, 1.0, 0.85, 1.15), (0.0, 1.0, 0.95, 1.45), (0.0, 0.1, 0.85, 1.15)],
)
def test_error_is_the_spread_over_repetitions(shift, bandwidth, low, high):
    generator = seeded(10)
    runs = [
        mmd(
            torch.randn(100, 2, generator=generator),
            torch.randn(60, 2, generator=generator) + shift,
            bandwidths=[bandwidth],
        )
        for _ in range(400)
    ]
    spread = float(torch.tensor([run.value for run in runs]).std())
    claimed = float(torch.tensor([run.error for run in runs]).square().mean().sqrt())
    assert low < claimed / spread < high


@pytest.mark.parametrize("bad", [[], [0.0], [1.0, -1.0], [math.inf]])
def test_bad_bandwidths_are_refused(bad):
    with pytest.raises(InvalidInputError, match="mmd: bandwidths must be finite and > 0"):
        mmd(torch.randn(5, 2), torch.randn(5, 2), bandwidths=bad)


@pytest.mark.parametrize("asked", [mmd, median_bandwidth])
def test_coinciding_samples_have_no_median(asked):
    rule = r"the median distance .* must be > 0, got 0\.0\. .*bandwidths"
    with pytest.raises(InvalidInputError, match=f"{asked.__name__}: {rule}"):
        asked(torch.ones(5, 2), torch.ones(5, 2))
