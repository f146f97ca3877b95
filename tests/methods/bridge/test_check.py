"""The self-test: exact fields pass, and each seeded fault is flagged."""

import pytest
import torch

from interpolants import Bridge
from interpolants.couplings import Paired
from interpolants.fields import LearnedFields
from interpolants.fields.protocol import Fields
from interpolants.methods.bridge import self_test
from interpolants.methods.bridge.self_test import check_bridge
from interpolants.methods.parts.start_points import Pool
from interpolants.paths import EDM, BrownianEnvelope, Linear
from interpolants.problems import EmpiricalBridge, GaussianMixture, GaussianMixtureBridge

RHO0 = GaussianMixture(
    torch.tensor([0.4, 0.6]).double(),
    torch.tensor([[-1.0, 0.5], [1.0, -0.5]]).double(),
    torch.full((2,), 0.3).double(),
)
RHO1 = GaussianMixture(
    torch.tensor([0.5, 0.5]).double(),
    torch.tensor([[2.0, 1.0], [0.0, -1.5]]).double(),
    torch.full((2,), 0.2).double(),
)
PATH = Linear()
EXACT = GaussianMixtureBridge(RHO0, RHO1).fields(PATH)


class Faulty(Fields):
    """Exact fields with one fault."""

    known = ("velocity", "noise")

    def __init__(self, fault):
        self.path, self.fault = PATH, fault

    def provides(self, quantity):
        return EXACT.provides(quantity)

    @property
    def bounded_quantity(self):
        return "noise"

    def evaluate(self, x, t, want, cond=None):
        time = 1 - t if self.fault == "time flipped" else t
        values = EXACT.evaluate(x, time, tuple({*want, "velocity", "mean_rate", "noise", "score"}))
        if self.fault == "sign of the noise":
            values["noise"], values["score"] = -values["noise"], -values["score"]
        if self.fault == "missing score term":
            values["velocity"] = values["mean_rate"]
        if self.fault == "wrong gamma'":
            wrong = BrownianEnvelope(scale=4.0).gamma_gamma_dot(t)
            values["velocity"] = values["mean_rate"] - wrong * values["score"]
        if self.fault == "late velocity" and float(t.max()) > 0.8:
            values["velocity"] = 1.5 * values["velocity"]
        if self.fault == "sign of the velocity":
            values["velocity"] = -values["velocity"]
        if self.fault == "late":
            values["velocity"] = values["velocity"] * (1 + (t > 0.8).to(x)).reshape(-1, 1)
        if self.fault == "score off by two":
            values["score"], values["noise"] = 2 * values["score"], 2 * values["noise"]
        return {name: value.to(x.dtype) for name, value in values.items()}


def report(fault):
    pools = [
        Pool(rho.sample(4000, generator=torch.Generator().manual_seed(k)).float())
        for k, rho in enumerate((RHO0, RHO1))
    ]
    return check_bridge(Faulty(fault), pools[0], pools[1], (2,), n=1000, seed=1)


@pytest.mark.slow
def test_the_time_of_the_worst_slope_is_told():
    found = {check.name: check for check in report("late velocity").checks}["calibration of velocity"]
    assert found.verdict != "pass"
    assert found.value == pytest.approx(1 / 3, abs=0.07)  # the target is 1 / 1.5 of the prediction
    assert "at t=0.9" in str(found)


@pytest.mark.slow
def test_exact_fields_pass_everything():
    found = report("none")
    assert [check.name for check in found.checks if check.verdict != "pass"] == []
    assert found.ok
    assert "calibration of velocity" in str(found)


@pytest.mark.parametrize(
    "fault",
    [
        "sign of the noise",
        "sign of the velocity",
        "missing score term",
        "wrong gamma'",
        "time flipped",
        "score off by two",
    ],
)
def test_a_seeded_fault_is_flagged(fault):
    assert any(check.verdict != "pass" for check in report(fault).checks), str(report(fault))


def test_a_path_with_a_grid_of_its_own_is_judged_where_it_has_something_to_show():
    """Exact fields of a Poisson flow pass; at even times nearly all noise levels are beyond the data's size."""
    points = RHO1.sample(100, generator=torch.Generator().manual_seed(0)).float()
    fields = EmpiricalBridge(points).fields(EDM(df=16.0))
    found = check_bridge(fields, None, Pool(points), (2,), n=400, seed=0, eps=0.0)
    # single points have no way back
    judged = [check for check in found.checks if check.name != "ODE there and back"]
    assert any(check.name.startswith("calibration") for check in judged)
    assert [check for check in judged if check.verdict != "pass"] == [], str(found)


def pairs_apart_by(shift, n=1200):
    x0 = torch.randn(n, 2, generator=torch.Generator().manual_seed(3))
    return x0, x0 + torch.tensor(shift)


def test_fields_of_paired_ends_are_judged_over_such_pairs():
    """With ``x1 = x0 + c`` the mean rate is c everywhere; over pairs drawn apart it would be another."""
    shift, path = torch.tensor([3.0, -1.0]), Linear()

    def noise(x, t):
        t = t[:, None]
        gamma = path.envelope.gamma(t)
        return gamma * (x - t * shift) / (1 + gamma.square())

    fields = LearnedFields(path, mean_rate=lambda x, t: shift.expand_as(x), noise=noise)
    pools = [Pool(x) for x in pairs_apart_by([3.0, -1.0])]
    found = check_bridge(fields, *pools, (2,), n=1000, coupling=Paired(), batch_size=300)
    assert [check for check in found.checks if check.verdict != "pass"] == [], str(found)


@pytest.mark.slow
def test_a_bridge_is_checked_with_its_own_coupling():
    x0 = pairs_apart_by([0.0, 0.0])[0]
    net = {"kind": "mlp", "width": 32, "depth": 2}
    bridge = Bridge("linear", coupling="paired", net=net, steps=300, batch_size=64)
    found = bridge.fit(x0, -x0, progress=False).check(n=500)
    assert found.checks[1].name == "calibration of mean_rate"
    assert found.checks[1].verdict != "fail", str(found)


def test_a_broken_network_gets_verdicts():
    fields = LearnedFields(PATH, mean_rate=lambda x, t: x * float("nan"), noise=lambda x, t: x)
    found = check_bridge(fields, *(Pool(x) for x in pairs_apart_by([1.0, 0.0])), (2,), n=100)
    assert {"ODE against data", "SDE against ODE"} <= {c.name for c in found.checks if c.verdict == "fail"}


def test_the_time_that_is_told_is_the_one_where_the_fields_are_wrong():
    points = [rho.sample(500, generator=torch.Generator().manual_seed(3)).float() for rho in (RHO0, RHO1)]
    draws = self_test._Draws(Faulty("late"), *map(Pool, points), (2,), 1000, 1, None, 256)
    (told,) = (c.message for c in self_test._calibrations(draws) if c.name == "calibration of velocity")
    assert told.endswith("at t=0.9")
