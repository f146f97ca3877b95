"""The loop against a loop written by hand, the guard, and what a user may get wrong."""

import math
import signal
import threading
import warnings

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.training import Checkpoint, TrainSettings, fit, learning_rate, run_state
from interpolants.training.ema import ema_rate
from interpolants.training.guard import Guard, clip, gradient_norm
from interpolants.training.seeds import BATCH, LOSS, step_seed
from training import toy


def quick(
    modules=None, loss=toy.loss, batches=toy.batches, *, out=None, resume=False, extra=None, **settings
):
    settings = {"steps": 12, "log_every": 3, "checkpoint_every": 4} | settings
    keywords = {"out": out, "resume": resume, "progress": False} | (extra or {})
    modules = modules if modules is not None else toy.network()
    return modules, fit(modules, loss, batches, TrainSettings(**settings), **keywords)


def by_hand(settings, loss=toy.loss, batches=toy.batches):
    net = toy.network()
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    optimizer = kind(
        net.parameters(), lr=1.0, betas=settings.betas, weight_decay=settings.weight_decay, fused=True
    )
    average = [p.detach().clone() for p in net.parameters()]
    for step in range(1, settings.steps + 1):
        x = batches(step, torch.Generator().manual_seed(step_seed(settings.seed, BATCH, step)), 0, 1)
        losses = loss(net, x, torch.Generator().manual_seed(step_seed(settings.seed, LOSS, step)))
        optimizer.zero_grad()
        sum(v.mean() for v in losses.values()).backward()
        if settings.clip_norm:
            torch.nn.utils.clip_grad_norm_(net.parameters(), settings.clip_norm)
        optimizer.param_groups[0]["lr"] = learning_rate(settings, step)
        optimizer.step()
        for a, p in zip(average, net.parameters(), strict=True):
            a.add_(ema_rate(settings.ema, step) * (p.detach() - a))
    return net, average


@pytest.mark.parametrize(
    "settings",
    [
        {"clip_norm": None},
        {"clip_norm": 0.05},
        {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine", "warmup": 3, "seed": 5},
    ],
)
def test_the_loop_equals_one_written_by_hand(settings):
    settings = TrainSettings(steps=25, ema=0.9, **settings)
    expected, average = by_hand(settings, toy.noisy_loss, toy.noisy_batches)
    net = toy.network()
    result = fit(net, toy.noisy_loss, toy.noisy_batches, settings, progress=False)
    exact = {"rtol": 0, "atol": 0} if settings.clip_norm is None else {"rtol": 2e-5, "atol": 1e-6}
    for own, other in zip(net.parameters(), expected.parameters(), strict=True):
        assert_close(own, other, **exact)
    for own, mean in zip(result.ema.values(), average, strict=True):
        assert_close(own, mean, rtol=2e-5, atol=1e-6)


@pytest.mark.slow
def test_it_learns():
    _, result = quick(steps=1500, lr=2e-2, log_every=1)
    losses = [row["loss"] for row in result.history]
    assert sum(losses[-50:]) < 0.6 * sum(losses[:50])


def test_the_logged_gradient_norm_is_that_before_clipping():
    _, result = quick(steps=1, clip_norm=1e-3)
    fresh = toy.network()
    toy.loss(fresh, toy.batches(1, None, 0, 1), None)["mse"].mean().backward()
    norm = math.sqrt(sum(p.grad.square().sum().item() for p in fresh.parameters()))
    assert result.history[0]["grad_norm"] == pytest.approx(norm, rel=1e-5)
    assert norm > 1e-3


def test_clipped_gradients_are_what_the_optimizer_sees(tmp_path):
    quick(steps=1, clip_norm=1e-3, out=tmp_path)
    stored, _ = Checkpoint.latest(tmp_path / "checkpoints")
    first = [v for k, v in stored.optimizer.items() if k.endswith("::exp_avg")]  # (1 - 0.9) g after one step
    assert math.sqrt(sum(v.square().sum().item() for v in first)) == pytest.approx(0.1 * 1e-3, rel=1e-4)


def test_pytorchs_own_generator_and_modes_are_left_as_they_were():
    net = toy.network(dropout=0.5).eval()
    before = torch.get_rng_state()
    quick(net)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module.training for module in net.modules())


