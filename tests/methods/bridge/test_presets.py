"""Presets: the settings they stand for, and what they learn."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.fields import Preconditioned
from interpolants.foundations import Gaussian
from interpolants.foundations.errors import InvalidInputError, NotIdentifiableError
from interpolants.methods import PFGMPP, Bridge
from interpolants.methods.parts.choices import choose_times
from interpolants.metrics import energy_distance
from interpolants.objectives import NoiseTimes
from interpolants.paths.student_t import StudentT
from interpolants.problems import GaussianMixture

MODES = GaussianMixture(
    torch.tensor([0.4, 0.35, 0.25]),
    torch.tensor([[-4.0, 1.0], [5.0, 2.0], [1.0, 8.0]]),
    torch.tensor([0.3, 0.5, 0.2]),
)
SMALL = {"net": {"kind": "mlp", "width": 64, "depth": 3}, "batch_size": 256, "lr": 3e-3}


def data(n, seed=0):
    return MODES.sample(n, generator=torch.Generator().manual_seed(seed)).float()


def test_it_is_a_bridge_with_the_settings_of_the_papers():
    bridge = PFGMPP(16, steps=7)
    assert isinstance(bridge, Bridge)
    assert isinstance(bridge.path.base, StudentT)
    assert bridge.path.base.df == 16
    # twice the papers' numbers, which are for data of spread 1/2
    assert (bridge.path.smax, bridge.path.smin, bridge.path.rho) == (160.0, 0.004, 7.0)
    times = choose_times("Bridge", bridge.times, bridge.path)
    assert isinstance(times, NoiseTimes)
    assert times.mean - np.log(2) == pytest.approx(-1.2, abs=0.01)
    assert bridge.heads == ("denoised",)
    assert PFGMPP(16, score=True).heads == ("denoised", "score")
    assert isinstance(PFGMPP("inf").path.base, Gaussian)
    assert bridge.steps == 7


@pytest.mark.slow
@pytest.mark.parametrize("df", [1, 32, "inf"])
def test_a_bridge_survives_the_disk_with_its_degrees_of_freedom(df, tmp_path):
    bridge = PFGMPP(df, steps=3, **SMALL).fit(x1=data(300), progress=False)
    again = Bridge.load(bridge.save(tmp_path / "b"))
    assert isinstance(again.network, Preconditioned)
    assert again.path == bridge.path
    options = {"seed": 3, "n_steps": 6, "finish": "denoise"}
    assert torch.equal(bridge.sample(9, **options), again.sample(9, **options))
    x = data(5, seed=1)
    assert_close(bridge.log_prob(x, noise_level=0.1), again.log_prob(x, noise_level=0.1))


def test_a_run_does_not_go_on_from_weights_for_other_degrees_of_freedom(tmp_path):
    settings, x = {"steps": 3, "schedule": "constant", **SMALL}, data(300)
    PFGMPP(16, **settings).fit(x1=x, progress=False, out=tmp_path / "r")
    with pytest.raises(InvalidInputError, match="must continue the same run, got another path"):
        PFGMPP(128, **settings).fit(x1=x, progress=False, out=tmp_path / "r", resume=True, steps=5)
    again = PFGMPP(16, **settings).fit(x1=x, progress=False, out=tmp_path / "r", resume=True, steps=5)
    assert again.history[-1]["step"] == 5


def test_a_flow_without_score_refuses_noise():
    bridge = PFGMPP(8, steps=2, **SMALL).fit(x1=data(300), progress=False)
    with pytest.raises(NotIdentifiableError, match="score beside it"):
        bridge.sample(4, eps=0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PFGMPP(0), "df must be finite and > 0"),
        (lambda: PFGMPP(float("nan")), "df must be finite and > 0, or 'inf' for normal noise, got nan"),
        (lambda: PFGMPP(8, stps=3), "Did you mean 'steps'"),
        (lambda: Bridge("linear", precondition=True), "the path must be one-sided"),
        (lambda: Bridge("edm", times={"kind": "noise", "meen": 1.0}), "Did you mean 'mean'"),
        (lambda: Bridge("linear", times="noise"), "the path must be one-sided, got Linear"),
        (lambda: Bridge("linear", times="nois"), "Did you mean 'noise'"),
    ],
)
def test_bad_settings_are_refused_by_name(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


@pytest.mark.slow  # trains 1,500 steps, about 15 s each
@pytest.mark.parametrize("df", [2, 128])
def test_the_learnt_flow_and_sde_find_the_modes(df):
    """Energy distance to fresh data below 3 times its value between true sets of this size, for flow and SDE."""
    bridge = PFGMPP(df, score=True, steps=1500, seed=0, **SMALL).fit(x1=data(20_000), progress=False)
    truth = data(1500, seed=5)
    floor = max(abs(energy_distance(data(1500, seed=s), truth).value) for s in (6, 7, 8, 9))

    def level(t):
        return 0.25 * (160 * (1 - t)) * 160

    flow = bridge.sample(1500, seed=1, n_steps=18, finish="denoise")
    noisy = bridge.sample(1500, seed=1, n_steps=200, finish="denoise", eps=level)
    for made in (flow, noisy):
        found = energy_distance(made, truth)
        assert found.value < 3 * floor + 3 * found.error
