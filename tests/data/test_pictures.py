"""Reading of pictures of every mode and depth: the levels that were written, or an error that names the file."""

import io
import struct
import zlib

import numpy as np
import pytest

from interpolants.data.pictures import PICTURES, read_picture
from interpolants.foundations.errors import InvalidInputError

Image = pytest.importorskip("PIL.Image")

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)


def saved(tmp_path, image, name="one.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def png_of_16_bits(pixels):
    """A PNG of colours with 16 bits, which Pillow does not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_grey_colours_and_deep_grey_are_shares_of_the_highest_level(tmp_path):
    grey = read_picture(saved(tmp_path, Image.fromarray(GREY)))
    assert grey.values.shape == (1, 3, 4)
    assert grey.values.dtype == np.float32
    assert np.allclose(grey.values[0], GREY / 255)
    colour = read_picture(str(saved(tmp_path, Image.fromarray(COLOUR), "one.bmp")))
    assert np.allclose(colour.values, COLOUR.transpose(2, 0, 1) / 255)
    deep = np.array([[0, 1, 65535], [256, 40000, 65534]], dtype=np.uint16)
    assert np.allclose(
        read_picture(saved(tmp_path, Image.fromarray(deep))).values[0], deep / 65535, atol=1e-7
    )
    # Mode I in every Pillow; written by hand, because older ones do not write it from I;16.
    (tmp_path / "deep.pgm").write_bytes(b"P5 3 2 65535\n" + deep.astype(">u2").tobytes())
    assert np.allclose(read_picture(tmp_path / "deep.pgm").values[0], deep / 65535, atol=1e-7)
    assert (grey.notes, colour.notes) == ((), ())


def test_black_and_white_and_palettes_are_their_colours(tmp_path):
    bits = Image.fromarray(GREY > 100)
    assert np.array_equal(read_picture(saved(tmp_path, bits)).values[0], GREY > 100)
    few = COLOUR // 128 * 255
    palette = Image.fromarray(few).convert("P", palette=Image.Palette.ADAPTIVE)
    assert np.array_equal(read_picture(saved(tmp_path, palette)).values, few.transpose(2, 0, 1) / 255)


def test_what_is_transparent_shows_the_background_and_says_so(tmp_path):
    alpha = np.full((3, 4, 1), 255, dtype=np.uint8)
    whole = read_picture(saved(tmp_path, Image.fromarray(np.concatenate([COLOUR, alpha], -1))))
    assert np.allclose(whole.values, COLOUR.transpose(2, 0, 1) / 255)
    assert whole.notes == ()
    alpha[0, 0], alpha[1, 1] = 0, 51
    path = saved(tmp_path, Image.fromarray(np.concatenate([COLOUR, alpha], -1)))
    for background in (0.0, 1.0):
        found = read_picture(path, background=background)
        assert np.allclose(found.values[:, 0, 0], background)
        assert np.allclose(found.values[:, 1, 1], 0.2 * COLOUR[1, 1] / 255 + 0.8 * background)
        assert found.notes == (f"Transparent pixels show a background of {background:g} (0 black, 1 white).",)
    clear = Image.fromarray(GREY)
    found = read_picture(saved(tmp_path, clear, transparency=int(GREY[0, 1])))
    assert found.values[0, 0, 1] == 1


def test_a_turned_photograph_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by 90 degrees clockwise to see it
    found = read_picture(saved(tmp_path, Image.fromarray(GREY), exif=exif))
    assert np.allclose(found.values[0], np.rot90(GREY, -1) / 255)
    assert found.notes == ("The picture was rotated as its EXIF tag says.",)


def test_a_profile_is_converted_and_srgb_is_left_alone(tmp_path):
    cms = pytest.importorskip("PIL.ImageCms")
    srgb = cms.ImageCmsProfile(cms.createProfile("sRGB")).tobytes()
    found = read_picture(saved(tmp_path, Image.fromarray(COLOUR), icc_profile=srgb))
    assert np.allclose(found.values, COLOUR.transpose(2, 0, 1) / 255)
    assert found.notes == ()
    xyz = cms.ImageCmsProfile(cms.createProfile("XYZ")).tobytes()
    for other, told in ((b"no profile", "cannot be used"), (xyz, "")):
        found = read_picture(saved(tmp_path, Image.fromarray(COLOUR), icc_profile=other))
        assert told in found.notes[0]


def test_colours_become_grey_by_luma_and_grey_becomes_three_channels(tmp_path):
    found = read_picture(saved(tmp_path, Image.fromarray(COLOUR)), colour=False)
    assert np.allclose(found.values[0], COLOUR @ [0.299, 0.587, 0.114] / 255)
    assert found.notes == ("Colours were averaged to grey.",)
    found = read_picture(saved(tmp_path, Image.fromarray(GREY)), colour=True)
    assert np.allclose(found.values, np.stack([GREY] * 3) / 255)


def test_the_loss_of_colours_of_16_bits_is_said(tmp_path):
    levels = np.arange(36, dtype=np.uint16).reshape(3, 4, 3) * 1800
    (tmp_path / "deep.png").write_bytes(png_of_16_bits(levels))
    found = read_picture(tmp_path / "deep.png")
    assert np.abs(found.values - levels.transpose(2, 0, 1) / 65535).max() < 1 / 255
    assert found.notes == ("Colours of 16 bits were read with 8 bits.",)


def animation():
    file = io.BytesIO()
    frames = [Image.fromarray(GREY), Image.fromarray(GREY[::-1].copy())]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def packed(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "an empty file"),
        (b"label,1\n", "another format"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "HEIC or AVIF. Convert it to PNG"),
        (packed(Image.fromarray(COLOUR), "PNG")[:60], "a damaged one"),
        (packed(Image.fromarray(np.tile(COLOUR, (20, 20, 1))), "JPEG")[:-700], "a damaged one"),
        (packed(Image.fromarray(COLOUR).convert("CMYK"), "JPEG"), "mode CMYK. Convert it to PNG first"),
        (packed(Image.fromarray(GREY.astype(np.float32)), "TIFF"), "mode F"),
        (animation(), "2 in one file"),
    ],
)  # fmt: skip
def test_what_is_no_single_whole_picture_is_refused_by_name(data, told, tmp_path):
    (tmp_path / "odd.png").write_bytes(data)
    with pytest.raises(InvalidInputError, match=rf"test: odd.png must be .*{told}"):
        read_picture(tmp_path / "odd.png", "test")


def test_a_small_file_that_becomes_enormous_is_refused(tmp_path):
    path = saved(tmp_path, Image.new("1", (10_000, 10_000)))
    with pytest.raises(InvalidInputError, match="must unpack to at most 100 times its size"):
        read_picture(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidInputError, match=r"none\.png must be a picture that can be read"):
        read_picture(tmp_path / "none.png")
    assert ".jpg" in PICTURES
