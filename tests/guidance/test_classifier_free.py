"""Guidance against closed forms: mixtures for w = 0 and 1, a Gaussian for every w and interval.

Known answer: marginal N(0, S^2), given the condition N(m, s^2), one-sided linear path, v(t) = (1-t)^2 + t^2 s^2 and
V(t) the same with S. Both velocities are linear in x, so the guided flow is too: its spread goes like
V^((1-w)/2) v^(w/2) inside the interval and like v^(1/2) outside, and its mean follows by one integral.
"""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.guidance import ClassifierFree, guide, with_strength
from interpolants.metrics import energy_distance
from interpolants.paths import Linear, OneSidedLinear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

WIDE, NARROW, MEAN = 1.5, 0.6, 1.0


class Labelled(Fields):
    """The exact fields of each mode by its label, and those of the mixture for the label -1."""

    def __init__(self, path, rho0, mixture):
        modes = [
            GaussianMixture(
                torch.ones(1, dtype=torch.float64), mixture.means[k : k + 1], mixture.covariances[k : k + 1]
            )
            for k in range(len(mixture.means))
        ]
        self.path = path
        self.by_label = {k: GaussianMixtureBridge(rho0, mode).fields(path) for k, mode in enumerate(modes)}
        self.by_label[-1] = GaussianMixtureBridge(rho0, mixture).fields(path)
        self.rows = 0

    def provides(self, quantity):
        return self.by_label[-1].provides(quantity)

    def evaluate(self, x, t, want, cond=None):
        self.rows += len(x)
        out = {name: torch.zeros_like(x) for name in want}
        for label in cond.unique().tolist():
            at = cond == label
            found = self.by_label[label].evaluate(x[at], t if t.ndim == 0 else t[at], want)
            for name in want:
                out[name][at] = found[name]
        return out


@pytest.fixture
def mixture():
    means = torch.tensor([[2.0, 0.0], [-1.5, 1.0], [-0.5, -2.0]], dtype=torch.float64)
    spreads = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    return GaussianMixture(torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64), means, spreads)


def gaussian_fields():
    """One-dimensional: narrow and shifted given label 0, wide without."""
    path = OneSidedLinear(base=Gaussian(event_shape=(1,)))

    def one(mean, deviation):
        distribution = GaussianMixture(
            torch.ones(1, dtype=torch.float64),
            torch.full((1, 1), mean, dtype=torch.float64),
            torch.full((1,), deviation**2, dtype=torch.float64),
        )
        return GaussianMixtureBridge(Gaussian(event_shape=(1,)), distribution).fields(path)

    fields = Labelled.__new__(Labelled)
    fields.path, fields.by_label, fields.rows = path, {0: one(MEAN, NARROW), -1: one(0.0, WIDE)}, 0
    return fields


def half_log_ratio(t):
    """Half of ``log v - log V``."""
    narrow, wide = ((1 - t) ** 2 + t**2 * spread**2 for spread in (NARROW, WIDE))
    return 0.5 * (narrow / wide).log()


def exact_flow(w, first=0.0, last=1.0):
    """Mean and spread at t = 1 of the guided flow from N(0, 1)."""
    t = torch.linspace(0, 1, 20_001, dtype=torch.float64)
    v = (1 - t) ** 2 + t**2 * NARROW**2
    gained = half_log_ratio(t.clamp(first, last)) - half_log_ratio(torch.full_like(t, first))
    log_spread = 0.5 * v.log() + (w - 1) * gained
    weight = torch.where((t >= first) & (t <= last), w, 1.0)
    half_rate = (t * NARROW**2 - (1 - t)) / v
    push = weight * MEAN * (1 - t * half_rate) * (log_spread[-1] - log_spread).exp()
    return float(torch.trapezoid(push, t)), float(log_spread[-1].exp())


