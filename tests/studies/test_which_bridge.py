import pytest
import torch
from studies.common import run
from studies.which_bridge import experiment
from studies.which_bridge.experiment import FLOOR, NOTHING, SCHRODINGER, STUDY, best, limit
from studies.which_bridge.problems import mixtures

from interpolants.fields.protocol import Fields
from interpolants.foundations.cards import load_cards


def test_every_path_and_bridge_with_a_card_is_measured_or_has_words_that_say_why_not():
    cases = experiment.cases(experiment.SETTINGS["full"])
    measured = {case.split(" / ")[1].split(", ")[0] for case in cases}
    for kind in ("path", "bridge"):
        for card in load_cards():
            if card.kind == kind:
                assert (card.id in measured) != (card.id in experiment.WORDS), card.id
    for name in ("one_sided_linear", "vp", "ve", "shortest_path", "kinetic_optimal"):
        assert f"generate, 16-D / {name}" in cases
    assert "points, 2-D / edm, df 8" in cases
    assert "generate, 2-D / edm, df 8" not in cases  # its base is not Gaussian
    assert "translate, 2-D / linear, zero" in cases


def test_the_mixtures_have_unit_mean_square_and_keep_their_bridge():
    exact = mixtures(1, 3)
    square = sum(
        float(distribution.covariance.trace() + distribution.mean.square().sum())
        for distribution in (exact.rho0, exact.rho1)
    )
    assert square / 6 == pytest.approx(1.0)
    pairs = exact.sample_coupling(20_000, generator=torch.Generator().manual_seed(0))
    error = 4 * (exact.rho1.covariance.diagonal() / 20_000).sqrt()
    assert bool(((pairs.x1.mean(0) - exact.rho1.mean).abs() < error).all())


class Straight(Fields):
    """Velocity 1 in every coordinate: any scheme is exact, and there is no score."""

    def evaluate(self, x, t, want, cond=None):
        return dict.fromkeys(want, torch.ones_like(x))

    def provides(self, quantity):
        return quantity == "velocity"


def test_samplers_get_equal_budgets():
    calls = {}

    class Counted(Straight):
        def evaluate(self, x, t, want, cond=None):
            calls["n"] = calls.get("n", 0) + (len(x) > 16)
            return super().evaluate(x, t, want, cond)

    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    values = experiment.distances(Counted(), x, x + 1, 0)
    schemes = {key.split("@")[0] for key in values}
    assert {"ode euler", "ode heun", "ode midpoint", "ode rk4"} <= schemes
    assert not any(key.startswith("sde") for key in schemes)
    assert all(value == pytest.approx(values["ode euler@4"], abs=1e-5) for value in values.values())
    # Each of them gets 4 + 8 + 16 + 32 evaluations, and never more.
    assert calls["n"] <= 60 * len(schemes)
    assert calls["n"] >= 56 * 4


@pytest.mark.slow  # about 10 s
def test_the_quick_study_runs_to_its_table_and_figure(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path)
    assert (tmp_path / "which_bridge.png").stat().st_size > 10_000
    place = "translate, 2-D"
    assert results.values(f"{place} / {NOTHING}", "distance")[0] > 10 * limit(results, place)
    assert (
        best(results, f"{place} / {SCHRODINGER}", "sde", 32)[0]
        < results.values(f"{place} / {NOTHING}", "distance")[0] / 10
    )
    assert results.names(f"points, 2-D / {FLOOR}") == ["distance", "error"]
