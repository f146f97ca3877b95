"""Encoder propagation: exact recursions of toy networks, counts, bits, and a trained U-Net on digits."""

import warnings
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from digits_net import digits, digits_fields
from interpolants.dynamics import Langevin, sample
from interpolants.fields import LearnedFields, Preconditioned
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import SettingWarning
from interpolants.generative.acceleration.encoder_propagation import (
    EncoderPropagation,
    tune_encoder_propagation,
)
from interpolants.generative.acceleration.feature_observer import FeatureObserver, feature_change
from interpolants.generative.acceleration.key_steps import key_steps
from interpolants.generative.acceleration.prior_noise import PriorNoise
from interpolants.guidance import ClassifierFree
from interpolants.metrics import frechet_distance
from interpolants.nets import MLP, ImageTransformer, MLPUNet, UNet
from interpolants.paths import VP, Linear, OneSidedLinear

V = 0.3
RUNS = [
    {"method": "ddim"},
    {"method": "heun"},
    {"method": "rk4"},
    {"eps": 0.5, "seed": 1},
    {"method": "ancestral", "seed": 1},
    {"method": "ddim", "finish": "denoise"},
    {"method": "ddim", "corrector": Langevin(0.1), "seed": 2},
]
each_run = pytest.mark.parametrize("run", RUNS, ids=str)


def start(rows=5, *shape, seed=0):
    return torch.randn(rows, *(shape or (1, 8, 8)), generator=torch.Generator().manual_seed(seed))


class Exact(nn.Module):
    """``E(t, x) = x``, ``D(t, f) = alpha f / (alpha^2 + beta^2 V)``: the mean noise of N(0, V Id); counts its calls."""

    def __init__(self):
        super().__init__()
        self.encoded, self.decoded = [], []
        self.eval()

    def encode(self, x, t, cond=None):
        self.encoded.append(t)
        return (x,)

    def decode(self, features, t, cond=None):
        self.decoded.append(t)
        alpha, beta = (f(t).reshape(-1, 1, 1, 1) for f in (VP().alpha, VP().beta))
        return alpha * features[0] / (alpha**2 + beta**2 * V)

    def forward(self, x, t, cond=None):
        return self.decode(self.encode(x, t, cond), t, cond)


def stirred(net, scale=0.3):
    """A network in evaluation mode in which nothing is left at its zero start."""
    source = torch.Generator().manual_seed(7)
    for parameter in net.parameters():
        if not parameter.any():
            parameter.data = (
                scale * torch.randn(parameter.shape, generator=source) / parameter[0].numel() ** 0.5
            )
    return net.eval()


def unet(**settings):
    return stirred(UNet((1, 8, 8), channels=8, multipliers=(1, 2), blocks=1, attention=(), **settings))


def fields(path=None, **settings):
    return LearnedFields(VP() if path is None else path, noise=unet(**settings))


