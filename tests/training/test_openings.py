"""What the loop is open for: losses per batch, the step, aggregates, best weights, and logs without times."""

import math
import time

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.training import Checkpoint, TrainingInterrupted, bin_means, training_seconds
from interpolants.training.aggregates import StepContext
from interpolants.training.world import World
from training import toy
from training.resumed import same_after_an_interruption, stop_at, train


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- losses per sample or per batch ----------------------------------------------------------------------


def test_a_loss_of_the_batch_trains_like_its_samples_and_mixes_with_them(tmp_path):
    def mean(modules, x, generator):
        return {"mse": toy.loss(modules, x, generator)["mse"].mean()}

    def mixed(modules, x, generator):
        spread = modules["velocity"](x).squeeze(1).var()
        return {**toy.loss(modules, x, generator), "spread": 0.1 * spread}

    a, one = train(out=tmp_path / "a")
    b, two = train(mean, out=tmp_path / "b")
    assert toy.digest(a.state_dict()) == toy.digest(b.state_dict())
    assert one.history == two.history
    _, both = train(mixed)
    row = both.history[-1]
    assert row["loss"] == pytest.approx(row["mse"] + row["spread"], rel=1e-6)
    assert row["spread"] > 0


def test_a_loss_of_the_batch_that_is_not_finite_is_named():
    def loss(modules, x, generator):
        return {
            "mse": toy.loss(modules, x, generator)["mse"],
            "rank": modules["velocity"](x).sum() * math.nan,
        }

    with pytest.raises(DivergedError, match="loss 'rank' of the batch is not finite"):
        train(loss)


# --- the step --------------------------------------------------------------------------------------------


def weighted_by_step(modules, x, generator, *, step):
    return {"mse": toy.loss(modules, x, generator)["mse"] * (0.5 if step > 10 else 2.0)}


class StepLoss(nn.Module):
    def forward(self, modules, x, generator, step):
        return weighted_by_step(modules, x, generator, step=step)


@pytest.mark.parametrize("loss", [weighted_by_step, StepLoss()], ids=["function", "module"])
def test_a_loss_that_wants_the_step_is_told_it(tmp_path, loss):
    told = []

    def noted(modules, x, generator, *, step):
        told.append(step)
        return loss(modules, x, generator, step=step)

    whole, _ = same_after_an_interruption(tmp_path, lambda: {"loss": loss, "log_every": 1})
    _, again = train(noted, log_every=1)
    assert told == list(range(1, 21))
    assert again.history == whole.history
    plain, _ = train()
    half, _ = train(weighted_by_step, lr=1e-3)
    assert toy.digest(plain.state_dict()) != toy.digest(half.state_dict())


# --- aggregates ------------------------------------------------------------------------------------------


def test_gradients_of_single_losses_are_those_of_autograd():
    seen = {}

    def look(losses, context):
        means = [values.mean() for values in losses.values()]
        seen["rows"] = context.gradients(means)
        seen["step"], seen["batch"], seen["names"] = context.step, context.batch, list(context.parameters)
        return torch.stack(means).sum()

    train(toy.two_tasks, steps=1, keywords={"aggregate": look})
    net, x = toy.network(), toy.batches(1, None, 0, 1)
    assert torch.equal(seen["batch"], x)
    assert (seen["step"], seen["names"]) == (1, [name for name, _ in net.named_parameters()])
    for row, values in zip(seen["rows"], toy.two_tasks(net, x, None).values(), strict=True):
        net.zero_grad()
        values.mean().backward(retain_graph=True)
        assert_close(row, torch.cat([p.grad.flatten() for p in net.parameters()]))


def test_what_a_loss_does_not_depend_on_has_gradient_zero():
    net = nn.ModuleDict({"used": nn.Linear(2, 1, bias=False), "idle": nn.Linear(1, 1, bias=False)})
    context = StepContext(1, None, net, dict(net.named_parameters()), 0, World(torch.device("cpu")))
    rows = context.gradients([3 * net["used"].weight.sum(), torch.tensor(5.0)])
    assert rows.tolist() == [[3.0, 3.0, 0.0], [0.0, 0.0, 0.0]]


def test_an_aggregate_with_context_that_only_sums_gives_the_same_bits_as_none():
    def plain(losses, context):
        return torch.stack([values.mean() for values in losses.values()]).sum()

    a, _ = train(toy.two_tasks)
    b, _ = train(toy.two_tasks, keywords={"aggregate": plain})
    assert toy.digest(a.state_dict()) == toy.digest(b.state_dict())


