import math
import statistics

import pytest
import torch
from torch.testing import assert_close

from interpolants.metrics import bootstrap_error, energy_distance, pairwise


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def naive(x, y, unbiased):
    def mean_distance(a, b, pairs):
        return sum(math.dist(p, q) for p in a.tolist() for q in b.tolist()) / pairs

    n, m = len(x), len(y)
    own_x, own_y = (n * (n - 1), m * (m - 1)) if unbiased else (n * n, m * m)
    return 2 * mean_distance(x, y, n * m) - mean_distance(x, x, own_x) - mean_distance(y, y, own_y)


def mean_abs_normal(mean, std):
    ratio = mean / std
    return std * math.sqrt(2 / math.pi) * math.exp(-(ratio**2) / 2) + mean * math.erf(ratio / math.sqrt(2))


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("width", [2, 40])
@pytest.mark.parametrize("pairs", [1, 60, 2**20])
def test_value_is_the_double_sum_whatever_the_block(monkeypatch, unbiased, width, pairs):
    monkeypatch.setattr(pairwise, "_PAIRS", pairs)
    x = torch.randn(17, width, generator=seeded(0), dtype=torch.float64)
    y = torch.randn(23, width, generator=seeded(1), dtype=torch.float64) + 0.3
    found = energy_distance(x, y, unbiased=unbiased)
    assert found.value == pytest.approx(naive(x, y, unbiased), abs=1e-12)
    monkeypatch.undo()
    assert found.error == pytest.approx(energy_distance(x, y, unbiased=unbiased).error, rel=1e-9)


def test_the_error_is_that_of_the_decomposition_by_plain_loops():
    """Linear and quadratic parts as the page of `discrepancy` defines them, the kernel centred pair by pair."""
    x, y = [0.0, 1.0, 3.0, 4.5], [6.0, 6.5, 9.0]

    def kernel(a, b):
        return -abs(a - b)

    def mean(values):
        return sum(values) / len(values)

    def within(own):  # mean over partners j != i
        return [mean([kernel(a, b) for j, b in enumerate(own) if j != i]) for i, a in enumerate(own)]

    def centred_square(own, other, rows, columns, same):
        middle = mean(rows)
        return mean(
            [
                (kernel(a, b) - rows[i] - columns[j] + middle) ** 2
                for i, a in enumerate(own)
                for j, b in enumerate(other)
                if not (same and i == j)
            ]
        )

    own = [within(x), within(y)]
    cross = [[mean([kernel(a, b) for b in second]) for a in first] for first, second in ((x, y), (y, x))]
    n, m = len(x), len(y)
    linear = sum(
        4 * statistics.variance([p - q for p, q in zip(own[k], cross[k], strict=True)]) / (n, m)[k]
        for k in (0, 1)
    )
    quadratic = 2 * centred_square(x, x, own[0], own[0], True) / n**2
    quadratic += 2 * centred_square(y, y, own[1], own[1], True) / m**2
    quadratic += 4 * centred_square(x, y, cross[0], cross[1], False) / (n * m)
    found = energy_distance(*(torch.tensor(z, dtype=torch.float64) for z in (x, y)))
    assert linear > 2 * quadratic
    assert found.error == pytest.approx(math.sqrt(linear - quadratic))


def test_two_gaussians_on_a_line_have_the_closed_form():
    x = torch.randn(4000, generator=seeded(2))
    y = 0.5 + 1.5 * torch.randn(3000, generator=seeded(3))
    wanted = 2 * mean_abs_normal(0.5, math.sqrt(1 + 1.5**2)) - mean_abs_normal(0, math.sqrt(2)) * (1 + 1.5)
    found = energy_distance(x, y)
    assert abs(found.value - wanted) < 4 * found.error
    assert found.error < 0.1 * wanted


@pytest.mark.parametrize("width", [3, 300])
def test_one_set_against_itself_is_zero_even_far_from_the_origin(width):
    x = torch.randn(200, width, generator=seeded(4), dtype=torch.float64)
    assert energy_distance(x, x, unbiased=False).value == pytest.approx(0, abs=1e-7)
    y = x[:100] + 0.1
    far = energy_distance(x + 1e6, y + 1e6)
    assert far.value == pytest.approx(energy_distance(x, y).value, abs=1e-7)


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("shift", "sizes", "low", "high"),
    # Without a shift the error is quadratic in the noise, and its lower bound makes it err upwards.
    [
        (1.0, (120, 60), 0.85, 1.15),
        (1.0, (60, 120), 0.85, 1.15),
        (0.0, (120, 60), 0.95, 1.45),
        (0.0, (80, 80), 0.95, 1.45),
    ],
)
def test_error_is_the_spread_over_repetitions(shift, sizes, low, high):
    generator = seeded(5)
    runs = [
        energy_distance(
            torch.randn(sizes[0], 3, generator=generator),
            torch.randn(sizes[1], 3, generator=generator) + shift,
        )
        for _ in range(400)
    ]
    spread = float(torch.tensor([run.value for run in runs]).std())
    claimed = float(torch.tensor([run.error for run in runs]).square().mean().sqrt())
    assert low < claimed / spread < high  # 400 repetitions know the spread to 4 %, more if it is skewed


def test_a_bootstrap_is_too_large_by_the_root_of_three_for_equal_distributions():
    generator, values, errors = seeded(9), [], []
    for _ in range(25):
        x, y = torch.randn(60, 5, generator=generator), torch.randn(60, 5, generator=generator)
        values.append(bootstrap_error(v_statistic, x, y, n_bootstrap=40, generator=generator))
        errors.append(energy_distance(x, y).error)
    ratio = torch.tensor(values).square().mean().sqrt() / torch.tensor(errors).square().mean().sqrt()
    assert 1.2 < float(ratio) < 1.85


def v_statistic(x, y):
    return energy_distance(x, y, unbiased=False).value


def test_unbiased_value_is_zero_on_average_for_equal_distributions():
    generator = seeded(6)
    values = torch.tensor(
        [
            energy_distance(
                torch.randn(20, 2, generator=generator), torch.randn(30, 2, generator=generator)
            ).value
            for _ in range(400)
        ]
    )
    assert abs(float(values.mean())) < 4 * float(values.std()) / 20


def test_value_scales_with_the_data():
    x, y = torch.randn(50, 2, generator=seeded(7)), torch.randn(40, 2, generator=seeded(8)) + 1
    one, ten = energy_distance(x, y), energy_distance(10 * x, 10 * y)
    assert_close(torch.tensor([ten.value, ten.error]), 10 * torch.tensor([one.value, one.error]))
