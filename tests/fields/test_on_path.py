"""Change of path: fields of a model on another path against the exact fields of that path."""

import warnings

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.dynamics import sample
from interpolants.fields import LearnedFields, on_path
from interpolants.fields.matched_net import MatchedNet, covered, match
from interpolants.foundations import Gaussian
from interpolants.foundations.errors import InvalidInputError, NotIdentifiableError
from interpolants.foundations.tell import SettingWarning
from interpolants.guidance.classifier_free import guide
from interpolants.likelihood import log_prob
from interpolants.paths import (
    EDM,
    VE,
    VP,
    EncoderDecoder,
    Linear,
    Mirror,
    OneSidedLinear,
    OneSidedTrigonometric,
    Trigonometric,
    ZeroEnvelope,
)
from interpolants.paths.student_t import StudentT
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

F64 = torch.float64
MIXTURE = GaussianMixture(
    torch.tensor([0.5, 0.3, 0.2], dtype=F64),
    torch.tensor([[2.0, 0.0], [-1.0, 1.5], [-0.5, -1.5]], dtype=F64),
    torch.tensor([0.25, 0.4, 0.15], dtype=F64).square(),
)
PATHS = {"linear": OneSidedLinear(), "trigonometric": OneSidedTrigonometric(), "vp": VP()}
PAIRS = [("vp", "linear"), ("trigonometric", "linear"), ("linear", "vp"), ("linear", "trigonometric")]


def exact(path):
    return GaussianMixtureBridge(path.base, MIXTURE).fields(path)


def rms(x, y):
    return float((x - y).square().sum(1).mean().sqrt())


@pytest.mark.parametrize("quantity", ["velocity", "score", "denoised", "noise"])
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_every_quantity_is_that_of_the_target_path(pair, quantity, generator):
    source, target = (PATHS[name] for name in pair)
    moved, true = on_path(exact(source), target), exact(target)
    for t in (0.05, 0.3, 0.6, 0.95):
        x = true.marginal(t).sample(200, generator=generator)
        ours, theirs = (getattr(fields, quantity)(x, t) for fields in (moved, true))
        assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
        times = torch.full((200,), t, dtype=F64)
        assert_close(getattr(moved, quantity)(x, times), theirs, rtol=1e-9, atol=1e-9)
        single = getattr(moved, quantity)(x.float(), t)
        assert single.dtype == torch.float32
        assert float((single - theirs).norm() / theirs.norm()) < 1e-4


def test_the_velocity_agrees_with_the_formula_that_uses_the_rate_of_the_matched_time(generator):
    source, target = VP(), OneSidedLinear()
    tau = torch.tensor(0.6, dtype=F64, requires_grad=True)
    t, c = match(source, target, tau)
    t_rate = 1 / (tau * (1 - tau)) / (source.signal_rate(t) - source.alpha_dot(t) / source.alpha(t))
    c_rate = (target.alpha_dot(tau) / target.alpha(tau) - source.alpha_dot(t) / source.alpha(t) * t_rate) * c
    y = torch.randn(50, 2, generator=generator, dtype=F64)
    by_rates = c_rate / c * y + c * t_rate * exact(source).velocity(y / c, t.detach())
    assert_close(on_path(exact(source), target).velocity(y, tau.detach()), by_rates.detach())


def test_a_flow_passes_through_the_same_points(generator):
    source, target = VP(), OneSidedLinear()
    ends = torch.tensor([0.02, 0.98], dtype=F64)  # times of the target
    times, scales = match(source, target, ends)
    y = torch.randn(100, 2, generator=generator, dtype=F64)
    known = {"method": "rk4", "n_steps": 2000, "time_grid": "uniform"}
    moved = sample(on_path(exact(source), target), y, start=0.02, stop=0.98, **known).x
    start, stop = times.tolist()
    # Even steps in t are fine enough for VP, whose rate grows towards t = 0.
    own = sample(exact(source), y / scales[0], start=start, stop=stop, **known).x * scales[1]
    assert_close(moved, own, rtol=0, atol=1e-8)


