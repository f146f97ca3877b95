import pytest
import torch
from studies.common import run
from studies.learnt_bridges import experiment
from studies.learnt_bridges.experiment import STUDY
from studies.learnt_bridges.methods import Learnt
from studies.which_bridge.experiment import FLOOR, NOTHING, limit

from interpolants.fields.protocol import Fields


class Straight(Fields):
    """Velocity 1 in every coordinate, counted."""

    calls = 0

    def evaluate(self, x, t, want, cond=None):
        self.calls += 1
        return dict.fromkeys(want, torch.ones_like(x))

    def provides(self, quantity):
        return quantity == "velocity"


@pytest.mark.parametrize("budget", [1, 2, 4, 8, 32])
def test_a_flow_gets_its_budget_and_no_more(budget):
    fields = Straight()
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    there = Learnt(fields, None).carry(x, budget)
    assert fields.calls == budget
    assert float((there - x - 1).abs().max()) < 1e-5
    assert float((Learnt(fields, None).carry(there, budget, reverse=True) - x).abs().max()) < 1e-5


def test_all_bridges_and_one_sided_paths_are_there():
    cases = experiment.cases(experiment.SETTINGS["full"])
    for name in ("light_sb", "interpolant_sb", "entropic_sb", "flow_map", "rectification", "encoder_decoder"):
        assert f"learn to translate / {name}" in cases
        assert f"digits 3 to 8 / {name}" in cases
    for name in ("vp", "ve", "sub_vp", "edm", "edm, df 8", "kinetic_optimal", "shortest_path"):
        assert f"learn to generate / {name}" in cases


@pytest.mark.slow  # about 10 s
def test_the_quick_study_runs_to_its_table_and_figure(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path)
    assert (tmp_path / "learnt_bridges.png").stat().st_size > 3_000
    # A solver in closed form is there after 40 steps of training, a network is not.
    place = "learn to translate"
    light, net = (results.values(f"{place} / {name}", "ode@8")[0] for name in ("light_sb", "linear"))
    assert light < 0.1 * results.values(f"{place} / {NOTHING}", "distance")[0] < net
    assert results.names(f"{place} / {FLOOR}") == ["distance", "error"]
    assert limit(results, place) > 0
