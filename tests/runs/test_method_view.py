"""What people see of a method: notebooks, figures and reports; nothing of it can be mistaken or injected."""

import re

import numpy as np
import pandas as pd
import pytest
import torch

import interpolants as itp
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import NotAbleError
from interpolants.framework.figures import Figure
from interpolants.framework.questions import ask
from interpolants.framework.task import Task
from interpolants.methods.questions.sample_quality import SampleQuality
from interpolants.runs.method_view import MethodView, Plot

pytest.importorskip("matplotlib")

RNG = np.random.default_rng(0)
ROWS = pd.DataFrame(RNG.normal(size=(200, 2)), columns=["<script>a</script>", "b"])
SMALL = {"net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 12, "batch_size": 16, "log_every": 2}


def flow(**settings):
    return itp.Bridge("one_sided_linear", **{**SMALL, **settings})


@pytest.fixture(scope="module")
def fitted():
    return flow(held_out=0).fit(x1=ROWS, progress=False)


def text(html):
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_a_notebook_shows_settings_roles_rows_losses_and_calls(fitted):
    html = fitted._repr_html_()
    shown = text(html)
    for part in (
        "(Bridge, fitted)",
        "steps = 12",
        "x1 : 200 rows, shape (2,)",
        "method.sample(1000, seed=0)",
    ):
        assert part in shown, shown
    assert "lr =" not in shown  # a default
    assert html.count("data:image/png;base64,") == 1
    assert "<script" not in html
    assert "&lt;script&gt;a&lt;/script&gt;" in html


def test_a_method_that_is_not_fitted_shows_what_it_reads():
    shown = text(itp.Bridge(seed=3)._repr_html_())
    for part in ("(Bridge, not fitted)", "seed = 3", "x0 : samples at t = 0", "method.fit(x0=x0, x1=x1)"):
        assert part in shown, shown


def test_settings_are_escaped_and_a_failing_view_falls_back_to_the_text(monkeypatch):
    odd = itp.Bridge(net="<i>")
    html = odd._repr_html_()
    assert "<i>" not in html
    assert "&lt;i&gt;" in html
    monkeypatch.setattr(MethodView, "html", lambda self: 1 / 0)
    assert odd._repr_html_() == "<pre>Bridge(net=&#x27;&lt;i&gt;&#x27;, not fitted)</pre>"


def test_a_figure_holds_the_samples_of_the_method(fitted, tmp_path):
    plot = fitted.plot(n=40, seed=5)
    points = plot.figure.panels[0].series[0].arrays
    drawn = fitted.sample(40, seed=5).to_numpy()
    np.testing.assert_array_equal(torch.stack([points["x"], points["y"]], 1).numpy(), drawn)
    assert plot.figure.panels[0].y.label == "b"
    assert plot.save(tmp_path / "x.png").read_bytes()[1:4] == b"PNG"
    assert plot._repr_png_()[1:4] == b"PNG"


def test_one_column_is_a_histogram_and_many_columns_are_a_pair_plot():
    line = itp.GaussianFit().fit(RNG.normal(size=(100, 1))).plot()
    assert int(line.figure.panels[0].series[0].arrays["counts"].sum()) == 500
    model = itp.GaussianFit().fit(RNG.normal(size=(100, 8)))
    many = model.plot(truth=np.arange(8))
    assert "the first 6 of 8 columns; marks are the passed truth" in many.figure.caption
    panels, drawn = many.figure.panels, torch.as_tensor(model.sample(500, seed=0)).double()
    assert len(panels) == 36
    below, mark = panels[2 * 6 + 1].series
    torch.testing.assert_close(below.arrays["x"], drawn[:, 1])
    torch.testing.assert_close(below.arrays["y"], drawn[:, 2])
    assert (float(mark.arrays["x"]), float(mark.arrays["y"])) == (1, 2)
    assert panels[1].series[0].name == f"{float(torch.corrcoef(drawn.T)[0, 1]):.2f}"
    assert int(panels[7].series[0].arrays["counts"].sum()) == 500
    with pytest.raises(InvalidInputError, match=r"GaussianFit.plot: truth must have 8 finite numbers"):
        model.plot(truth=[0.0])


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_a_grid(channels):
    images = torch.rand(40, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    model = flow(held_out=0).fit(images, progress=False)
    (series,) = model.plot().figure.panels[0].series
    drawn = model.sample(16, seed=0)
    shown = series.arrays["images"].reshape(16, 8, 8, -1)[..., 0]
    expected = drawn[:, 0].double()
    if channels == 3:
        low, high = drawn.double().min(), drawn.double().max()
        expected = (expected - low) / (high - low)
    torch.testing.assert_close(shown.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_forecast_is_a_fan_of_the_quantiles_of_its_members():
    path = RNG.normal(size=(80, 2)).cumsum(0)
    model = itp.Forecaster(net=SMALL["net"], steps=12).fit(path[:-1], path[1:], progress=False)
    figure = model.plot(path[-2:], steps=5, members=20).figure
    members = model.forecast(path[-2:], steps=5, members=20, seed=0).x.double()
    assert len(figure.panels) == 2
    median = figure.panels[1].series[2].arrays["y"]
    torch.testing.assert_close(median, members[1, :, :, 0].quantile(0.5, 0))
    with pytest.raises(InvalidInputError, match="requires forecasts of several steps"):
        model.plot(path[-2:], members=20)
    with pytest.raises(NotAbleError, match="Pass context= to draw forecasts"):
        model.plot()


def test_an_axis_that_is_no_time_is_never_drawn_as_steps(monkeypatch, fitted):
    images = Ensemble(x=torch.zeros(2, 3, 8, 8))
    monkeypatch.setattr(type(fitted), "forecast", lambda self, context, **options: images, raising=False)
    with pytest.raises(InvalidInputError, match="requires forecasts of several steps"):
        fitted.plot(np.zeros((2, 2)))


@pytest.mark.slow
def test_a_report_has_model_data_training_samples_and_scores(tmp_path):
    task = Task.of(flow().roles(), {"x1": ROWS})
    model = task.fit(flow(held_out=0))
    page = model.report(
        tmp_path / "r", task, questions=[{"question": "sample_quality", "n": 40, "rivals": ["gaussian_fit"]}]
    )
    shown = text(page.read_text())
    assert page == tmp_path / "r" / "report.html"
    for part in ("Sliced Wasserstein-2", "gaussian fit", "500 samples of the fitted method", "160", "40"):
        assert part in shown, part
    assert "<script" not in page.read_text()
    assert "Bridge(steps=12" in shown


def test_a_report_without_a_task_says_that_nothing_was_measured(fitted, tmp_path):
    shown = text(fitted.report(tmp_path).read_text())
    assert "Nothing was measured" in shown
    with pytest.raises(InvalidInputError, match="questions require a task"):
        fitted.report(tmp_path, questions=["sample_quality"])


@pytest.mark.slow
def test_questions_follow_from_the_verbs(tmp_path):
    task = Task.of(itp.GaussianFit().roles(), {"x1": ROWS})
    model = task.fit(itp.GaussianFit())
    shown = text(model.report(tmp_path, task).read_text())
    assert "Sliced Wasserstein-2" in shown
    assert "Held-out log" in shown


def test_samples_of_a_bridge_from_noise_have_a_rival_by_default():
    task = Task.of(flow().roles(), {"x1": ROWS})
    tables = MethodView(task.fit(flow(held_out=0)))._default_questions(task)
    assert tables[0] == {"question": "sample_quality", "rivals": ["kernel_interpolant"]}
    assert not any("rivals" in table for table in tables[1:])
    wide = torch.randn(160, 101, generator=torch.Generator().manual_seed(0))
    labels = np.arange(len(ROWS)) % 2
    others = [
        (flow(), {"x1": wide}),
        (flow(), {"x1": ROWS, "cond": labels}),
        (flow(), {"x1": torch.rand(160, 1, 8, 8)}),
        (itp.Bridge("linear", steps=2, net=SMALL["net"], held_out=0), {"x0": ROWS, "x1": ROWS}),
        (itp.GaussianFit(), {"x1": ROWS}),
    ]
    for method, values in others:
        other = Task.of(method.roles(), values)
        tables = MethodView(other.fit(method))._default_questions(other)
        assert not any("rivals" in table for table in tables), values.keys()
    kept = {"x1": wide[:, :100]}
    tables = MethodView(flow().fit(**kept, progress=False))._default_questions(Task.of(flow().roles(), kept))
    assert tables[0]["rivals"] == ["kernel_interpolant"]


@pytest.mark.slow
def test_a_report_shows_the_rival_of_a_bridge_from_noise(tmp_path):
    task = Task.of(flow().roles(), {"x1": ROWS})
    model = task.fit(flow(held_out=0))
    page = model.report(tmp_path, task).read_text()
    assert "kernel interpolant" in text(page)
    found = [ask(SampleQuality(), model, task, ["kernel_interpolant"]) for _ in "ab"]
    assert found[0]["energy_distance"].rivals == found[1]["energy_distance"].rivals  # its seed is fixed


def test_a_question_is_put_to_the_method_as_by_a_recipe_and_by_the_framework():
    task = Task.of(itp.GaussianFit().roles(), {"x1": ROWS})
    model = task.fit(itp.GaussianFit())
    fitted_rival = task.fit(itp.GaussianFit(ridge=1.0))
    rivals = [{"name": "wide", "twin": {"ridge": 0.5}}, fitted_rival]
    by_name = model.ask("sample_quality", task, rivals=rivals, n=40)["energy_distance"]
    table = {"question": "sample_quality", "n": 40, "rivals": rivals[:1]}
    by_table = model.ask(table, task, rivals=[fitted_rival])["energy_distance"]
    direct = ask(SampleQuality(n=40), model, task, rivals)["energy_distance"]
    assert by_name == by_table == direct
    assert set(by_name.rivals) == {"wide", "gaussian_fit"}
    assert model.ask(SampleQuality(n=40), task)["energy_distance"].value == direct.value


def test_a_question_of_a_method_refuses_what_it_cannot_measure():
    task = Task.of(itp.GaussianFit().roles(), {"x1": ROWS})
    model = task.fit(itp.GaussianFit())
    with pytest.raises(InvalidInputError, match=r"Bridge\.ask: the bridge must be fitted"):
        flow().ask("sample_quality", task)
    with pytest.raises(
        InvalidInputError, match=r"GaussianFit\.ask: task must be the task of the fit, got None"
    ):
        model.ask("sample_quality", None)
    with pytest.raises(InvalidInputError, match="sample_quality"):
        model.ask("sample_qualify", task)
    with pytest.raises(InvalidInputError, match="its own settings, got n"):
        model.ask(SampleQuality(), task, n=40)
    with pytest.raises(NotAbleError, match="must be able to transport"):
        model.ask("trajectories", task)


def test_what_is_not_fitted_is_neither_drawn_nor_reported(tmp_path):
    for call in (flow().plot, lambda: flow().report(tmp_path)):
        with pytest.raises(InvalidInputError, match=r"must be fitted, got one that is not\. Call fit first"):
            call()


def test_a_fit_remembers_how_many_rows_it_had(tmp_path, fitted):
    again = itp.load(fitted.save(tmp_path / "m"))
    assert again.about["rows"] == {"x1": 200}
    assert isinstance(again.plot(n=5), Plot)
    assert isinstance(again.plot(n=5).figure, Figure)
