"""Pixels of scikit-learn's photographs against its own loader."""

import numpy as np
import pytest

from interpolants.data import load
from interpolants.data.picture_pixels import levels_of
from interpolants.data.sets.photo_pixels import load_photo_pixels
from interpolants.foundations.errors import InvalidInputError

datasets = pytest.importorskip("sklearn.datasets")
pytest.importorskip("PIL")


@pytest.mark.parametrize("photo", ["china", "flower"])
def test_pixels_are_those_of_the_photograph_and_it_comes_whole(photo):
    found, picture = load("photo_pixels", "all", photo=photo), datasets.load_sample_image(f"{photo}.jpg")
    assert np.array_equal(found.info.picture, picture)
    levels, clipped = levels_of(found.x.numpy())
    assert clipped == 0.0
    keys = [rows.reshape(-1, 3).astype(int) @ [65536, 256, 1] for rows in (levels, picture)]
    assert np.array_equal(np.sort(keys[0]), np.sort(keys[1]))
    assert found.info.columns == ("red", "green", "blue")
    assert "CC BY" in found.info.licence


def test_one_pixel_in_five_is_held_out_and_none_is_in_both():
    train, test = (load_photo_pixels(split).x.numpy() for split in ("train", "test"))
    assert len(test) == 273_280 // 5
    assert len(np.unique(np.concatenate([train, test]), axis=0)) == 273_280


def test_another_photograph_is_refused():
    with pytest.raises(InvalidInputError, match="photo must be"):
        load_photo_pixels(photo="moon")
