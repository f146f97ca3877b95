"""Guidance by a classifier: with the exact one the fields of a class, exactly; how it is sampled; refusals."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import ReverseNoise, sample
from interpolants.fields import QUANTITIES, LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.guidance import ClassifierGuided, ShiftedScore, ask_for
from interpolants.paths import VE, VP, Linear, SubVP
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from problems.bridges import BASE, F64, PATHS, RHO1, states

GAUSSIAN = {name: path for name, path in PATHS.items() if path.is_one_sided and path.base.is_gaussian}
TIMES = torch.tensor([0.0, 0.02, 0.3, 0.5, 0.8, 0.999], dtype=F64)


def mode(k):
    """One mode of the data as a distribution of its own."""
    return GaussianMixture(torch.ones(1, dtype=F64), RHO1.means[k : k + 1], RHO1.covariances[k : k + 1])


def whole(path):
    return GaussianMixtureBridge(path.base, RHO1).fields(path)


@pytest.mark.parametrize("name", [name for name, path in GAUSSIAN.items() if path.basis is None])
@pytest.mark.parametrize("k", [0, 2])
def test_the_exact_classifier_gives_the_exact_fields_of_a_class(name, k):
    path = GAUSSIAN[name]
    fields = whole(path)
    guided = ClassifierGuided(fields, fields.log_joint)
    x, labels = states(6), torch.full((6,), k)
    wanted = GaussianMixtureBridge(path.base, mode(k)).fields(path).evaluate(x, TIMES, QUANTITIES)
    found = guided.evaluate(x, TIMES, QUANTITIES, labels)
    late = TIMES > 0  # at t = 0 the true shift is zero on a path that starts exactly, and divided by beta = 0
    for quantity in QUANTITIES:
        rows = late if path.ends.start_is_exact else slice(None)
        assert_close(found[quantity][rows], wanted[quantity][rows], rtol=1e-6, atol=1e-8)
        assert torch.isfinite(found[quantity]).all()


def test_labels_may_differ_between_rows_and_one_time_may_serve_all():
    path = PATHS["vp"]
    fields = whole(path)
    guided, x, labels = ClassifierGuided(fields, fields.log_joint), states(5), torch.tensor([0, 2, 1, 0, 2])
    together = guided.evaluate(x, torch.tensor(0.6, dtype=F64), ("velocity",), labels)["velocity"]
    for i in range(5):
        alone = GaussianMixtureBridge(path.base, mode(int(labels[i]))).fields(path)
        assert_close(together[i], alone.velocity(x, 0.6)[i])


def test_the_strength_multiplies_the_shift_and_the_interval_limits_it():
    path = PATHS["vp"]
    fields, x, labels = whole(path), states(6), torch.ones(6, dtype=torch.long)
    plain = fields.evaluate(x, TIMES, ("score",))["score"]
    once = ClassifierGuided(fields, fields.log_joint).evaluate(x, TIMES, ("score",), labels)["score"]
    guided = ClassifierGuided(fields, fields.log_joint, strength=2.5, interval=(0.02, 0.5))
    found = guided.evaluate(x, TIMES, ("score",), labels)["score"]
    inside = torch.tensor([0.0, 1, 1, 1, 0, 0], dtype=F64)[:, None]
    assert_close(found, plain + 2.5 * inside * (once - plain))
    # at one time for all rows
    single = guided.evaluate(x, TIMES[2], ("score",), labels)["score"]
    assert_close(single[2], found[2])


def test_a_time_that_rounding_puts_beside_an_end_of_the_interval_is_inside():
    path, x, labels = PATHS["vp"], states(1), torch.ones(1, dtype=torch.long)
    fields = whole(path)
    always, within = (
        ClassifierGuided(fields, fields.log_joint, interval=interval) for interval in ((0.0, 1.0), (0.1, 0.3))
    )
    for time in (1 - 0.9, 3 * 0.1):  # below 0.1, and above 0.3
        t = torch.tensor([time], dtype=F64)
        assert_close(within.evaluate(x, t, ("score",), labels), always.evaluate(x, t, ("score",), labels))


def test_the_condition_of_the_inner_fields_travels_along():
    path, seen = PATHS["vp"], []

    def score(x, t, cond=None):
        seen.append(cond)
        return -x

    guided = ClassifierGuided(LearnedFields(path, score=score), lambda x, t: x)
    labels, own = torch.tensor([0, 1, 1]), torch.randn(3, 4)
    guided.evaluate(states(3), TIMES[3], ("score",), labels)  # the first call is checked
    seen.clear()
    guided.evaluate(states(3), TIMES[3], ("score",), ask_for(labels, own))
    guided.evaluate(states(3), TIMES[3], ("score",), labels)
    assert seen[0] is own
    assert seen[1] is None


def test_a_network_serves_as_classifier_and_is_counted_among_the_networks():
    path = PATHS["vp"]
    net = torch.nn.Linear(2, 3).double()

    class Timed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x, t):
            return self.net(x)

    guided = ClassifierGuided(whole(path), Timed())
    assert [type(n).__name__ for n in guided.networks] == ["Timed"]
    x, labels = states(4), torch.tensor([0, 1, 2, 0])
    slope = net.weight[labels] - torch.softmax(net(x), 1) @ net.weight
    with torch.no_grad():
        found = guided.evaluate(x, TIMES[3], ("score",), labels)["score"]
    assert_close(found, whole(path).score(x, 0.5) + slope.detach())
    assert not found.requires_grad


APART = GaussianMixture(
    torch.tensor([0.5, 0.2, 0.3], dtype=F64),
    torch.tensor([[4.0, 0.0], [-3.0, 3.0], [-2.0, -4.0]], dtype=F64),
    torch.tensor([[0.5, 0.2], [0.3, 0.3], [0.2, 0.6]], dtype=F64),
)


@pytest.mark.cases(2)
@pytest.mark.parametrize("method", ["ancestral", "euler", "heun"])
@pytest.mark.parametrize("path", [VP(), SubVP(), VE(smax=100.0)])
def test_samples_belong_to_the_class_asked_for_and_have_its_mean(path, method):
    """99 % in the class, its mean to 3 standard errors of 600 samples; seed 3.

    The steps' own error in the mean is far below that: 200 of them. So is that of the start, if smax is large: the flow
    keeps a point's place in the distribution, and the mean is off by its distance from zero times ``std/smax``.
    """
    n, k = 600, 1
    fields = GaussianMixtureBridge(path.base, APART).fields(path)
    guided = ClassifierGuided(fields, fields.log_joint)
    x = path.base.color(torch.randn(n, 2, generator=torch.Generator().manual_seed(3), dtype=F64))
    run = {"n_steps": 200, "seed": 3, "stop": 0.999, "finish": "denoise", "invariant": False, "chunk": n}
    eps = ReverseNoise() if method == "euler" else 0.0
    found = sample(guided, x, method=method, eps=eps, cond=torch.full((n,), k), **run).x
    assert float((APART.responsibilities(found).argmax(1) == k).double().mean()) >= 0.99
    error = APART.variances[k].sqrt() / math.sqrt(n)
    assert ((found.mean(0) - APART.means[k]).abs() < 3 * error).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda f: ClassifierGuided(f, f.log_joint).evaluate(
                states(2), TIMES[3], ("score",), torch.tensor([1, 3])
            ),
            r"labels must lie in 0 .. 2, the classifier's classes, got 3",
        ),
        (
            lambda f: ClassifierGuided(f, f.log_joint).evaluate(
                states(2), TIMES[3], ("score",), torch.tensor([1, -1])
            ),
            r"labels must lie in 0 .. 2, the classifier's classes, got -1",
        ),
        (
            lambda f: ClassifierGuided(f, f.log_joint).evaluate(states(2), TIMES[3], ("score",), None),
            r"the condition must hold integer labels \(2,\), got NoneType",
        ),
        (
            lambda f: ClassifierGuided(f, f.log_joint).evaluate(
                states(2), TIMES[3], ("score",), torch.ones(2)
            ),
            r"the condition must hold integer labels \(2,\), got torch.float32 \(2,\)",
        ),
        (
            lambda f: ClassifierGuided(f, lambda x, t: x[:, 0]).evaluate(
                states(2), TIMES[3], ("score",), torch.tensor([0, 1])
            ),
            r"the classifier must return logits \(2, K\), got \(2,\)",
        ),
        (lambda f: ClassifierGuided(f, 3), r"classifier must be callable as f\(x, t\), got int"),
        (lambda f: ClassifierGuided(f, f.log_joint, math.inf), r"strength must be finite, got inf"),
        (
            lambda f: ClassifierGuided(f, f.log_joint, interval=(0.5, 0.2)),
            r"interval must satisfy 0 <= first <= last <= 1, got \(0.5, 0.2\)",
        ),
        (
            lambda f: ClassifierGuided(GaussianMixtureBridge(RHO1, RHO1).fields(Linear()), f.log_joint),
            r"the path must start from a Gaussian base, got Linear",
        ),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make(whole(PATHS["vp"]))


def test_any_shift_of_the_score_makes_consistent_fields():
    """``h = -x`` on a coloured base: what the shifted fields say of each other is what the path's relations say."""

    class Pulled(ShiftedScore):
        def shift(self, x, t, cond):
            return -x

    path = PATHS["one_sided_coloured"]
    assert path.base is BASE
    fields = Pulled(whole(path))
    x, t = states(5), torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=F64)
    values = fields.evaluate(x, t, QUANTITIES)
    assert_close(values["score"], whole(path).score(x, t) - x)
    again = LearnedFields(path, score=fields.score).evaluate(x, t, QUANTITIES)
    for quantity in QUANTITIES:
        assert_close(values[quantity], again[quantity])