@pytest.mark.parametrize("keys", [5, [0, 1, 4, 13], lambda n: range(0, n, 7), "progressive"])
def test_it_is_the_recursion_written_by_hand(keys):
    path, net, x0 = VP(), Exact(), start().double()
    times = torch.linspace(0.1, 0.9, 21, dtype=torch.float64)  # the ends are clipped by a margin
    alpha, beta = path.alpha(times), path.beta(times)
    x, held, chosen = x0, None, key_steps(keys, 20)
    for j in range(20):
        held = x if j in chosen else held
        eta = alpha[j] * held / (alpha[j] ** 2 + beta[j] ** 2 * V)
        x = beta[j + 1] / beta[j] * x + (alpha[j + 1] - alpha[j] * beta[j + 1] / beta[j]) * eta
    run = {"method": "ddim", "n_steps": 20, "time_grid": "uniform", "start": 0.1, "stop": 0.9}
    plan = EncoderPropagation(keys, parallel=True)
    found = sample(LearnedFields(path, noise=net), x0, modifiers=plan, **run)
    assert float((found.x - x).abs().max()) < 1e-10
    assert not torch.allclose(found.x, sample(LearnedFields(path, noise=Exact()), x0, **run).x, atol=1e-3)
    told = found.reports[0]
    assert told["encoder_calls"].tolist() == [len(chosen)] * 5
    assert told["decoder_calls"].tolist() == [20] * 5
    # Two probes choose chunks and rows; then one batch of a segment's times per key, all of which are used.
    probes = len(net.encoded) - len(chosen)
    assert sum(t.numel() // 5 if t.ndim else 1 for t in net.decoded[probes:]) >= 20


def test_calls_are_counted_by_hooks_too():
    x, plan = start(64), EncoderPropagation(5, parallel=True)
    for run, slots in (({"method": "ddim"}, 1), ({"method": "heun"}, 2)):
        given, seen = fields(), {"encode": 0, "decode": 0}
        net = given.networks[0]
        net.encoder.register_forward_hook(lambda *_, seen=seen: seen.update(encode=seen["encode"] + 1))
        net.decoder.register_forward_hook(lambda *_, seen=seen: seen.update(decode=seen["decode"] + 1))
        sample(given, x, n_steps=20, chunk=64, invariant=False, **run)
        assert 0 <= seen["encode"] - 20 * slots < 3  # beside calls for the sizes of layers, once
        seen.update(encode=0, decode=0)
        done = sample(given, x, n_steps=20, chunk=64, invariant=False, modifiers=plan, **run)
        assert seen["encode"] == 4 * slots == int(done.reports[0]["encoder_calls"][0])
        assert seen["decode"] == 4 * slots
        assert int(done.reports[0]["decoder_calls"][0]) == 20 * slots


@pytest.mark.slow
@each_run
def test_keys_at_all_steps_give_the_bits_of_the_base_run(run):
    base = sample(fields(), start(70), n_steps=4, **run).x
    for keys in (1, list(range(4))):
        assert torch.equal(
            sample(fields(), start(70), n_steps=4, modifiers=EncoderPropagation(keys), **run).x, base
        )


@pytest.mark.slow
@each_run
def test_parallel_and_sequential_decoding_agree_and_rows_are_independent(run):
    x, given = start(70), fields()
    both = [
        sample(given, x, n_steps=8, modifiers=EncoderPropagation(4, parallel=p), **run).x
        for p in (True, False)
    ]
    assert float((both[0] - both[1]).abs().max()) < 1e-6 * max(1.0, float(both[0].abs().max()))
    assert not torch.equal(both[0], sample(given, x, n_steps=8, **run).x)
    for parallel, whole in zip((True, False), both, strict=True):
        plan = EncoderPropagation(4, parallel=parallel)
        assert torch.equal(sample(given, x, n_steps=8, modifiers=plan, chunk=20, **run).x, whole)


@pytest.mark.parametrize(
    "net",
    [MLPUNet((1, 8, 8), widths=(24, 16)), ImageTransformer((1, 8, 8), width=16, depth=4, long_skips=True)],
    ids=["mlp_unet", "transformer"],
)
def test_other_networks_refresh_levels_and_two_sided_paths(net):
    given = LearnedFields(Linear(), velocity=stirred(net), noise=unet())
    full = sample(given, start(), n_steps=12).x
    errors = []
    for levels in (0, 1):
        found = sample(given, start(), n_steps=12, modifiers=EncoderPropagation(4, levels))
        errors.append(float((found.x - full).abs().max()))
    assert min(errors) > 1e-4
    assert errors[0] != errors[1]
    told = found.reports[0]
    # Two stages; the noise is not asked for by the flow.
    assert [int(told[name][0]) for name in ("encoder_calls", "refreshes", "decoder_calls")] == [6, 18, 24]


def test_a_clock_of_its_own_is_noticed_and_decoded_step_by_step():
    path = OneSidedLinear()
    inner = unet()
    given = LearnedFields(path, denoised=Preconditioned(inner, path, ("denoised",), 1.0))
    x, run = start(64), {"method": "ddim", "n_steps": 20}
    both = [sample(given, x, modifiers=EncoderPropagation(5, parallel=p), **run).x for p in (True, False)]
    assert float((both[0] - both[1]).abs().max()) < 1e-6 * float(both[0].abs().max())


def test_halves_of_guidance_keep_their_own_features_and_a_change_of_layout_makes_them_anew():
    given, x, cond = fields(n_classes=3), start(64), torch.arange(64) % 3
    run = {"method": "ddim", "n_steps": 20, "cond": cond, "chunk": 64, "invariant": False}
    guided = ClassifierFree(given, 2.0)
    done = sample(guided, x, modifiers=EncoderPropagation(5), **run)
    # By hand: both halves as separate runs of features, mixed at every step.
    net, path, clock = given.networks[0], VP(), torch.linspace(0, 1, 21, dtype=torch.float64)
    alpha, beta = path.alpha(clock), path.beta(clock)
    state, held = x, None
    with torch.no_grad():
        for j in range(20):
            t = clock[j].float()
            halves = (torch.full_like(cond, -1), cond)
            if j % 5 == 0:
                held = [net.encode(state, t, half) for half in halves]
            u, c = (net.decode(f, t, half) for f, half in zip(held, halves, strict=True))
            state = float(beta[j + 1] / beta[j]) * state + float(
                alpha[j + 1] - alpha[j] * beta[j + 1] / beta[j]
            ) * (u + 2 * (c - u))
    assert_close(done.x, state, rtol=1e-3, atol=1e-3 * float(state.abs().max()))
    assert int(done.reports[0]["encoder_calls"][0]) == 4
    late = ClassifierFree(given, 2.0, interval=(0.33, 0.66))
    told = sample(late, x, modifiers=EncoderPropagation(5), **run).reports[0]
    assert int(told["encoder_calls"][0]) == 6  # guidance begins and ends between keys


def test_a_segment_beyond_most_rows_is_decoded_in_parts_with_a_warning():
    given, x, run = fields(), start(64), {"method": "ddim", "n_steps": 10}
    with pytest.warns(SettingWarning, match="most_rows=130"):
        found = sample(given, x, modifiers=EncoderPropagation(5, parallel=True, most_rows=130), **run).x
    whole = sample(given, x, modifiers=EncoderPropagation(5), **run).x
    assert_close(found, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("n_steps", [10, 6])  # of six, the last is a key: a segment of its own
def test_a_segment_of_just_most_rows_is_decoded_at_once_without_a_warning(n_steps):
    given, x, run = fields(), start(64), {"method": "ddim", "n_steps": n_steps}
    sample(given, x, modifiers=EncoderPropagation(5, parallel=True, most_rows=320), **run)  # else it fails


def test_gradients_pass():
    x = start(4).requires_grad_()
    done = sample(fields(), x, n_steps=6, method="ddim", modifiers=EncoderPropagation(3), differentiable=True)
    (grad,) = torch.autograd.grad(done.x.sum(), x)
    assert bool(torch.isfinite(grad).all()) and float(grad.abs().max()) > 0  # noqa: PT018


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EncoderPropagation(keys=[]), "begin with step 0"),
        (lambda: EncoderPropagation(keys=[1, 2]), "begin with step 0"),
        (lambda: EncoderPropagation(keys=[0, 3, 2]), "must be strictly increasing"),
        (lambda: EncoderPropagation(keys=0), "keys must be"),
        (lambda: EncoderPropagation(keys="sometimes"), "keys must be one of"),
        (lambda: EncoderPropagation(keys=2.5), "keys must be a distance"),
        (lambda: EncoderPropagation("auto"), "go together"),
        (lambda: EncoderPropagation(5, budget=3), "go together"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


@pytest.mark.parametrize(
    ("modifier", "given", "options", "message"),
    [
        (
            EncoderPropagation(),
            LearnedFields(VP(), noise=MLP((1, 8, 8)).eval()),
            {},
            r"MLP needs methods encode",
        ),
        (EncoderPropagation(), LearnedFields(VP(), noise=lambda x, t: x), {}, "needs networks"),
        (EncoderPropagation(refresh_levels=1), LearnedFields(VP(), noise=Exact()), {}, "refresh"),
        (EncoderPropagation(refresh_levels=2), fields(), {}, "below the 2 levels"),
        (EncoderPropagation([0, 8]), fields(), {}, r"steps of the run, 0 \.\.\. 5"),
        (EncoderPropagation("stable_diffusion"), fields(), {}, "50 steps"),
        (EncoderPropagation(), LearnedFields(VP(), noise=unet(dropout=0.1).train()), {}, r"\.eval\(\)"),
        (EncoderPropagation(), fields(), {"method": "dopri5"}, "fixed steps"),
        (EncoderPropagation("auto", budget=9), fields(), {}, "at most the number of steps"),
        (
            (EncoderPropagation(), FeatureObserver()),
            fields(),
            {},
            "one modifier alone .* got EncoderPropagation and FeatureObserver",
        ),
        (PriorNoise(), fields(), {"reverse": True}, "from t = 0 to 1"),
        (PriorNoise(t_from=0.6), fields(), {"stop": 0.5}, "before the last time"),
    ],
)
def test_what_does_not_fit_is_refused(modifier, given, options, message):
    with pytest.raises(InvalidInputError, match=message):
        sample(given, start(), modifiers=modifier, **{"n_steps": 6, "method": "ddim", **options})


def test_auto_keys_are_the_same_for_all_batches_and_equal_tuned_ones():
    given, x, run = fields(), start(90), {"method": "ddim", "n_steps": 20}
    plan = EncoderPropagation("auto", budget=4)
    whole = sample(given, x, modifiers=plan, **run)
    assert int(whole.reports[0]["encoder_calls"][0]) == 4
    part = sample(given, x[64:], modifiers=plan, first_index=64, **run).x
    assert torch.equal(whole.x[64:], part)
    tuned = tune_encoder_propagation(given, x[:16], 4, **run)
    assert tuned.keys[0] == 0
    assert len(tuned.keys) == 4
    with pytest.raises(InvalidInputError, match="without a condition"):
        sample(fields(n_classes=2), x, cond=torch.zeros(90).long(), modifiers=plan, **run)


def test_feature_change_sees_the_change_of_a_known_encoder():
    given, x = LearnedFields(VP(), noise=Exact()), start().double()
    run = {"method": "ddim", "n_steps": 8, "time_grid": "uniform"}
    found = feature_change(given, x, **run)
    path = sample(given, x, return_path=True, **run).path
    moved = [(b - a).flatten(1).norm(dim=1) / a.flatten(1).norm(dim=1) for a, b in pairwise(path)]
    assert_close(found.encoder, torch.stack(moved[:-1]).mean(1))
    assert found.decoder.shape == found.encoder.shape == (7,)


def test_prior_noise_is_added_to_late_steps():
    path, net, x0 = VP(), Exact(), start().double()
    run = {"method": "ddim", "n_steps": 10, "time_grid": "uniform"}
    clock = torch.linspace(0, 1, 11, dtype=torch.float64)
    alpha, beta, x = path.alpha(clock), path.beta(clock), x0
    for j in range(10):
        x = x + (0.01 * x0 if j >= 6 else 0)
        eta = alpha[j] * x / (alpha[j] ** 2 + beta[j] ** 2 * V)
        x = beta[j + 1] / beta[j] * x + (alpha[j + 1] - alpha[j] * beta[j + 1] / beta[j]) * eta
    given = LearnedFields(path, noise=net)
    assert_close(sample(given, x0, modifiers=PriorNoise(0.01, 0.6), **run).x, x)
    base = sample(given, x0, **run).x
    assert torch.equal(sample(given, x0, modifiers=PriorNoise(0.0), **run).x, base)


# --- a trained network ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_on_digits_encoder_features_change_less_than_decoder_features():
    found = feature_change(digits_fields(), start(64), n_steps=50, method="ddim")
    assert found.encoder.mean() < found.decoder.mean()


@pytest.mark.slow
def test_on_digits_refreshing_one_level_beats_held_answers_and_plain_propagation_does_not():
    given, x, run = digits_fields(), start(300), {"method": "ddim", "n_steps": 50}
    full = sample(given, x, **run).x

    def error(found):
        return float((found - full).square().sum() / full.square().sum())

    held = error(sample(given, x, method="ddim", n_steps=10).x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SettingWarning)
        plain, once = (sample(given, x, modifiers=EncoderPropagation(5, r), **run).x for r in (0, 1))
        early = sample(given, x, modifiers=EncoderPropagation("stable_diffusion"), **run).x
    assert error(once) < held / 4
    assert held / 4 < error(plain)
    assert error(plain) < error(early)
    full_distance, distance = (frechet_distance(y, digits()).value for y in (full, once))
    assert distance < 1.5 * full_distance