def test_projected_gradients_do_not_conflict():
    """Gradient surgery as weights: g1 - <g1, g2> g2 / |g2|^2 lies in the span of the gradients."""
    left = {}

    def surgery(losses, context):
        means = torch.stack([values.mean() for values in losses.values()])
        left["rows"] = rows = context.gradients(means)
        products = rows @ rows.T
        weights = torch.eye(2)
        for i, j in ((0, 1), (1, 0)):
            if products[i, j] < 0:
                weights[i, j] -= products[i, j] / products[j, j]
        left["weights"] = weights
        return (weights.sum(0) * means).sum()

    def opposed(modules, x, generator):
        out = modules["velocity"](x).squeeze(1)
        return {"up": (out - 1).square(), "down": (out + x[:, 0]).square()}

    net, _ = train(
        opposed, steps=1, optimizer="sgd", lr=1.0, clip_norm=None, ema=None, keywords={"aggregate": surgery}
    )
    moved = torch.cat(
        [(a - b).flatten() for a, b in zip(toy.network().parameters(), net.parameters(), strict=True)]
    )
    rows = left["weights"] @ left["rows"]
    assert left["weights"][0, 1] != 0  # they do conflict
    assert_close(moved, rows.sum(0).detach(), rtol=1e-4, atol=1e-5)
    assert rows[0] @ left["rows"][1] > -1e-5
    assert rows[1] @ left["rows"][0] > -1e-5


def test_means_and_gradients_of_time_bins():
    values, bins = torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.tensor([0, 2, 0, 2])
    assert_close(bin_means(values, bins, 4), torch.tensor([2.5, 0.0, 5.0, 0.0]))
    seen = {}

    def causal(losses, context):
        t = context.batch[:, 1].sigmoid()
        means = bin_means(losses["mse"], torch.bucketize(t, torch.tensor([0.5])), 2)
        seen["rows"] = context.gradients(means)
        return (torch.exp(-torch.tensor([0.0, means[0].item()])) * means).sum()

    train(steps=1, keywords={"aggregate": causal})
    net, x = toy.network(), toy.batches(1, None, 0, 1)
    toy.loss(net, x, None)["mse"][x[:, 1] <= 0].mean().backward()
    assert_close(seen["rows"][0], torch.cat([p.grad.flatten() for p in net.parameters()]))


def test_the_state_of_an_aggregate_is_resumed_to_the_bit(tmp_path):
    make = lambda: {"loss": toy.two_tasks, "keywords": {"aggregate": toy.EqualNorms()}}  # noqa: E731
    same_after_an_interruption(tmp_path, make)
    stored, _ = Checkpoint.latest(tmp_path / "cut" / "checkpoints")
    assert stored.state["aggregate_state"] == {"calls": 20}
    assert stored.aggregate["norms"].shape == (2,)
    for other in (toy.EqualNorms(decay=0.5), lambda losses: losses["left"].mean()):
        with pytest.raises(InvalidInputError, match="must keep the settings of the run, got aggregate"):
            train(toy.two_tasks, out=tmp_path / "cut", resume=True, keywords={"aggregate": other})


def test_a_skipped_step_leaves_the_state_of_the_aggregate():
    def batches(step, generator, rank, world):
        return toy.batches(step, generator, rank, world) * (math.nan if step == 20 else 1.0)

    one, two = toy.EqualNorms(), toy.EqualNorms()
    train(toy.two_tasks, batches=batches, on_nonfinite="skip", keywords={"aggregate": one})
    train(toy.two_tasks, steps=19, keywords={"aggregate": two})
    assert (one.calls, two.calls) == (19, 19)
    assert torch.equal(one.norms, two.norms)


def test_randomness_of_an_aggregate_follows_from_the_seed_and_the_step():
    def drawn(seed):
        draws = []

        def draw(losses, context):
            draws.append(torch.rand((), generator=context.generator).item())
            return losses["mse"].mean()

        train(steps=3, seed=seed, keywords={"aggregate": draw})
        return draws

    assert drawn(1) == drawn(1) != drawn(2)
    assert len(set(drawn(1))) == 3


# --- best weights ----------------------------------------------------------------------------------------


