"""Pictures as sets of pixels: what is shown is what is read, in every kind of JPEG and PNG that people have."""

import io

import numpy as np
import pytest

from interpolants.data.files import read_array
from interpolants.data.picture_pixels import (
    Picture,
    colours_of,
    is_picture,
    levels_of,
    pixels,
    read_picture,
    write_picture,
)
from interpolants.foundations.errors import InvalidInputError

Image = pytest.importorskip("PIL.Image")
LEVELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)


def packed(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read(data):
    return read_picture(data, "load", "a.png")


def test_levels_come_back_from_colours_to_the_bit_and_clipping_starts_at_half_a_level():
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    back, clipped = levels_of(colours_of(every))
    assert np.array_equal(back, every)
    assert clipped == 0.0
    near, far = np.array([[-0.4 / 256, 1 + 0.4 / 256]]), np.array([[-0.6 / 256, 1 + 0.6 / 256, 0.5, 0.5]])
    assert levels_of(near)[1] == 0.0
    assert levels_of(far)[1] == 0.5
    assert levels_of(far)[0].tolist() == [[0, 255, 128, 128]]


def test_png_palette_and_opaque_alpha_are_read_as_they_are_shown():
    image = Image.fromarray(LEVELS)
    palette = image.quantize(8)
    opaque = Image.fromarray(np.concatenate([LEVELS, np.full((5, 7, 1), 255, np.uint8)], -1))
    assert np.array_equal(read(packed(image)).levels, LEVELS)
    assert np.array_equal(read(packed(palette)).levels, np.asarray(palette.convert("RGB")))
    assert np.array_equal(read(packed(opaque)).levels, LEVELS)


def test_transparent_pixels_are_refused_with_their_number():
    alpha = np.full((5, 7, 1), 255, np.uint8)
    alpha[:2] = 10
    seen_through = Image.fromarray(np.concatenate([LEVELS, alpha], -1))
    with pytest.raises(InvalidInputError, match=r"no transparent pixels, got 14 of 35\. Flatten it"):
        read(packed(seen_through))
    with pytest.raises(InvalidInputError, match="no transparent pixels"):
        read(packed(Image.fromarray(LEVELS).quantize(8), transparency=0))


def test_sixteen_bits_of_grey_are_scaled_and_not_cut_off():
    grey = np.array([[0, 257 * 100, 257 * 255]], dtype=np.uint16)
    found = read(packed(Image.fromarray(grey)))
    assert found.levels[..., 0].tolist() == [[0, 100, 255]]
    assert np.array_equal(found.levels[..., 0], found.levels[..., 2])


def test_eight_bits_of_grey_have_equal_channels_and_a_note():
    found = read(packed(Image.fromarray(LEVELS[..., 0])))
    assert np.array_equal(found.levels, LEVELS[..., :1].repeat(3, -1))
    assert "Grey was repeated" in found.notes[0]


def test_the_orientation_of_exif_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn to the right
    found = read(packed(Image.fromarray(LEVELS), exif=exif.tobytes()))
    assert np.array_equal(found.levels, np.rot90(LEVELS, -1))
    assert "EXIF tag" in found.notes[0]


def test_another_colour_profile_becomes_srgb():
    cms = pytest.importorskip("PIL.ImageCms")
    srgb = cms.ImageCmsProfile(cms.createProfile("sRGB")).tobytes()
    plain = read(packed(Image.fromarray(LEVELS), icc_profile=srgb))
    assert np.array_equal(plain.levels, LEVELS)
    assert plain.notes == ()
    # a profile of another name whose red is the blue of sRGB, and the other way round
    table = {srgb.index(tag): other for tag, other in ((b"rXYZ", b"bXYZ"), (b"bXYZ", b"rXYZ"))}
    swapped = bytearray(srgb.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be")))
    for place, tag in table.items():
        swapped[place : place + 4] = tag
    found = read(packed(Image.fromarray(LEVELS), icc_profile=bytes(swapped)))
    assert np.abs(found.levels.astype(int) - LEVELS[..., ::-1]).max() <= 3  # rounding of the profile
    assert found.notes[0].startswith("Colours were converted from swap")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GIF89a", "a.png must be a whole picture"),
        (packed(Image.fromarray(LEVELS))[:60], "a.png must be a whole picture"),
        (
            packed(Image.fromarray(LEVELS), save_all=True, append_images=[Image.fromarray(LEVELS[::-1])]),
            "must be one picture, got 2 in one file",
        ),
    ],
)
def test_other_files_are_refused(data, message):
    with pytest.raises(InvalidInputError, match=message):
        read(data)


def test_pixels_are_all_of_them_in_a_random_order_with_noise_of_a_level():
    x, notes = pixels(Picture(LEVELS))
    back, _ = levels_of(x)
    assert sorted(map(tuple, back.tolist())) == sorted(map(tuple, LEVELS.reshape(-1, 3).tolist()))
    assert not np.array_equal(back, LEVELS.reshape(-1, 3))
    assert "7 x 5, was taken as a set of 35 pixels" in notes[0]
    few, notes = pixels(Picture(LEVELS), max_pixels=10)
    assert np.array_equal(levels_of(few)[0], back[:10])
    assert "10 of its 35 pixels" in notes[0]
    u = pixels(Picture(np.zeros((100, 100, 3), np.uint8)))[0] * 256
    assert abs(u.mean() - 0.5) < 4 * (1 / 12 / u.size) ** 0.5
    assert len(np.unique(u, axis=0)) == 10_000  # no two rows are copies, so that a split may part them


def test_a_file_is_read_as_rows_of_pixels_from_the_upper_left(tmp_path):
    write_picture(LEVELS, tmp_path / "a.png", "test")
    found = read_array(tmp_path / "a.png")
    assert np.array_equal(found.x.numpy(), colours_of(LEVELS).reshape(-1, 3))
    assert found.columns == ("red", "green", "blue")
    assert found.notes[0].startswith("a.png: one picture, 7 x 5, is a set of 35 pixels")
    assert is_picture("A.JPEG")
    assert not is_picture("a.npy")
