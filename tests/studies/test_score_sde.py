"""The study of score-based samplers: its yardsticks have known values, and the quick size runs to its figures."""

import pytest
import torch
from studies.common import run
from studies.score_sde import experiment
from studies.score_sde.experiment import STUDY

from interpolants.dynamics import Langevin


def test_the_distance_is_that_of_moments():
    distribution = experiment.digits()
    x = distribution.sample(4000, generator=torch.Generator().manual_seed(0))
    near, shifted = experiment.frechet(x), experiment.frechet(x + 0.1)
    # 64 pixels shifted by 0.1: 0.64 more, up to the error of the mean
    assert shifted - near == pytest.approx(0.64, abs=0.05)
    assert near < 0.05


def test_every_predictor_is_measured_alone_twice_and_corrected():
    cases = experiment.cases(experiment.SETTINGS["laptop"])
    assert len(set(cases)) == len(cases) == 3 * 5 + 2 + 1 + 12 + 2
    assert "digits / reverse diffusion / PC, norms of the batch" in cases
    assert isinstance(Langevin(experiment.SETTINGS["full"]["snr"]), Langevin)


def test_draws_given_the_upper_half_have_the_distribution_of_the_whole():
    """Known halves of draws, completed exactly, are draws again: two samples of one distribution."""
    distribution, n = experiment.digits(), 3000
    whole = distribution.sample(n, generator=torch.Generator().manual_seed(1))
    known = torch.arange(64) < 32
    again = experiment._conditional(whole[:, known], known, seed=2)
    assert torch.equal(again[:, known], whole[:, known])
    floor = experiment.frechet(distribution.sample(n, generator=torch.Generator().manual_seed(3)))
    assert experiment.frechet(again) < 2 * floor


def test_true_samples_of_the_plane_have_the_shares_and_shapes():
    distribution = experiment.three_modes()
    x, reference = (
        distribution.sample(n, generator=torch.Generator().manual_seed(n)) for n in (20_000, 100_000)
    )
    shares, shapes = experiment.modes_apart(x, reference)
    assert shares < 0.015
    assert shapes < 0.06
    assert experiment.modes_apart(x * 1.1, reference)[1] > 0.15


@pytest.mark.slow  # about 8 s
def test_the_quick_study_runs_to_its_table_and_figures(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {"distances.png", "digits.png"}
    assert results.values("class by classifier", "in the class")[0] > 0.95
    assert "reverse flow: P / PC" in (tmp_path / "table.md").read_text("utf-8")
