"""Causal weights: a double loop, gradients, the neutral setting, the ladder, resuming, stalling and refusals."""

import math
import warnings

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import FitWarning
from interpolants.training import Causal, TrainSettings, causal_weights, fit

N = 8


def losses(n=40, seed=0):
    return torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_weights_are_those_of_a_double_loop():
    values, eps, before = losses(), 0.7, 0.3
    expected = []
    for i in range(len(values)):
        total = before
        for k in range(i):
            total += float(values[k])
        expected.append(torch.tensor(-eps * total, dtype=torch.float64).exp())
    assert_close(causal_weights(values, eps, before), torch.stack(expected), atol=1e-12, rtol=0)
    assert float(causal_weights(values, eps)[0]) == 1
    assert torch.equal(causal_weights(values, 0.0), torch.ones_like(values))


class Batch:
    """What an aggregate sees of a step."""

    def __init__(self, t, world=1):
        self.batch = {"t": t}
        self.world = type("World", (), {"size": world})


TIMES = torch.linspace(0, 1, 40, dtype=torch.float64)


def test_the_gradient_is_that_with_constant_weights():
    theta = losses(seed=1).requires_grad_(True)
    causal = Causal(0.9, rung_steps=10, first="start")
    start = 0.4 * theta[0] ** 2
    total = causal({"residual": theta**2, "start": start}, context=Batch(TIMES))
    (found,) = torch.autograd.grad(total, theta)
    with torch.no_grad():
        w = causal_weights(theta**2, 0.9, start)
    expected = 2 * w * theta.detach() / len(theta)
    expected[0] += 0.8 * theta.detach()[0]
    assert_close(found, expected, atol=1e-14, rtol=0)
    assert_close(total.detach(), (w * theta.detach() ** 2).mean() + start.detach())


# --- in a training: a line with a kink is learnt from the left -------------------------------------------------


def net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))


def batches(step, generator, rank, world):
    return {"t": (torch.arange(N) + torch.rand(N, generator=generator)) / N}


def loss(module, batch, generator):
    t = batch["t"]
    return {"residual": (module(t[:, None])[:, 0] - (t - 0.5).abs()).square()}


def train(aggregate=None, steps=60, **more):
    settings = TrainSettings(steps=steps, lr=1e-2, log_every=1, checkpoint_every=7, ema=None)
    given = {} if aggregate is None else {"aggregate": aggregate}
    module = net()
    return module, fit(module, loss, batches, settings, progress=False, **given, **more)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_without_strength_the_training_is_the_plain_one_to_the_bit():
    plain, _ = train()
    neutral, result = train(Causal(0.0, rung_steps=60))
    assert same(plain, neutral)
    assert not same(plain, train(Causal(5.0, rung_steps=60))[0])
    assert result.history[-1]["w_min"] == 1
    assert result.history[-1]["eps"] == 0


def test_the_ladder_is_climbed_by_the_criterion_or_when_a_rung_is_over():
    causal = Causal((0.1, 1e3, 2e3), rung_steps=25, delta=0.9)
    _, result = train(causal, steps=80)
    steps = {row["step"]: row["eps"] for row in result.history}
    assert list(dict.fromkeys(steps.values())) == [0.1, 1e3, 2e3]
    first = next(step for step, eps in steps.items() if eps == 1e3)
    assert first < 25, "the criterion held at once"
    assert next(step for step, eps in steps.items() if eps == 2e3) >= first + 20, (
        "only the budget ended this rung"
    )


def test_a_run_that_is_cut_anywhere_climbs_the_same_ladder(tmp_path):
    whole, undisturbed = train(Causal((0.1, 20.0, 50.0), rung_steps=15))
    for cut in (4, 14, 33):
        out = tmp_path / str(cut)
        train(Causal((0.1, 20.0, 50.0), rung_steps=15), steps=cut, out=out)
        resumed, result = train(Causal((0.1, 20.0, 50.0), rung_steps=15), out=out, resume=True)
        assert same(whole, resumed)
        tail = [row for row in result.history if row["step"] > cut]
        assert tail == [row for row in undisturbed.history if row["step"] > cut]
    with pytest.raises(InvalidInputError, match="resume=True must keep"):
        train(Causal((0.1, 20.0), rung_steps=15), out=out, resume=True)


def test_weights_that_have_vanished_for_a_whole_rung_are_reported_with_their_place():
    causal = Causal(1e9, rung_steps=20)
    train(causal, steps=19)
    assert causal.stalled is None
    train(causal, steps=1)
    assert 0 <= causal.stalled < 2 / N
    with pytest.warns(FitWarning, match=r"Test: stalled at t = 0\.\d+: weights beyond it stay below"):
        causal.warn("Test")
    healthy = Causal(1e-3, rung_steps=20)
    train(healthy, steps=40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        healthy.warn("Test")


def test_the_place_is_the_last_one_that_counts():
    t, causal = torch.tensor([0.1, 0.2, 0.3, 0.4]), Causal((10.0, 20.0), rung_steps=2)
    assert causal.numbers() == {"eps": 10.0, "w_min": 1.0}
    for _ in range(2):
        assert causal.stalled is None
        causal({"residual": torch.tensor([0.0, 0.0, 1.0, 0.0])}, context=Batch(t))
    assert causal.stalled == pytest.approx(0.3)
    assert causal.numbers() == {"eps": 10.0, "w_min": pytest.approx(math.exp(-10))}


@pytest.mark.parametrize("eps", [-1.0, (1.0, 0.5), (1.0, 1.0), (), float("nan"), "strong"])
def test_ladders_that_are_none_are_refused(eps):
    with pytest.raises(InvalidInputError, match="eps must"):
        Causal(eps, rung_steps=10)


@pytest.mark.parametrize("t", [TIMES.flip(0), torch.cat([TIMES[:3], TIMES[2:-1]])])
def test_places_that_do_not_increase_are_refused(t):
    with pytest.raises(InvalidInputError, match="'t' of the batch must be strictly increasing"):
        Causal(1.0, rung_steps=10)({"residual": losses()}, context=Batch(t))


def test_what_does_not_fit_is_refused():
    with pytest.raises(InvalidInputError, match="one value per place"):
        Causal(1.0, rung_steps=10)({"residual": losses(39)}, context=Batch(TIMES))
    with pytest.raises(InvalidInputError, match="by one process"):
        Causal(1.0, rung_steps=10)({"residual": losses()}, context=Batch(TIMES, world=2))
    with pytest.raises(InvalidInputError, match="delta"):
        Causal(1.0, rung_steps=10, delta=1.0)
    with pytest.raises(InvalidInputError, match="rung_steps"):
        Causal(1.0, rung_steps=0)
