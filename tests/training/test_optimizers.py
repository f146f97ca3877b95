"""Groups of parameters, optimizers against PyTorch's own in a loop by hand, and per-row parameters."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.training import Checkpoint, TrainSettings, run_state
from interpolants.training.guard import Guard
from interpolants.training.row_optimizer import RowOptimizer
from interpolants.training.settings import GroupSettings
from training import toy
from training.resumed import same_after_an_interruption, train


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- groups and optimizers -------------------------------------------------------------------------------


def net_of_two():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return nn.ModuleDict({"velocity": nn.Sequential(nn.Linear(2, 8), nn.SiLU(), nn.Linear(8, 1))})


KINDS = {
    "adam": (torch.optim.Adam, {"weight_decay": 0.01}, {}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.1}, {}),
    "sgd": (torch.optim.SGD, {"weight_decay": 0.01, "momentum": 0.9, "nesterov": True}, {}),
    "plain": (torch.optim.SGD, {}, {}),
    "rmsprop": (torch.optim.RMSprop, {"momentum": 0.5, "alpha": 0.9}, {"momentum": 0.5, "rms_decay": 0.9}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grouped", [False, True], ids=["one group", "two groups"])
def test_optimizers_and_groups_equal_a_loop_written_by_hand(kind, grouped):
    make, theirs, ours = KINDS[kind]
    ours = ours or theirs
    groups = {"velocity.0": {"lr": 0.25, "weight_decay": 0.0}} if grouped else {}
    name = "sgd" if kind == "plain" else kind
    net, _ = train(net=net_of_two(), optimizer=name, lr=0.01, clip_norm=None, groups=groups, **ours)
    other = net_of_two()
    first, second = other["velocity"][0].parameters(), other["velocity"][2].parameters()
    given = [{"params": first, "lr": 0.0025, "weight_decay": 0.0}, {"params": second}]
    optimizer = make(given if grouped else other.parameters(), lr=0.01, **theirs)
    for step in range(1, 21):
        optimizer.zero_grad()
        toy.loss(other, toy.batches(step, None, 0, 1), None)["mse"].mean().backward()
        optimizer.step()
    for own, expected in zip(net.parameters(), other.parameters(), strict=True):
        assert_close(own, expected, rtol=1e-5, atol=1e-6)


@pytest.fixture(params=[False, True], ids=["read at once", "deferred"])
def deferred(request, monkeypatch):
    """Also the accelerator's way, with the flag handed to the fused optimizer unread."""
    if request.param:
        monkeypatch.setattr(
            run_state, "Guard", lambda device, **given: Guard(device, **given | {"deferred": True})
        )


