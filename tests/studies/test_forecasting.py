"""The study of forecasts runs to its table and figures."""

import pytest
from studies.common import run
from studies.forecasting import experiment
from studies.forecasting.experiment import STUDY


@pytest.mark.slow
def test_the_quick_study_runs_to_its_table_and_figures(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path)
    for case in experiment.PROBLEMS:
        for level in experiment.LEVELS:
            assert -0.2 < results.values(case, f"{level} excess")[0] < 5
            assert 0 <= results.values(case, f"{level} rank p")[0] <= 1
        assert results.values(case, "reference oracle rank p")[0] > 1e-4
    assert "above the oracle" in (tmp_path / "table.md").read_text()
    assert {p.name for p in tmp_path.glob("*.png")} == {"ranks.png", "rollouts.png", "ensembles.png"}
