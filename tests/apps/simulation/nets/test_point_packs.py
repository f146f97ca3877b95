import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.simulation.nets.point_packs import PointPack, mean_by, neighbours
from interpolants.foundations.errors import InvalidInputError


def pairs_by_brute_force(points, queries, radius, point_item, query_item):
    near = torch.cdist(queries, points) <= radius
    near &= query_item[:, None] == point_item[None]
    return {(int(q), int(p)) for q, p in near.nonzero()}


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_pairs_are_those_of_all_distances_item_by_item(dimension, generator):
    points = 3 * torch.rand(150, dimension, generator=generator, dtype=torch.float64) - 1
    queries = 3 * torch.rand(80, dimension, generator=generator, dtype=torch.float64) - 1.2
    items = torch.randint(3, (150,), generator=generator), torch.randint(3, (80,), generator=generator)
    query, point = neighbours(points, queries, 0.37, point_item=items[0], query_item=items[1])
    found = list(zip(query.tolist(), point.tolist(), strict=True))
    assert len(found) == len(set(found)) > 20
    assert set(found) == pairs_by_brute_force(points, queries, 0.37, *items)


def test_points_on_the_edges_of_cells_and_at_the_radius_are_found():
    line = torch.arange(5, dtype=torch.float64)[:, None]
    query, point = neighbours(line, line, 1.0)
    assert sorted(zip(query.tolist(), point.tolist(), strict=True)) == [
        (q, p) for q in range(5) for p in range(5) if abs(p - q) <= 1
    ]


def test_nothing_is_near_nothing():
    query, point = neighbours(torch.zeros(0, 2), torch.rand(3, 2), 0.1)
    assert len(query) == len(point) == 0


def test_a_pack_gives_its_items_back_and_each_weighs_alike():
    parts = [torch.full((n, 2), float(k)) for k, n in enumerate((3, 1, 4))]
    pack = PointPack.of(parts)
    assert all(torch.equal(a, b) for a, b in zip(pack.parts(), parts, strict=True))
    assert pack.item.tolist() == [0, 0, 0, 1, 2, 2, 2, 2]
    assert_close(pack.means(), torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]))


def test_what_has_no_entries_has_mean_zero():
    assert_close(mean_by(torch.tensor([2.0, 4.0]), torch.tensor([1, 1]), 3), torch.tensor([0.0, 3.0, 0.0]))


def test_what_cannot_be_packed_or_measured_is_refused():
    with pytest.raises(InvalidInputError, match="rows of one shape"):
        PointPack.of([torch.zeros(2, 3), torch.zeros(2, 4)])
    with pytest.raises(InvalidInputError, match="coordinates must be finite"):
        neighbours(torch.tensor([[float("nan")]]), torch.zeros(1, 1), 0.1)
    with pytest.raises(InvalidInputError, match=r"must be \(P, d\) and \(Q, d\)"):
        neighbours(torch.zeros(2, 3), torch.zeros(2, 2), 0.1)
    with pytest.raises(InvalidInputError, match="radius must be"):
        neighbours(torch.zeros(2, 3), torch.zeros(2, 3), 0.0)
