"""Columns of generated rows beside those of held-out rows, against scipy and known correlations."""

import pytest
import torch

from interpolants import Bridge
from interpolants.framework.capabilities import capability
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.methods.questions.column_quality import (
    TABLE,
    ColumnQuality,
    _errors,
    correlation_error,
    ks_by_column,
)
from interpolants.methods.questions.copied_rows import CopiedRows
from interpolants.methods.questions.sample_quality import SampleQuality
from interpolants.methods.questions.trajectories import Trajectories
from interpolants.methods.rivals.gaussian_fit import GaussianFit

pandas = pytest.importorskip("pandas")
stats = pytest.importorskip("scipy.stats")


class Independent(GaussianFit):
    """Samples without the correlations, and a column that is twice as wide."""

    wide: float = 1.0

    @capability(like="x1")
    def sample(self, n, *, seed=0):
        x = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
        return x * torch.tensor([1.0, 1.0, self.wide])


def task_of(rows=1200):
    g = torch.Generator().manual_seed(5)
    x = torch.randn(rows, 3, generator=g)
    x[:, 1] = 0.8 * x[:, 0] + 0.6 * x[:, 1]
    named = pandas.DataFrame(x.numpy(), columns=["age", "income", "height"])
    return Task.of(GaussianFit().roles(), {"x1": named}, Split(test=0.5))


def test_the_distance_is_that_of_scipy_with_ties_too():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(80, 3, generator=g), torch.randn(120, 3, generator=g).round(decimals=1)
    y[:, 1] += 0.5
    known = [stats.ks_2samp(x[:, k].numpy(), y[:, k].numpy()).statistic for k in range(3)]
    torch.testing.assert_close(ks_by_column(x, y), torch.tensor(known, dtype=torch.float64))
    assert ks_by_column(x, x).max() == 0


def test_the_error_of_correlations_is_the_root_mean_square_of_what_is_missing():
    g = torch.Generator().manual_seed(1)
    z = torch.randn(40_000, 3, generator=g)
    tied = torch.stack([z[:, 0], 0.8 * z[:, 0] + 0.6 * z[:, 1], z[:, 2]], 1)
    found = correlation_error(1000 * z, tied, torch.Generator().manual_seed(0))
    # One pair of three misses 0.8.
    assert abs(found.value - 0.8 / 3**0.5) < 0.01
    assert 0.001 < found.error < 0.02


def test_a_right_distribution_lies_at_the_floor_and_nothing_is_named():
    task = task_of()
    found = ask(ColumnQuality(), task.fit(GaussianFit()), task)
    for name in ("worst_ks", "correlation_error"):
        assert found[name].value < found[name].floor + 4 * found[name].floor_error
    assert found.findings == ()


def test_a_wrong_column_is_named_and_stands_first_with_its_quantiles():
    task = task_of()
    found = ask(ColumnQuality(), task.fit(Independent(wide=2.0)), task, ["gaussian_fit"])
    assert found["correlation_error"].value > 3 * found["correlation_error"].rivals["gaussian_fit"]
    assert found.findings[0].text.startswith("1 of 3 columns is off by more than chance (KS above ")
    assert "height (KS 0." in found.findings[0].text
    first = [cell.strip() for cell in found.texts[TABLE][2].strip("|").split("|")]
    assert first[0] == "height"
    real, made = (float(word) for word in first[5].split(" → "))
    assert abs(made / real - 2) < 0.4


def test_the_limit_holds_for_all_columns_together():
    named = 0
    for seed in range(40):  # exact draws of three independent columns
        x = torch.randn(300, 3, generator=torch.Generator().manual_seed(1000 + seed))
        task = Task.of(Independent().roles(), {"x1": x}, Split(test=0.5))
        named += bool(ask(ColumnQuality(seed=seed), task.fit(Independent()), task).findings)
    assert named <= 2  # 0.4 are expected


def test_a_table_of_many_columns_keeps_the_worst():
    task = task_of()
    found = ask(ColumnQuality(most=1), task.fit(Independent(wide=2.0)), task)
    assert [line.split(" | ")[0] for line in found.texts[TABLE][2:]] == [
        "| height",
        "2 columns with smaller distances are left out.",
    ]


def test_one_column_has_no_correlations():
    x = torch.randn(60, 1, generator=torch.Generator().manual_seed(0))
    task = Task.of(GaussianFit().roles(), {"x1": x}, Split(test=0.5))
    assert [s.name for s in ask(ColumnQuality(), task.fit(GaussianFit()), task).scores] == ["worst_ks"]


def test_rows_of_one_number_are_a_column():
    x = torch.randn(200, generator=torch.Generator().manual_seed(0))
    task = Task.of(GaussianFit().roles(), {"x1": x}, Split(test=0.5))
    found = ask(ColumnQuality(), task.fit(GaussianFit()), task)
    assert [score.name for score in found.scores] == ["worst_ks"]
    assert found["worst_ks"].value < 0.3
    drawn = ask(SampleQuality(distances=["energy_distance"]), task.fit(GaussianFit()), task)
    assert drawn["energy_distance"].value < 0.1
    assert drawn.figures[0].panels[0].series[0].mark == "histogram"


def test_numbers_may_be_answered_as_rows_of_one_column_as_a_bridge_does():
    bridge = Bridge("one_sided_linear", net={"kind": "mlp", "width": 8, "depth": 1}, steps=2, held_out=0)
    task = Task.of(
        bridge.roles(), {"x1": torch.randn(80, generator=torch.Generator().manual_seed(0))}, Split(test=0.5)
    )
    fitted = bridge.fit(x1=task.train["x1"], progress=False)
    for question in (ColumnQuality(), SampleQuality(), CopiedRows(), Trajectories(eps=[0.0])):
        assert torch.isfinite(torch.tensor(ask(question, fitted, task).scores[0].value))


def test_the_error_of_a_column_is_the_root_mean_square_over_the_others():
    x = torch.eye(3)[torch.tensor([0, 0, 1, 1, 2])] @ torch.tensor([[1.0, 1, 0], [-1.0, -1, 2], [0.5, 0, 1]])
    y = x[:, [0, 2, 1]]
    apart = torch.corrcoef(x.T.double()) - torch.corrcoef(y.T.double())
    torch.testing.assert_close(_errors(x, y), (apart.square().sum(1) / 2).sqrt())
