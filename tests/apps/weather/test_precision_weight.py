"""Precision-weighted guidance on linear-Gaussian forecasts, where fields, variances and scores are known.

The forecast is ``y = c + sigma_i e_i`` with ``c ~ N(0, 1)``: half of the entries have a small sigma, half a large one.
"""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants import Bridge
from interpolants.apps.weather.precision_weight import (
    PrecisionWeight,
    _smoothed_counted,
    smoothed,
    weight_map,
)
from interpolants.apps.weather.problems.gaussian_forecast import GaussianForecast
from interpolants.dynamics import sample
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.tell import FitWarning
from interpolants.guidance import ClassifierFree
from interpolants.metrics.crps import crps
from interpolants.paths import OneSidedLinear, OneSidedTrigonometric

F64 = torch.float64
WIDTH = 64
SMALL, LARGE = 0.1, 1.0


def spreads(small=SMALL, large=LARGE):
    return torch.cat([torch.full((WIDTH // 2,), small), torch.full((WIDTH // 2,), large)]).to(F64)


def forecast(fields, cond, members, settings=None, steps=100, seed=0):
    """Members ``(cases, members, D)`` by the SDE."""
    start = torch.randn(len(cond) * members, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=F64)
    told = cond.repeat_interleave(members, 0)
    modifiers = () if settings is None else (settings,)
    done = sample(
        fields,
        start,
        cond=told,
        eps=1.0,
        n_steps=steps,
        seed=seed,
        modifiers=modifiers,
        method="euler_maruyama",
    )
    return done.x.reshape(len(cond), members, WIDTH), done


def conditions(n, seed=1):
    return torch.randn(n, 1, generator=torch.Generator().manual_seed(seed), dtype=F64).expand(n, WIDTH)


def linear(sigma=None, shrink=0.0):
    sigma = spreads() if sigma is None else sigma
    return GaussianForecast(sigma, shrink).fields(OneSidedLinear(base=Gaussian(event_shape=(WIDTH,))))


def score(fields, settings):
    cond = conditions(24)
    noise = torch.randn(24, WIDTH, generator=torch.Generator().manual_seed(9), dtype=F64)
    return float(crps(forecast(fields, cond, 24, settings, steps=60)[0], cond + spreads() * noise).value)


def test_no_strength_is_the_conditional_model_to_the_bit():
    cond = conditions(3)
    plain, _ = forecast(linear(), cond, 2, steps=10)
    assert torch.equal(forecast(linear(), cond, 2, PrecisionWeight(strength=0.0), steps=10)[0], plain)


def test_one_weight_is_classifier_free_guidance_to_the_bit():
    cond = conditions(3)
    wanted, _ = forecast(ClassifierFree(linear(), 1.5), cond, 2, steps=10)
    assert torch.equal(forecast(linear(), cond, 2, PrecisionWeight(bounds=(1.5, 1.5)), steps=10)[0], wanted)


@pytest.mark.parametrize("path", [OneSidedLinear, OneSidedTrigonometric])
def test_one_run_tells_the_variances_of_a_forecast(path):
    """Of each member alone: the logarithms of what fluctuated and of the true variance go together."""
    fields = GaussianForecast(spreads()).fields(path(base=Gaussian(event_shape=(WIDTH,))))
    _, done = forecast(fields, conditions(30), 4, PrecisionWeight())
    told = torch.stack([done.reports[0]["variance"].log()[0], 2 * spreads().log()])
    assert done.reports[0]["variance"].shape == (120, WIDTH)
    found = [torch.corrcoef(torch.stack([row, told[1]]))[0, 1] for row in done.reports[0]["variance"].log()]
    assert float(torch.stack(found).mean()) > 0.85


@pytest.mark.slow
def test_it_harms_an_exact_model_and_helps_one_that_is_pulled_too_weakly():
    exact = {name: score(linear(), settings) for name, settings in RULES.items()}
    assert min(exact, key=exact.get) == "plain"
    assert exact["weighted"] < 1.06 * exact["plain"]
    weak = {name: score(linear(shrink=0.3), settings) for name, settings in RULES.items()}
    constant = min(weak[name] for name in ("plain", "1.25", "1.5", "2"))
    assert weak["weighted"] < 1.01 * constant
    assert weak["weighted"] < 0.96 * weak["reversed"]


RULES = {
    "plain": None,
    "weighted": PrecisionWeight(),
    "reversed": PrecisionWeight(strength=-0.5),
    **{f"{w:g}": PrecisionWeight(bounds=(w, w)) for w in (1.25, 1.5, 2.0)},
}


def test_weights_stand_by_the_rule():
    variance = torch.tensor([[0.01, 0.01, 1.0, 1.0]], dtype=F64)
    found = weight_map(variance, PrecisionWeight(strength=0.4))
    assert_close(
        found, torch.tensor([[0.6, 0.6, 1.4, 1.4]], dtype=F64)
    )  # log U lies one spread about its mean
    assert_close(
        weight_map(variance, PrecisionWeight(strength=3.0))[0, [0, 3]], torch.tensor([0.5, 2.0], dtype=F64)
    )
    frames = torch.stack([variance.reshape(2, 2), 100 * variance.reshape(2, 2)])[None]
    each = weight_map(frames, PrecisionWeight(strength=0.4, smooth=0.0))
    assert_close(each[0, 0], each[0, 1])  # a frame by itself
    with pytest.warns(FitWarning, match="fluctuates alike"):
        assert_close(weight_map(torch.ones(2, 3, 4, 4), PrecisionWeight()), torch.ones(2, 3, 4, 4))


def test_an_entry_that_does_not_fluctuate_at_all_weighs_least():
    """One small variance of four lies ``sqrt(3)`` spreads below the mean, however small it is."""
    for least in (0.0, 0.01):
        found = weight_map(torch.tensor([[least, 1.0, 1.0, 1.0]], dtype=F64), PrecisionWeight(strength=0.2))
        root = 3**0.5
        assert_close(found, 1 + 0.2 * torch.tensor([[-root, 1 / root, 1 / root, 1 / root]], dtype=F64))


def test_a_gaussian_smooths_and_keeps_what_is_constant():
    spike = torch.zeros(1, 1, 31, 31, dtype=F64)
    spike[..., 15, 15] = 1.0
    at = torch.arange(31, dtype=F64) - 15
    shape = torch.exp(-(at[:, None].square() + at.square()) / (2 * 2.0**2)) / (2 * math.pi * 2.0**2)
    assert_close(smoothed(spike, 2.0)[0, 0], shape, rtol=0.0, atol=3e-4)
    assert_close(smoothed(torch.full((1, 4, 5), 3.0), 1.5), torch.full((1, 4, 5), 3.0))


def test_a_member_does_not_depend_on_those_beside_it():
    cond = conditions(5)
    whole, _ = forecast(linear(), cond, 2, PrecisionWeight(), steps=12)
    start = torch.randn(10, WIDTH, generator=torch.Generator().manual_seed(0), dtype=F64)
    options = {
        "eps": 1.0,
        "n_steps": 12,
        "seed": 0,
        "method": "euler_maruyama",
        "modifiers": PrecisionWeight(),
    }
    part = sample(linear(), start[:4], cond=cond.repeat_interleave(2, 0)[:4], **options).x
    assert torch.equal(part, whole.reshape(10, WIDTH)[:4])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: PrecisionWeight(bounds=(2.0, 1.0)), "bounds must rise"),
        (
            lambda: forecast(linear(), conditions(2), 1, PrecisionWeight(window=1.0), steps=5),
            "more steps than the window",
        ),
        (
            lambda: forecast(linear(), conditions(2), 1, PrecisionWeight(), steps=4),
            "window must hold at least two steps, got 4 steps, window 0.3. Take at least 5 steps",
        ),
        (
            lambda: forecast(linear(), conditions(2), 1, PrecisionWeight(window=0.9), steps=2),
            "more steps than the window",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, said):
    with pytest.raises(InvalidInputError, match=said):
        call()


@pytest.mark.slow
def test_a_learnt_bridge_tells_what_it_can_predict():
    sigma = torch.cat([torch.full((4,), SMALL), torch.full((4,), LARGE)])
    known, source = GaussianForecast(sigma), torch.Generator().manual_seed(0)
    c = known.observations(3000, generator=source)
    y = known.outcomes(c, generator=source).float()
    net = {"kind": "mlp", "width": 64, "depth": 2}
    bridge = Bridge("one_sided_linear", standardize=True, drop_condition=0.1, steps=800, net=net)
    bridge.fit(x1=y, cond=c[:, :1].float(), progress=False)
    asked = {"cond": torch.full((200, 1), 0.5), "eps": 0.5, "seed": 0, "n_steps": 60, "details": True}
    done = bridge.sample(200, modifiers={"kind": "precision_weight"}, **asked)
    variance = done.reports[0]["variance"].mean(0)  # of states in the bridge's units
    assert float(variance[4:].min()) > 3 * float(variance[:4].max())


def test_a_bridge_that_was_never_without_its_condition_is_refused():
    c = torch.randn(60, 1, generator=torch.Generator().manual_seed(0))
    net = {"kind": "mlp", "width": 8, "depth": 1}
    bridge = Bridge("one_sided_linear", net=net, steps=3).fit(
        x1=c + torch.randn(60, 2), cond=c, progress=False
    )
    for modifier in ("precision_weight", {"kind": "precision_weight", "bounds": [1.5, 1.5]}):
        with pytest.raises(
            InvalidInputError, match="knows both its fields, got a bridge with drop_condition=0"
        ):
            bridge.sample(4, cond=c[:4], eps=0.5, modifiers=modifier)


def test_whitened_units_are_refused_as_they_mix_columns():
    x, c = torch.randn(400, 2), torch.randn(400, 1)
    net = {"kind": "mlp", "width": 8, "depth": 1}
    bridge = Bridge("one_sided_linear", net=net, steps=3, drop_condition=0.1).fit(
        x1=x, cond=c, progress=False
    )
    with pytest.raises(InvalidInputError, match="whitened units, which mix columns"):
        bridge.sample(4, cond=c[:4], eps=0.5, modifiers="precision_weight")


def test_entries_that_do_not_count_keep_the_weight_one_and_leave_the_norm_alone():
    g = torch.Generator().manual_seed(0)
    u = torch.rand(2, 3, 6, 8, generator=g) + 0.1
    counted = torch.ones_like(u, dtype=torch.bool)
    counted[..., :2] = False  # two columns out of reach
    strange = torch.where(counted, u, 1e-12)
    sharp = PrecisionWeight(bounds=(-9.0, 9.0), smooth=0.0)
    w = weight_map(strange, sharp, counted)
    assert_close(w[..., 2:], weight_map(u[..., 2:], sharp))
    above = weight_map(strange, PrecisionWeight(bounds=(1.5, 2.0), smooth=0.0), counted)
    assert bool((w[..., :2] == 1).all() & (above[..., :2] == 1).all())
    smooth = PrecisionWeight(bounds=(-9.0, 9.0), smooth=1.0)
    # Smoothed over what counts alone: what lies out of reach does not matter.
    assert_close(weight_map(strange, smooth, counted), weight_map(u, smooth, counted))


def test_a_level_field_with_gaps_stays_level():
    counted = torch.ones(1, 1, 6, 8, dtype=torch.bool)
    counted[..., 2:4, 3] = False
    x = torch.where(counted, 3.0, torch.nan).double()
    assert_close(_smoothed_counted(x, counted, 1.0), torch.full((1, 1, 6, 8), 3.0).double())