def test_steps_in_the_log_of_signal_over_noise_are_the_same_on_every_path(generator):
    source, target = VP(), OneSidedLinear()
    taus = torch.linspace(0.05, 0.95, 9, dtype=F64)
    times, scales = match(source, target, taus)
    y = torch.randn(100, 2, generator=generator, dtype=F64)
    moved = sample(on_path(exact(source), target), y, method="ddim", time_grid=taus.tolist()).x
    own = sample(exact(source), y / scales[0], method="ddim", time_grid=times.tolist()).x * scales[-1]
    assert_close(moved, own, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore:on. at t = 0:interpolants.foundations.tell.SettingWarning")
def test_moving_twice_is_moving_once_and_back_again_gives_the_same_bits(generator):
    net = nn.Linear(2, 2)
    fields = LearnedFields(VP(), noise=lambda x, t: x * t[:, None], margin=1e-3)
    trained = LearnedFields(VP(), denoised=_Timed(net))
    x = torch.randn(20, 2, generator=generator)
    t = torch.tensor(0.4)
    for start in (fields, trained, exact(VP())):
        there = on_path(start, OneSidedTrigonometric())
        twice, once = on_path(there, OneSidedLinear()), on_path(start, OneSidedLinear())
        want = ("velocity", "denoised")
        for name in want:
            assert torch.equal(twice.evaluate(x, t, want)[name], once.evaluate(x, t, want)[name])
            back = on_path(there, VP())
            assert torch.equal(back.evaluate(x, t, want)[name], start.evaluate(x, t, want)[name])
        assert on_path(start, VP()) is start


class _Timed(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, t, cond=None):
        return self.net(x) * t[:, None]


@pytest.mark.parametrize("source", [VE(), EDM(smax=20.0)], ids=["ve", "edm"])
def test_a_wide_base_becomes_a_standard_one(source, generator):
    fields = on_path(exact(source), OneSidedLinear())
    x = torch.randn(4000, 2, generator=generator, dtype=F64)
    made = sample(fields, x, n_steps=60).x
    # 4,000 samples: the standard error of a mean is 0.02, that of a standard deviation about as much.
    fresh = MIXTURE.sample(200_000, generator=generator)
    assert_close(made.mean(0), fresh.mean(0), rtol=0, atol=0.1)
    assert_close(made.T.cov(), fresh.T.cov(), rtol=0, atol=0.15)
    for t in (0.0, 1.0):
        assert bool(fields.evaluate(x, torch.tensor(t), ("velocity",))["velocity"].isfinite().all())


def test_vp_on_the_linear_path_is_finite_at_the_ends_and_starts_from_the_mean_of_the_data():
    fields = on_path(exact(VP()), OneSidedLinear())
    x = torch.tensor([[0.3, -0.2]], dtype=F64)
    assert_close(fields.denoised(x, 0.0), MIXTURE.mean[None], rtol=0, atol=0.02)
    assert bool(fields.evaluate(x, torch.tensor(1.0), ("velocity",))["velocity"].isfinite().all())
    start, stop = covered(VP(), OneSidedLinear())
    assert start == pytest.approx(VP().ends.x1_at_0 / (VP().ends.x1_at_0 + VP().ends.x0_at_0), abs=1e-9)
    assert stop == 1.0
    assert covered(OneSidedLinear(), VP()) == pytest.approx((0.0, 1.0))


def test_a_straighter_path_needs_fewer_midpoint_steps_and_euler_prefers_the_trigonometric(generator):
    x = torch.randn(1000, 2, generator=generator, dtype=F64)
    end = sample(on_path(exact(VP()), OneSidedLinear()), x, method="rk4", n_steps=1000).x
    off = {}
    for name, path in PATHS.items():
        fields = on_path(exact(VP()), path)
        for method, n in (("midpoint", 4), ("euler", 8)):
            made = sample(fields, x, method=method, n_steps=n, time_grid="uniform").x
            gaps = (made - end).norm(dim=1)
            off[name, method] = float(gaps.square().mean().sqrt()), float(gaps.median())
    # Measured over three seeds: 2.4 to 3.6 times nearer in the root mean square, 16 to 18 times in the median.
    for k, factor in ((0, 2.0), (1, 8.0)):
        assert off["vp", "midpoint"][k] > factor * off["linear", "midpoint"][k]
    # Straight is not always best.
    assert off["trigonometric", "euler"][0] < off["linear", "euler"][0]


def test_log_densities_are_the_same(generator):
    x = MIXTURE.sample(64, generator=generator)
    moved = on_path(exact(VP()), OneSidedTrigonometric())
    found = log_prob(moved, x, Gaussian(), rtol=1e-8, atol=1e-8).log_prob
    assert_close(found, MIXTURE.log_prob(x), rtol=0, atol=2e-2)


def test_the_sde_of_the_target_leads_to_the_data(generator):
    fields = on_path(exact(VP()), OneSidedLinear())
    x = torch.randn(4000, 2, generator=generator, dtype=F64)
    made = sample(fields, x, eps=0.5, n_steps=100, seed=0).x
    fresh = MIXTURE.sample(200_000, generator=generator)
    assert_close(made.mean(0), fresh.mean(0), rtol=0, atol=0.1)
    assert_close(made.T.cov(), fresh.T.cov(), rtol=0, atol=0.15)


def test_guidance_and_conditions_go_along_by_the_time_of_their_own_path(generator):
    seen = []

    class Net(nn.Module):
        def forward(self, x, t, cond=None):
            return x if cond is None else x + cond.nan_to_num()  # NaN stands for no condition

    def strength(t):
        seen.append(float(t.flatten()[0]))
        return 2.0

    fields, cond = LearnedFields(VP(), denoised=Net()), torch.ones(5, 2)
    x = torch.randn(5, 2, generator=generator)
    guided, told = guide(fields, cond, strength)
    moved = on_path(guided, OneSidedLinear())
    found = moved.evaluate(x, torch.tensor(0.3), ("denoised",), told)["denoised"]
    t, c = match(VP(), OneSidedLinear(), torch.tensor(0.3, dtype=F64))
    assert_close(found, x / c.float() + 2.0 * cond)
    assert seen[-1] == pytest.approx(float(t), abs=1e-6)


def test_a_two_sided_path_without_latent_term_goes_to_another_one(generator):
    start = GaussianMixture.from_gaussian(Gaussian(mean=torch.tensor([1.0, 0.0], dtype=F64), scale=0.5), 2)
    paths = Linear(envelope=ZeroEnvelope()), Trigonometric(envelope=ZeroEnvelope())
    source, target = (GaussianMixtureBridge(start, MIXTURE).fields(path) for path in paths)
    moved = on_path(source, paths[1])
    for t in (0.1, 0.5, 0.9):
        x = target.marginal(t).sample(50, generator=generator)
        assert_close(moved.velocity(x, t), target.velocity(x, t), rtol=1e-9, atol=1e-9)


def test_a_heavy_tailed_base_keeps_its_tails_and_is_not_exchanged_for_a_gaussian(generator):
    base = StudentT(5.0)
    fields = LearnedFields(EDM(df=5, smax=20.0), denoised=lambda x, t: 0.5 * x)
    moved = on_path(fields, OneSidedLinear(base=base))
    _, c = match(EDM(df=5, smax=20.0), OneSidedLinear(base=base), torch.tensor(0.4, dtype=F64))
    x = torch.randn(5, 2, generator=generator)
    assert_close(moved.denoised(x, 0.4), 0.5 * x / c.float())
    assert_close(moved.endpoint0(x, 0.4), (x - 0.4 * 0.5 * x / c.float()) / 0.6)
    with pytest.raises(InvalidInputError, match="on: both paths must start from the same base"):
        on_path(fields, OneSidedLinear())


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        (OneSidedLinear(), Linear(), "both paths must be one-sided"),
        (Linear(), Trigonometric(), "another gamma is another family"),
        (Linear(), Mirror(), r"another gamma|must be alpha\(t\) x0"),
        (OneSidedLinear(), EncoderDecoder(), "on: "),
        (OneSidedLinear(base=Gaussian(mean=1.0)), OneSidedLinear(), "start from the same base"),
    ],
    ids=["sides", "gamma", "mirror", "encoder", "mean"],
)
def test_a_path_that_cannot_be_reached_is_refused_with_the_reason(source, target, reason):
    with pytest.raises(InvalidInputError, match=reason):
        on_path(LearnedFields(source, velocity=lambda x, t: x), target)