def test_a_run_is_a_function_of_its_seed():
    a, _ = quick(toy.network(dropout=0.3), toy.noisy_loss, toy.noisy_batches, seed=3)
    torch.rand(5)  # PyTorch's own generator stands elsewhere now
    b, _ = quick(toy.network(dropout=0.3), toy.noisy_loss, toy.noisy_batches, seed=3)
    c, _ = quick(toy.network(dropout=0.3), toy.noisy_loss, toy.noisy_batches, seed=4)
    assert toy.digest(a.state_dict()) == toy.digest(b.state_dict()) != toy.digest(c.state_dict())


def test_the_aggregate_can_be_replaced():
    def worst(losses):
        return torch.stack([v.max() for v in losses.values()]).max()

    _, result = quick(steps=1, extra={"aggregate": worst})
    value = toy.loss(toy.network(), toy.batches(1, None, 0, 1), None)["mse"].max().item()
    assert result.history[0]["loss"] == pytest.approx(value, rel=1e-6)


def test_validation_sees_averaged_weights_in_evaluation_mode(tmp_path):
    seen = {}

    def validate(modules, step):
        assert not modules.training
        seen[step] = {name: p.detach().clone() for name, p in modules.named_parameters()}
        return {"error": step / 2}

    net, result = quick(out=tmp_path, validate_every=5, extra={"validate": validate})
    assert result.validation == [{"step": s, "error": s / 2} for s in (5, 10, 12)]
    assert toy.digest(seen[12]) == toy.digest(result.ema) != toy.digest(dict(net.named_parameters()))


def test_callbacks_see_every_step_and_may_stop(tmp_path):
    seen = []

    def callback(moment):
        seen.append((moment.step, moment.losses["mse"].shape, moment.lr))
        return moment.step == 7

    _, result = quick(out=tmp_path, extra={"callbacks": [callback]})
    assert (result.stopped, result.steps) == ("callback", 7)
    assert seen == [(s, (32,), 1e-3) for s in range(1, 8)]
    assert Checkpoint.latest(tmp_path / "checkpoints")[0].step == 7


def test_bf16_and_compile_options():
    _, full = quick(steps=40)
    _, half = quick(steps=40, precision="bf16")
    assert half.history[0]["loss"] != full.history[0]["loss"]
    assert half.history[-1]["loss"] == pytest.approx(full.history[-1]["loss"], rel=0.05)


@pytest.mark.slow  # the compiler takes about 20 seconds
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_networks_train_alike_and_are_given_back_uncompiled():
    net, compiled = quick(steps=40, compile=True)
    _, eager = quick(steps=40)
    assert compiled.history[-1]["loss"] == pytest.approx(eager.history[-1]["loss"], rel=1e-4)
    assert net["velocity"]._compiled_call_impl is None


# --- nothing that is not finite gets through -------------------------------------------------------------


class Poison(torch.autograd.Function):
    """Identity whose gradient is not finite."""

    @staticmethod
    def forward(ctx, x, value):
        ctx.value = value
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return torch.full_like(grad, ctx.value), None


def poisoned(kind, at, value=math.nan):
    """A loss and batches that go wrong at step ``at``: in the data, in the loss, or in the gradient only."""
    now = {"step": 0}

    def batches(step, generator, rank, world):
        now["step"] = step
        x = toy.batches(step, generator, rank, world).clone()
        if kind == "data" and step in at:
            x[3, 0] = value
        return x

    def loss(modules, x, generator):
        losses = toy.loss(modules, x, generator)["mse"]
        if kind == "loss" and now["step"] in at:
            losses = losses + torch.where(torch.arange(len(losses)) == 3, value, 0.0)
        if kind == "gradient" and now["step"] in at:
            losses = Poison.apply(losses, value)
        return {"mse": losses}

    return {"loss": loss, "batches": batches}


def finite(*many):
    return all(torch.isfinite(v).all() for tensors in many for v in tensors.values())


