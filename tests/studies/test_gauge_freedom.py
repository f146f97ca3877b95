"""The study of gauge freedom: only the gradient is symmetric, and the quick size runs to its tables."""

import pytest
from studies.common import run
from studies.gauge_freedom import experiment
from studies.gauge_freedom.experiment import STUDY


@pytest.mark.slow  # about 5 s of one core
def test_the_quick_study_runs_to_its_tables_and_figure(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {"gauge_freedom.png"}
    assert results.values(experiment.GRADIENT, "asymmetry 0.05")[0] < 1e-5
    assert results.values(experiment.PLAIN, "asymmetry 0.05")[0] > 0.05
    before, after = (
        results.values(experiment.PROJECTION, f"error {when}")[0] for when in ("before", "after")
    )
    assert after < before
    assert "mean \\|dimension - 2\\|" in (tmp_path / "table.md").read_text("utf-8")
