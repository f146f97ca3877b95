import math

import pandas as pd
import pytest
import torch

import interpolants as itp
from interpolants.apps.tables.mixed_table import MixedTable
from interpolants.apps.tables.table_questions import Detection, RecordCopies, Utility
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.metrics.c2st import forest_auc


@pytest.fixture(scope="module")
def task():
    table = MixedTable().sample(700, torch.Generator().manual_seed(0))
    return Task.of(itp.BootstrapRows().roles(), {"x1": table}, Split(test=0.4))


@pytest.fixture(scope="module")
def fitted(task):
    return [task.fit(itp.BootstrapRows()), task.fit(itp.IndependentColumns())]


@pytest.mark.slow
def test_a_forest_tells_disjoint_rows_and_not_equal_ones():
    source = torch.Generator().manual_seed(0)
    x, y = torch.randn(150, 2, generator=source), torch.randn(150, 2, generator=source)
    assert forest_auc(x, x + 9, folds=3, generator=source).value == 1
    found = forest_auc(x, y, generator=source)
    assert abs(found.value - 0.5) < 3 * found.error
    assert 0.02 < found.error < 0.05


def test_a_forest_sees_that_columns_are_independent(task, fitted):
    assert ask(Detection(), fitted[1], task)["auc"].value > 0.75


def test_real_rows_are_as_useful_as_the_floor_and_independent_columns_are_not(task, fitted):
    real, apart = (ask(Utility(target="season"), one, task)["score"] for one in fitted)
    assert real.value == pytest.approx(real.floor, abs=0.08)
    assert apart.value < real.floor - 0.2
    with pytest.raises(InvalidInputError, match="target must be a column of the table, got 'seson'"):
        ask(Utility(target="seson"), fitted[0], task)


def test_the_bootstrap_copies_every_row(task, fitted):
    copied, fresh = (ask(RecordCopies(), one, task) for one in fitted)
    assert copied["copies"].value == 1
    assert copied["closer"].value > 0.75
    assert fresh["copies"].value < 0.05
    assert abs(fresh["closer"].value - 0.5) < 0.15
    assert "100.0% of the rows are training rows; 0.0% of these" in str(copied.findings)
    assert not fresh.findings


def test_a_gap_is_no_copy_of_the_lowest_value():
    table = pd.DataFrame({"a": [math.nan, 0.0, 1.0, 2.0] * 50, "b": [1.0, 0.0, 0.0, 0.0] * 50})
    filled = itp.BootstrapRows().fit(table.fillna(0.0)[table["a"].isna()])  # (0, 1) is no row of the table
    task = Task.of(itp.BootstrapRows().roles(), {"x1": table}, Split(test=0.4))
    assert ask(RecordCopies(), filled, task)["copies"].value == 0


@pytest.fixture(scope="module")
def model(task):
    return task.fit(itp.TableBridge(steps=2, width=8, depth=1, n_steps=2))


@pytest.mark.parametrize("question", ["sample_quality", "copied_rows", "filled_rows"])
def test_questions_for_numbers_refuse_words_and_dates_by_name(task, model, question):
    rule = "rows must be numbers without gaps, got type datetime64.* in column 'date'.*Ask column_quality"
    with pytest.raises(InvalidInputError, match=rule):
        model.ask(question, task)


def test_columns_of_a_table_and_its_likelihood_are_measured(task, model):
    found = model.ask("column_quality", task, rivals=["independent_columns"])
    assert found["worst_ks"].rivals["independent_columns"] < 0.2
    assert [figure.name for figure in found.figures] == ["marginals"]
    likelihood = model.ask("held_out_likelihood", task)
    ratio = likelihood["log_likelihood_train"].value / 5
    assert -40 < ratio < 0
    assert "log_likelihood_per_dim" in {score.name for score in likelihood.scores}


def test_hidden_cells_of_a_table_are_asked_for_in_a_table():
    x = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    frame = pd.DataFrame(x.numpy(), columns=["a", "b"])
    task = Task.of(itp.TableBridge().roles(), {"x1": frame}, Split(test=0.4))
    method = task.fit(itp.TableBridge(steps=2, width=8, depth=1, n_steps=2))
    assert method.ask("filled_rows", task)["error"].value > 0


def test_one_column_has_no_utility(task):
    one = Task.of(
        itp.BootstrapRows().roles(), {"x1": task.values["x1"][["season"]].head(60)}, Split(test=0.4)
    )
    with pytest.raises(InvalidInputError, match="the table must have a second column"):
        ask(Utility(), one.fit(itp.BootstrapRows()), one)


def test_a_plot_and_a_report_show_the_distributions_of_the_columns(task, model, tmp_path):
    figure = model.plot(n=50).figure
    assert [panel.title.split(",")[0] for panel in figure.panels] == list(task.values["x1"].columns)
    assert figure.height == 250 * math.ceil(len(figure.panels) / figure.columns)
    with pytest.raises(InvalidInputError, match="truth must be omitted for a table"):
        model.plot(truth=[0.0])
    page = model.report(tmp_path, task).read_text()
    assert (
        page.count("Distributions of columns in held-out and in generated rows.") == 4
    )  # its caption and description, in front and whole
    assert "total variation" in page
    assert "Samples of the fitted method" not in page
    assert "50 samples" not in page
    assert "500 samples of the fitted method" in model.report(tmp_path / "alone").read_text()
