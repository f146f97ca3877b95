"""Negative transfer of an interval, with fields whose bias inside it is known."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.diagnostics import negative_transfer_gap
from interpolants.diagnostics.transfer_gap import _Inside
from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.methods import Bridge
from interpolants.objectives.times import UniformTimes
from interpolants.paths import VP, OneSidedLinear

V, INSIDE = 0.25, (0.3, 0.7)
STARTS = torch.randn(40, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
RUN = {"method": "ddim", "n_steps": 50}


def noise_of(delta, inside=INSIDE):
    """The exact noise of N(0, V), times ``1 + delta`` inside an interval."""
    path = VP()

    def noise(x, t):
        alpha, beta = (f(t)[:, None] if t.ndim else f(t) for f in (path.alpha, path.beta))
        biased = (t >= inside[0] - 1e-6) & (t < inside[1] - 1e-6)
        factor = 1 + delta * biased.to(x)
        return (factor[:, None] if t.ndim else factor) * alpha * x / (alpha**2 + beta**2 * V)

    return LearnedFields(path, noise=noise)


def off(x):
    """Distance of the variance to the true one."""
    return abs(float(x.var()) - V)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_gap_is_what_the_bias_inside_the_interval_costs(dtype):
    x = STARTS.to(dtype)
    found = negative_transfer_gap(noise_of(0.05), noise_of(0.0), INSIDE, x, off, **RUN)
    exact, biased = (sample(noise_of(delta), x, **RUN).x for delta in (0.0, 0.05))
    assert_close(found.mixed_x, exact)
    assert_close(found.shared_x, biased)
    assert found.gap == pytest.approx(off(exact) - off(biased), rel=1e-3)
    assert found.gap < -0.01


def test_a_model_that_is_worse_there_has_a_positive_gap_and_equal_ones_none():
    assert negative_transfer_gap(noise_of(0.0), noise_of(0.05), INSIDE, STARTS, off, **RUN).gap > 0.01
    equal = negative_transfer_gap(noise_of(0.05), noise_of(0.05), INSIDE, STARTS, off, **RUN)
    assert equal.gap == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("run", [RUN, {"method": "heun", "n_steps": 6}, {"eps": 0.5, "n_steps": 6}], ids=str)
def test_the_whole_interval_is_the_other_model_with_the_same_noise(run):
    found = negative_transfer_gap(noise_of(0.05), noise_of(0.0), (0.0, 1.0), STARTS, off, **run)
    assert_close(found.mixed_x, sample(noise_of(0.0), STARTS, seed=0, **run).x)


def test_rows_at_different_times_take_the_fields_of_their_own_time():
    work = _Inside(noise_of(0.5), INSIDE).begin(STARTS, 0, torch.linspace(0, 1, 2))
    t = torch.linspace(0.1, 0.9, len(STARTS), dtype=torch.float64)
    found = work.evaluate(noise_of(0.0), STARTS, t, ("noise",), None)["noise"]
    each = [
        noise_of(0.5 if 0.3 <= float(s) < 0.7 else 0.0).noise(STARTS[[i]], t[[i]]) for i, s in enumerate(t)
    ]
    assert_close(found, torch.cat(each))


def test_a_bridge_is_trained_on_an_interval_alone():
    drawn = UniformTimes(interval=[0.2, 0.5]).sample(2000, generator=torch.Generator().manual_seed(0)).t
    assert 0.2 <= float(drawn.min()) < 0.201
    assert 0.499 < float(drawn.max()) <= 0.5
    assert_close(float(drawn.mean()), 0.35, rtol=0, atol=3 * 0.3 / 12**0.5 / 2000**0.5)
    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(1))
    loop = {"path": "vp", "heads": ("noise",), "steps": 5, "batch_size": 20, "seed": 0, "held_out": 0}
    net = {"kind": "mlp", "width": 8, "depth": 2}
    two = [
        Bridge(**loop, net=net, times=times).fit(x1=x, progress=False).fields
        for times in ("uniform", {"kind": "uniform", "interval": [0.2, 0.5]})
    ]
    assert torch.isfinite(torch.tensor(negative_transfer_gap(*two, (0.2, 0.5), x, off, n_steps=4).gap))


def test_what_does_not_fit_is_refused():
    with pytest.raises(InvalidInputError, match="two rising times"):
        negative_transfer_gap(noise_of(0.0), noise_of(0.0), (0.5, 0.5), STARTS, off)
    other = LearnedFields(OneSidedLinear(), noise=lambda x, t: x)
    with pytest.raises(InvalidInputError, match="one path"):
        negative_transfer_gap(noise_of(0.0), other, INSIDE, STARTS, off)
    with pytest.raises(InvalidInputError, match="two rising times"):
        UniformTimes(interval=(0.5, 0.2))
    with pytest.raises(InvalidInputError, match="margin must be smaller than half"):
        UniformTimes(margin=0.4, interval=(0.0, 0.3))
