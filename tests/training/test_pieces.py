"""Checkpoints in pieces, as processes with cut weights write them: joined, and read by any number of processes."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.training.checkpoint import Checkpoint
from interpolants.training.slices import OwnRows, Slice

WHOLE = torch.arange(14.0).reshape(7, 2)
BIAS = torch.tensor([3.0, 4.0])


@pytest.fixture
def stored(tmp_path):
    """Three pieces of a weight of seven rows; the first piece has the bias and the count as well."""
    cut = {"model": ["weight"], "optimizer": ["weight::mean"]}
    for rank, rows in enumerate(WHOLE.chunk(3)):
        whole = {"bias": BIAS} if rank == 0 else {}
        count = {"weight::count": torch.tensor(5.0)} if rank == 0 else {}
        checkpoint = Checkpoint(
            step=4,
            model={"weight": rows, **whole},
            ema=None,
            optimizer={"weight::mean": -rows, **count},
            state={"pieces": 3, "cut": cut},
            aggregate={} if rank else {"weights": BIAS},
        )
        if rank == 0:
            first = checkpoint
        else:
            checkpoint.save_piece(tmp_path, rank)
    return first.save(tmp_path, keep=2)


def test_the_pieces_are_put_together(stored):
    found = Checkpoint.load(stored)
    assert_close(found.model["weight"], WHOLE)
    assert_close(found.optimizer["weight::mean"], -WHOLE)
    assert_close(found.model["bias"], BIAS)
    assert not {"pieces", "cut"} & set(found.state)


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_each_of_other_processes_reads_its_rows(stored, processes):
    for rank in range(processes):
        mine = Slice.chunk(WHOLE.shape, rank, processes)

        def slice_of(part, name, mine=mine):
            return mine if name in ("weight", "weight::mean") else None

        found = Checkpoint.load_own(stored, slice_of)
        assert isinstance(found.model["weight"], OwnRows)
        assert torch.equal(found.model["weight"].rows, WHOLE[mine.first : mine.last])
        assert torch.equal(found.optimizer["weight::mean"].rows, -WHOLE[mine.first : mine.last])
        assert_close(found.model["bias"], BIAS)
        assert float(found.optimizer["weight::count"]) == 5
        assert_close(found.aggregate["weights"], BIAS)


def test_a_piece_that_is_gone_is_named(stored):
    gone = stored.with_name("pieces-00000004") / "rank-00002"
    gone.rename(stored.parent / "elsewhere")
    with pytest.raises(InvalidInputError, match=r"must have all of its pieces.*rank-00002"):
        Checkpoint.load_own(stored, lambda part, name: None)


def test_old_steps_go_with_their_pieces(stored):
    whole = Checkpoint.load(stored)
    for step in (5, 6):
        Checkpoint(step=step, model=whole.model, ema=None, optimizer={}).save(stored.parent, keep=2)
    assert sorted(entry.name for entry in stored.parent.iterdir()) == ["step-00000005", "step-00000006"]