@pytest.fixture(params=[False, True], ids=["read at once", "deferred"])
def deferred(request, monkeypatch):
    """Also the accelerator's way, with the flag handed to the fused optimizer unread."""
    if request.param:

        def guard(device, *, sticky, deferred=None):
            return Guard(device, sticky=sticky, deferred=True)

        monkeypatch.setattr(run_state, "Guard", guard)
    return request.param


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["data", "loss", "gradient"])
@pytest.mark.parametrize("norm", [False, True], ids=["", "batchnorm"])
def test_a_bad_step_stops_the_run_before_it_touches_anything(tmp_path, deferred, kind, value, norm):
    net = toy.network(norm=norm)
    place = (
        "gradient of"
        if kind == "gradient"
        else r"loss 'mse' is not finite in rows \[" + ("3" if not norm else "")
    )
    with pytest.raises(DivergedError, match=f"step 9 must have finite .*{place}.*step-00000008"):
        quick(net, **poisoned(kind, [9], value), out=tmp_path)
    stored, passed = Checkpoint.latest(tmp_path / "checkpoints")
    assert (stored.step, passed) == (8, {})
    assert finite(net.state_dict(), stored.model, stored.ema, stored.optimizer)
    # The weights are those after step 8: nothing of step 9 was applied.
    assert toy.digest(stored.model) == toy.digest({k: net.state_dict()[k] for k in stored.model})


@pytest.mark.parametrize("norm", [False, True], ids=["", "batchnorm"])
def test_after_a_bad_step_everything_stands_still_until_it_is_noticed(deferred, norm):
    """Step 10 is neither logged nor saved; deferred, steps 11 and 12 run before anyone looks."""
    net = toy.network(norm=norm)
    with pytest.raises(DivergedError, match="step 10 must"):
        quick(net, **poisoned("data", [10]))
    before, _ = quick(toy.network(norm=norm), steps=9)
    assert toy.digest(net.state_dict()) == toy.digest(before.state_dict())


@pytest.mark.parametrize("kind", ["data", "loss", "gradient"])
def test_a_bad_step_can_be_skipped_and_counted(tmp_path, deferred, kind):
    net = toy.network(norm=True)
    _, result = quick(net, **poisoned(kind, [2, 9]), out=tmp_path, on_nonfinite="skip")
    stored, _ = Checkpoint.latest(tmp_path / "checkpoints")
    assert (result.steps, result.skipped, stored.state["skipped"]) == (12, 2, 2)
    assert finite(net.state_dict(), result.ema, stored.model, stored.ema, stored.optimizer)
    # Ten of twelve steps counted: Adam's own counter says so.
    assert {v.item() for k, v in stored.optimizer.items() if k.endswith("::step")} == {10.0}


def test_skipping_equals_never_having_seen_the_step(deferred):
    a, result = quick(**poisoned("data", [12]), on_nonfinite="skip")
    b, other = quick(steps=11)
    assert toy.digest(a.state_dict()) == toy.digest(b.state_dict())
    assert toy.digest(result.ema) == toy.digest(other.ema)


def test_the_deferred_guard_gives_the_same_run(deferred):
    a, _ = quick(clip_norm=0.05)
    assert deferred in (True, False)
    expected, _ = by_hand(TrainSettings(steps=12, clip_norm=0.05))
    for own, other in zip(a.parameters(), expected.parameters(), strict=True):
        assert_close(own, other, rtol=2e-5, atol=1e-6)


def test_a_flag_that_stays_on_the_device_counts_like_one_that_is_read_at_once():
    """Bad steps here and there, and a hundred in a row but for one, twice."""
    bad = [False, True, True, False, *[True] * 99, False, *[True] * 100]
    for sticky in (False, True):
        there, here = (
            Guard(torch.device("cpu"), sticky=sticky, deferred=deferred) for deferred in (True, False)
        )
        for step, wrong in enumerate(bad, 1):
            total, norm = torch.tensor(math.nan if wrong else 1.0), torch.tensor(1.0)
            accepted = there.judge(step, total, norm), here.judge(step, total, norm)
            there.read()
            assert bool(accepted[0]) == accepted[1]
            assert (there.first_bad, there.skipped) == (here.first_bad, here.skipped)
            assert there.must_stop == here.must_stop == (step == len(bad) or (sticky and step > 1))
            if sticky and step > 1:
                break  # a run ends here


