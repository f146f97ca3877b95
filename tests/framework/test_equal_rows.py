"""Equal rows are on one side of every random split, and counted where a given split parts them."""

import numpy as np
import pytest
import torch

from interpolants import Bridge
from interpolants.foundations.equal_rows import copies, count_shared, row_hashes, together, uncut
from interpolants.foundations.randomness import generator
from interpolants.foundations.row_access import MANY, LazyRows
from interpolants.foundations.tell import DataWarning
from interpolants.framework.role import Role
from interpolants.framework.task import Split, Task
from interpolants.methods.bridge.held_out import Ends, set_aside

X, XY = (Role(name="x"),), (Role(name="x"), Role(name="y"))


def rows(n, width=2, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def repeated(n=150, times=4):
    order = torch.randperm(n * times, generator=torch.Generator().manual_seed(1))
    return rows(n).repeat(times, 1)[order]


def brute(x):
    """The first equal row, one by one."""
    return torch.tensor([next(j for j in range(i + 1) if torch.equal(x[j], x[i])) for i in range(len(x))])


def shared(a, b):
    return len({tuple(row) for row in a.tolist()} & {tuple(row) for row in b.tolist()})


def test_copies_are_those_found_one_by_one():
    x = repeated()
    assert torch.equal(copies(x), brute(x))
    assert copies(rows(600)) is None
    lazy = LazyRows(lambda index: x[index], x.shape, x.dtype)
    assert torch.equal(copies(lazy), brute(x))
    assert torch.equal(copies(list(x)), brute(x))


def test_rows_are_copies_in_all_that_belongs_to_them():
    x = repeated()
    assert copies(x, torch.arange(600)) is None
    assert torch.equal(copies(x, None, torch.zeros(600)), brute(x))
    assert copies() is None
    assert copies("words") is None


def test_hashes_tell_rows_apart_and_know_equal_ones():
    x = torch.tensor(
        [[1.0, 2.0], [2.0, 1.0], [0.0, 3.0], [-0.0, 3.0], [3.0, 0.0], [torch.nan, 1.0], [torch.nan, 1.0]]
    )
    found = row_hashes(x)
    assert found[2] == found[3]
    assert found[5] == found[6]
    assert len(set(found.tolist())) == 5
    grid = torch.cartesian_prod(torch.arange(400.0), torch.arange(400.0))
    assert len(np.unique(row_hashes(grid))) == len(grid)
    assert len(np.unique(row_hashes(grid[:, :1], grid[:, 1:]))) == len(grid)


@pytest.mark.parametrize(
    "x",
    [
        torch.randint(2, (1000, 8), generator=torch.Generator().manual_seed(0)).float(),
        torch.randint(70, (1000, 2), generator=torch.Generator().manual_seed(0)).float() / 3 - 7,
        torch.randint(90, (1000, 1), generator=torch.Generator().manual_seed(0)),
        (rows(2000) * 100).round() / 100,
        rows(4).repeat(50, 1),
    ],
    ids=["bits", "steps", "ages", "rounded", "four rows"],
)
def test_rows_that_repeat_by_chance_are_no_copies(x):
    assert len(torch.unique(x, dim=0)) < len(x)
    assert copies(x) is None


def test_an_atom_is_no_copy_but_others_beside_it_are():
    x = torch.cat([torch.zeros(300, 1), rows(100, 1), rows(100, 1)[:10]])
    first = copies(x)
    assert torch.equal(first[:300], torch.arange(300))
    assert torch.equal(first[400:], torch.arange(300, 310))


def test_images_of_whole_numbers_are_copies():
    x = torch.randint(256, (100, 1, 6, 6), generator=torch.Generator().manual_seed(0)).float()
    assert torch.equal(copies(torch.cat([x, x[:7]]))[100:], torch.arange(7))


def test_an_order_without_copies_stays_as_it_is_to_the_bit():
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    assert together(order, None) is order
    assert torch.equal(together(order, torch.arange(50)), order)
    assert [uncut(order, None, k) for k in (0, 7, 50)] == [0, 7, 50]
    first = torch.tensor([0, 1, 0, 3, 1, 5, 0])
    moved = together(torch.tensor([4, 2, 6, 5, 1, 0, 3]), first)
    assert moved.tolist() == [4, 1, 2, 6, 0, 5, 3]
    assert [uncut(moved, first, k) for k in range(8)] == [0, 2, 2, 2, 5, 5, 6, 7]


@pytest.mark.parametrize("by", [{"test": 0.2}, {"test": 0.25, "held": 0.2}, {"test": 0.2, "train": 0.5}])
def test_a_random_split_parts_no_copies(by):
    x = repeated()
    task = Task.of(X, {"x": x}, Split(**by))
    parts = [task.part(name)["x"] for name in ("train", "held", "test") if len(task.rows["row"][name])]
    assert sum(map(len, parts)) == 600
    assert all(shared(a, b) == 0 for i, a in enumerate(parts) for b in parts[:i])
    assert abs(len(task.test["x"]) - 600 * by["test"]) <= 4
    assert task.copied == 0


def test_without_copies_a_split_is_what_it_was():
    found = Task.of(X, {"x": rows(40)}, Split(test=0.25, held=0.1)).rows["row"]
    order = torch.randperm(40, generator=generator(0, "split", "row"))
    for name, part in (("train", slice(26)), ("held", slice(26, 30)), ("test", slice(30, 40))):
        assert torch.equal(found[name], order[part])


def test_copies_with_other_answers_are_no_copies():
    x = repeated()
    task = Task.of(XY, {"x": x, "y": rows(600, 1, seed=3)})
    assert shared(task.train["x"], task.test["x"]) > 50


def test_a_given_split_that_parts_copies_is_told():
    x, words = torch.cat([rows(60), rows(60)[:10]]), ["train"] * 60 + ["test"] * 10
    with pytest.warns(DataWarning, match="10 of 10 test rows are copies"):
        task = Task.of(X, {"x": x, "part": words}, Split(by="given", role="part"))
    assert task.copied == 10
    parts = {"x": {"train": torch.arange(60), "test": torch.arange(55, 70)}}
    with pytest.warns(DataWarning, match="15 of 15 test rows"):
        Task.of(X, {"x": x}, parts=parts)


def test_held_rows_that_were_learnt_from_are_told_at_the_fit_and_in_the_check():
    x = rows(120)
    bridge = Bridge(path="one_sided_linear", steps=3, net={"kind": "mlp", "width": 8, "depth": 1})
    with pytest.warns(DataWarning, match=r"Bridge.fit: 30 of 50 held-out rows of x1 are copies"):
        bridge.fit(x1=x, held={"x1": torch.cat([x[:30], rows(20, seed=5)])})
    assert bridge.about["held_copies"] == {"x1": [30, 50]} or list(bridge.about["held_copies"].values()) == [
        [30, 50]
    ]
    found = {check.name: check for check in bridge.check().checks}["copies among held-out rows"]
    assert (found.verdict, found.value) == ("fail", 0.6)
    assert "30 of 50" in found.message


def test_rows_that_repeat_by_chance_on_both_sides_are_not_told():
    a, b = (torch.randint(3, (n, 3), generator=torch.Generator().manual_seed(n)).float() for n in (200, 50))
    assert count_shared([a], [b]) == 0
    assert count_shared([rows(60)[:50]], [rows(60)[40:55]]) == 10
    assert count_shared([rows(50), torch.zeros(50)], [rows(50), torch.ones(50)]) == 0
    assert count_shared([], []) == 0


@pytest.mark.parametrize("paired", [True, False])
def test_a_bridge_sets_copies_aside_together(paired):
    x1 = repeated()
    x0 = x1 + 1 if paired else repeated(200, 3)
    kept, away = set_aside(Ends(x0, x1), 0.1, 0, paired=paired)
    assert shared(kept.x1, away.x1) == shared(kept.x0, away.x0) == 0
    assert abs(len(away.x1) - 60) <= 4
    if paired:
        assert torch.equal(away.x1 + 1, away.x0)


@pytest.mark.parametrize("times", [1, 4])
def test_of_many_rows_on_disk_some_are_looked_at_and_all_only_if_these_have_copies(times):
    n, seen = 3 * MANY, []
    numbers = torch.arange(n, dtype=torch.float64).remainder(n // times).sin()[:, None]

    def read(rows):
        found = numbers[rows]
        seen.append(len(found))
        return found

    found = copies(LazyRows(read, torch.Size((n, 1)), torch.float64))
    if times == 1:
        assert found is None
        assert sum(seen) == MANY
    else:
        torch.testing.assert_close(found, torch.arange(n).remainder(n // times))
