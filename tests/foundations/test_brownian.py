import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations import brownian
from interpolants.foundations.brownian import BrownianPath
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import BlockNoise

UNEVEN = np.array([0.0, 0.1, 0.3, 0.35, 0.9, 1.2, 1.3])  # 6 = 3 * 2 steps


def noise(count, *, first=0, shape=(1,), dtype=torch.float64, seed=5):
    return lambda level: BlockNoise(seed, (level,), first=first, count=count, shape=shape, dtype=dtype)


def steps(times, source, *, levy_area=False):
    """Increments and areas as columns, ``(count, n)``."""
    pairs = list(BrownianPath(times, source, levy_area=levy_area))
    w = torch.cat([w for w, _ in pairs], dim=1)
    return (w, torch.cat([area for _, area in pairs], dim=1)) if levy_area else (w, None)


@pytest.mark.parametrize("times", [UNEVEN, UNEVEN[::-1]], ids=["up", "down"])
@pytest.mark.parametrize("levy_area", [False, True])
def test_steps_are_independent_with_the_variances_of_brownian_motion(times, levy_area):
    count = 100_000
    w, area = steps(times, noise(count), levy_area=levy_area)
    h = torch.from_numpy(np.abs(np.diff(times)).copy())
    scaled = w / h.sqrt()
    if levy_area:
        scaled = torch.cat([scaled, area / (h / 12).sqrt()], dim=1)
    # Entries of a sample second-moment matrix: standard deviation sqrt(2/n) on the diagonal, sqrt(1/n) off it.
    moments = scaled.T @ scaled / count
    assert (moments - torch.eye(len(moments))).abs().max() < 5 * math.sqrt(2 / count)
    assert scaled.mean(0).abs().max() < 5 / math.sqrt(count)


@pytest.mark.parametrize("levy_area", [False, True])
def test_steps_are_normal_by_kolmogorov_smirnov(levy_area):
    stats = pytest.importorskip("scipy.stats")
    w, area = steps(np.linspace(0, 2, 9), noise(20_000), levy_area=levy_area)
    assert stats.kstest((w / 0.5).ravel().numpy(), "norm").pvalue > 1e-3
    if levy_area:
        assert stats.kstest((area / math.sqrt(0.25 / 12)).ravel().numpy(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("grid", [np.linspace(0, 1, 49), np.linspace(1, 0, 49) ** 2, UNEVEN])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_finer_grid_sees_the_same_path(grid, dtype):
    fine, coarse = (steps(times, noise(100, dtype=dtype))[0] for times in (grid, grid[::2]))
    assert_close(fine[:, 0::2] + fine[:, 1::2], coarse, rtol=0, atol=1e-6)


@pytest.mark.parametrize("grid", [np.linspace(0, 1, 49), np.linspace(1, 0, 49) ** 2, UNEVEN])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_finer_grid_sees_the_same_path_and_area(grid, dtype):
    """The area of two joined steps from the definition, by areas under the path: (int W) = h (H + W/2)."""
    w, area = steps(grid, noise(100, dtype=dtype), levy_area=True)
    coarse_w, coarse_area = steps(grid[::2], noise(100, dtype=dtype), levy_area=True)
    h = torch.from_numpy(np.abs(np.diff(grid)))
    under = h * (area + w / 2)  # under the path of each step, from its own start
    h1, h2, w1 = h[0::2], h[1::2], w[:, 0::2]
    joined = under[:, 0::2] + under[:, 1::2] + h2 * w1
    total = w[:, 0::2] + w[:, 1::2]
    assert_close(total, coarse_w, rtol=0, atol=1e-6)
    assert_close(joined / (h1 + h2) - total / 2, coarse_area.double(), rtol=0, atol=1e-6)


def test_four_levels_of_refinement_agree():
    totals = [
        steps(np.linspace(0, 1, 3 * 2**k + 1), noise(20))[0].reshape(20, 3, 2**k).sum(2) for k in range(5)
    ]
    for total in totals[1:]:
        assert_close(total, totals[0], rtol=0, atol=1e-12)


def test_iterating_again_repeats_the_path():
    path = BrownianPath(np.linspace(0, 1, 13), noise(4), levy_area=True)
    for (w, area), (w_again, area_again) in zip(path, path, strict=True):
        assert torch.equal(w, w_again)
        assert torch.equal(area, area_again)


@pytest.mark.parametrize("levy_area", [False, True])
@pytest.mark.parametrize(("first", "count"), [(0, 1), (70, 3), (63, 2), (0, 200)])
def test_a_sample_does_not_depend_on_its_batch(levy_area, first, count):
    times = np.linspace(0, 1, 25)
    everyone = steps(times, noise(300, dtype=torch.float32), levy_area=levy_area)
    some = steps(times, noise(count, first=first, dtype=torch.float32), levy_area=levy_area)
    for all_rows, rows in zip(everyone, some, strict=True):
        assert all_rows is None or torch.equal(all_rows[first : first + count], rows)


class Counting:
    """A source that counts its draws."""

    draws = 0

    def normal(self, scale=1.0):
        Counting.draws += 1
        return torch.zeros(1)


@pytest.mark.parametrize(("levy_area", "per_step"), [(False, 1), (True, 2)])
def test_one_draw_per_step_whatever_the_grid(levy_area, per_step):
    for n in (1, 7, 96, 1024):
        Counting.draws = 0
        path = BrownianPath(np.linspace(0, 1, n + 1), lambda level: Counting(), levy_area=levy_area)
        assert sum(1 for _ in path) == n == len(path)
        assert Counting.draws == per_step * n


def test_memory_grows_with_the_logarithm_of_the_steps():
    """Live tensors are those on the traversal's stack: at most one per level, plus the step in hand."""
    most = {}
    for n in (16, 1024):
        path = BrownianPath(np.linspace(0, 1, n + 1), noise(1))
        iterator = path._walk([noise(1)(level) for level in range(path.levels + 1)])
        most[n] = 0
        for _ in iterator:
            most[n] = max(most[n], len(iterator.gi_frame.f_locals["stack"]))
    assert most == {16: 4, 1024: 10}


@pytest.mark.parametrize("levy_area", [False, True])
def test_a_path_kept_whole_is_the_path_walked_step_by_step(levy_area, monkeypatch):
    times = np.linspace(0, 1, 13)
    whole = list(BrownianPath(times, noise(5), levy_area=levy_area))
    monkeypatch.setattr(brownian, "_MOST_AHEAD", 0)
    walked = list(BrownianPath(times, noise(5), levy_area=levy_area))
    assert len(whole) == len(walked) == 12
    assert_close(whole, walked, rtol=0, atol=0)


def test_the_caller_may_overwrite_what_is_yielded():
    times = np.linspace(0, 1, 9)
    kept = [w.clone() for w, _ in BrownianPath(times, noise(3))]
    spoilt = []
    for w, _ in BrownianPath(times, noise(3)):
        spoilt.append(w.clone())
        w.fill_(math.nan)
    assert_close(torch.stack(spoilt), torch.stack(kept), rtol=0, atol=0)


@pytest.mark.parametrize("bad", [[0.0], [0.0, 0.5, 0.5], [0.0, 0.6, 0.5], [0.0, math.nan], [[0.0, 1.0]]])
def test_a_bad_grid_is_refused(bad):
    with pytest.raises(InvalidInputError, match="BrownianPath: times must"):
        BrownianPath(bad, noise(1))
