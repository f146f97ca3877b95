"""Growth of errors: powers of closed forms, and samples of every sufficient pair on every path."""

import warnings
from functools import cache
from itertools import combinations

import pytest
import torch

from interpolants.fields import QUANTITIES
from interpolants.fields.conversions import plan
from interpolants.fields.error_growth import growing_errors
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.tell import SettingWarning
from interpolants.methods import Bridge
from interpolants.methods.parts.choices import choose_heads
from interpolants.nets import MLP
from interpolants.paths import VP, Linear, OneSidedLinear, QuadraticEnvelope
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings
from laws.test_path_laws import PATHS
from thirds import third

TWO_SIDED = {name: path for name, path in PATHS.items() if not path.is_one_sided}
ONE_SIDED = {name: path for name, path in PATHS.items() if path.is_one_sided and path.basis is None}


def sufficient(path):
    """Smallest sets of one or two quantities that determine the velocity, and the score where there is one."""
    latent = [q for q in QUANTITIES if path.has_latent or q not in ("score", "noise")]
    wanted = ("velocity", "score") if path.has_latent else ("velocity",)

    def enough(known):
        return all(plan(path, known, target) is not None for target in wanted)

    single = [(q,) for q in latent if enough((q,))]
    pairs = [pair for pair in combinations(latent, 2) if enough(pair)]
    return single + [pair for pair in pairs if not any((q,) in single for q in pair)]


PAIRS = [(name, heads) for name, path in TWO_SIDED.items() for heads in sufficient(path)]


def test_powers_on_the_linear_path_are_those_of_the_closed_forms():
    # denoised = (x - (1-t) e0 - gamma n) / t: 1/t for e0, 1/sqrt(t) for n; velocity = e1 - e0 + gamma' n
    path = Linear()
    assert growing_errors(path, ("endpoint0", "noise"), "velocity") == {"endpoint0": (0,)}
    assert growing_errors(path, ("denoised", "noise"), "velocity") == {"denoised": (1,)}
    # velocity holds gamma' / gamma = 1/(2t) times x - (1-t) e0 - t e1
    assert growing_errors(path, ("endpoint0", "denoised"), "velocity") == {
        "endpoint0": (0,),
        "denoised": (1,),
    }
    # with e1 = v + e0 that is x - e0 - t v: t/t for v at t = 0, and both at t = 1
    found = growing_errors(path, ("mean_rate", "endpoint0"), "velocity")
    assert found == {"mean_rate": (1,), "endpoint0": (0, 1)}
    assert growing_errors(path, ("velocity", "denoised"), "velocity") == {}
    # the score of these is 2 / (1 - t) times an error: the noise gamma times that
    assert growing_errors(path, ("velocity", "denoised"), "noise") == {"denoised": (1,)}
    for right in ("score", "noise"):
        for rate in ("velocity", "mean_rate"):
            assert growing_errors(path, (rate, right), "velocity") == {}
            assert growing_errors(path, (rate, right), "noise") == {}


def test_powers_on_one_sided_paths():
    # denoised = (x - (1-t) e0) / t, and e0 = (x - t e1) / (1-t)
    for base in (Gaussian(), Gaussian(mean=torch.tensor([3.0, 0.0]), covariance=torch.eye(2) + 0.5)):
        path = OneSidedLinear(base)
        for head in ("noise", "score", "endpoint0"):
            assert growing_errors(path, (head,), "velocity") == {head: (0,)}
        assert growing_errors(path, ("denoised",), "velocity") == {"denoised": (1,)}
        assert growing_errors(path, ("velocity",), "velocity") == {}
    # beta of VP does not vanish at t = 0
    assert growing_errors(VP(), ("noise",), "velocity") == {}


@pytest.mark.parametrize("name", PATHS)
def test_errors_of_the_default_quantities_do_not_grow(name):
    path = PATHS[name]
    heads = choose_heads("test", "auto", path)
    for target in ("velocity", "noise"):
        assert growing_errors(path, heads, target) == {}


def test_a_smooth_envelope_does_not_make_the_noise_of_an_sde_grow():
    path = Linear(envelope=QuadraticEnvelope())
    assert growing_errors(path, ("mean_rate", "noise"), "noise") == {}
    assert growing_errors(path, ("velocity", "denoised"), "noise") == {"velocity": (1,), "denoised": (1,)}


# Enough for the right pairs to be within a tenth; the wrong ones are off by more at any number of steps.
STEPS, ROWS = 450, 2000


@cache
def samples():
    """Rows of two Gaussians with different means and standard deviations."""
    g = torch.Generator().manual_seed(1)
    x0 = torch.randn(2 * ROWS, 2, generator=g) * torch.tensor([1.0, 0.5])
    return x0, torch.randn(2 * ROWS, 2, generator=g) * torch.tensor([0.5, 1.5]) + torch.tensor([2.0, -1.0])


