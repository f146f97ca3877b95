"""Colours of two photographs against Pillow's own pixels, read by a plain loop."""

from importlib.resources import files

import pytest
import torch

from interpolants.data.sets.photograph_colours import COLOURED, load_photograph_colours
from interpolants.foundations.errors import InvalidInputError


def test_colours_are_those_of_the_pixels():
    image = pytest.importorskip("PIL.Image")
    found = load_photograph_colours("all", stride=40)
    levels = (found.x.double() * 256).floor().long().tolist()
    rows = iter(zip(levels, found.labels.tolist(), strict=True))
    for label, name in enumerate(COLOURED):
        with image.open(str(files("sklearn.datasets") / "images" / f"{name}.jpg")) as picture:
            for i in range(0, picture.height, 40):
                for j in range(0, picture.width, 40):
                    assert next(rows) == (list(picture.getpixel((j, i))), label)
    assert next(rows, None) is None


def test_one_row_in_five_is_the_test_and_the_noise_is_within_a_level():
    parts = [load_photograph_colours(split) for split in ("train", "test")]
    whole = load_photograph_colours("all")
    assert len(whole.x) == 2 * 107 * 160 == sum(len(part.x) for part in parts)
    assert abs(len(parts[1].x) / len(whole.x) - 0.2) < 0.01
    assert 0 < float(whole.x.min()) < float(whole.x.max()) < 1
    noise = whole.x.double() * 256 % 1
    assert abs(float(noise.mean()) - 0.5) < 4 * (1 / 12 / noise.numel()) ** 0.5
    assert whole.info.columns == ("red", "green", "blue")
    assert torch.equal(whole.x, load_photograph_colours("all").x)


def test_bad_input_is_refused_with_its_value():
    with pytest.raises(InvalidInputError, match=r"stride must be a whole number in \[1, 427\], got 0"):
        load_photograph_colours(stride=0)
