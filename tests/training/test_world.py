"""What processes exchange in a training, with threads in their place: means, sums, and the run of one process."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.training import TrainSettings, engine, fit
from interpolants.training.sharding import sharded, squares
from interpolants.training.world import values_of_all
from training import threads, toy


def draws(rank, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(rank))


def test_gradients_are_averaged_and_a_missing_one_counts_as_zero(monkeypatch):
    made = threads.processes(monkeypatch, 3)

    def work(rank):
        both, first, none = (
            nn.Parameter(torch.zeros(2, 3)),
            nn.Parameter(torch.zeros(4)),
            nn.Parameter(torch.zeros(1)),
        )
        both.grad = draws(rank, 2, 3)
        first.grad = draws(0, 4) if rank == 0 else None
        extras = threads.world_of(made).average(
            [both, first, none], [torch.tensor(float(rank)), torch.tensor(6.0)]
        )
        return both.grad, first.grad, none.grad, extras

    for both, first, none, extras in made.run(work):
        assert_close(both, torch.stack([draws(rank, 2, 3) for rank in range(3)]).mean(0))
        assert_close(first, draws(0, 4) / 3)
        assert none.tolist() == [0.0]
        assert_close(extras, torch.tensor([1.0, 6.0]))


def test_a_loss_may_be_larger_than_numbers_of_the_type_of_the_weights(monkeypatch):
    made = threads.processes(monkeypatch, 2)

    def work(rank):
        half, double = (nn.Parameter(torch.zeros(1, dtype=kind)) for kind in (torch.float16, torch.float64))
        half.grad, double.grad = torch.ones_like(half), torch.full_like(double, 1 + 1e-15)
        extras = [torch.tensor(7e4 + 2 * rank)]
        return (
            threads.world_of(made).average([half], extras),
            threads.world_of(made).average([half, double], extras),
            half.grad,
            double.grad,
        )

    for one, two, half, double in made.run(work):
        assert one.tolist() == two.tolist() == [70001.0]
        assert half.dtype == torch.float16
        assert double.item() == 1 + 1e-15


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_values_are_shared_out_and_known_to_all_in_as_many_calls(monkeypatch, processes):
    made = threads.processes(monkeypatch, processes)

    def work(rank):
        calls = []
        found = values_of_all(3, lambda k: calls.append(k) or k + 1 / 3, torch.device("cpu"))
        return found, calls

    answers = made.run(work)
    assert all(found == [k + 1 / 3 for k in range(3)] for found, _ in answers)
    assert {len(calls) for _, calls in answers} == {-(-3 // processes)}
    assert {k for _, calls in answers for k in calls} == {0, 1, 2}


def test_sums_means_and_what_the_first_process_says(monkeypatch):
    made = threads.processes(monkeypatch, 3)

    def work(rank):
        world, x = threads.world_of(made), draws(rank, 5)
        found = world.total(x), world.mean(x), world.agree(7 + rank), world.agree_value(0.5 - rank)
        assert torch.equal(x, draws(rank, 5))
        assert (world.rank, world.leads) == (rank, rank == 0)
        shared = draws(rank, 2)
        world.share([shared])
        return *found, shared

    for total, mean, number, value, shared in made.run(work):
        assert_close(total, sum(draws(rank, 5) for rank in range(3)))
        assert_close(mean, total / 3)
        assert (number, value) == (7, 0.5)
        assert torch.equal(shared, draws(0, 2))


@pytest.mark.parametrize(
    ("aggregate", "cut"),
    [(None, False), (toy.EqualNorms, False), (None, True)],
    ids=["sum", "by gradients", "as with cut weights"],
)
def test_processes_that_share_a_batch_train_as_one(monkeypatch, aggregate, cut):
    """Without an optimizer that divides by the size of gradients: a sum in place of a mean would be seen."""
    nets = [toy.network() for _ in range(3)]
    with torch.no_grad():
        nets[2]["velocity"][0].weight.zero_()  # whose weights do not count: it is not the first process

    def run(net):
        more = {} if aggregate is None else {"aggregate": aggregate()}
        settings = TrainSettings(steps=8, optimizer="sgd", lr=0.1, clip_norm=0.3, log_every=1, ema=0.5)
        result = fit(net, toy.two_tasks, toy.batches, settings, progress=False, **more)
        return result, net.state_dict()

    one, weights = run(nets[0])
    made = threads.processes(monkeypatch, 2)
    monkeypatch.setattr(engine, "sharded", lambda *given: nullcontext(cut))
    first, second = made.run(lambda rank: run(nets[1 + rank]))
    assert toy.digest(first[1]) == toy.digest(second[1])
    for name, value in weights.items():
        assert_close(first[1][name], value)
        assert_close(first[0].ema[name], one.ema[name])
    for row, other in zip(first[0].history, one.history, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert row["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-5)


class Slice:
    """One process's part of a tensor, in the form of PyTorch's distributed tensors."""

    def __init__(self, own):
        self.own = own

    def to_local(self):
        return self.own


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_the_norm_of_gradients_of_which_some_are_cut(monkeypatch, cut):
    """Slices are counted by each process, and what is whole only once."""
    made, every = threads.processes(monkeypatch, 2), [draws(1, 5, 2), draws(2, 4)]

    def work(rank):
        parts = [Slice(x.chunk(2)[rank]) if i < cut else x for i, x in enumerate(every)]
        return squares(parts, threads.world_of(made))

    expected = sum(x.square().sum() for x in every)
    for found in made.run(work):
        assert_close(found, expected)


def test_so_many_parameters_as_allowed_are_not_cut():
    net = nn.Linear(3, 2)
    with sharded(net, TrainSettings(shard_above=8), SimpleNamespace(size=2)) as cut:
        assert not cut
