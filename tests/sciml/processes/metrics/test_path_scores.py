"""Marginals, dependence and peaks by hand; recurrent scores of noise, of walks and of halves of one set."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.processes.metrics.path_scores import (
    discriminative_score,
    marginal_distances,
    path_dependence,
    peaks,
    predictive_score,
)

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def test_marginal_distances_are_those_of_sorted_values_whatever_the_numbers_of_paths():
    x = normal(50, 4, 2)
    shift = torch.arange(8, dtype=F64).reshape(4, 2)
    assert_close(marginal_distances(x, x + shift), shift)
    y = normal(50, 4, 2, seed=1) * 2
    by_hand = (x.sort(0).values - y.sort(0).values).abs().mean(0)
    assert_close(marginal_distances(x, y), by_hand)
    assert_close(marginal_distances(x, y.repeat(3, 1, 1)), by_hand)  # 50 against 150


def test_dependence_sees_correlation_and_that_of_sizes():
    """``y = r x + sqrt(1 - r^2) z`` has the correlation r; ``|x| z`` has none, but its square has 1 / sqrt(7)."""
    x, z = normal(40_000, 2, 1), normal(40_000, 2, 1, seed=1)
    assert_close(path_dependence(x, 0.6 * x + 0.8 * z), torch.full((2, 1), 0.6, dtype=F64), atol=0.02, rtol=0)
    sizes = path_dependence(x, x.abs() * z)
    assert_close(sizes, torch.full((2, 1), 0.5, dtype=F64), atol=0.06, rtol=0)
    assert float(path_dependence(x, z).max()) < 0.025


def test_what_does_not_vary_depends_on_nothing():
    x = torch.cat([torch.full((30, 3, 1), 2.0, dtype=F64), normal(30, 3, 1)], 2)
    assert path_dependence(x, x).tolist() == [[0.0, pytest.approx(1.0)]] * 3


def test_peaks_of_mixtures():
    x = normal(2000)
    assert peaks(x) == 1
    assert peaks(torch.cat([x - 3, x + 3])) == 2
    assert peaks(torch.cat([x - 6, x, x + 6])) == 3
    assert peaks(torch.cat([x - 3, x[:20] + 3])) == 1  # a small one does not count
    tall = torch.tensor([0.0] + [1.0] * 99)
    assert [peaks(one, least=least) for one in (tall, -tall) for least in (0.005, 0.05)] == [2, 1, 2, 1]


def test_peaks_are_those_of_another_library():
    stats, signal = (pytest.importorskip(f"scipy.{name}") for name in ("stats", "signal"))
    for seed in range(12):
        x = -normal(40, seed=seed).exp()  # a long tail on the left, an edge on the right
        width = 0.9 * min(float(x.std()), float(stats.iqr(x.numpy())) / 1.349) * len(x) ** -0.2
        grid = torch.linspace(float(x.min()) - 9 * width, float(x.max()) + 9 * width, 600, dtype=F64)
        density = stats.gaussian_kde(x.numpy(), bw_method=width / float(x.std()))(grid.numpy())
        for least in (0.005, 0.05):
            theirs, _ = signal.find_peaks(density, prominence=least * density.max())
            assert peaks(x, least=least) == len(theirs), (seed, least)


def test_a_column_that_does_not_vary_leaves_the_error_of_the_next_value_a_number():
    x = torch.cat([torch.full((20, 4, 1), 2.0, dtype=F64), normal(20, 4, 1)], 2)
    assert 0 < predictive_score(x, x, steps=1, repeats=1).value < 2


@pytest.mark.parametrize("score", [discriminative_score, predictive_score])
def test_recurrent_scores_train_as_many_networks_as_told(score):
    two, one = (score(normal(20, 4, 1), normal(20, 4, 1, seed=1), steps=1, repeats=k) for k in (2, 1))
    assert (two.n, one.n) == (2, 1)
    assert two.error > 0
    assert math.isnan(one.error)


@pytest.mark.slow
def test_recurrent_scores_tell_noise_from_walks_and_not_halves_of_one_set():
    walks = normal(400, 8, 1).cumsum(1)
    noise = walks.flatten(0, 1)[torch.randperm(3200, generator=torch.Generator().manual_seed(3))].reshape(
        400, 8, 1
    )
    options = {"repeats": 2, "steps": 150}
    told = discriminative_score(noise, walks, **options)
    same = discriminative_score(walks[:200], walks[200:], **options)
    assert told.value > 0.35, told
    assert same.value < 0.12, same
    # The best forecast of a walk is its last value: the error is that of a step, sqrt(2 / pi).
    best = math.sqrt(2 / math.pi) / float(walks.std())
    learnt, mistaught = (predictive_score(one, walks, repeats=1, steps=250) for one in (walks, noise))
    assert 0.95 * best < learnt.value < 1.3 * best < mistaught.value, (best, learnt, mistaught)


@pytest.mark.parametrize(
    "score", [marginal_distances, path_dependence, discriminative_score, predictive_score]
)
def test_other_shapes_and_gaps_are_refused(score):
    x = normal(10, 4, 1)
    with pytest.raises(InvalidInputError, match=r"paths must be \(N, T, C\) of one shape"):
        score(x, x[:, :3])
    gap = x.clone()
    gap[0, 0] = math.nan
    with pytest.raises(InvalidInputError, match="finite"):
        score(x, gap)


def test_scores_of_networks_do_not_depend_on_units():
    x = torch.randn(24, 6, 1, generator=torch.Generator().manual_seed(0)).double().cumsum(1)
    few = {"hidden": 4, "steps": 20, "repeats": 1}
    for score in (discriminative_score, predictive_score):
        plain = score(x[:12], x[12:], **few).value
        assert score(1e-14 * x[:12], 1e-14 * x[12:], **few).value == pytest.approx(plain, rel=1e-3)


def test_dependence_of_sizes_is_that_about_the_mean():
    g = torch.Generator().manual_seed(1)
    x, z = (torch.randn(500, 2, 1, generator=g, dtype=F64) for _ in range(2))
    y = x.abs() * z
    assert_close(path_dependence(x + 3, y - 2), path_dependence(x, y))
