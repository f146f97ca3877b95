"""While a model folder is read, members of kinds that it may hold are built, and no others."""

import os

import pytest
import torch

from interpolants import Bridge, load
from interpolants.foundations import trees
from interpolants.foundations.cards import load_cards
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.registry import (
    build,
    check_tables,
    kinds,
    names,
    only_stored_kinds,
    stored_kinds,
)
from interpolants.foundations.size_guard import SmallTensors, check_sizes

SMALL = {"net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 2, "batch_size": 8, "held_out": 0}
OTHER_KINDS = [kind for kind in kinds() if kind not in stored_kinds()]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    folder = tmp_path_factory.mktemp("good") / "bridge"
    return Bridge("one_sided_linear", **SMALL).fit(x1=x, progress=False).save(folder)


def planted(good, out, change):
    """A sealed copy whose tree was changed."""
    stored = trees.read_folder(good)
    document = stored.documents[trees.TREE]
    change(document["tree"]["items"]["method"]["parts"])
    return trees.write_folder(out, stored.tensors, {trees.TREE: document})


@pytest.mark.parametrize(
    "card", [card for card in load_cards() if card.kind in OTHER_KINDS], ids=lambda c: f"{c.kind}-{c.id}"
)
def test_no_card_of_another_kind_is_built(card):
    """Not at the top, not as a setting of a member; outside of the block all is as before."""
    words = {"kind": f"{card.kind}/{card.id}"}
    reader = trees._Reader({}, lambda place, name: None)
    for planted in (words, {"kind": "one_sided_linear", "base": words}):
        with (
            only_stored_kinds(),
            pytest.raises(InvalidInputError, match="a model folder must name members of the kinds"),
        ):
            reader.unpack({"$": "member", "words": planted})


def test_kinds_that_do_things_are_not_among_those_of_folders():
    assert not stored_kinds() & {"data", "executor", "recordings", "question", "diagnostic", "metric"}
    assert {"problem", "path", "operator"} <= stored_kinds()


def test_a_file_outside_of_the_folder_is_not_opened(good, tmp_path):
    pipe = tmp_path / "pipe"  # opening it would hang
    os.mkfifo(pipe)
    words = {"kind": "data/leaves", "path": str(pipe)}
    member = {"$": "member", "words": words}
    inside = {"$": "member", "words": {"kind": "one_sided_linear", "base": words}}
    table = {"$": "dict", "items": words}

    def into(place, node):
        def change(parts):
            parts[place[0]]["items"][place[1]] = node

        return change

    for n, change in enumerate(
        [
            into(("state", "path"), member),
            into(("settings", "path"), member),
            into(("settings", "path"), inside),
            into(("settings", "leg"), table),
        ]
    ):
        with pytest.raises(InvalidInputError, match=r"kinds aggregate, .*'(data/)?leaves', of kind 'data'"):
            load(planted(good, tmp_path / str(n), change))


def test_tables_of_settings_are_checked_before_a_later_fit_builds_them():
    with pytest.raises(InvalidInputError, match="of kind 'executor'"):
        check_tables({"generator": [{"kind": "bridge", "path": {"kind": "executor/ray"}}]})
    check_tables({"generator": {"kind": "bridge"}, "other": {"kind": "no card's name"}, "data": {"kind": 3}})


def test_the_users_own_words_may_name_anything():
    assert build("solver", "euler") == build("solver", "euler")
    with only_stored_kinds(), pytest.raises(InvalidInputError, match="of kind 'solver'"):
        build("solver", "euler")
    assert "euler" in names("solver")
    assert build("solver", "euler") is not None


@pytest.mark.parametrize(
    "words",
    [
        {"kind": "rings", "count": 10**8},
        {"kind": "gaussian_plume", "points": [9_999_999, 9_999_999]},
        {"kind": "advected_blobs", "rows": 99_999, "columns": 99_999, "frames": 999},
        {"kind": "tabulated", "times": [0.5] * 3_000_000},
        {
            "kind": "mirror",
            "envelope": {"a": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]},
        },
    ],
)
def test_sizes_are_refused_before_anything_is_built(words):
    with pytest.raises(InvalidInputError, match="in a member of a folder"):
        check_sizes(words)


def test_usual_sizes_pass():
    check_sizes({"kind": "active_fluid_runs", "points": 512, "moments": 10, "frames": 1000, "seed": 2**62})
    check_sizes({"kind": "k_space_lines", "lines": list(range(0, 512, 2)), "size": 512})
    check_sizes({"kind": "gaussian", "covariance": [[1.0] * 784] * 784})


def test_large_tensors_are_refused_whatever_draws_them():
    source = torch.Generator().manual_seed(0)
    for draw in (
        torch.randn,
        torch.rand,
        lambda *size, generator: torch.randint(3, size, generator=generator),
    ):
        with SmallTensors(), pytest.raises(InvalidInputError, match="tensors of at most"):
            draw(9_999_999, 2, generator=source)
        with SmallTensors():
            assert draw(9, 2, generator=source).shape == (9, 2)
    with only_stored_kinds(), SmallTensors(), pytest.raises(InvalidInputError, match="tensors of at most"):
        build("problem", "random_mixture", n_modes=9_999_999)


def test_a_good_folder_loads(good):
    assert load(good).is_fitted
