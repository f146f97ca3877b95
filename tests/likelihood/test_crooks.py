"""Path weights between Gaussians with known constants: exact and spoilt fields, bounds, Bennett's estimate, Crooks."""

import math

import pytest
import torch

from interpolants.fields import LearnedFields
from interpolants.fields.wrapped import WrappedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.likelihood import bennett, crooks_weights
from interpolants.paths import Linear, OneSidedLinear
from interpolants.paths.envelopes import ZeroEnvelope
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge

F64 = torch.float64
MEAN, SPREAD = 3.0, 0.5
EPS = 0.5


def gaussian(dim, mean, spread):
    return GaussianMixture([1.0], torch.full((1, dim), mean, dtype=F64), spread**2 * torch.eye(dim)[None])


def log0(x):
    return -x.square().sum(1) / 2


def log1(x):
    return -((x - MEAN) / SPREAD).square().sum(1) / 2


class Spoilt(WrappedFields):
    """Velocity wrong by e sin x, score by 2 e cos x."""

    def __init__(self, inner, e):
        super().__init__(inner)
        self.e = e

    def evaluate(self, x, t, want, cond=None):
        wrong = {"velocity": self.e * x.sin(), "score": 2 * self.e * x.cos()}
        return {name: v + wrong[name] for name, v in self.inner.evaluate(x, t, want, cond).items()}


def ends(dim):
    return gaussian(dim, 0.0, 1.0), gaussian(dim, MEAN, SPREAD)


def exact(dim, path=None):
    return GaussianMixtureBridge(*ends(dim)).fields(Linear() if path is None else path)


def rows(dim, n, seed=0):
    source = torch.Generator().manual_seed(seed)
    return tuple(law.sample(n, generator=source) for law in ends(dim))


def both(fields, x0, x1, logs=(log0, log1), **options):
    known = {"eps": EPS, "n_steps": 10, **options}
    return tuple(crooks_weights(fields, x, logs, reverse=r, **known) for x, r in ((x0, False), (x1, True)))


@pytest.mark.parametrize(("e", "steps"), [(0.0, 10), (0.3, 20), (1.0, 10)])
def test_bounds_hold_and_bennett_is_right_whatever_the_fields(e, steps):
    truth = 5 * math.log(SPREAD)
    found = bennett(*both(Spoilt(exact(5), e), *rows(5, 4000), n_steps=steps))
    assert found.lower - 3 * found.lower_error <= truth <= found.upper + 3 * found.upper_error
    assert abs(found.log_ratio - truth) <= 4 * found.error
    assert found.error < 0.12
    assert 0.5 < found.error / found.bennett_error < 2
    if e == 0:
        assert abs(found.forward - truth) <= 4 * found.forward_error
        assert abs(found.reverse - truth) <= 4 * found.reverse_error
        assert found.forward_ess > 2000
        assert not found.warnings
    if e == 1:
        assert "nats apart" in found.warnings[0]


def test_with_exact_fields_the_distance_of_the_bounds_falls_as_the_step():
    x0, x1 = rows(5, 2000)
    gaps = [
        found.upper - found.lower
        for steps in (10, 40)
        for found in (bennett(*both(exact(5), x0, x1, n_steps=steps)),)
    ]
    assert 3.4 < gaps[0] / gaps[1] < 4.6


def test_without_a_latent_term_the_table_of_the_derivation_comes_out():
    """lower -3.937, upper -3.060 of 20,000 paths at 10 steps."""
    found = bennett(*both(exact(5, Linear(envelope=ZeroEnvelope())), *rows(5, 4000)))
    assert abs(found.lower + 3.937) < 0.07
    assert abs(found.upper + 3.060) < 0.07


def test_exchanging_the_ends_changes_the_sign_and_a_shift_shifts():
    x0, x1 = rows(2, 500)
    f, b = both(Spoilt(exact(2), 0.3), x0, x1)
    found, exchanged = bennett(f, b), bennett(-b, -f)
    assert exchanged.log_ratio == pytest.approx(-found.log_ratio, abs=1e-9)
    assert (exchanged.lower, exchanged.upper) == pytest.approx((-found.upper, -found.lower))
    assert exchanged.overlap == pytest.approx(found.overlap)
    shifted = bennett(*both(Spoilt(exact(2), 0.3), x0, x1, (log0, lambda x: log1(x) + 7.25)))
    for name in ("log_ratio", "lower", "upper", "forward", "reverse"):
        assert getattr(shifted, name) == pytest.approx(getattr(found, name) + 7.25, abs=1e-9)


def test_weights_do_not_depend_on_the_batch():
    x0, _ = rows(2, 300)
    whole = crooks_weights(exact(2), x0, (log0, log1), n_steps=4)
    assert torch.equal(crooks_weights(exact(2), x0[:40], (log0, log1), n_steps=4), whole[:40])


