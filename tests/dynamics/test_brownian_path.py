import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics.brownian_path import UniversalBrownianPath
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import BlockNoise

# Times in separate cells, at their ends and middles, and several in one cell.
SPARSE = np.array([0.0, 0.07, 0.25, 0.3, 0.4375, 0.9, 1.0])
CROWDED = np.array([0.0, 0.001, 0.004, 0.01, 0.011, 0.1, 0.98, 0.99, 1.0])


def noise(count, *, first=0, dtype=torch.float64, seed=5):
    return lambda level: BlockNoise(seed, (level,), first=first, count=count, shape=(1,), dtype=dtype)


def steps(times, source, cells=16):
    return torch.cat([w for w, _ in UniversalBrownianPath(times, source, cells=cells)], dim=1)


@pytest.mark.cases(2)
@pytest.mark.parametrize("times", [SPARSE, 3 * SPARSE[::-1], CROWDED, np.linspace(0, 2, 41)])
def test_steps_are_independent_with_the_variances_of_brownian_motion(times):
    count = 100_000
    w = steps(times, noise(count))
    scaled = w / torch.from_numpy(np.abs(np.diff(times)).copy()).sqrt()
    # Entries of a sample second-moment matrix: standard deviation sqrt(2/n) on the diagonal, sqrt(1/n) off it.
    moments = scaled.T @ scaled / count
    assert (moments - torch.eye(len(moments))).abs().max() < 5 * math.sqrt(2 / count)
    assert scaled.mean(0).abs().max() < 5 / math.sqrt(count)


def test_steps_are_normal_by_kolmogorov_smirnov():
    stats = pytest.importorskip("scipy.stats")
    for times in (SPARSE, CROWDED):
        w = steps(times, noise(10_000))
        scaled = w / torch.from_numpy(np.diff(times)).sqrt()
        assert stats.kstest(scaled.ravel().numpy(), "norm").pvalue > 1e-3


@pytest.mark.cases(2)
@pytest.mark.parametrize("n", [1, 3, 7, 10, 13, 100, 128, 500])
def test_any_number_of_steps_sees_the_same_path(n):
    reference = steps(np.linspace(0, 1, 421), noise(50), cells=512).cumsum(1)
    own = steps(np.linspace(0, 1, n + 1), noise(50), cells=512).cumsum(1)
    shared = [k for k in range(1, n + 1) if k * 420 % n == 0]  # times k/n that the other grid has too
    theirs = torch.stack([reference[:, k * 420 // n - 1] for k in shared], 1)
    assert_close(own[:, [k - 1 for k in shared]], theirs, rtol=0, atol=1e-6)


def test_times_need_not_be_uniform_to_share_the_path():
    uneven = np.array([0.0, 0.1, 0.37, 0.6, 1.0])
    path = steps(np.linspace(0, 1, 101), noise(50), cells=128).cumsum(1)
    own = steps(uneven, noise(50), cells=128).cumsum(1)
    assert_close(own, path[:, [9, 36, 59, 99]], rtol=0, atol=1e-6)


def test_the_path_is_rough_between_its_cells():
    """Were it straight between cell ends, a step a hundredth of a cell long would be far too small."""
    times = np.array([0.0, 0.5 - 0.01 / 16, 0.5, 1.0])
    w = steps(times, noise(20_000))[:, 1]
    assert abs(float(w.square().mean()) / (0.01 / 16) - 1) < 5 * math.sqrt(2 / 20_000)


@pytest.mark.parametrize(("first", "count"), [(0, 1), (70, 3), (0, 200)])
def test_a_sample_does_not_depend_on_its_batch(first, count):
    everyone = steps(CROWDED, noise(300, dtype=torch.float32))
    some = steps(CROWDED, noise(count, first=first, dtype=torch.float32))
    assert torch.equal(everyone[first : first + count], some)


def test_iterating_again_repeats_the_path_and_the_caller_may_overwrite_it():
    path, kept = UniversalBrownianPath(CROWDED, noise(4)), []
    for w, area in path:
        assert area is None
        kept.append(w.clone())
        w.fill_(math.nan)
    assert_close(torch.stack([w for w, _ in path]), torch.stack(kept), rtol=0, atol=0)
    assert len(path) == len(kept)


def test_bad_arguments_are_refused():
    with pytest.raises(InvalidInputError, match="times must"):
        UniversalBrownianPath([0.0, 0.5, 0.5], noise(1))
    with pytest.raises(InvalidInputError, match="cells must be a power of two, got 100"):
        UniversalBrownianPath([0.0, 1.0], noise(1), cells=100)


@pytest.mark.parametrize("times", [SPARSE, 3 * SPARSE[::-1], CROWDED])
def test_areas_leave_the_increments_as_they_are(times):
    plain = steps(times, noise(20))
    pairs = list(UniversalBrownianPath(times, noise(20), cells=16, levy_area=True))
    assert torch.equal(torch.cat([w for w, _ in pairs], 1), plain)


@pytest.mark.slow
@pytest.mark.parametrize("times", [CROWDED, np.linspace(0, 2, 17), np.linspace(0, 1, 5)[::-1]])
def test_areas_are_independent_of_the_increments_with_a_twelfth_of_their_variance(times):
    count = 100_000
    pairs = list(UniversalBrownianPath(times, noise(count), cells=16, levy_area=True))
    h = torch.from_numpy(np.abs(np.diff(times)).copy())
    both = torch.cat([torch.cat([part[k] for part in pairs], 1) for k in (0, 1)], 1)
    scaled = both / torch.cat([h.sqrt(), (h / 12).sqrt()])
    moments = scaled.T @ scaled / count
    assert (moments - torch.eye(len(moments))).abs().max() < 5 * math.sqrt(2 / count)


def test_areas_of_a_coarse_grid_follow_from_those_of_a_fine_one():
    """``h H = h1 H1 + h2 H2 + (h2 W1 - h1 W2) / 2``."""
    fine, coarse = (
        list(UniversalBrownianPath(np.linspace(0, 1, n + 1), noise(30), cells=64, levy_area=True))
        for n in (16, 8)
    )
    for k, (_, area) in enumerate(coarse):
        (w1, area1), (w2, area2) = fine[2 * k], fine[2 * k + 1]
        assert_close(area, (area1 + area2) / 2 + (w1 - w2) / 4)
