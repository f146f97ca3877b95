"""Slices of tensors that are cut among processes: those of torch.chunk, put back together."""

from types import SimpleNamespace

import pytest
import torch

from interpolants.training.slices import put, slice_of


class Cut:
    """One process's slice of a tensor of zeros, in the form of PyTorch's distributed tensors."""

    def __init__(self, whole, rank, world):
        parts = torch.zeros_like(whole).chunk(world)
        self.own = parts[rank] if rank < len(parts) else whole[:0].clone()
        self.device_mesh = SimpleNamespace(size=lambda: world, get_local_rank=lambda: rank)

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
