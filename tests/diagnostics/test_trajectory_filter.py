"""The filter by trajectories, on a field whose step between two modes is smoother than the exact one."""

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from interpolants.diagnostics.trajectory_filter import TrajectoryFilter, kept_by_mode, scan_windows
from interpolants.dynamics import sample
from interpolants.dynamics.trajectory_statistics import TrajectoryStatistics
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics.beyond_modes import beyond_modes
from interpolants.paths import VP

MODES, SIGMA = torch.tensor([[-1.0], [1.0]]), 0.05
LATE = (0.91, 1.0)  # the last five of 60 steps; the one that begins at 0.9 belongs to (0.9, 1.0)
STARTS = torch.randn(5000, 1, generator=torch.Generator().manual_seed(0))
RUN = {"method": "ddim", "n_steps": 60}


def fields(blur):
    """E[x1 | x_t] of two modes; ``blur`` is added to the variance behind the weights. 0 is exact."""
    path = VP()

    def denoised(x, t):
        a, b = path.alpha(t)[:, None], path.beta(t)[:, None]
        variance = b**2 * SIGMA**2 + a**2
        side = torch.tanh(b * x / (variance + blur))
        return side + b * SIGMA**2 / variance * (x - b * side)

    return LearnedFields(path, denoised=denoised)


def start(first, count):
    return STARTS[first : first + count]


def wrong(x):
    return beyond_modes(x, MODES, SIGMA)


def test_the_exact_field_makes_no_wrong_samples_and_the_smooth_one_does():
    x = start(0, 1500)
    assert not wrong(sample(fields(0.0), x, **RUN).x).any()
    assert 0.005 < wrong(sample(fields(0.2), x, **RUN).x).double().mean() < 0.05


def test_the_scan_finds_a_window_that_tells_them_and_ranks_it_first():
    windows = [(0.0, 0.3), (0.0, 1.0), LATE]
    found = scan_windows(
        lambda modifiers: sample(fields(0.2), start(0, 1500), modifiers=modifiers, **RUN), wrong, windows
    )
    assert len(found) == 6
    assert [score.area for score in found] == sorted((score.area for score in found), reverse=True)
    assert found[0].area > 0.9
    assert found[0].window == LATE
    late = next(s for s in found if s.window == LATE and s.statistic == "variance")
    early = next(s for s in found if s.window == (0.0, 0.3) and s.statistic == "variance")
    assert late.area > early.area
    assert late.curve.found == int(wrong(sample(fields(0.2), start(0, 1500), **RUN).x).sum())


def test_the_scan_of_the_exact_field_has_no_curve_and_says_so():
    found = scan_windows(
        lambda modifiers: sample(fields(0.0), start(0, 50), modifiers=modifiers, **RUN), wrong, [LATE]
    )
    assert all(score.curve is None and math.isnan(score.area) for score in found)


def calibrated(keep=0.9):
    observer = TrajectoryStatistics(window=LATE)
    trial = sample(fields(0.2), start(2000, 1500), modifiers=observer, **RUN)
    return TrajectoryFilter.calibrated(trial, keep=keep, good=~wrong(trial.x), window=LATE), trial


def test_the_threshold_keeps_the_share_of_good_samples_and_removes_wrong_ones():
    keep, trial = calibrated(0.96)
    good = ~wrong(trial.x)
    assert keep.accepts(trial)[good].double().mean() == pytest.approx(0.96, abs=1 / int(good.sum()) + 1e-9)
    done = sample(fields(0.2), start(0, 1500), modifiers=keep.observer, **RUN)
    before, after = wrong(done.x).double().mean(), wrong(done.x[keep.accepts(done)]).double().mean()
    assert 0 < after < 0.6 * before


def test_candidates_are_judged_one_by_one_whatever_is_drawn_beside_them():
    keep, _ = calibrated()

    def run(first, count):
        return sample(fields(0.2), start(first, count), first_index=first, modifiers=keep.observer, **RUN)

    assert torch.equal(keep.draw(90, run, block=64), keep.draw(90, run, block=128))
    done = run(0, 200)
    assert_close(keep.draw(90, run, block=64), done.x[keep.accepts(done)][:90], rtol=0, atol=0)


