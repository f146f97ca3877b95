"""Weights of rows: the bridge learns the weighted distributions, and is judged by them."""

import numpy as np
import pytest
import torch

from interpolants import Bridge, load
from interpolants.couplings import MinibatchOT
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.task import Split, Task
from interpolants.methods.bridge.self_test import _without_shared_copies
from interpolants.methods.parts.start_points import Pool
from interpolants.methods.rivals.gaussian_fit import GaussianFit
from interpolants.objectives.times import UniformTimes
from interpolants.training import PairBatches

QUIET = {"progress": False}


def two_clusters(n=1000, seed=0, share=0.5):
    """Rows near -2 and 2, half each, and weights with which those near 2 are four fifths."""
    source = torch.Generator().manual_seed(seed)
    right = torch.rand(n, generator=source) < share
    x = torch.where(right, 2.0, -2.0)[:, None] + 0.2 * torch.randn(n, 1, generator=source)
    return x, torch.where(right, 4.0, 1.0)


def share_of_right(x):
    return float((torch.as_tensor(x)[:, 0] > 0).double().mean())


def small(path="one_sided_linear", **settings):
    return Bridge(path, **{"steps": 400, "batch_size": 128, "net": {"kind": "mlp", "width": 32}, **settings})


def test_the_weights_of_a_mixture_come_out():
    x, w = two_clusters()
    exact = float(w[x[:, 0] > 0].sum() / w.sum())
    bridge = small().fit(x1=x, weights=w, **QUIET)
    share = share_of_right(bridge.sample(4000, seed=0))
    assert share == pytest.approx(exact, abs=0.04)  # unweighted it is 0.5
    assert share_of_right(bridge.examples(10_000).x1) == pytest.approx(exact, abs=0.08)  # 100 held-out rows
    assert share_of_right(bridge.training_rows(10_000)[0]) == pytest.approx(exact, abs=0.02)


def test_tilted_gaussians_come_out_at_both_ends():
    """N(0, 1) with weights exp(a x) is N(a, 1)."""
    source = torch.Generator().manual_seed(1)
    x0, x1 = (torch.randn(2000, 1, generator=source) for _ in range(2))
    weights0, weights = (-0.8 * x0[:, 0]).exp(), (0.8 * x1[:, 0]).exp()
    bridge = small("linear", coupling="minibatch_ot").fit(x0, x1, weights0=weights0, weights=weights, **QUIET)
    assert float(bridge.start_points(10_000).mean()) == pytest.approx(-0.8, abs=0.1)
    moved = bridge.sample(4000, seed=0)
    # Weights of 2,000 rows with an effective number of about 1,000 leave an error of 0.03, and training as much.
    assert float(moved.mean()) == pytest.approx(0.8, abs=0.12)
    assert float(moved.std()) == pytest.approx(1.0, abs=0.12)


def test_equal_weights_are_bit_equal_to_none():
    x, _ = two_clusters(200)
    plain, weighted = small(steps=5), small(steps=5)
    plain.fit(x1=x, **QUIET)
    weighted.fit(x1=x, weights=np.full(200, 0.7), **QUIET)
    assert torch.equal(plain.sample(50, seed=3), weighted.sample(50, seed=3))
    assert torch.equal(plain.examples(20).x1, weighted.examples(20).x1)


def test_pairs_that_belong_together_are_drawn_by_their_weights():
    x, w = two_clusters(400)
    bridge = small("linear", coupling="paired", steps=5).fit(x, x + 10, weights=w, **QUIET)
    rows = bridge.examples(1000)
    torch.testing.assert_close(rows.x1, rows.x0 + 10, atol=1e-4, rtol=0)
    pool0, pool1 = (bridge.decoded(bridge.state[name].x) for name in ("pool0", "pool1"))
    torch.testing.assert_close(pool1, pool0 + 10, atol=1e-4, rtol=0)
    assert share_of_right(bridge.start_points(4000)) == pytest.approx(0.8, abs=0.04)
    with pytest.raises(InvalidInputError, match="weights0"):
        small("linear", coupling="paired", steps=5).fit(x, x + 10, weights0=w, **QUIET)


def test_starts_of_a_label_are_drawn_by_their_weights():
    """Labels come as often as in x1; the rows of x0 within a label as their weights say."""
    x0, labels = torch.arange(4.0)[:, None], torch.tensor([0, 0, 1, 1])
    batches = PairBatches(
        x0,
        torch.zeros(3, 1),
        300,
        MinibatchOT(within="labels"),
        UniformTimes(),
        cond=torch.tensor([0, 1, 1]),
        cond0=labels,
    ).by_weight(torch.tensor([1.0, 3.0, 9.0, 1.0]), torch.tensor([2.0, 1.0, 1.0]))
    drawn = [batches(k, torch.Generator().manual_seed(k), 0, 1)["x0"] for k in range(40)]
    share = torch.cat(drawn).flatten().long().bincount(minlength=4) / 12_000
    exact = torch.tensor([0.125, 0.375, 0.45, 0.05])
    assert bool(((share - exact).abs() < 4 * (exact * (1 - exact) / 12_000).sqrt()).all())


def test_a_weighted_bridge_is_judged_by_weighted_rows():
    """A perfect bridge to the weighted mixture passes; on rows as they came it would be far off."""
    x, w = two_clusters(2000)
    bridge = small().fit(x1=x, weights=w, **QUIET)
    held = bridge.held_out_rows
    assert held.weights is None
    assert len(held.x1) == pytest.approx(200 * 2.5**2 / 8.5, rel=0.1)  # Kish: (mean w)^2 / mean w^2
    # No check compares with the unweighted rows, of which every second lies on the left.
    data = next(check for check in bridge.check(n=500).checks if check.name == "ODE against data")
    assert data.verdict == "pass", data


