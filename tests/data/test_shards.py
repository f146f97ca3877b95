"""Rows in many files: what is read is what was written, in its order, one row at a time."""

import io

import numpy as np
import pytest

from data.sharded_files import archive_of, as_npy, folder_of_arrays, packed, rows
from interpolants.data.files import read_array
from interpolants.data.shards import is_sharded, open_shards
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import FileWarning


def as_picture(pixels, kind="PNG"):
    pillow = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    pillow.fromarray(pixels).save(file, kind)
    return file.getvalue()


INDICES = [
    slice(None),
    slice(4, 19),
    slice(0, 1),
    slice(-3, None),
    np.array([22, 0, 7, 7, 13]),
    np.array([-1, -23]),
]
INDICES += [np.array([], dtype=int), np.arange(23) % 5 == 0]


@pytest.mark.parametrize("shape", [(), (3,), (2, 4, 5)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f4"])
def test_rows_of_a_folder_and_of_archives_are_those_that_were_written(shape, dtype, tmp_path):
    x = rows(shape=shape, dtype=dtype)
    arrays = open_shards(folder_of_arrays(x, tmp_path / "arrays", (10, 1, 12)), "test")
    (tmp_path / "tars").mkdir()
    archive_of(x[:9], tmp_path / "tars/a-000099.tar")
    archive_of(x[9:], tmp_path / "tars/a-0000100.tar", first=9)
    for found in (arrays, open_shards(tmp_path / "tars", "test")):
        assert (found.shape, found.dtype, found.ndim, len(found)) == (x.shape, x.dtype, x.ndim, 23)
        assert found.nbytes == x.nbytes
        for index in INDICES:
            assert np.array_equal(found[index], x[index])
        assert np.array_equal(np.asarray(found), x)


def test_pictures_are_channels_first_and_from_0_to_1(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (5, 6, 4), dtype=np.uint8)
    colour = np.random.default_rng(1).integers(0, 256, (5, 6, 4, 3), dtype=np.uint8)
    for name, pixels in (("grey", grey), ("colour", colour)):
        members = {f"{k:03d}.png": as_picture(one) for k, one in enumerate(pixels)}
        found = open_shards(packed(tmp_path / f"{name}.tar", {**members, "000.json": b"{}"}), "test")
        expected = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
        assert np.allclose(found[:], expected / 255)
        assert found.shape == expected.shape
        assert np.array_equal(found[np.array([3, 1])], found[:][[3, 1]])


def test_read_array_takes_them_too(tmp_path):
    x = rows()
    folder_of_arrays(x, tmp_path / "arrays", (20, 3))
    assert np.array_equal(read_array(tmp_path / "arrays").x.numpy(), x)
    assert np.array_equal(read_array(archive_of(x, tmp_path / "x.tar")).x.numpy(), x)
    (tmp_path / "ends").mkdir()
    for name in ("x0", "x1"):  # two data sets, not two shards of one
        np.save(tmp_path / f"ends/{name}.npy", x)
    assert not is_sharded(tmp_path / "ends")
    with pytest.raises(InvalidInputError, match=r"the path must be a file"):
        read_array(tmp_path / "ends")


def mixed_folder(place):
    folder_of_arrays(rows(), place / "f", (23,))
    return archive_of(rows(), place / "f/part00.tar").parent


def other_shard(place, x):
    folder_of_arrays(rows(), place / "f", (23,))
    np.save(place / "f/part001.npy", x)
    return place / "f"


def test_a_gap_in_the_numbers_is_told_and_a_row_that_is_not_there_is_none(tmp_path):
    folder_of_arrays(rows(), tmp_path, (10, 3, 10))
    assert len(open_shards(tmp_path, "test")) == 23
    (tmp_path / "part001.npy").unlink()
    with pytest.warns(FileWarning, match=r"go from 0 to 2 \(part002\.npy\); a file may be missing"):
        found = open_shards(tmp_path, "test")
    for outside in (20, -21):
        with pytest.raises(IndexError, match="below 20"):
            found[np.array([0, outside])]


def labels_beside(place):
    folder_of_arrays(rows(), place / "f", (23,))
    np.save(place / "f/labels.npy", rows())
    return place / "f"


def cut(place):
    whole = archive_of(rows(), place / "x.tar").read_bytes()
    (place / "x.tar").write_bytes(whole[: 512 * 3 + 40])
    return place / "x.tar"


BAD = [
    (
        labels_beside,
        r"must be called alike but for a number .* got labels\.npy beside part\*\.npy",
    ),
    (mixed_folder, r"the folder f must contain only \.npy files or only \.tar files"),
    (
        lambda p: other_shard(p, rows(shape=(4,))),
        r"rows of shape \(3,\) and type float32, as part000\.npy, got \(4,\)",
    ),
    (
        lambda p: other_shard(p, rows(dtype=np.float64)),
        r"type float32, as part000\.npy, got \(3,\) and float64",
    ),
    (lambda p: other_shard(p, np.float32(1)), r"part001\.npy must contain an array of rows"),
    (lambda p: other_shard(p, np.array([{}])), r"part001\.npy must be a whole NumPy file of plain numbers"),
    (cut, r"x\.tar must be (whole|a whole tar archive)"),
    (lambda p: packed(p / "x.tar", {"a.npy": as_npy(rows())}, "w:gz"), r"tar archive without compression"),
    (lambda p: packed(p / "x.tar", {"a.txt": b"x"}), r"must be arrays \(\.npy\) or pictures .* got none"),
    (lambda p: packed(p / "x.tar", {}), r"must be arrays \(\.npy\) or pictures .* got none"),
    (
        lambda p: packed(p / "x.tar", {"a.npy": as_npy(rows()), "a.png": b"x"}),
        r"must be arrays \(\.npy\) or pictures .* got both",
    ),
    (
        lambda p: packed(p / "x.tar", {"a.x.npy": as_npy(rows()), "a.y.npy": as_npy(rows())}),
        r"must have one array or picture, under one ending, got x\.npy, y\.npy",
    ),
    (
        lambda p: packed(p / "x.tar", {"a.npy": as_npy(rows()), "b.npy": as_npy(rows(24))}),
        r"must have shape \(23, 3\) and type float32, got \(24, 3\) and float32 in b\.npy",
    ),
    (lambda p: packed(p / "x.tar", {"a.npy": b"no array"}), r"a\.npy of x\.tar must be plain numbers"),
    (
        lambda p: packed(p / "x.tar", {"a.npy": as_npy(np.array([{}]))}),
        r"a\.npy of x\.tar must be plain numbers",
    ),
    (
        lambda p: packed(p / "x.tar", {"a.npy": as_npy(np.asfortranarray(rows()))}),
        r"nor arrays in Fortran's order",
    ),
    (lambda p: packed(p / "x.tar", {"a.png": b"no picture"}), r"a\.png of x\.tar must be a whole picture"),
    (
        lambda p: packed(
            p / "x.tar",
            {f"{n}.png": as_picture(np.zeros((n, 4), np.uint8)) for n in (5, 6)},
        ),
        r"must have 4 x 5 pixels in L, got 4 x 6 in L, 6\.png",
    ),
]


@pytest.mark.parametrize(("make", "said"), BAD)
def test_what_does_not_go_together_is_refused(make, said, tmp_path):
    with pytest.raises(InvalidInputError, match=said):
        open_shards(make(tmp_path), "test")
