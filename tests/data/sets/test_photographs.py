"""Patches of photographs against scikit-image's own pictures, and a split in which no pixel is on both sides."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.data import load
from interpolants.data.sets.photographs import PHOTOGRAPHS, load_photographs
from interpolants.foundations.errors import InvalidInputError


def test_patches_are_those_of_the_pictures():
    data, color = pytest.importorskip("skimage.data"), pytest.importorskip("skimage.color")
    found = load_photographs("all", size=48, stride=40)
    rows = iter(found.x)
    for k, name in enumerate(PHOTOGRAPHS):
        picture = getattr(data, name)()
        grey = color.rgb2gray(picture) * 2 - 1 if picture.ndim == 3 else picture / 127.5 - 1
        height, width = grey.shape
        for i in range(0, height - 47, 40):
            for j in range(0, width - 47, 40):
                assert_close(next(rows)[0], torch.from_numpy(grey[i : i + 48, j : j + 48]).float())
        assert int((found.labels == k).sum()) == len(range(0, height - 47, 40)) * len(
            range(0, width - 47, 40)
        )
    assert next(rows, None) is None


def test_the_defaults_give_8928_patches():
    assert load("photographs", "all").x.shape == (8928, 1, 32, 32)


def test_no_pixel_is_in_both_parts():
    parts = [load_photographs(split, size=16, stride=16) for split in ("train", "test")]
    assert all(len(part.x) > 100 for part in parts)
    # with stride = size patches do not overlap: those of the two parts are different rows of one grid
    whole = load_photographs("all", size=16, stride=16)
    rows = {row.numpy().tobytes() for row in whole.x}
    assert all(row.numpy().tobytes() in rows for part in parts for row in part.x)
    assert sum(len(part.x) for part in parts) < len(whole.x)
    assert np.array_equal(*(part.labels.unique().numpy() for part in parts))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "al"}, r"load_photographs: split must be .* got 'al'. Did you mean 'all'"),
        ({"size": 173}, r"size must be a whole number in \[2, 172\], got 173"),
        ({"stride": 0}, r"stride must be a whole number in \[1, 10000\], got 0"),
    ],
)
def test_bad_input_is_refused_with_its_value(options, message):
    with pytest.raises(InvalidInputError, match=message):
        load_photographs(**options)