def test_what_does_not_follow_is_refused():
    fields = LearnedFields(Linear(envelope=ZeroEnvelope()), endpoint0=lambda x, t: x)
    with pytest.raises(NotIdentifiableError):
        on_path(LearnedFields(EDM(df=5), score=lambda x, t: x), OneSidedLinear(base=StudentT(5.0)))
    assert on_path(fields, Trigonometric(envelope=ZeroEnvelope())).provides("velocity")
    with pytest.raises(InvalidInputError, match="path must be a Path, got str"):
        on_path(fields, "linear")


def test_the_network_of_the_model_stays_reachable():
    net = _Timed(nn.Linear(2, 2))
    moved = on_path(LearnedFields(VP(), denoised=net), OneSidedLinear())
    assert any(part is net for part in moved.networks[0].modules())
    doubled = moved.through(lambda inner: _Doubled(inner))
    x = torch.ones(3, 2)
    assert_close(doubled.denoised(x, 0.5), 2 * moved.denoised(x, 0.5))
    assert isinstance(moved.networks[0], MatchedNet)


class _Doubled(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, t, cond=None):
        return 2 * self.net(x, t, cond)


@pytest.mark.parametrize(("head", "warns"), [("noise", True), ("velocity", False), ("denoised", False)])
def test_a_model_that_predicts_noise_warns_of_its_start_on_another_path(head, warns):
    """At t = 0 of ``VP`` the denoised state is 152 times the noise, and 15 times the velocity."""
    fields = LearnedFields(VP(), **{head: lambda x, t: x})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fields.on(OneSidedLinear())
    told = [("is noise times 152" in str(one.message), one.category) for one in caught]
    assert told == [(True, SettingWarning)] * warns
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LearnedFields(VP(), noise=lambda x, t: x, mean1=torch.zeros(2)).on(OneSidedLinear())
