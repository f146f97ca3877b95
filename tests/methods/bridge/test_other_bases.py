"""A bridge whose base is not Gaussian: starts, likelihood, self-test, storage."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants import Bridge
from interpolants.fields import LearnedFields
from interpolants.foundations import Gaussian
from interpolants.foundations.errors import NotIdentifiableError
from interpolants.methods.bridge.self_test import check_bridge
from interpolants.methods.parts.start_points import Pool, draw_base
from interpolants.paths import OneSidedLinear
from interpolants.paths.student_t import StudentT
from interpolants.problems import EmpiricalBridge

SMALL = {"steps": 60, "batch_size": 128, "net": {"kind": "mlp", "width": 32, "depth": 2}}
SELF = (
    "calibration of velocity",
    "rate of the second moment",
    "calibration of score",
    "Stein identity of the score",
)
PATH = {"kind": "one_sided_linear", "base": {"kind": "student_t", "df": 3}}


@pytest.fixture(scope="module")
def data():
    x = np.random.RandomState(0).randn(2000, 2).astype("float32")
    return x * [1.0, 0.3] + [2.0, -1.0]


@pytest.fixture(scope="module")
def both(data):
    """Velocity and score, one network."""
    return Bridge(PATH, heads=("velocity", "score"), **SMALL).fit(x1=data, progress=False)


def test_starts_are_draws_of_the_base_and_belong_to_the_sample(both):
    base = both.path.base
    x = draw_base(base, (2,), 5000, 7, 0)
    assert torch.equal(draw_base(base, (2,), 10, 7, 200), x[200:210])
    inside = torch.tensor([0.25, 0.5, 0.75, 0.95])
    z = x[:, 0].double().sort().values[(inside * 5000).long()]
    truth = torch.tensor([-0.7648923, 0.0, 0.7648923, 2.3533634])  # quantiles of t with 3 degrees of freedom
    assert_close(z, truth.double(), atol=0.12, rtol=0)


def test_the_likelihood_starts_from_the_density_of_the_base(both, data):
    found = both.log_prob(data[:5], details=True)
    back = both.transport(data[:5], reverse=True, method="dopri5", details=True)
    assert_close(found.x, back.x, rtol=1e-3, atol=1e-3)
    encoded = both.frame.encode(found.x)
    volume = found.log_prob - both.path.base.log_prob(encoded)
    other = Gaussian().log_prob(encoded) + volume
    assert float((other - found.log_prob).abs().min()) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("df", [1.5, 3.0])
def test_the_self_test_holds_the_score_against_that_of_the_base(df, data):
    """True fields pass; the score that a Gaussian base would have does not."""
    points = torch.from_numpy(data[:400]).float()
    exact = EmpiricalBridge(points).fields(OneSidedLinear(base=StudentT(df)))

    def tweedie(x, t, cond=None):
        return -exact.evaluate(x, t, ("noise",))["noise"] / (1 - t[:, None])

    def verdicts(score):
        fields = LearnedFields(exact.path, velocity=exact.velocity, score=score)
        return {
            check.name: check.verdict
            for check in check_bridge(fields, None, Pool(points), (2,), n=1000).checks
        }

    right = verdicts(exact.score)
    assert {name: right[name] for name in SELF} == dict.fromkeys(SELF, "pass")
    wrong = verdicts(tweedie)
    assert {wrong[name] for name in SELF[:2]} == {"pass"}
    assert "fail" in {wrong[name] for name in SELF[2:]}


def test_a_bridge_keeps_its_degrees_of_freedom_on_disk(both, tmp_path):
    again = Bridge.load(both.save(tmp_path / "t"))
    assert again.path.base.df == 3.0
    assert np.array_equal(again.sample(20, seed=1), both.sample(20, seed=1))


def test_a_velocity_alone_runs_the_flow_and_refuses_noise(data):
    bridge = Bridge(PATH, **{**SMALL, "steps": 5}).fit(x1=data, progress=False)
    assert bridge.heads == ("velocity",)
    bridge.sample(10, seed=0)
    with pytest.raises(NotIdentifiableError, match=r"StudentT\(df=3.*is not Gaussian"):
        bridge.sample(10, eps=0.5, seed=0)
    assert isinstance(bridge.path.base, StudentT)


@pytest.mark.parametrize("labelled", [False, True])
def test_every_kept_start_comes_equally_often(labelled):
    labels = torch.tensor([0, 1, 0, 1, 1, 0, 1, 1]) if labelled else None
    pool = Pool(torch.arange(8.0)[:, None], labels)
    drawn = pool.draw(8000, 3, 0, torch.ones(8000, dtype=torch.int64) if labelled else None).flatten().long()
    counts = torch.bincount(drawn, minlength=8).double()
    wanted = 8000 * (labels == 1).double() / 5 if labelled else torch.full((8,), 1000.0).double()
    assert float((counts - wanted).abs().max()) < 5 * 8000**0.5 / 2
    assert bool(((counts > 0) == (wanted > 0)).all())