def test_blocks_are_drawn_until_there_are_enough_and_no_further():
    """Of the second block of 16 nothing is kept."""
    keep, drawn = TrajectoryFilter(threshold=0.5, window=LATE), []

    def run(first, count):
        drawn.append(first)
        done = sample(fields(0.2), start(first, count), modifiers=keep.observer, **RUN)
        told = {**done.reports[0], "variance": torch.full((count,), float(first == 16))}
        return replace(done, reports=(told,))

    assert torch.equal(keep.draw(32, run, block=16, most=2)[16:], run(32, 16).x)
    assert drawn == [0, 16, 32, 32]
    assert len(keep.draw(16, run, block=16, most=1)) == 16


def test_windows_without_a_curve_come_last():
    """In the first window every wrong sample was lost on the way."""
    _, trial = calibrated()
    told, lost = trial.reports[0], dict(trial.reports[0])
    lost["bad"] = wrong(trial.x).to(told["bad"])
    found = scan_windows(
        lambda _: replace(trial, reports=(lost, told)), wrong, [(0.0, 0.5), LATE], statistics=["variance"]
    )
    assert [score.window for score in found] == [LATE, (0.0, 0.5)]
    assert found[1].bad == int(wrong(trial.x).sum()) > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_default_window_has_its_boundary_step_in_both_precisions(dtype):
    """With 20 steps two begin in (0.9, 1): in float32 the one at 0.89999998 was lost, and every variance NaN."""
    keep = TrajectoryFilter(threshold=1.0)
    done = sample(fields(0.2), start(0, 8).to(dtype), modifiers=keep.observer, method="ddim", n_steps=20)
    assert done.reports[0]["steps"].tolist() == [2] * 8
    assert torch.isfinite(done.reports[0]["variance"]).all()


def test_the_share_that_is_kept_of_each_mode():
    x = torch.tensor([[-1.1], [-0.9], [-1.0], [-1.0], [1.2], [0.8], [0.0]])
    kept = torch.tensor([True, True, False, True, False, True, False])
    means = torch.tensor([[-1.0], [1.0], [9.0]])
    expected = torch.tensor([3 / 4, 1 / 3, math.nan], dtype=torch.float64)
    x[6] = 0.1  # between the modes, a little nearer to the second
    assert_close(kept_by_mode(x, kept, means), expected, equal_nan=True)
    good = ~beyond_modes(x, means, 0.1)
    expected[1] = 0.5
    assert_close(kept_by_mode(x, kept, means, good=good), expected, equal_nan=True)
    with pytest.raises(InvalidInputError, match="must fit"):
        kept_by_mode(x, kept[:3], means)


def test_samples_that_were_not_finite_are_never_kept():
    keep, trial = calibrated()
    told = dict(trial.reports[0])
    told["bad"] = told["bad"].clone()
    told["bad"][3] = 1
    told["variance"] = told["variance"].clone()
    told["variance"][4] = math.nan
    broken = replace(trial, reports=(told,))
    assert not replace(keep, threshold=1e300).accepts(broken)[[3, 4]].any()
    assert TrajectoryFilter.calibrated(broken, keep=1.0, window=LATE).threshold < math.inf


def test_it_refuses_a_run_without_its_observer_and_settings_out_of_range():
    keep, trial = calibrated()
    with pytest.raises(InvalidInputError, match="must have the report of its observer"):
        keep.accepts(sample(fields(0.2), start(0, 3), **RUN))
    with pytest.raises(InvalidInputError, match=r"keep must lie in"):
        TrajectoryFilter.calibrated(trial, keep=0.0)
    with pytest.raises(InvalidInputError, match="two rising times"):
        TrajectoryFilter(threshold=1.0, window=(0.5, 0.5))
    with pytest.raises(InvalidInputError, match="finite statistics"):
        TrajectoryFilter.calibrated(trial, good=torch.zeros(1500, dtype=torch.bool))


def test_a_filter_that_keeps_nothing_ends_with_a_remedy():
    keep = TrajectoryFilter(threshold=0.0, window=LATE)

    def run(first, count):
        return sample(fields(0.2), start(first, count), modifiers=keep.observer, **RUN)

    with pytest.raises(InvalidInputError, match="at least one candidate in 2 must be kept"):
        keep.draw(20, run, block=16, most=2)
