"""The study of kinetic optimal schedules: its board is normalised, energies are ordered, the quick size runs."""

import pytest
import torch
from studies.common import run
from studies.kinetic_optimal import experiment
from studies.kinetic_optimal.experiment import STUDY

from interpolants.paths import kinetic_energy


def test_the_board_has_mean_square_one_per_entry():
    x = experiment.BOARD.sample(20_000, generator=torch.Generator().manual_seed(0))
    # x^2 of a uniform distribution on [-sqrt 3, sqrt 3] has the standard deviation 0.894: five standard errors
    assert float(x.square().mean()) == pytest.approx(1.0, abs=5 * 0.894 / 40_000**0.5)


def test_no_schedule_has_less_energy_on_the_board_than_the_optimal():
    settings = experiment.SETTINGS["quick"]
    distribution = experiment.separation(settings["points"], settings["draws"])
    paths = [experiment.schedule(name, settings) for name in experiment.PATHS]
    optimal, *others = (kinetic_energy(path, distribution) for path in paths)
    assert optimal == pytest.approx(paths[0].energy, rel=0.01)
    assert optimal < min(others)


@pytest.mark.slow  # about 5 s of one core
def test_the_quick_study_runs_to_its_table_and_figures(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {"distances.png", "samples.png"}
    exact = [results.values(f"exact / {name}", "euler 4")[0] for name in experiment.PATHS]
    assert exact[0] < exact[1]
    assert "exact, 8 Euler steps: linear - kinetic optimal" in (tmp_path / "table.md").read_text("utf-8")