def learnt(path, heads):
    """A small bridge of these quantities, and whether a warning was issued."""
    x0, x1 = samples()
    net = {"kind": "mlp", "width": 64, "depth": 2}
    known = {} if path.is_static or path.is_one_sided else {"x0": x0}
    settings = {"coupling": "independent", "held_out": 0, "steps": STEPS, "seed": 0, "precondition": False}
    bridge = Bridge(path, heads=heads, net=net, **settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bridge.fit(**known, x1=x1, progress=False)
    return bridge, any(issubclass(w.category, SettingWarning) for w in caught)


def ratios(bridge, path, level, *, reverse=False):
    """Standard deviations of transported rows over those of the other end."""
    x0, x1 = samples()
    x0 = x1 if path.is_static else x0
    start, end = (x1, x0) if reverse else (x0, x1)
    run = {"seed": 0, "n_steps": 100, "reverse": reverse, "on_failure": "keep"}  # what diverged is NaN
    moved = bridge.transport(start[:ROWS], eps=level, **run)
    return (moved.std(0) / end.std(0)).tolist()


def spread(bridge, path):
    """The ratios of the ODE and, where there is a score, of the SDE; in both directions."""
    levels = (0.0, 1.0 if path.is_static else 0.5) if path.has_latent else (0.0,)
    return [
        ratio
        for level in levels
        for way in (False, True)
        for ratio in ratios(bridge, path, level, reverse=way)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "heads"), third(PAIRS), ids=lambda v: v if isinstance(v, str) else "-".join(v)
)
def test_a_sufficient_pair_is_right_when_learnt_or_a_warning_is_issued(name, heads):
    path = TWO_SIDED[name]
    bridge, warned = learnt(path, heads)
    found = spread(bridge, path)
    assert warned != all(0.8 <= ratio <= 1.25 for ratio in found), (warned, found)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["velocity", "score", "noise", "endpoint0", "denoised"])
@pytest.mark.parametrize("name", ["one_sided_linear", "one_sided_trigonometric", "vp"])
def test_a_network_without_preconditioning_is_right_or_a_warning_is_issued(name, head):
    """By the ODE from the base. On the other paths networks need the scaling of their inputs first."""
    path = ONE_SIDED[name]
    bridge, warned = learnt(path, (head,))
    found = (bridge.sample(ROWS, seed=0, n_steps=100).std(0) / samples()[1].std(0)).tolist()
    assert warned != all(0.8 <= ratio <= 1.25 for ratio in found), (warned, found)


@pytest.mark.parametrize("head", ["velocity", "noise", "score"])
def test_a_preconditioned_network_does_not_warn(head):
    x1 = samples()[1][:64]
    net = {"kind": "mlp", "width": 8, "depth": 1}
    Bridge("one_sided_linear", heads=head, net=net, steps=2).fit(x1=x1, progress=False)
    Bridge("one_sided_linear", heads=head, net=MLP(2, width=8, depth=1), precondition=True, steps=2).fit(
        x1=x1, progress=False
    )
    if head == "velocity":
        return
    with pytest.warns(SettingWarning, match=r"precondition=True or heads=\['velocity'\]"):
        Bridge("one_sided_linear", heads=head, net=MLP(2, width=8, depth=1), steps=2).fit(
            x1=x1, progress=False
        )
    with pytest.warns(SettingWarning, match="learn_fields: heads="):
        learn_fields(OneSidedLinear(), None, x1, heads=(head,), settings=TrainSettings(steps=2))
    learn_fields(OneSidedLinear(), None, x1, heads=(head,), precondition=1.0, settings=TrainSettings(steps=2))


def test_sdes_and_reverse_runs_of_a_lone_denoised_state_warn():
    """The ODE from the base ends in the learnt denoiser, and is right."""
    x1 = samples()[1][:64]
    bridge = Bridge("one_sided_linear", heads="denoised", net=MLP(2, width=8, depth=1), steps=2)
    bridge.fit(x1=x1, progress=False).sample(4, seed=0, n_steps=3)
    for options in ({"eps": 0.5}, {"reverse": True}):
        with pytest.warns(UserWarning, match=r"by the noise that vanishes at t=1; SDEs and reverse runs"):
            bridge.sample(4, seed=0, n_steps=3, **options)
    scaled = Bridge(
        "one_sided_linear", heads="denoised", net=MLP(2, width=8, depth=1), precondition=True, steps=2
    )
    scaled.fit(x1=x1, progress=False).sample(4, seed=0, n_steps=3, eps=0.5)
