"""Blocks of layers for moving points: what they add up to, and which nodes hear each other."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.trajectories.nets.equivariant_tracks import EquivariantTracks, edge_mask
from interpolants.foundations.errors import InvalidInputError


def rand(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("reflections", [True, False])
def test_every_layer_adds_its_change_in_frames_that_count_from_zero(reflections):
    net = EquivariantTracks(width=6, channels=2, blocks=2, reflections=reflections).double()
    net = net.requires_grad_(False)
    h, x, seen = rand(2, 4, 3, 6), rand(2, 4, 3, 2, 2, seed=1), torch.rand(2, 4, 3) < 2
    seen[0, 1, 2], edges = False, edge_mask(3, [(0, 1), (1, 2)])
    told, moved = net(h, x, seen, edges)
    both = torch.zeros(2, 4, 3, 3, dtype=torch.float64)
    for i, j in ((0, 1), (1, 0), (1, 2), (2, 1)):
        both[..., i, j] = (seen[..., i] & seen[..., j]).double()
    for block in range(2):
        change, near = net.pairs[block](h, x, both)
        h, x = h + change, x + near
        change, drift = net.times[block](h, x, seen, torch.tensor([0, 1, 2, 3]))
        h, x = h + change, x + drift
        if not reflections:
            x = x + net.handed[block](h, near, drift)
    assert_close(told, h)
    assert_close(moved, x)
    assert len(net.pairs) == len(net.times) == 2


def test_edges_join_both_ways_and_without_a_list_all_others():
    by_hand = torch.zeros(4, 4, dtype=torch.bool)
    for i, j in ((0, 1), (1, 0), (1, 3), (3, 1)):
        by_hand[i, j] = True
    assert torch.equal(edge_mask(4, [(0, 1), (3, 1)]), by_hand)
    assert edge_mask(3).tolist() == [[False, True, True], [True, False, True], [True, True, False]]


@pytest.mark.parametrize("edge", [(0,), (1, 1), (0, 3), (-1, 0), (0, 1, 2)])
def test_an_edge_that_joins_no_two_nodes_is_refused(edge):
    with pytest.raises(InvalidInputError, match=r"pair of different nodes among 0 ... 2, got \["):
        edge_mask(3, [edge], who="Net")