@pytest.mark.parametrize(
    ("w", "interval"),
    [(0.0, (0, 1)), (1.0, (0, 1)), (2.5, (0, 1)), (-0.5, (0, 1)), (3.0, (0.2, 0.7)), (0.0, (0.5, 1))],
)
def test_mean_and_spread_of_a_guided_gaussian(w, interval):
    guided = ClassifierFree(gaussian_fields(), w, interval)
    x = torch.tensor([[-1.0], [0.0], [1.0]], dtype=torch.float64)
    labels = torch.zeros(3, dtype=torch.long)
    n_steps = 100 if interval in ((0, 1),) else 400
    end = sample(guided, x, method="rk4", n_steps=n_steps, cond=labels).x.flatten()
    mean, spread = exact_flow(w, *interval)
    # A fixed step of 1/400 sees an end of the interval one stage too early or late.
    tolerance = 1e-6 if interval in ((0, 1),) else 5e-3
    assert abs(float(end[1]) - mean) <= tolerance
    assert abs(float(end[2] - end[0]) / 2 - spread) <= tolerance


def test_the_reference_itself_is_the_gaussian_at_w_zero_and_one():
    assert exact_flow(1.0) == pytest.approx((MEAN, NARROW), abs=1e-6)
    assert exact_flow(0.0) == pytest.approx((0.0, WIDE), abs=1e-6)
    assert exact_flow(2.0)[1] == pytest.approx(NARROW**2 / WIDE)


def test_strength_one_samples_the_mode_and_zero_the_mixture(mixture, generator):
    fields = Labelled(
        Linear(),
        GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1)).to(dtype=torch.float64),
        mixture,
    )
    n = 2000
    x0 = torch.randn(n, 2, dtype=torch.float64, generator=generator)
    labels = torch.full((n,), 1)
    mode = fields.by_label[1].marginal(1.0)
    for w, distribution in ((1.0, mode), (0.0, mixture)):
        for eps in (0.0, 0.5):
            made = sample(ClassifierFree(fields, w), x0, eps=eps, seed=1, n_steps=60, cond=labels).x
            gap = energy_distance(made, distribution.sample(n, generator=generator))
            assert abs(gap.value) <= 4 * gap.error + 2e-3


def test_every_quantity_is_the_same_combination_and_one_call_serves_both(mixture, generator):
    fields = Labelled(Linear(), mixture, mixture)
    x = torch.randn(7, 2, dtype=torch.float64, generator=generator)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, -1])
    t = torch.rand(7, dtype=torch.float64, generator=generator) * 0.8 + 0.1
    want = ("velocity", "mean_rate", "score", "noise", "endpoint0", "denoised")
    given = fields.evaluate(x, t, want, labels)
    without = fields.evaluate(x, t, want, torch.full_like(labels, -1))
    fields.rows = 0
    guided = ClassifierFree(fields, 3.0).evaluate(x, t, want, labels)
    assert fields.rows == 14
    for name in want:
        assert_close(guided[name], without[name] + 3.0 * (given[name] - without[name]))
    # A row without a condition of its own is left alone.
    assert_close(guided["score"][-1], without["score"][-1])
    # The relations between the fields hold for the guided ones.
    path, wide = Linear(), t[:, None]
    assert_close(guided["score"], -guided["noise"] / path.envelope.gamma(wide))
    assert_close(
        guided["velocity"], guided["mean_rate"] - path.envelope.gamma_gamma_dot(wide) * guided["score"]
    )
    whole = (1 - wide) * guided["endpoint0"] + wide * guided["denoised"]
    assert_close(whole + path.envelope.gamma(wide) * guided["noise"], x)


def test_on_a_one_sided_path_the_score_follows_from_the_guided_velocity():
    guided = ClassifierFree(gaussian_fields(), 2.0)
    labels = torch.zeros(5, dtype=torch.long)
    other = LearnedFields(
        guided.path, velocity=lambda x, t, cond: guided.evaluate(x, t, ("velocity",), cond)["velocity"]
    )
    x = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    assert_close(guided.score(x, 0.4, labels), other.score(x, 0.4, labels))


