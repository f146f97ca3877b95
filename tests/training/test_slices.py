"""Slices of tensors that are cut among processes: those of torch.chunk, put back together."""

from types import SimpleNamespace

import pytest
import torch

from interpolants.training.slices import OwnRows, Slice, own_slice, put, slice_of


class Cut:
    """One process's slice of a tensor of zeros, in the form of PyTorch's distributed tensors."""

    def __init__(self, whole, rank, world):
        parts = torch.zeros_like(whole).chunk(world)
        self.own = parts[rank] if rank < len(parts) else whole[:0].clone()
        self.shape = whole.shape
        self.placements = (SimpleNamespace(is_shard=lambda: False), SimpleNamespace(is_shard=lambda: True))
        self.device_mesh = SimpleNamespace(
            size=lambda dim: (7, world)[dim], get_local_rank=lambda dim: (5, rank)[dim]
        )

    def to_local(self):
        return self.own


@pytest.mark.parametrize("rows", [1, 4, 6, 7])
@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_slices_are_the_chunks_of_the_whole(rows, world):
    """Some processes have a shorter slice, and some none."""
    value = torch.arange(2.0 * rows).reshape(rows, 2)
    cut = [Cut(value, rank, world) for rank in range(world)]
    for one in cut:
        put(one, value)
    assert torch.equal(torch.cat([one.own for one in cut]), value)
    for expected, one in zip(value.chunk(world), cut, strict=False):
        assert torch.equal(slice_of(one, value), expected)


def test_a_tensor_that_is_not_cut_is_its_own_slice():
    own, value = torch.zeros(3), torch.arange(3.0)
    put(own, value)
    assert torch.equal(own, value)
    assert slice_of(own, value) is value


@pytest.mark.parametrize("rows", [1, 4, 7, 24])
@pytest.mark.parametrize(("before", "now"), [(1, 3), (2, 3), (3, 2), (4, 1), (5, 5)])
def test_rows_of_a_slice_are_found_in_the_pieces_of_another_number_of_processes(rows, before, now):
    value = torch.arange(2.0 * rows).reshape(rows, 2)
    pieces = [value[p.first : p.last] for p in (Slice.chunk(value.shape, k, before) for k in range(before))]
    for rank in range(now):
        own = Slice.chunk(value.shape, rank, now)
        assert all(own.is_of(tuple(piece.shape), k, before) for k, piece in enumerate(pieces))
        found = torch.cat([piece[own.within(k, before)] for k, piece in enumerate(pieces)])
        assert own.holds(found)
        assert torch.equal(found, value[own.first : own.last])


def test_rows_that_were_read_are_put_where_they_belong():
    value = torch.arange(14.0).reshape(7, 2)
    cut = Cut(value, 1, 3)
    mine = own_slice(cut)
    put(cut, OwnRows(value[mine.first : mine.last], tuple(value.shape)))
    assert torch.equal(cut.own, value[3:6])


def test_a_piece_of_a_tensor_of_another_shape_is_none_of_its_pieces():
    own = Slice.chunk((8, 2), 0, 2)
    assert own.is_of((4, 2), 1, 2)
    assert not own.is_of((3, 2), 1, 2)
    assert not own.is_of((4, 3), 1, 2)
    assert not own.is_of((), 0, 1)