CURVE = {4: 3.0, 8: 1.0, 12: math.nan, 16: 2.0, 20: 2.5}


def validate(modules, step):
    return {"nll": CURVE.get(step, 9.0), "accuracy": step}


def test_the_best_weights_are_kept_returned_and_resumed(tmp_path):
    seen = {}

    def watch(modules, step):
        seen[step] = {name: value.detach().clone() for name, value in modules.state_dict().items()}
        return validate(modules, step)

    settings = {"validate_every": 4, "keep_best": "nll"}
    net, result = train(net=toy.network(norm=True), keywords={"validate": watch}, **settings)
    assert (result.best.step, result.best.value, result.weights) == (8, 1.0, "best")
    assert toy.digest(net.state_dict()) == toy.digest(seen[8])
    plain, last = train(net=toy.network(norm=True))
    assert toy.digest(result.last) == toy.digest(plain.state_dict())
    assert (last.best, last.weights, last.last) == (None, "last", None)
    for at in (5, 10, 18):
        make = lambda: {"keywords": {"validate": validate}, **settings}  # noqa: E731
        whole, cut = same_after_an_interruption(tmp_path / str(at), make, at=at)
        assert toy.digest(whole.best.weights) == toy.digest(cut.best.weights)
        assert (cut.best.step, cut.weights) == (8, "best")


def test_a_minus_prefers_large_values_and_the_interrupted_have_their_last_weights(tmp_path):
    settings = {"validate_every": 4, "keep_best": "-accuracy", "keywords": {"validate": validate}}
    _, result = train(**settings)
    assert (result.best.step, result.best.value) == (20, 20.0)
    settings["keywords"] = {"validate": validate, "callbacks": [stop_at(18)]}
    net = toy.network()
    with pytest.raises(TrainingInterrupted) as caught:
        train(net=net, **settings)
    assert (caught.value.result.best.step, caught.value.result.weights) == (16, "last")
    plain, _ = train(steps=caught.value.result.steps)
    assert toy.digest(net.state_dict()) == toy.digest(plain.state_dict())


def test_a_run_that_no_longer_gets_better_ends(tmp_path):
    settings = {"validate_every": 4, "keep_best": "nll", "patience": 2, "steps": 100}
    make = lambda: {"keywords": {"validate": validate}, **settings}  # noqa: E731
    whole, cut = same_after_an_interruption(tmp_path, make, at=10)
    for result in (whole, cut):
        assert (result.stopped, result.steps, result.best.step) == ("patience", 16, 8)
    _, again = train(out=tmp_path / "cut", resume=True, **make())
    assert (again.stopped, again.steps, again.weights) == ("patience", 16, "best")
    _, longer = train(out=tmp_path / "cut", resume=True, **(make() | {"patience": 3}))
    assert (longer.stopped, longer.steps) == ("patience", 20)


def test_best_weights_need_a_number_to_choose_by():
    with pytest.raises(InvalidInputError, match="keep_best needs validate"):
        train(keep_best="nll")
    with pytest.raises(
        InvalidInputError, match=r"return the number of keep_best, got 'nil'\. Did you mean 'nll'"
    ):
        train(keep_best="nil", keywords={"validate": validate})


# --- no times in what is compared ------------------------------------------------------------------------


def test_all_files_of_a_resumed_run_equal_those_of_an_undisturbed_one(tmp_path):
    make = lambda: {"loss": toy.noisy_loss, "batches": toy.noisy_batches}  # noqa: E731
    begun = time.perf_counter()
    whole, cut = same_after_an_interruption(tmp_path, make)
    assert whole.history == cut.history
    assert whole.seconds + cut.seconds < time.perf_counter() - begun
    assert 0 < training_seconds(tmp_path / "cut") == pytest.approx(cut.seconds, abs=2e-3)
    assert "times.jsonl" in {p.name for p in (tmp_path / "cut").iterdir()}


def test_a_run_of_an_older_version_goes_on(tmp_path):
    train(steps=5, out=tmp_path)
    log = tmp_path / "log.jsonl"
    log.write_text(log.read_text().replace('"step": 5,', '"step": 5, "seconds": 1.5,'))
    _, result = train(out=tmp_path, resume=True)
    assert [set(row) for row in result.history] == [set(result.history[0])] * 4
    assert "seconds" not in result.history[0]