def test_a_strength_per_sample_follows_its_row_through_chunks(mixture, generator):
    fields = Labelled(Linear(), mixture, mixture)
    n = 150
    x0 = mixture.sample(n, generator=generator)
    labels = torch.arange(n) % 3
    strengths = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)[
        torch.randint(3, (n,), generator=generator)
    ]
    guided, cond = guide(fields, labels, strengths)
    mixed = sample(guided, x0, n_steps=10, cond=cond, chunk=64).x
    for w in (0.0, 1.0, 2.0):
        rows = strengths == w
        alone = sample(ClassifierFree(fields, w), x0[rows], n_steps=10, cond=labels[rows]).x
        assert_close(mixed[rows], alone)
    same = guide(fields, labels, 2.0)
    assert same.cond is labels
    assert same.fields.strength == 2.0


def test_a_strength_may_be_a_function_of_time(mixture, generator):
    fields = Labelled(Linear(), mixture, mixture)
    x = torch.randn(4, 2, dtype=torch.float64, generator=generator)
    labels = torch.tensor([0, 1, 2, 0])
    guided = ClassifierFree(fields, lambda t: 1 + 2 * t, (0.0, 0.5))
    for t, w in ((0.25, 1.5), (0.5, 2.0), (0.75, 1.0)):
        assert_close(guided.velocity(x, t, labels), ClassifierFree(fields, w).velocity(x, t, labels))
    times = torch.tensor([0.25, 0.5, 0.75, 0.25], dtype=torch.float64)
    rows = [guided.velocity(x[i : i + 1], float(times[i]), labels[i : i + 1]) for i in range(4)]
    assert_close(guided.velocity(x, times, labels), torch.cat(rows))


def test_a_time_for_each_row_gives_what_one_time_for_all_does(mixture, generator):
    fields = Labelled(Linear(), mixture, mixture)
    x = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 0])
    for strength in (2.7, lambda t: 2.7 * torch.ones_like(t)):
        guided = ClassifierFree(fields, strength, (0.2, 0.8))
        for t in (0.1, 0.5, 0.9):
            time = torch.tensor(t, dtype=torch.float64)
            one, each = (guided.evaluate(x, at, ("velocity",), labels) for at in (time, time.expand(4)))
            assert_close(each["velocity"], one["velocity"], rtol=1e-13, atol=1e-13)


def test_outside_the_interval_only_the_conditional_field_is_evaluated(mixture):
    fields = Labelled(Linear(), mixture, mixture)
    x, labels = mixture.means, torch.arange(3)
    guided = ClassifierFree(fields, 5.0, (0.2, 0.8))
    for t, rows in ((0.1, 3), (0.2, 6), (0.8, 6), (0.9, 3)):
        fields.rows = 0
        guided.velocity(x, t, labels)
        assert fields.rows == rows
    fields.rows = 0
    assert_close(guided.velocity(x, 0.9, labels), fields.velocity(x, 0.9, labels))


def test_the_networks_null_condition_is_used():
    seen = []

    def velocity(x, t, cond):
        seen.append(cond)
        return x * 0

    fields = LearnedFields(Linear(), velocity=velocity)
    cond = {"label": torch.tensor([1, 2]), "field": torch.ones(2, 1, 4, 4)}
    ClassifierFree(fields).velocity(torch.zeros(2, 1, 4, 4), 0.5, cond)
    assert seen[0]["label"].tolist() == [-1, -1, 1, 2]
    assert seen[0]["field"][:2].isnan().all()
    assert (seen[0]["field"][2:] == 1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((math.nan,), "strength must be finite, got nan"),
        ((2.0, (0.8, 0.2)), r"interval must satisfy .* got \(0.8, 0.2\)"),
        ((torch.ones(3),), "with_strength"),
    ],
)
def test_bad_settings_are_refused_and_shown(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        ClassifierFree(gaussian_fields(), *arguments)


def test_no_condition_and_no_strengths_are_refused():
    guided = ClassifierFree(gaussian_fields())
    with pytest.raises(InvalidInputError, match="a condition is needed"):
        guided.velocity(torch.zeros(2, 1), 0.5)
    with pytest.raises(InvalidInputError, match="strength must be"):
        with_strength(torch.zeros(2), torch.tensor([1.0, math.inf]))
