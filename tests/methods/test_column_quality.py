"""Columns of generated rows beside those of held-out rows, against scipy and known correlations."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from interpolants import Bridge
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import capability
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.methods.questions.column_quality import (
    LEVELS,
    TABLE,
    ColumnQuality,
    _correlations,
    _errors,
    _limits,
    column_distances,
    correlation_error,
    ks_by_column,
)
from interpolants.methods.questions.copied_rows import CopiedRows
from interpolants.methods.questions.distances import as_tensor
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
    assert found.findings[0].text.startswith("1 of 3 columns is off by more than chance: height (KS ")
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
        "2 columns with smaller distances are omitted.",
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


class Typed(GaussianFit):
    """Rows of a table of any types, drawn with replacement, some changed."""

    share: float = 0.0  # of the words that become "sun", and of the numbers that become missing

    def roles(self):
        return (replace(GaussianFit().roles()[0], typed=True, gaps=True),)

    def learn(self, data, run):
        return {"x": data["x1"].double()}

    @capability(like="x1")
    def sample(self, n, *, seed=0):
        source = torch.Generator().manual_seed(seed)
        x = self.state["x"][torch.randint(len(self.state["x"]), (n,), generator=source)]
        changed = torch.rand(n, generator=source) < self.share
        x[changed, 1] = 2.0  # fog, rain, sun
        x[changed, 2] = float("nan")
        return x


def mixed(rows=800):
    source = np.random.default_rng(3)
    temperature = source.normal(10, 5, rows)
    frame = pandas.DataFrame(
        {
            "date": pandas.date_range("2012-01-01", periods=rows),
            "weather": source.choice(["sun", "rain", "fog"], rows, p=[0.5, 0.3, 0.2]),
            "temperature": np.where(source.random(rows) < 0.1, np.nan, temperature),
            "visitors": source.integers(0, 40, rows),
            "open": temperature > 10,
            "size": pandas.Categorical(
                source.choice(["S", "M", "L"], rows), categories=["S", "M", "L"], ordered=True
            ),
        },
        index=[f"day {k}" for k in range(rows)],
    )
    return Task.of(Typed().roles(), {"x1": frame}, Split(test=0.5))


def test_columns_of_any_type_are_compared():
    task = mixed()
    good = ask(ColumnQuality(), task.fit(Typed()), task, [task.fit(Typed(share=0.4))])
    assert good.findings == ()
    assert good["worst_ks"].value < good["worst_ks"].floor + 4 * good["worst_ks"].floor_error
    lines = {line.split(" | ")[0]: line for line in good.texts[TABLE][2:]}
    assert set(lines) == {"| date", "| temperature", "| visitors", "| open", "| size"}
    assert "2012-0" in lines["| date"]
    assert "00:00" not in lines["| date"]
    assert lines["| size"].count("M") == 2  # medians
    assert good.texts[LEVELS][2].startswith("| weather | 0.0")
    figure = good.figures[0]
    marks = {panel.title.split(",")[0]: panel.series[0].mark for panel in figure.panels}
    assert marks == dict.fromkeys(("weather", "open", "size"), "bars") | dict.fromkeys(
        ("date", "temperature", "visitors"), "histogram"
    )
    assert figure.panels[2].title.startswith("temperature, ")
    assert figure.panels[2].title.endswith("% missing")


def test_shares_of_words_and_of_gaps_are_distances():
    task = mixed()
    found = ask(ColumnQuality(), task.fit(Typed(share=0.4)), task)
    # 0.4 of the cells are moved: half of the words, and 0.9 of the numbers, are not there already.
    first = found.texts[LEVELS][2].split(" | ")
    assert float(first[1]) == pytest.approx(0.4 * 0.5, abs=0.07)
    gaps = next(line for line in found.texts[TABLE] if line.startswith("| temperature"))
    assert float(gaps.split(" | ")[1]) == pytest.approx(0.4 * 0.9, abs=0.07)
    told = found.findings[0].text
    assert "2 of 6 columns are off by more than chance" in told
    assert "weather (total variation 0." in told
    assert "temperature (KS 0." in told


def test_total_variation_is_half_the_sum_of_the_gaps_of_shares():
    x = torch.tensor([[0.0, 1.0], [0.0, 2.0], [1.0, 3.0], [2.0, 4.0]])
    y = torch.tensor([[0.0, 1.0], [1.0, 2.0], [3.0, 3.0], [float("nan"), 4.0], [1.0, 4.0]])
    # Shares .5 .25 .25 0 0 and .2 .4 0 .2 .2.
    found = column_distances(x, y, torch.tensor([True, False]))
    torch.testing.assert_close(found, torch.tensor([0.55, 0.15], dtype=torch.float64))


def test_a_missing_cell_lies_below_all_values():
    x = torch.tensor([[float("nan")], [1.0], [2.0], [3.0]])
    y = torch.tensor([[0.5], [1.0], [2.0], [3.0]])
    assert ks_by_column(x, y) == 0.25
    assert ks_by_column(x, x) == 0


def test_correlations_are_over_rows_with_both_cells():
    x = torch.randn(300, 3, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(_correlations(x), torch.corrcoef(x.T))
    x[:, 1] += x[:, 0]
    x -= x.mean(0)
    gone = torch.arange(300) < 150
    holed = torch.cat([x, -x])  # means stay zero
    holed[torch.cat([gone, gone]), 2] = float("nan")
    known = holed[~torch.cat([gone, gone])]
    found = _correlations(holed)
    torch.testing.assert_close(found[2, :2], torch.corrcoef(known.T)[2, :2])
    torch.testing.assert_close(found[0, 1], torch.corrcoef(x.T)[0, 1])


def test_the_limit_holds_for_words_too():
    source = torch.Generator().manual_seed(0)
    levels = torch.randint(20, (400, 60, 2), generator=source).double()  # 20 levels, 60 rows, 400 trials
    beyond = 0
    for pair in levels:
        x, y = pair[:, :1], pair[:, 1:]
        words = torch.ones(1, dtype=torch.bool)
        beyond += bool(column_distances(x, y, words) > _limits(x, y, words))
    assert beyond <= 4  # 1 % of 400
    apart = torch.arange(20.0).repeat(3)[:, None]  # no level in common
    assert bool(column_distances(apart, apart + 20, words) > _limits(apart, apart + 20, words))


def test_generated_gaps_are_refused_where_the_data_have_none():
    task = task_of()
    with pytest.raises(InvalidInputError, match="If a model drew them, it diverged"):
        ask(ColumnQuality(), task.fit(Independent(wide=float("nan"))), task)


def test_numbers_beside_booleans_are_numbers_and_gaps_are_refused_by_name():
    table = pandas.DataFrame({"a": [0.5, 1.0], "b": [True, False]})
    torch.testing.assert_close(as_tensor(table), torch.tensor([[0.5, 1], [1, 0]], dtype=torch.float64))
    table["n"] = pandas.array([1, None], dtype="Int64")
    with pytest.raises(InvalidInputError, match="got missing cells in column 'n'"):
        as_tensor(table)