def crooks_gap(n, bins):
    """Largest distance of ``log p_B/p_F`` from ``L - log Z1/Z0`` over bins about the middle, 1-D, spoilt fields."""
    f, b = both(Spoilt(exact(1), 0.5), *rows(1, n), n_steps=20)
    edges = torch.linspace(-2.2, 1.0, bins + 1, dtype=F64)
    count_b = torch.histogram(b, edges).hist
    # The mean of e^L over forward weights in a bin is what the identity says of the whole bin.
    tilted = torch.histogram(f, edges, weight=f.exp()).hist
    return float((torch.log(count_b / tilted) + math.log(SPREAD)).abs().max())


def test_the_two_distributions_of_the_weight_obey_crooks_identity():
    assert crooks_gap(40_000, 5) < 0.05


@pytest.mark.slow
def test_crooks_identity_holds_to_two_hundredths_with_ten_times_the_paths():
    assert crooks_gap(400_000, 7) < 0.02


@pytest.mark.slow
def test_bennett_spreads_less_than_either_side():
    fields, names = Spoilt(exact(2), 0.5), ("forward", "reverse", "log_ratio")
    found = [
        bennett(*both(fields, *rows(2, 1000, seed), n_steps=50, seed=seed), resamples=20)
        for seed in range(60)
    ]
    spread = {name: float(torch.tensor([getattr(one, name) for one in found]).std()) for name in names}
    assert spread["log_ratio"] < 0.75 * min(spread["forward"], spread["reverse"])
    mean_error = sum(one.error for one in found) / len(found)
    assert 0.7 < spread["log_ratio"] / mean_error < 1.4


def learnt(path, dim):
    """Exact functions as a network gives them: the score follows from the noise, which vanishes at the ends."""
    true = GaussianMixtureBridge(ends(dim)[0], ends(dim)[1]).fields(path)

    def field(name):
        return lambda x, t, cond=None: true.evaluate(x, t, (name,))[name]

    heads = ("velocity", "noise") if not path.is_one_sided else ("denoised",)
    return LearnedFields(path, **{name: field(name) for name in heads})


@pytest.mark.parametrize("path", [Linear(), OneSidedLinear()], ids=["two_sided", "one_sided"])
def test_learnt_fields_are_asked_inside_the_ends_only(path):
    fields = learnt(path, 2)
    assert fields.bounded_quantity == "noise"
    found = bennett(*both(fields, *rows(2, 4000), n_steps=50))
    truth = 2 * math.log(SPREAD)
    assert found.lower - 3 * found.lower_error <= truth <= found.upper + 3 * found.upper_error
    assert abs(found.log_ratio - truth) <= 4 * found.error
    assert found.upper - found.lower < 0.6


def test_a_density_with_a_bound_leaves_an_infinite_bound_and_a_right_estimate():
    def half(x):
        return torch.where(x[:, 0] > 0, log0(x), -math.inf)

    source = torch.Generator().manual_seed(0)
    x0 = torch.randn(4000, 1, generator=source, dtype=F64)
    x1 = torch.randn(4000, 1, generator=source, dtype=F64).abs()
    fields = GaussianMixtureBridge(gaussian(1, 0.0, 1.0), gaussian(1, 0.8, 0.6)).fields(Linear())
    found = bennett(*both(fields, x0, x1, (log0, half)))
    assert found.lower == -math.inf
    assert abs(found.log_ratio + math.log(2)) <= 4 * found.error


@pytest.mark.parametrize(
    ("f1", "words"),
    [
        (lambda x: log1(x)[:, None], r"log_densities\[1\] must give the shape \(8,\), got \(8, 1\)"),
        (lambda x: log1(x) * math.nan, r"log_densities\[1\] must be a number, at row 0, got nan"),
        (lambda x: log1(x) + math.inf, r"must be a number, at row 0, got inf"),
        (lambda x: log1(x) - math.inf, r"must be finite at samples of its density, at row 0"),
    ],
    ids=["shape", "nan", "infinite", "zero"],
)
def test_log_densities_that_are_none_are_refused(f1, words):
    _, x1 = rows(2, 8)
    with pytest.raises(InvalidInputError, match=words):
        crooks_weights(exact(2), x1, (log0, f1), reverse=True, n_steps=2)


def test_settings_out_of_range_are_refused():
    x0, _ = rows(2, 8)
    with pytest.raises(InvalidInputError, match=r"eps must be .* > 0.*divergence"):
        crooks_weights(exact(2), x0, (log0, log1), eps=0)
    with pytest.raises(InvalidInputError, match="n_steps must be"):
        crooks_weights(exact(2), x0, (log0, log1), n_steps=0)
    plain = LearnedFields(Linear(envelope=ZeroEnvelope()), velocity=lambda x, t, cond=None: x)
    with pytest.raises(InvalidInputError, match=r"must have a score.*heads="):
        crooks_weights(plain, x0, (log0, log1))
