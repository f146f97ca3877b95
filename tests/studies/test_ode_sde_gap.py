"""The study of the gap between flow and SDE: its process is the paper's, its weight too, and the quick size runs."""

import pytest
import torch
from studies.common import run
from studies.ode_sde_gap import experiment
from studies.ode_sde_gap.experiment import STUDY
from torch.testing import assert_close

from interpolants.problems import OrnsteinUhlenbeck


def test_the_path_is_the_ornstein_uhlenbeck_process_backwards():
    """The mean and deviation of the library's own transition after s, and the stationary distribution at the start."""
    process, x1 = OrnsteinUhlenbeck(1.0, 0.0, 1.0), torch.tensor([[2.6, -1.3]], dtype=torch.float64)
    for s in (0.02, 0.7, 4.0):
        t = torch.tensor(1 - s / experiment.DURATION, dtype=torch.float64)
        step = process.transition(x1, s)
        assert_close(experiment.PATH.beta(t) * x1, step.mean)
        assert_close(experiment.PATH.noise_std(t).expand(1), step.std.flatten()[:1])
    # dx = -x ds + dW in units of t: noise g^2 of one per unit of s, four per unit of t
    assert_close(experiment.PATH.g_squared(t), torch.tensor(4.0, dtype=torch.float64))


def test_the_blobs_are_those_of_the_paper():
    distribution = experiment.blobs()
    assert distribution.n_modes == 9
    assert float(distribution.means.norm(dim=1).max()) == pytest.approx(2.6)
    assert float(distribution.covariances[3, 0, 0]) == pytest.approx(0.65**2 * 0.2)


@pytest.mark.slow  # about 10 s of one core
def test_the_quick_study_runs_to_its_table_and_figure(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {"ode_sde_gap.png"}
    none, *_, along = (results.values(case, "residual")[0] for case in experiment.cases(results.settings))
    assert along < none
    assert "| w = 0.1, box |" in (tmp_path / "table.md").read_text("utf-8")
