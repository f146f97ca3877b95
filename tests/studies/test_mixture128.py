import math

import pytest
import torch
from studies.common import run
from studies.mixture128 import experiment
from studies.mixture128.experiment import STUDY, best_levels

from interpolants.fields.protocol import Fields
from interpolants.paths.linear import Linear


class Off(Fields):
    """Exact fields, off by known constants."""

    def __init__(self, exact, db, ds):
        self.exact, self.db, self.ds, self.path = exact, db, ds, Linear()

    def provides(self, quantity):
        return True

    def evaluate(self, x, t, want, cond=None):
        true = self.exact.evaluate(x, t, want)
        shift = {"velocity": self.db, "score": self.ds}
        return {name: value + shift[name] for name, value in true.items()}


def test_errors_predicted_level_and_bound_for_fields_that_are_off_by_known_amounts():
    settings = experiment.SETTINGS["quick"]
    problem = experiment._problem(settings)
    fields = Off(problem.fields(Linear()), 0.3, -0.1)
    values = experiment.field_errors(fields, problem, 0, settings)
    dim = settings["dim"]
    assert values["E|db|^2"] == pytest.approx(dim * 0.09, rel=1e-3)
    assert values["E|ds|^2"] == pytest.approx(dim * 0.01, rel=1e-3)
    assert values["eps*"] == pytest.approx(3.0, rel=1e-3)
    # db + eps ds = 0.3 - 0.1 at eps = 1
    assert values["eps=1 bound"] == pytest.approx(dim * 0.04 / 4, rel=1e-3)


def test_the_divergence_sees_a_shift_and_not_two_true_sets():
    settings = experiment.SETTINGS["quick"]
    truth, other = (experiment._target(2000, purpose, 0, settings) for purpose in (2, 3))
    same = experiment.distances(truth, other, 0, settings)
    moved = experiment.distances(truth, other + torch.eye(8)[0], 0, settings)
    assert abs(same["kl"]) < 0.02
    assert moved["kl"] > same["kl"] + 0.05
    assert moved["energy"] > same["energy"] + 0.01


def test_seeds_share_the_target_and_nothing_else():
    settings = experiment.SETTINGS["quick"]
    means = [experiment._problem(settings).rho1.means for _ in range(2)]
    assert torch.equal(*means)
    assert not torch.equal(*(experiment._normal(5, seed, settings) for seed in (0, 1)))
    assert not torch.equal(*(experiment._target(5, purpose, 0, settings) for purpose in (0, 2)))


@pytest.mark.slow
def test_the_quick_study_runs_to_its_table_and_figure(tmp_path):
    results = run(STUDY, "quick", range(2), tmp_path)
    text = (tmp_path / "table.md").read_text()
    assert text.count("| b, eta |") == 3
    assert "holds in seeds" in text
    assert (tmp_path / "mixture128.png").stat().st_size > 5000
    for pair in experiment.PAIRS:
        assert all(math.isfinite(v) for name in results.names(pair) for v in results.values(pair, name))
        assert set(best_levels(results, pair)) <= {0.0, 1.0}
    # One network serves two pairs: with b the same, the errors of b are the same.
    assert results.values("b, s", "E|db|^2") == pytest.approx(results.values("b, eta", "E|db|^2"), rel=1e-4)
