import pytest
import torch
from studies.common import run
from studies.multimarginal import experiment
from studies.multimarginal.experiment import STUDY

from interpolants.data import available

needs_series = pytest.mark.skipif(not available()["krumsiek11"], reason="pip install --no-deps scanpy")


@needs_series
def test_windows_hold_equal_times_in_order_and_all_cells():
    windows = experiment.snapshots(5)
    assert [len(x) for x in windows] == [128] * 5
    # The first window is of progenitors, where Gata2 (the first column) is high; it falls from then on.
    assert windows[0][:, 0].mean() > windows[1][:, 0].mean()


def test_optimal_pairs_are_closer_than_random_ones(generator):
    x, y = torch.randn(50, 2, generator=generator), torch.randn(40, 2, generator=generator) + 3
    gaps = [
        float((p[:, 0] - p[:, 1]).square().sum(1).mean())
        for p in (
            experiment._pairs(x, y, optimal, torch.Generator().manual_seed(0)) for optimal in (False, True)
        )
    ]
    assert len(experiment._pairs(x, y, True, generator)) == 40
    assert gaps[1] < gaps[0]


def test_shapes_have_mean_zero_and_unit_spread():
    for x in experiment.sets("shapes", 0, 100).train:
        assert x.mean(0).abs().max() < 1e-5
        assert abs(float(x.std()) - 1) < 0.02


@needs_series
@pytest.mark.slow  # trains some twenty small networks for 60 steps, about 15 s
def test_the_quick_study_runs_to_its_tables_and_figures(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {"shapes.png", "digits.png", "series.png"}
    assert results.values("digits: one model, edges", "accuracy")
