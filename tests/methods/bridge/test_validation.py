"""Rows that a fit holds out unasked: it keeps the best weights by them, says so, and resumes to the same bits."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import interpolants
from interpolants import Bridge
from interpolants.foundations.tell import FitWarning
from interpolants.framework.few_rows import warn_if_by_heart
from interpolants.framework.frames import Whitened
from interpolants.framework.stages import InterruptedFitError
from interpolants.methods.bridge.held_out import count_aside
from interpolants.methods.parts.validation import HeldOutLoss
from interpolants.methods.rivals.gaussian_fit import GaussianFit

TINY = {"net": {"kind": "mlp", "width": 32, "depth": 2}, "batch_size": 64, "seed": 0}
QUIET = {"progress": False}
ROUGH = {"rtol": 1e-3, "atol": 1e-3}


def few_rows(n=60, columns=8, seed=0):
    """A correlated Gaussian of which there are too few rows for a network."""
    rng = np.random.default_rng(seed)
    mixing = np.eye(columns) + 0.3 * rng.normal(size=(columns, columns))
    return rng.normal(size=(n, columns)) @ mixing, rng.normal(size=(2000, columns)) @ mixing


@pytest.fixture(scope="module")
def small():
    return Bridge("one_sided_linear", steps=800, lr=5e-3, **TINY).fit(x1=few_rows()[0], **QUIET)


def test_shares_of_rows_that_are_held_out_unasked():
    found = [count_aside("auto", n) for n in (39, 40, 170, 300, 1000, 54_000)]
    assert found == [0, 8, 34, 40, 100, 2000]


def test_rows_that_are_learnt_by_heart_are_told():
    tiny = {"net": {"kind": "mlp", "width": 4, "depth": 1}, "batch_size": 4, "seed": 0}
    said = "none of the 20 rows is held out by default, and 500 steps memorise them. Fit with held_out=0.2"
    with pytest.warns(FitWarning, match=said):
        Bridge("one_sided_linear", steps=500, **tiny).fit(x1=few_rows(20)[0], **QUIET)
    for given in ({"held_out": 0}, {"held_out": 0.2}):  # who asks for it knows
        Bridge("one_sided_linear", steps=500, **tiny, **given).fit(x1=few_rows(20)[0], **QUIET)
    warn_if_by_heart("who", 20, 200)
    warn_if_by_heart("who", 40, 2000)
    warn_if_by_heart("who", None, 2000)


@pytest.mark.slow
def test_few_rows_are_not_overfitted_and_the_bridge_says_which_weights_it_has(small):
    told = small.about["validation"]["match"]
    assert told["best"]["step"] < told["steps"] < 800
    assert told["stopped"] == "patience"
    assert f"weights of step {told['best']['step']} of 800, best by held-out loss" in repr(small)
    assert len(small.held_out_rows.x1) == 12
    train, fresh = few_rows()
    gaussian = GaussianFit().fit(train)
    lasting = Bridge("one_sided_linear", steps=800, lr=5e-3, held_out=0, **TINY).fit(x1=train, **QUIET)
    ours, all_steps, fit = (
        m.log_prob(fresh[:300], **rough).mean()
        for m, rough in ((small, ROUGH), (lasting, ROUGH), (gaussian, {}))
    )
    assert ours > fit - 0.5
    assert all_steps < ours - 1
    assert "best by" not in repr(lasting)


def test_rows_given_as_held_are_those_that_are_followed():
    train, fresh = few_rows(200)
    bridge = Bridge("one_sided_linear", steps=20, **TINY).fit(x1=train, held={"x1": fresh[:30]}, **QUIET)
    assert_close(
        bridge.frame.decode(bridge.held_out_rows.x1.double()), torch.from_numpy(fresh[:30]), rtol=0, atol=1e-4
    )
    assert len(bridge.training_rows(500)[0]) == 200


def test_a_killed_fit_resumes_to_the_same_bits_best_weights_included(small, tmp_path):
    def stop(stage, k, steps):
        if k == 420:
            raise InterruptedFitError("stopped", 2)

    again = Bridge("one_sided_linear", steps=800, lr=5e-3, checkpoint_every=100, **TINY)
    where = {"out": tmp_path, **QUIET}
    with pytest.raises(InterruptedFitError):
        again.fit(x1=few_rows()[0], watch=stop, **where)
    again.fit(x1=few_rows()[0], resume=True, **where)
    for one, two in zip(again.network.parameters(), small.network.parameters(), strict=True):
        assert torch.equal(one, two)
    assert again.about["validation"] == small.about["validation"]
    loaded = interpolants.load(again.save(tmp_path / "saved"))
    assert repr(loaded) == repr(again)


@pytest.mark.parametrize("path", ["linear", "mirror", "vp", "edm"])
def test_other_paths_hold_rows_out_too(path):
    x0, x1 = few_rows(100)[0], few_rows(80, seed=1)[0]
    bridge = Bridge(path, steps=30, **TINY).fit(**({"x0": x0} if path == "linear" else {}), x1=x1, **QUIET)
    assert [row["step"] for row in bridge.about["validation"]["match"]["rows"]] == [0, 30]
    assert len(bridge.held_out_rows.x1) == 16


def test_a_network_that_answers_zero_is_the_gaussian_fit():
    train, fresh = few_rows(500)
    bridge = Bridge("one_sided_linear", steps=1, lr=1e-12, **TINY).fit(x1=train, **QUIET)
    assert isinstance(bridge.frame, Whitened)
    seen = bridge.training_rows(500)[0].numpy()
    fit = GaussianFit(ridge=0.0).fit(seen).log_prob(fresh[:50])
    assert np.abs(bridge.log_prob(fresh[:50]) - fit).mean() < 0.2  # the shrinkage of the correlation


def test_units_that_were_asked_for_are_kept_and_whitened_rows_do_not_feel_their_batch():
    train = few_rows(200)[0]
    for asked, kind in ((True, "Standard"), ("whiten", "Whitened"), (False, "Standard")):
        bridge = Bridge("one_sided_linear", standardize=asked, steps=2, **TINY).fit(x1=train, **QUIET)
        assert type(bridge.frame).__name__ == kind
    frame = Whitened().fit(torch.from_numpy(train))
    x = torch.from_numpy(train)
    assert_close(frame.decode(frame.encode(x)), x)
    assert torch.equal(frame.encode(x)[7:8], frame.encode(x[7:8]))
    z, scale = frame.encode(x), torch.eye(8, dtype=torch.float64)
    assert float((torch.cov(z.T) - scale).abs().max()) < 0.2
    jacobian = torch.autograd.functional.jacobian(lambda row: frame.encode(row[None])[0], x[0])
    assert_close(frame.log_volume(x[:1])[0], torch.linalg.slogdet(jacobian).logabsdet)


@pytest.mark.slow
def test_the_first_line_of_check_names_a_better_gaussian_and_the_rows_that_were_learnt_by_heart():
    datasets = pytest.importorskip("sklearn.datasets")
    found = datasets.load_breast_cancer()
    x = found.data[found.target == 0]
    mixed = np.random.default_rng(0).permutation(len(x))
    held, train = x[mixed[:92]], x[mixed[92:]]
    raw = {
        "standardize": True,
        "precondition": False,
        "steps": 1000,
        "lr": 5e-3,
        "seed": 0,
        "keep_best": "-step",
    }
    raw["net"] = {"kind": "mlp", "width": 128, "depth": 3}
    last = {"validate": lambda modules, step: {"step": step}, **QUIET}
    by_heart = Bridge("one_sided_linear", **raw).fit(x1=train, held={"x1": held}, **last)
    told = str(by_heart.check(n=200)).splitlines()[0]
    gaussian = GaussianFit().fit(train).log_prob(held).mean()
    assert told.startswith("fail  log density of held-out rows")
    assert f"a Gaussian fit is better on held-out rows: {gaussian:.4g} nats a row" in told
    safe = Bridge("one_sided_linear", seed=0, steps=400, net=raw["net"]).fit(
        x1=train, held={"x1": held}, **QUIET
    )
    verdict = safe.check(n=200).checks[0]
    assert (verdict.name, verdict.verdict) == ("log density of held-out rows", "warn")
    assert verdict.value > gaussian - 2
    assert verdict.limit == pytest.approx(gaussian, abs=1e-3)
    assert "overfitted: training rows have" in verdict.message


@pytest.mark.slow
def test_check_says_that_nothing_was_held_out_and_where_a_transport_arrives():
    x0, x1 = few_rows(60)[0], few_rows(80, seed=1)[0] + 4
    blind = Bridge(steps=20, held_out=0, **TINY).fit(x0, x1, **QUIET)
    assert blind.check(n=50).checks[0].message.startswith("none were held out")
    lost = Bridge(steps=1, lr=1e-9, **TINY).fit(x0, x1, **QUIET)
    lost.state["net"].net.output.bias.data[:8] = -5.0  # away from x1
    first = str(lost.check(n=50)).splitlines()[0]
    assert first.startswith("fail  arrival of held-out rows")
    assert "not moving is better" in first
    moved = Bridge(steps=200, **TINY).fit(x0, x1, **QUIET)
    assert moved.check(n=50).checks[0].verdict == "pass"


def test_the_held_out_loss_is_a_mean_over_batches():
    def batches(step, source, rank, world):
        return torch.full((8,), float(step))

    held = HeldOutLoss(lambda net, batch, source: {"a": batch, "b": 0 * batch + 1}, batches, 24, 8, seed=0)
    assert held(torch.nn.Linear(1, 1), 5) == {"held_out_loss": pytest.approx((1 + 2 + 3) / 3 + 1)}
