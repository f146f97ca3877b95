"""Identities of the self-test on rows that training has not seen, with errors that count rows and not draws."""

import math

import pytest
import torch

from interpolants import Bridge
from interpolants.framework.self_checks import CheckReport
from interpolants.methods.bridge import self_test
from interpolants.methods.bridge.self_test import BIAS, check_bridge
from interpolants.methods.parts.start_points import Pool
from interpolants.paths import OneSidedLinear
from interpolants.problems import EmpiricalBridge, GaussianMixture, GaussianMixtureBridge

LAW = GaussianMixture([1.0], torch.zeros(1, 3), torch.ones(1))
PATH = OneSidedLinear()
EXACT = GaussianMixtureBridge(LAW, LAW).fields(PATH)
IDENTITIES = ("calibration", "rate of", "Stein")


def rows(n, seed=0):
    return LAW.sample(n, generator=torch.Generator().manual_seed(seed)).float()


def identities(found):
    return [check for check in found.checks if check.name.startswith(IDENTITIES)]


def draws(n_rows, seed, n=2000):
    return self_test._Draws(EXACT, None, Pool(rows(n_rows, seed)), (3,), n, seed, None, 256)


@pytest.mark.slow
@pytest.mark.parametrize("n_rows", [12, 40, 4000])
def test_the_stated_error_is_the_spread_over_sets_of_rows(n_rows):
    """Of 12 rows that are drawn 2,000 times, an error of 2,000 draws would be many times too small."""
    found = []
    for seed in range(60):
        many = draws(n_rows, seed)
        (draw,) = many.at(0.9)
        gap = ((draw.x_dot - many.values(draw, "velocity")) * draw.x_t).sum(1)
        found.append(many.relative(gap, 1.0))
    means, errors = torch.tensor(found, dtype=torch.float64).unbind(1)
    assert 0.7 < float(errors.mean() / means.std()) < 1.4
    assert abs(float(means.mean())) < 4 * float(means.std()) / math.sqrt(60)


def test_pairs_are_counted_by_starts_and_by_ends():
    one = draws(30, 0)
    gap = torch.randn(2000, generator=torch.Generator().manual_seed(1))
    one.rows = [torch.arange(2000)]
    plain = one.relative(gap, 1.0)[1]
    assert plain == pytest.approx(float(gap.std()) / math.sqrt(2000), rel=1e-3)
    one.rows = [torch.arange(2000), torch.arange(2000)]
    assert one.relative(gap, 1.0)[1] == pytest.approx(plain, rel=1e-3)
    start, end = torch.arange(2000) % 40, torch.arange(2000) // 40
    one.rows = [start, end]
    effects = torch.randn(40, generator=torch.Generator().manual_seed(2))[start]
    effects = effects + torch.randn(50, generator=torch.Generator().manual_seed(3))[end]
    expected = math.sqrt(float(effects[:40].var()) / 40 + float(effects[::40].var()) / 50)
    assert one.relative(effects, 1.0)[1] == pytest.approx(expected, rel=0.02)


def test_fields_that_hold_for_the_law_pass_and_those_that_hold_for_the_training_rows_do_not():
    train, held = Pool(rows(20)), (None, Pool(rows(400, seed=1)))
    by_heart = EmpiricalBridge(train.x).fields(PATH)
    seen = check_bridge(by_heart, None, train, (3,), n=500)
    assert all(check.verdict == "pass" for check in identities(seen))
    unseen = check_bridge(by_heart, None, train, (3,), n=500, held=held)
    assert any(check.verdict == "fail" for check in identities(unseen))
    exact = check_bridge(EXACT, None, Pool(rows(12)), (3,), n=2000, held=held)
    assert all(check.verdict == "pass" for check in identities(exact)), str(exact)


@pytest.mark.cases(2)
@pytest.mark.parametrize("seed", range(5))
def test_few_held_out_rows_do_not_fail_exact_fields(seed):
    found = check_bridge(
        EXACT, None, Pool(rows(200)), (3,), n=1000, seed=seed, held=(None, Pool(rows(10, seed + 1)))
    )
    assert [check for check in identities(found) if check.verdict != "pass"] == [], str(found)
    assert max(check.limit for check in identities(found)) > 2 * BIAS[0]  # it follows the error


def test_a_bridge_is_judged_by_what_it_held_out(monkeypatch):
    seen = []

    def watch(*given, held=None, **options):
        seen.append(held)
        return CheckReport(())

    monkeypatch.setattr("interpolants.methods.bridge.bridge.check_bridge", watch)
    tiny = {"net": {"kind": "mlp", "width": 16, "depth": 1}, "steps": 5, "batch_size": 32}
    bridge = Bridge(**tiny).fit(rows(60), rows(80, 1), progress=False)
    bridge.check(n=50)
    Bridge(held_out=0, **tiny).fit(rows(60), rows(80, 1), progress=False).check(n=50)
    assert torch.equal(seen[0][1].x, bridge.held_out_rows.x1)
    assert torch.equal(seen[0][0].x, bridge.held_out_rows.x0)
    assert seen[1] is None


@pytest.mark.parametrize(("columns", "verdict"), [(60, "warn"), (2, "pass")])
def test_a_bridge_that_stays_its_gaussian_is_told_what_its_held_out_rows_cost(columns, verdict):
    source = torch.Generator().manual_seed(0)
    mixed = torch.randn(columns, columns, generator=source, dtype=torch.float64)
    x = torch.randn(300, columns, generator=source, dtype=torch.float64) @ mixed
    settings = {"net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 2, "lr": 1e-9, "seed": 0}
    bridge = Bridge("one_sided_linear", **settings).fit(x1=x, progress=False)
    (found,) = (c for c in bridge.check(n=100).checks if c.name.startswith("log density"))
    assert found.verdict == verdict
    assert found.message.startswith("a Gaussian fit, which needs no rows held out") == (verdict == "warn")
