import inspect
from dataclasses import replace

import numpy as np
import pytest
import torch

from interpolants import data
from interpolants.data.bundled import BundledFile, firsts, held_out
from interpolants.data.sets.images import DIGITS
from interpolants.foundations.cards import load_cards
from interpolants.foundations.equal_rows import count_shared
from interpolants.foundations.errors import InvalidInputError, MissingExtraError


def test_a_missing_package_is_named_with_its_command():
    absent = BundledFile(
        "no-such-package", "no_such_package/a.csv", "0" * 64, "1", "pip install no-such-package"
    )
    assert absent.locate() is None
    with pytest.raises(
        MissingExtraError, match=r"load_x needs no-such-package. Install it with: pip install no-"
    ):
        absent.read("load_x")
    debian = replace(absent, path="/usr/share/no-such-file", install="apt-get install no-such-package")
    with pytest.raises(MissingExtraError, match=r"apt-get install no-such-package"):
        debian.read("load_x")
    assert debian.installed_version() == "unknown"


def test_other_bytes_are_refused_with_both_versions():
    other = replace(DIGITS, sha256="0" * 64, version="9.9")
    with pytest.raises(InvalidInputError) as caught:
        other.read("load_digits")
    message = str(caught.value)
    assert "of scikit-learn 9.9, sha256 000000000000" in message
    assert f"got scikit-learn {DIGITS.installed_version()}, sha256 {DIGITS.sha256[:12]}" in message
    assert "Reinstall" in message


def test_a_file_of_an_older_release_with_the_same_values_is_read():
    other = replace(DIGITS, sha256="0" * 64, older=("1" * 64, DIGITS.sha256))
    assert other.read("load_digits") == DIGITS.read("load_digits")


def test_a_package_without_a_list_of_files_is_found_by_its_import_path():
    assert DIGITS._from_import_path() == DIGITS._from_record() == DIGITS.locate()
    assert replace(DIGITS, package="not-its-name").locate() == DIGITS.locate()


def test_split_holds_out_a_fifth_of_every_class():
    labels = np.repeat([0, 1, 2], [1000, 100, 7])
    mask = held_out(len(labels), labels)
    share = np.bincount(labels[mask]) - np.bincount(labels) / 5
    assert np.all(np.abs(share) < 1)
    # Drawn at random within a class: positions of the held-out rows average to the middle.
    positions = np.flatnonzero(mask[:1000])
    assert abs(positions.mean() - 499.5) < 5 * 288.7 / 200**0.5
    assert len(set(np.diff(positions))) > 5
    assert np.array_equal(mask, held_out(len(labels), labels))
    assert held_out(10, None).sum() == 2


# Equal rows that parts by places, times or names leave on both sides.
REPEATS = {
    "emoji": 3,  # names that share a picture
    "kjv": 10,  # windows of verses that are repeated
    "masked_patches": 33,  # patches of one colour
    "pedestrian_counts": 6,  # hours without anybody
    "photographs": 1,  # a patch of one colour
    "storm_motions": 2,  # rows of a storm that the table lists twice
}
LARGE = (
    "atlantic_storms",
    "brain_slices",
    "chaotic_series",
    "emoji",
    "fashion_mnist",
    "flights",
    "kjv",
    "lorenz96_ensemble",
    "pedestrian_counts",
    "photo_pixels",
    "scan_slices",
    "shuttle",
)
SETS = [
    pytest.param(card, id=card.id, marks=pytest.mark.slow if card.id in LARGE else ())
    for card in load_cards()
    if card.kind == "data" and "split" in inspect.signature(card.load_entry()).parameters
]


@pytest.mark.parametrize("card", SETS)
def test_no_row_is_in_both_parts(card):
    try:
        train, test = (card.load_entry()(part).x for part in ("train", "test"))
    except MissingExtraError as error:
        pytest.skip(str(error))
    assert count_shared([train], [test]) <= REPEATS.get(card.id, 0)


@pytest.mark.parametrize("name", ["load_concrete", "load_diabetes", "load_boston_housing"])
def test_folds_do_not_part_equal_rows(name):
    try:
        whole = getattr(data, name)("all")
    except MissingExtraError as error:
        pytest.skip(str(error))
    first = torch.from_numpy(firsts(whole.x.numpy()))
    assert torch.equal(whole.labels, whole.labels[first])
    sizes = whole.labels.bincount()
    assert sizes.max() - sizes.min() <= 0.1 * sizes.max()
