"""Error against evaluations: the ends by another route, the noise that others are given, where a goal is met."""

import math

import pytest
from studies.common import run
from studies.work_precision import solvers
from studies.work_precision.experiment import STUDY, _reached
from studies.work_precision.problem import FIRST, LAST, PATH, SIGMA_MAX, SIGMA_MIN, noise, problem
from torch.testing import assert_close

from interpolants.dynamics import sample


@pytest.mark.slow
def test_the_ends_agree_with_an_adaptive_solver_and_the_times_with_their_noise():
    at = problem(0, 10)
    found = sample(at.fields, at.x, method="dopri5", start=FIRST, stop=LAST, rtol=1e-11, atol=1e-11).x
    assert at.error(found) < 1e-7
    sigma = (PATH.time_at_log_snr(-2 * at.x.new_tensor([SIGMA_MAX, SIGMA_MIN]).log())).tolist()
    assert sigma == pytest.approx([FIRST, LAST], abs=1e-12)


@pytest.mark.slow
def test_the_noise_at_a_ratio_is_that_of_its_time():
    at = problem(0, 5)
    t = at.x.new_tensor(0.4)
    ratio = PATH.alpha(t) / PATH.beta(t)
    assert_close(noise(at.fields, at.x, ratio), at.fields.evaluate(at.x, t, ("noise",))["noise"])


def test_a_goal_is_met_where_the_error_stays_below_it():
    assert _reached([10, 100], [1e-3, 1e-5]) == pytest.approx(math.sqrt(1000))
    assert _reached([10, 20, 40], [1e-5, 1e-3, 1e-5]) == pytest.approx(20 * 2**0.5)
    assert _reached([10, 20], [1e-3, 2e-4]) == math.inf
    assert _reached([10, 20], [1e-5, 1e-6]) == 10


@pytest.mark.slow
def test_few_of_our_configurations_do_what_they_are_named_for():
    at = problem(0, 20)
    ours = dict(solvers.runs(solvers.OURS, at))
    assert len(ours) == 24
    assert at.error(ours["unipc3, log_snr"](40)) < at.error(ours["unipc3, log_snr"](20)) / 4
    assert at.error(ours["unipc3, optimised"](40)) < 0.7 * at.error(ours["unipc3, log_snr"](40))


@pytest.mark.slow  # about 15 s
def test_the_quick_size_runs_to_its_table_and_figure_and_names_what_is_missing(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path, only=[solvers.OURS])
    assert results.mean(solvers.OURS, "best, 20") < 2e-3
    assert (tmp_path / "work_precision.png").stat().st_size > 5000
    assert "Not measured: diffusers, azula" in (tmp_path / "table.md").read_text()