def test_held_rows_need_weights_too():
    x, w = two_clusters(200)
    other, other_w = two_clusters(50, seed=1)
    with pytest.raises(InvalidInputError, match="weights of these rows are needed"):
        small(steps=5).fit(x1=x, weights=w, held={"x1": other}, **QUIET)
    bridge = small(steps=5).fit(x1=x, weights=w, held={"x1": other, "weights": other_w}, **QUIET)
    assert share_of_right(bridge.examples(50).x1) == pytest.approx(0.8, abs=0.1)
    with pytest.raises(InvalidInputError, match="weights of these rows are needed"):
        bridge.choose_eps(x1=x)


def test_a_saved_bridge_draws_by_weight_still(tmp_path):
    x, w = two_clusters(200)
    bridge = small("linear", coupling="independent", steps=5).fit(x, x, weights0=w, **QUIET)
    bridge.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert torch.equal(bridge.sample(20, seed=1), again.sample(20, seed=1))
    assert share_of_right(again.start_points(4000)) == pytest.approx(0.8, abs=0.05)


def test_a_fit_with_other_weights_is_not_continued(tmp_path):
    x, w = two_clusters(100)
    small(steps=5).fit(x1=x, weights=w, out=tmp_path / "run", **QUIET)
    with pytest.raises(InvalidInputError):
        small(steps=5).fit(x1=x, weights=w + 1, out=tmp_path / "run", resume=True, **QUIET)


@pytest.mark.parametrize(
    ("weights", "rule"),
    [
        (np.array([1.0, 0.0, 2.0]), "must be finite and > 0, got 0 in row 1"),
        (np.array([1.0, -1.0, 2.0]), "must be finite and > 0, got -1 in row 1"),
        (np.array([1.0, np.nan, 2.0]), "must be finite and > 0, got nan in row 1"),
        (np.ones(4), "must have as many rows"),
        (np.ones((3, 2)), "must be one number for each row"),
        (["a", "b", "c"], "must be numbers"),
    ],
)
def test_bad_weights_are_refused(weights, rule):
    with pytest.raises(InvalidInputError, match=rule):
        small().fit(x1=torch.randn(3, 1), weights=weights, **QUIET)


def test_weights_without_use_are_refused():
    x = torch.randn(50, 1)
    with pytest.raises(InvalidInputError, match="'weights0'"):
        small().fit(x1=x, weights0=np.arange(1.0, 51.0), **QUIET)
    with pytest.raises(InvalidInputError, match="drawn afresh"):
        small().fit(x1=lambda n, generator: torch.randn(n, 1), weights=np.arange(1.0, 51.0), **QUIET)


def test_a_task_judges_by_weighted_rows_and_teaches_rivals_without_weights():
    x, w = two_clusters(1000)
    bridge, rival = small(steps=5), GaussianFit()
    task = Task.of(bridge.roles(), {"x1": x, "weights": w}, Split(test=0.4))
    assert set(task.for_fit(bridge)) == {"x1", "weights"}
    assert len(task.for_fit(bridge)["x1"]) == 600
    assert set(task.for_fit(rival)) == {"x1"}
    assert share_of_right(task.for_fit(rival)["x1"]) == pytest.approx(0.8, abs=0.04)
    assert share_of_right(task.test["x1"]) == pytest.approx(0.8, abs=0.04)
    assert len(task.test["x1"]) < 400
    even = Task.of(bridge.roles(), {"x1": x, "weights": torch.ones(1000)}, Split(test=0.4))
    plain = Task.of(bridge.roles(), {"x1": x}, Split(test=0.4))
    assert torch.equal(even.test["x1"], plain.test["x1"])


def test_halves_that_tell_the_floor_share_no_copies():
    """Rows repeated by weight: a floor between halves with the same rows would be near 0, and any bridge would fail."""
    source = torch.Generator().manual_seed(0)
    rows = torch.randn(200, 2, generator=source)
    x = rows[torch.randint(200, (3000,), generator=source)]
    first, second = _without_shared_copies(x, 500, source)
    assert min(len(first), len(second)) > 400
    assert max(len(first), len(second)) <= 500
    assert float(torch.cdist(first, second).min()) > 0
    assert len(first.unique(dim=0)) > 60
    assert _without_shared_copies(rows, 500, source) is None


def test_a_pool_of_weighted_rows_is_in_random_order():
    x = torch.arange(1000.0)[:, None]
    pool = Pool.of(x, torch.arange(1000), 0, 1 + x[:, 0])
    assert torch.equal(pool.x[:, 0].long(), pool.cond)
    # Density 2 x on [0, 1]: the mean is 2 / 3, of the first rows too.
    assert float(pool.x[:2000].mean()) / 1000 == pytest.approx(2 / 3, abs=0.03)


def test_a_rival_without_pairs_gets_rows_of_equal_weight_from_weighted_pairs():
    """Weights of pairs hold for both ends; an independent bridge would take them for x1 alone."""
    x, w = two_clusters(1000)
    paired, free = small("linear", coupling="paired"), small("linear", coupling="independent")
    task = Task.of(paired.roles(), {"x0": x, "x1": x + 10, "weights": w}, Split(test=0.4))
    assert set(task.for_fit(paired)) == {"x0", "x1", "weights"}
    given = task.for_fit(free)
    assert set(given) == {"x0", "x1"}
    assert share_of_right(given["x0"]) == pytest.approx(0.8, abs=0.04)
