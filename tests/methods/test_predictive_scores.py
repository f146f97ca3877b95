"""Scores of a Gaussian for its own draws are known."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.answers import Predictive
from interpolants.framework.capabilities import NotAbleError, capability
from interpolants.framework.method import Method
from interpolants.framework.questions import ask
from interpolants.framework.role import Role
from interpolants.framework.task import Split, Task
from interpolants.methods import ExactGP, MeanValue
from interpolants.methods.questions.predictive_scores import predictive_scores

SPREAD = 3.0


def values(n=20_000):
    g = torch.Generator().manual_seed(0)
    return 10 + SPREAD * torch.randn(n, dtype=torch.float64, generator=g)


def task(question, split=None, n=20_000, **more):
    y = values(n)
    points = torch.stack([torch.arange(len(y)) // 100, torch.arange(len(y)) % 100], 1).double()
    roles = (*MeanValue().roles(), *question.reads())
    return Task.of(roles, {"points": points, "values": y, **more}, split)


def test_a_gaussian_for_its_own_draws():
    question = predictive_scores(unit="m")
    found = ask(question, (one := task(question)).fit(MeanValue()), one)
    expected = {
        "rmse": SPREAD,
        "mae": SPREAD * math.sqrt(2 / math.pi),
        "nll": 0.5 + math.log(SPREAD * math.sqrt(2 * math.pi)),
        "crps": SPREAD / math.sqrt(math.pi),
        "coverage": 0.9,
        "width": 2 * 1.6448536 * SPREAD,
    }
    for name, value in expected.items():
        score = found[name]
        error = score.error if name != "width" else 0.2
        assert score.value == pytest.approx(value, abs=4 * error), name
    assert found["rmse"].error == pytest.approx(SPREAD / math.sqrt(2 * 4000), rel=0.05)
    assert found["coverage"].floor == 0.9
    assert found["rmse"].floor == "unknown: the noise in the values is not known"
    assert (found["rmse"].unit, found["nll"].unit) == ("m", "nats per value")
    assert not found.findings


def test_other_distributions_are_scored_by_draws():
    question = predictive_scores()
    one = task(question, n=500)

    class Heavy(MeanValue):
        @capability(reads={"x": "points"}, like="values")
        def predict(self, x):
            shape = (1, len(x), 1)
            return Predictive(
                loc=self.state["mean"].expand(shape), scale=self.state["std"].expand(shape), df=1e6
            )

    near = ask(question, one.fit(Heavy()), one)["crps"]
    assert near.value == pytest.approx(SPREAD / math.sqrt(math.pi), abs=4 * near.error)


@pytest.mark.slow
def test_errors_are_those_over_groups():
    """Values that are equal within a group tell as much as one value a group."""
    question = predictive_scores(group="who")
    labels = torch.arange(20_000) // 100
    one = task(question, Split(by="group", role="who", test=0.5), who=labels)
    split = task(predictive_scores())
    plain, grouped = (
        ask(q, t.fit(MeanValue()), t)["mae"] for q, t in ((predictive_scores(), split), (question, one))
    )
    assert grouped.n == 100
    assert plain.n == 4000
    steps = Task.of(
        (*MeanValue().roles(), *question.reads()),
        {"points": labels[:, None].double(), "values": values(200)[labels], "who": labels},
        Split(by="group", role="who", test=0.5),
    )
    dependent = ask(question, steps.fit(MeanValue()), steps)["mae"]
    assert dependent.error > 5 * grouped.error


def test_a_curve_and_the_coverage_are_drawn_of_method_and_rivals():
    x = torch.cartesian_prod(torch.arange(3.0), torch.linspace(0, 1, 20)).double()
    table = pd.DataFrame(x.numpy(), columns=["place", "time"])
    y = pd.Series(x[:, 0].numpy() + x[:, 1].numpy(), name="level")
    question = predictive_scores(along="time", unit="m")
    one = Task.of(MeanValue().roles(), {"points": table, "values": y})
    curve, coverage = ask(question, one.fit(MeanValue()), one, [ExactGP(steps=5)]).figures
    assert [panel.title for panel in curve.panels] == ["the method", "exact_gp"]
    assert curve.panels[0].x.label == "time"
    assert curve.panels[0].y.text == "values (m)"  # a Series has no columns
    shown = curve.panels[0].series[2].arrays
    assert (shown["x"].diff() > 0).all()
    assert "at place" in curve.caption
    drawn = coverage.panels[0].series[1].arrays["y"]
    assert (drawn.diff() >= 0).all()
    with pytest.raises(
        InvalidInputError, match=r"along must be a column of the points, got 'tme'. Did you mean 'time'"
    ):
        ask(predictive_scores(along="tme"), one.fit(MeanValue()), one)


def test_curves_along_dates_at_words():
    days = pd.date_range("2020-01-01", periods=10)
    table = pd.DataFrame({"site": ["hill", "shore"] * 30, "when": np.repeat(days, 6)})
    y = pd.Series(np.arange(60.0), name="level")
    question = predictive_scores(along="when")
    one = Task.of(MeanValue().roles(), {"points": table, "values": pd.DataFrame(y)})
    curve, _ = ask(question, one.fit(MeanValue()), one).figures
    panel = curve.panels[0]
    assert panel.x.label == "when, days since 1970"
    assert panel.y.label == "level"
    assert curve.caption.endswith(("at site hill.", "at site shore."))
    assert float(panel.series[2].arrays["x"].min()) >= 18262  # 1 January 2020
    turned, _ = ask(predictive_scores(along="site"), one.fit(MeanValue()), one).figures
    assert "at when 2020-01-" in turned.caption


def test_the_held_out_part_can_be_scored():
    question = predictive_scores(part="held")
    one = task(question, Split(train=500))
    assert ask(question, one.fit(MeanValue()), one)["mae"].n == 15_500


def test_narrow_intervals_are_said():
    question = predictive_scores()
    one = task(question)

    class Sure(MeanValue):
        @capability(reads={"x": "points"}, like="values")
        def predict(self, x):
            shape = (1, len(x), 1)
            return Predictive(
                loc=self.state["mean"].expand(shape), scale=0.1 * self.state["std"].expand(shape)
            )

    (finding,) = ask(question, one.fit(Sure()), one).findings
    assert finding.text.startswith("Intervals are too narrow: 14% of the values")


def test_a_method_that_predicts_numbers_alone_is_refused():
    class Plain(Method):
        def roles(self):
            return Role(name="points"), Role(name="values")

        def learn(self, data, run):
            return {"mean": data["values"].mean(0)}

        @capability(reads={"x": "points"}, like="values")
        def predict(self, x):
            return self.state["mean"].expand(len(x), 1)

    one = task(predictive_scores())
    with pytest.raises(NotAbleError, match="Plain must predict distributions"):
        ask(predictive_scores(), one.fit(Plain()), one)


def test_groups_of_different_size_count_alike():
    from interpolants.methods.questions.predictive_scores import _by_group

    found = _by_group(torch.tensor([1.0, 3.0, 10.0]).double(), torch.tensor([4, 4, 7]))
    assert_close(found, torch.tensor([2.0, 10.0]).double())


def test_groups_may_be_words():
    question = predictive_scores(group="who")
    number = torch.arange(200) // 10
    words = np.array([f"person {k:02d}" for k in number.tolist()])
    split = Split(by="group", role="who", test=0.5)
    found = [
        ask(question, (one := task(question, split, n=200, who=who)).fit(MeanValue()), one)["rmse"]
        for who in (number, words)
    ]
    assert found[0] == found[1]