@pytest.mark.parametrize("kind", ["adam", "sgd", "plain"])
@pytest.mark.parametrize("rows", [False, True], ids=["dense", "per row"])
def test_a_first_step_that_is_skipped_leaves_no_trace(kind, rows, deferred):
    """A fused kernel that is switched off in its first step would leave a buffer unfilled."""

    def batches(step, generator, rank, world):
        return toy.batches(step, generator, rank, world) * (math.nan if step == 1 else 1.0)

    make, theirs, _ = KINDS[kind]
    settings = {"optimizer": "sgd" if kind == "plain" else kind, "lr": 0.01, "on_nonfinite": "skip", **theirs}
    groups = {"velocity": {"rows": True}} if rows else {}
    net, result = train(net=net_of_two(), batches=batches, clip_norm=None, groups=groups, **settings)
    other = net_of_two()
    optimizer = make(other.parameters(), lr=0.01, **theirs)
    for step in range(2, 21):
        optimizer.zero_grad()
        toy.loss(other, toy.batches(step, None, 0, 1), None)["mse"].mean().backward()
        optimizer.step()
    assert result.skipped == 1
    for own, expected in zip(net.parameters(), other.parameters(), strict=True):
        assert_close(own, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_every_optimizer_resumes_to_the_bit(tmp_path, kind):
    _, theirs, ours = KINDS[kind]
    settings = {"optimizer": "sgd" if kind == "plain" else kind, **(ours or theirs)}
    groups = {"velocity.0": {"lr": 0.25}}
    same_after_an_interruption(tmp_path, lambda: {"net": net_of_two(), "groups": groups, **settings})


def test_groups_by_a_function_and_their_refusals(tmp_path):
    def by_rank(name, parameter):
        return "biases" if parameter.ndim == 1 else None

    groups = {"biases": {"lr": 1e-9}}
    net, _ = train(net=net_of_two(), groups=groups, out=tmp_path, keywords={"group_of": by_rank})
    start = net_of_two()
    for (name, p), before in zip(net.named_parameters(), start.parameters(), strict=True):
        assert ((p - before).abs().max() < 1e-6) == (p.ndim == 1), name
    other = lambda name, p: None if p.ndim == 1 else "biases"  # noqa: E731
    with pytest.raises(InvalidInputError, match="must keep the settings of the run, got groups"):
        train(net=net_of_two(), groups=groups, out=tmp_path, resume=True, keywords={"group_of": other})
    with pytest.raises(InvalidInputError, match=r"'velocity\.9'\. Did you mean 'velocity\.\d'"):
        train(net=net_of_two(), groups={"velocity.9": {}})
    with pytest.raises(InvalidInputError, match=r"a key of groups for 'velocity\.0\.weight', got 'x'"):
        train(net=net_of_two(), keywords={"group_of": lambda name, p: "x"})
    with pytest.raises(InvalidInputError, match="every group must have a trained parameter"):
        train(net=net_of_two(), groups={"velocity": {}, "velocity.0": {}, "velocity.2": {}})


# --- per-row parameters ----------------------------------------------------------------------------------


class Codes(nn.Module):
    """A code for each of ten samples and a readout."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.code = nn.Embedding(10, 2, _weight=torch.randn(10, 2, generator=generator))
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, rows):
        return (self.code(rows) * self.scale).sum(1)


def some_rows(step, generator, rank, world):
    return torch.tensor([0, 1, 2 + step % 3])


def all_rows(step, generator, rank, world):
    return torch.arange(10)


def code_loss(modules, rows, generator):
    return {"fit": (modules(rows) - rows.float()).square()}


PER_ROW = {"groups": {"code": {"rows": True}}, "clip_norm": None, "ema": None}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_outside_the_batch_are_not_moved_and_the_others_as_if_alone(kind, tmp_path):
    _, theirs, ours = KINDS[kind]
    settings = {"optimizer": "sgd" if kind == "plain" else kind, "lr": 0.01, **(ours or theirs), **PER_ROW}
    net, _ = train(code_loss, net=Codes(), batches=some_rows, out=tmp_path, **settings)
    start = Codes().code.weight
    moved = (net.code.weight != start).any(1)
    assert moved.tolist() == [True] * 5 + [False] * 5
    stored, _ = Checkpoint.latest(tmp_path / "checkpoints")
    assert stored.optimizer["code.weight::step"].tolist() == [20, 20, 6, 7, 7, 0, 0, 0, 0, 0]
    # Row 4 was in the batch at steps 2, 5, ...: its own dense optimizer, run at those steps only.
    make, theirs, _ = KINDS[kind]
    alone = nn.Parameter(start[4].detach().clone())
    optimizer = make([alone], lr=0.01, **theirs)
    frozen, _ = train(code_loss, net=frozen_scale(), batches=some_rows, **settings)
    for _ in range(2, 21, 3):
        optimizer.zero_grad()
        ((alone.sum() - 4).square() / 3).backward()
        optimizer.step()
    assert_close(frozen.code.weight[4], alone, rtol=1e-5, atol=1e-6)


def frozen_scale():
    net = Codes()
    net.scale.requires_grad_(False)
    return net


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_always_there_are_trained_as_by_the_dense_optimizer(kind):
    _, theirs, ours = KINDS[kind]
    settings = {"optimizer": "sgd" if kind == "plain" else kind, "lr": 0.01, **(ours or theirs), **PER_ROW}
    rows, _ = train(code_loss, net=Codes(), batches=all_rows, **settings)
    dense, _ = train(code_loss, net=Codes(), batches=all_rows, **(settings | {"groups": {}}))
    for own, expected in zip(rows.parameters(), dense.parameters(), strict=True):
        assert_close(own, expected, rtol=1e-5, atol=1e-6)


def test_dense_adam_moves_rows_that_are_not_in_the_batch():
    """The trap that per-row groups are for: rows 2 to 4 go on moving after their last batch."""

    def first_only(step, generator, rank, world):
        return torch.tensor([0, 1, 2 if step < 3 else 0])

    row = {}
    for groups in ({}, PER_ROW["groups"]):
        ends = [
            train(code_loss, net=Codes(), batches=first_only, steps=n, **(PER_ROW | {"groups": groups}))[0]
            for n in (2, 20)
        ]
        row[bool(groups)] = torch.equal(ends[0].code.weight[2], ends[1].code.weight[2])
    assert row == {False: False, True: True}


def test_per_row_state_resumes_to_the_bit(tmp_path):
    settings = {"loss": code_loss, "batches": some_rows, **PER_ROW, "ema": 0.9}
    same_after_an_interruption(tmp_path, lambda: {"net": Codes(), **settings})


def test_per_row_parameters_must_be_real_and_have_rows():
    net = nn.ModuleDict({"velocity": nn.Linear(2, 1, dtype=torch.complex64)})
    with pytest.raises(
        InvalidInputError, match=r"per-row parameter 'velocity\.weight' must be real with rows"
    ):
        train(net=net, groups={"velocity": {"rows": True}})


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_without_a_gradient_stays_in_a_row_that_moves(kind):
    """Its moments are zero: nothing may be divided by them. Rows 0 and 2 go as a dense optimizer moves them alone."""
    make, theirs, ours = KINDS[kind]
    settings = TrainSettings(optimizer="sgd" if kind == "plain" else kind, lr=0.1, **(ours or theirs))
    start = torch.tensor([[1.0, 0.0], [2.0, -1.0], [0.5, 0.0]])
    grad = torch.tensor([[1.0, 0.0], [0.0, 0.0], [-2.0, 0.0]])
    rows, dense = nn.Parameter(start.clone()), nn.Parameter(start[[0, 2]])
    rows.grad, dense.grad = grad, grad[[0, 2]]
    RowOptimizer({"code": rows}, settings, GroupSettings(rows=True)).step(0.1)
    make([dense], lr=0.1, **theirs).step()
    assert_close(rows[[0, 2]], dense)
    assert torch.equal(rows[1], start[1])


def test_a_misspelt_parameter_is_told_the_nearest_one():
    with pytest.raises(InvalidInputError, match=r"Did you mean 'velocity\.0\.weight'"):
        train(net=net_of_two(), groups={"velocity.0.weigth": {}})
