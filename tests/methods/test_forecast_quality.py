"""The question about forecasts, on a Gaussian transition whose scores are known."""

import math

import pytest
import torch

from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.methods import Climatology, Forecaster, Persistence
from interpolants.methods.questions.forecast_quality import ForecastQuality


class Transition:
    """``later = now + N(0, 1)``, with now ~ N(0, 3): later is N(0, 4)."""

    def members(self, now, count, *, generator):
        noise = torch.randn(len(now), count, *now.shape[1:], dtype=torch.float64, generator=generator)
        return now[:, None] + noise


def task(truths):
    source = torch.Generator().manual_seed(0)
    now = torch.randn(6000, 1, dtype=torch.float64, generator=source) * 3**0.5
    later = Transition().members(now, 1, generator=source)[:, 0]
    return Task.of(Forecaster().roles(), {"now": now, "later": later}, Split(test=0.5), truths=truths)


def test_scores_are_those_of_theory_and_the_floor_is_the_true_transition():
    asked = task({"now": Transition()})
    found = ask(ForecastQuality(members=20), asked.fit(Climatology()), asked, ["persistence"])
    crps = found["crps"]
    assert abs(crps.value - 2 / math.pi**0.5) < 4 * crps.error
    assert abs(crps.rivals["persistence"] - (2 / math.pi) ** 0.5) < 0.05
    assert abs(crps.floor - 1 / math.pi**0.5) < 4 * crps.floor_error
    assert crps.gaps["persistence"] < crps.error * 2
    assert abs(found["spread_skill"].value - 1) < 4 * found["spread_skill"].error
    assert found["rank_p"].value > 0.001
    sure = ask(ForecastQuality(members=20), asked.fit(Persistence()), asked)
    assert sure.findings[0].text.startswith("The ensembles are not reliable: their ranks are uneven")
    assert [panel.title for panel in found.figures[0].panels] == ["the method", "persistence"]
    for panel in found.figures[0].panels:
        shares, even = (series.arrays for series in panel.series)
        assert float(shares["counts"].sum()) == pytest.approx(1)
        assert float(even["y"]) == pytest.approx(1 / len(shares["counts"]))


def test_a_forecast_without_spread_is_told_and_a_floor_may_be_unknown():
    asked = task({})
    found = ask(ForecastQuality(members=5), asked.fit(Persistence()), asked)
    assert found["rank_p"].value < 1e-6
    assert str(found["crps"].floor).startswith("unknown")


def test_states_of_one_number_are_rows_of_one_column():
    now = torch.randn(60, generator=torch.Generator().manual_seed(0))
    few = {"net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 2}
    values = {"now": now, "later": 0.5 * now}
    task = Task.of(Forecaster(**few).roles(), values, Split(test=0.5))
    fitted = Forecaster(**few).fit(task.train["now"], task.train["later"], progress=False)
    assert ask(ForecastQuality(members=4), fitted, task)["crps"].n == 30
