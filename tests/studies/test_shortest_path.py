"""The study of the shortest path: the recursion against a known answer, and the quick size to its figure."""

import math

import pytest
import torch
from studies.common import run
from studies.shortest_path import experiment
from studies.shortest_path.experiment import STUDY

from interpolants.paths import OneSidedTrigonometric, ShortestPath


@pytest.mark.parametrize("ancestral", [False, True])
def test_white_data_stay_white_by_either_sampler_in_the_limit(ancestral):
    """With D = 1 every variance-preserving marginal is white; the steps lose O(1/T)."""
    power = torch.ones(1, 2, 2, dtype=torch.float64)
    lost = [
        experiment.divergence(
            experiment.spectrum_made(OneSidedTrigonometric(), power, n, ancestral=ancestral), power
        )
        for n in (100, 200)
    ]
    assert 0 < lost[1] < lost[0] / 3
    assert lost[1] < 1e-2


def test_the_error_of_a_spectrum_is_that_of_its_logarithms():
    x = torch.randn(50, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    fitted = ShortestPath.fit(x)
    assert experiment.spectrum_error(x, fitted) == pytest.approx(0.0, abs=1e-9)
    assert experiment.spectrum_error(2 * x, fitted) == pytest.approx(math.log(4))


@pytest.mark.slow  # about 6 s of one core
def test_the_quick_study_runs_to_its_tables_and_figures(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {"powers.png", "learnt.png"}
    own = results.values("shortest", "flow 10")[0]
    assert own < 0.5 * min(results.values(name, "flow 10")[0] for name in experiment.PATHS)
    assert results.values("shortest", "length")[0] == pytest.approx(
        results.values("shortest", "least length")[0], rel=1e-3
    )