@pytest.mark.parametrize("size", [1e-3, 1.0, 7.0])
def test_gradients_are_only_ever_clipped(size, deferred):
    """Their direction stays, and their norm is the smaller of their own and the largest allowed."""
    gradients = [torch.tensor([0.6 * size, 0.0]), torch.tensor([[-0.8 * size]])]
    clip(gradients, gradient_norm(gradients), 2.0, deferred=deferred)
    assert_close(
        gradients, [torch.tensor([0.6, 0.0]) * min(size, 2.0), torch.tensor([[-0.8]]) * min(size, 2.0)]
    )


def test_a_run_that_only_skips_gives_up(deferred):
    with pytest.raises(DivergedError, match="100 steps in a row"):
        quick(**poisoned("data", range(5, 1000)), on_nonfinite="skip", steps=500)


def test_weights_that_are_bad_from_the_start_are_refused():
    net = toy.network()
    with torch.no_grad():
        net["velocity"][0].weight[0, 0] = math.nan
    with pytest.raises(DivergedError, match=r"step 1 .*No checkpoint was written"):
        quick(net)


# --- what a user may get wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda m, x, g: toy.loss(m, x, g)["mse"], "dict of named losses"),
        (lambda m, x, g: {}, "dict of named losses"),
        (
            lambda m, x, g: {"mse": toy.loss(m, x, g)["mse"][:, None]},
            r"'mse' must be real, \(B,\) per sample or \(\) for the batch, got \(32, 1\)",
        ),
        (lambda m, x, g: {"mse": 1.0}, "got float"),
    ],
)
def test_a_loss_of_the_wrong_form_is_refused(loss, message):
    with pytest.raises(InvalidInputError, match=message):
        quick(loss=loss)


def test_other_misuse_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="out must be passed"):
        quick(resume=True)
    with pytest.raises(InvalidInputError, match="requires_grad"):
        quick(nn.ModuleDict({"velocity": nn.Linear(2, 1).requires_grad_(False)}))
    with pytest.raises(InvalidInputError, match="scalar"):
        quick(extra={"aggregate": lambda losses: losses["mse"]})
    quick(out=tmp_path)
    with pytest.raises(InvalidInputError, match=r"must not hold another run.*resume=True"):
        quick(out=tmp_path)
    with pytest.raises(InvalidInputError, match=r"keep the settings of the run, got lr 0.001 -> 0.1"):
        quick(out=tmp_path, resume=True, lr=0.1)
    with pytest.raises(InvalidInputError, match="tensors of these modules"):
        quick(nn.ModuleDict({"velocity": nn.Linear(2, 1)}), out=tmp_path, resume=True)


@pytest.mark.parametrize(
    "bad",
    [
        {"setps": 1},
        {"steps": 0},
        {"lr": -1.0},
        {"lr": math.nan},
        {"ema": 1.0},
        {"optimizer": "lbfgs"},
        {"momentum": 0.9},
        {"nesterov": True, "optimizer": "sgd"},
        {"patience": 3},
        {"groups": {"velocity": {"rate": 0.1}}},
        {"keep_best": "--nll"},
        {"seed": -1},
    ],
)
def test_settings_that_make_no_sense_are_refused(bad):
    with pytest.raises(InvalidInputError, match=next(iter(bad))):
        TrainSettings(**bad)


def test_signal_handlers_are_put_back_and_threads_may_train():
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    quick()
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    results = []
    thread = threading.Thread(target=lambda: results.append(quick()[1]))
    thread.start()
    thread.join()
    assert results[0].stopped == "finished"


def test_a_shared_parameter_is_stored_once_and_resumes(tmp_path):
    def tied():
        net = toy.network()
        net["twin"] = nn.Sequential(net["velocity"][0])
        return net

    quick(tied(), out=tmp_path, steps=6)
    a, _ = quick(tied(), out=tmp_path, resume=True)
    b, _ = quick(tied())
    assert toy.digest(a.state_dict()) == toy.digest(b.state_dict())


def test_no_warning_is_raised():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick()
