import pytest
import torch
from studies.common import run
from studies.pfgmpp import experiment
from studies.pfgmpp.experiment import STUDY

from interpolants.dynamics import sample
from interpolants.paths import EDM
from interpolants.problems import EmpiricalBridge


def test_without_a_disturbance_the_steps_are_those_of_the_sampler():
    settings = {"n": 12, "n_steps": 18}
    points = torch.randn(30, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = experiment.disturbed(points, 0.0, 16.0, 0, settings)
    path = EDM(df=16.0)
    noise = path.base.noise((12, 4), generator=experiment.seeded(0, 1), dtype=torch.float64)
    fields = EmpiricalBridge(points).fields(path)
    expected = sample(fields, path.base.color(noise), n_steps=18, finish="denoise").x
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.slow  # 5 cases with 400 points, about 5 s of one core
def test_the_quick_study_runs_and_finds_few_degrees_of_freedom_robust(tmp_path):
    """Digits disturbed by half the noise level: D = 16 is nearer than D = inf; undisturbed the two are on a par."""
    results = run(STUDY, "quick", range(1), tmp_path)
    assert (tmp_path / "pfgmpp.png").stat().st_size > 5_000

    def energy(alpha, df):
        return results.values(f"alpha = {alpha:g}, D = {df}", "energy, V")[0]

    assert energy(0.5, 16) < energy(0.5, "inf")
    assert energy(0, 16) == pytest.approx(energy(0, "inf"), rel=0.2)
