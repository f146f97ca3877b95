"""``eps="auto"`` of the estimator: which rows it sees, that they stay out of training, storage, refusals."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants import Bridge
from interpolants.dynamics import TabulatedNoise
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.stored import fingerprint
from interpolants.methods.bridge import noise_level
from interpolants.methods.bridge.auto_eps import auto_eps
from interpolants.methods.bridge.held_out import Ends, set_aside
from interpolants.problems import GaussianMixture

TINY = {"net": {"kind": "mlp", "width": 32, "depth": 2}, "steps": 150, "batch_size": 64}
QUICK = {"n": 400, "n_steps": 12, "paths": 2}


def arrays(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)), rng.normal(size=(n, 2)) * 0.5 + [3.0, -3.0]


@pytest.fixture(scope="module")
def bridge():
    return Bridge("linear", held_out=0.2, **TINY).fit(*arrays(), progress=False)


def test_rows_set_aside_are_the_rest_and_pairs_stay_together():
    x = torch.arange(1000.0)[:, None]
    labels = torch.arange(1000) % 7
    ends = Ends(-x, x, labels)
    kept, away = set_aside(ends, 0.25, 3, paired=True)
    assert (len(kept.x1), len(away.x1)) == (750, 250)
    assert_close(torch.cat([kept.x1, away.x1]).sort(0).values, x)
    assert_close(kept.x1[:, 0].long() % 7, kept.cond)
    assert_close(away.x1[:, 0].long() % 7, away.cond)
    assert_close(away.x0, -away.x1)
    assert not torch.equal(set_aside(ends, 0.25, 3, paired=False)[1].x0, -away.x1)


def test_training_does_not_see_what_is_held_out(bridge):
    x0, x1 = arrays()
    assert (len(bridge.state["pool0"].x), len(bridge.state["held"].x0)) == (1600, 400)
    seen = bridge.frame.decode(bridge.state["pool1"].x)
    held = bridge.frame.decode(bridge.state["held"].x1)
    both = torch.cat([seen, held]).sort(0).values
    assert_close(both, torch.as_tensor(x1).float().sort(0).values, rtol=0, atol=1e-4)
    paired = Bridge("linear", coupling="paired", held_out=0.2, **{**TINY, "steps": 1})
    paired.fit(x0, x0 + 1, progress=False)
    apart = paired.frame.decode(paired.state["held"].x1) - paired.frame.decode(paired.state["held"].x0)
    assert_close(apart, torch.ones_like(apart), rtol=0, atol=1e-5)


def test_auto_is_the_choice_in_the_networks_units_for_both_directions(bridge):
    choice = bridge.choose_eps(**QUICK)
    held = bridge.state["held"]
    again = auto_eps(bridge.fields, held.x0, held.x1, seed=bridge.seed, **QUICK)
    assert choice.name == again.name
    assert choice.predicted == pytest.approx(again.predicted)
    assert choice is bridge.eps_choice
    for reverse in (False, True):
        found = bridge.sample(50, eps="auto", reverse=reverse, seed=1, details=True)
        assert_close(found.x, bridge.sample(50, eps=choice.eps, reverse=reverse, seed=1, details=True).x)
        assert found.seed is not None or choice.eps == 0.0


@pytest.mark.slow
def test_asking_for_auto_does_not_change_the_bridge(monkeypatch):
    fitted = Bridge("one_sided_linear", **TINY).fit(x1=arrays()[1], progress=False)
    before = fingerprint(fitted.state)
    assert fitted.eps_choice is None
    x = fitted.sample(5, eps="auto", seed=1, n_steps=4)
    assert fingerprint(fitted.state) == before
    assert fitted.eps_choice.reason
    monkeypatch.setattr(noise_level, "choose_level", None)  # it is worked out once
    assert_close(fitted.sample(5, eps="auto", seed=1, n_steps=4), x, rtol=0, atol=0)


@pytest.mark.slow
def test_a_choice_on_rows_that_are_given_and_by_likelihood_where_rho0_has_a_density():
    law = GaussianMixture([1.0], torch.zeros(1, 2), torch.ones(1))
    # After 150 steps, of two paths, log densities are known to 0.51 nats, and 0.5 is the limit; so to 0.27.
    fitted = Bridge("linear", **{**TINY, "steps": 400}).fit(law, arrays()[1], progress=False)
    x0, x1 = arrays(400, seed=5)
    assert (
        fitted.choose_eps(x0, x1, criterion="likelihood", **{**QUICK, "paths": 8}).criterion == "likelihood"
    )
    one_sided = Bridge("one_sided_linear", **TINY).fit(x1=arrays()[1], progress=False)
    assert one_sided.choose_eps(x1=x1, **QUICK).candidates
    mirror = Bridge("mirror", **{**TINY, "steps": 5}).fit(x1=arrays()[1], progress=False)
    assert mirror.choose_eps(x1=x1, criterion="samples", **QUICK).criterion == "samples"


def test_the_choice_and_the_rows_are_saved_with_the_bridge(bridge, tmp_path):
    choice = bridge.choose_eps(**QUICK)
    loaded = Bridge.load(bridge.save(tmp_path / "bridge"))
    assert loaded.eps_choice.table() == choice.table()
    assert (loaded.eps_choice.eps, loaded.eps_choice.reason) == (choice.eps, choice.reason)
    assert_close(loaded.state["held"].x1, bridge.state["held"].x1)
    assert_close(loaded.sample(20, eps="auto", seed=1), bridge.sample(20, eps="auto", seed=1))
    assert isinstance(loaded.eps_choice.schedule, TabulatedNoise)
    assert loaded.eps_choice.schedule == choice.schedule


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b: Bridge("linear", held_out=0.7), r"held_out must lie in \[0, 0.5\], got 0.7"),
        (
            lambda b: Bridge("linear", held_out=0.1, **TINY).fit(*arrays(10), progress=False),
            "set aside at least 2 rows, got 1 of 10. Raise held_out",
        ),
        (lambda b: b.choose_eps(x1=arrays()[1]), "x0 is needed"),
        (
            lambda b: b.choose_eps(*arrays(7)),
            r"at least 8 rows of each end that training has not seen, got 7\. Call choose_eps with rows",
        ),
        (lambda b: b.choose_eps(criterium="samples"), "Did you mean 'criterion'"),
        (
            lambda b: (
                Bridge("linear", held_out=0, **{**TINY, "steps": 1})
                .fit(*arrays(), progress=False)
                .sample(3, eps="auto")
            ),
            "eps='auto' needs data that training has not seen, got none. Call choose_eps",
        ),
        (lambda b: b.sample(3, eps="otto"), "must be a number, a function of t"),
    ],
)
def test_bad_input_is_refused_with_a_remedy(bridge, call, message):
    with pytest.raises(InvalidInputError, match=message):
        call(bridge)
