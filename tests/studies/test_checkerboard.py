import math

import pytest
import torch
from studies.checkerboard import experiment
from studies.checkerboard.density import BoardGrid
from studies.checkerboard.experiment import STUDY
from studies.common import run

from interpolants.problems.toys import Checkerboard

BOARD = Checkerboard()


@pytest.fixture(scope="module")
def grid():
    return BoardGrid(BOARD, 0.15)


def test_the_smoothed_board_is_a_density_with_the_level_of_a_cell_inside_it(grid):
    assert float(grid.smoothed.sum() * grid.step**2) == pytest.approx(1, abs=1e-9)
    # Six kernel widths from every edge: a cell's centre.
    centre = grid.density(torch.tensor([[-3.0, -3.0]])).argmax()
    assert float(grid.smoothed.flatten()[centre]) == pytest.approx(1 / 32, rel=1e-6)
    assert int(grid.inside.sum()) * grid.step**2 == pytest.approx(32)


def test_the_smoothed_board_is_the_mean_of_its_kernels(grid):
    points = torch.tensor([[-3.9, -3.9], [0.1, 0.1], [-1.95, 1.0]], dtype=torch.float64)
    at = torch.floor((points + grid.edge) / grid.step).long()
    place = grid.centres[at]
    n = 400  # midpoint rule, far finer than the kernel
    u = (torch.arange(n, dtype=torch.float64) + 0.5) * 8 / n - 4
    cells = torch.cartesian_prod(u, u)
    cells = cells[torch.isfinite(BOARD.log_prob(cells))]
    apart = (place[:, None] - cells[None]).square().sum(2)
    direct = torch.exp(-apart / (2 * grid.h**2)).sum(1) * (8 / n) ** 2 / 32 / (2 * math.pi * grid.h**2)
    torch.testing.assert_close(grid.smoothed[at[:, 0], at[:, 1]], direct, rtol=1e-3, atol=0)


def test_the_estimate_is_a_gaussian_at_each_sample(grid):
    density = grid.density(torch.tensor([[1.0, -2.0]]))
    assert float(density.sum() * grid.step**2) == pytest.approx(1, abs=1e-6)
    assert float(density.max()) == pytest.approx(1 / (2 * math.pi * grid.h**2), rel=0.02)


def test_gaps_are_zero_for_the_board_itself_and_known_for_a_board_that_is_too_low(grid):
    assert grid.gap(grid.smoothed).mean == pytest.approx(0, abs=1e-12)
    low = grid.gap(grid.smoothed * math.exp(-0.3))
    assert low.mean == pytest.approx(0.3)
    assert low.variance == pytest.approx(0, abs=1e-12)
    assert grid.divergence(grid.smoothed * math.exp(-0.3)) == pytest.approx(0.3, abs=1e-6)
    assert grid.variation(grid.smoothed * 0.5) == pytest.approx(0.25, abs=1e-9)
    # The smoothing's own share, as large as the loss at the edges is.
    assert 0.1 < grid.raw_gap(grid.smoothed).mean < 0.2


def test_true_samples_come_close_and_others_do_not(grid, generator):
    x = BOARD.sample(20_000, generator=generator)
    true, wide = (
        experiment.compare(grid, x),
        experiment.compare(grid, 4 * torch.rand(20_000, 2, generator=generator) - 2),
    )
    assert true["off board"] == 0
    assert wide["off board"] == pytest.approx(0.5, abs=0.02)
    assert true["gap mean"] < 0.1 < 0.5 < wide["gap mean"]
    assert true["kl"] < 0.01 < 0.5 < wide["kl"]


@pytest.mark.slow
def test_the_quick_study_runs_to_its_table_and_figures(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path, only=["sqrt(t(1-t))", "0", "t(1-t), score learnt"])
    text = (tmp_path / "table.md").read_text()
    assert "ODE: gamma = 0 is worse than gamma = sqrt(t(1-t)) (gap mean)" in text
    assert not results.values("0", "eps=1 gap mean")
    assert results.values("sqrt(t(1-t))", "eps=1 gap mean")
    assert results.values("t(1-t), score learnt", "eps=1 gap mean")
    assert {p.name for p in tmp_path.glob("*.png")} == {"checkerboard.png", "densities.png"}
