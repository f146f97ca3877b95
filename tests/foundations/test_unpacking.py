"""Small packed files are refused before they become gigabytes, by every reader."""

import gzip
import re
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from torture.packed_files import archive, header_of, picture, zeros_by_gzip

import interpolants
from interpolants.data.coded_columns import read_coded
from interpolants.data.files import read_array
from interpolants.data.medical_images import read_volume
from interpolants.data.table_files import csv_frame
from interpolants.foundations import unpacking
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.unpacking import check_unpacked, check_zip, gunzipped, size_on_disk

SOURCE = Path(interpolants.__file__).parent
WORDS = bytes(range(256)) * 3000


@pytest.mark.parametrize("times", [1, 3])
def test_honest_bytes_are_those_of_gzip(times):
    packed = gzip.compress(WORDS) * times
    assert gunzipped("who", "x.gz", packed) == gzip.decompress(packed)
    assert gunzipped("who", "x.gz", packed + b"\0" * 9) == WORDS * times  # tapes are padded
    assert gunzipped("who", "x", WORDS) == WORDS
    assert gunzipped("who", "x", b"") == b""


def test_bytes_that_are_cut_off_or_damaged_are_refused():
    packed = gzip.compress(WORDS)
    for bad in (packed[:-9], packed[:40], packed[:20] + b"\xff" * 20 + packed[40:]):
        with pytest.raises(InvalidInputError, match=r"x\.gz must be whole"):
            gunzipped("who", "x.gz", bad)


def test_what_becomes_a_hundredfold_is_refused_on_the_way():
    tracemalloc.start()
    with pytest.raises(InvalidInputError, match="must unpack to at most 100 times its size"):
        gunzipped("who", "x.gz", zeros_by_gzip(400))
    assert tracemalloc.get_traced_memory()[1] < 2 * unpacking.SMALL
    tracemalloc.stop()


def test_both_limits_must_be_passed():
    check_unpacked("who", "x", 1, unpacking.SMALL)
    check_unpacked("who", "x", unpacking.SMALL, 100 * unpacking.SMALL)
    for packed, unpacked in ((1, unpacking.SMALL + 1), (unpacking.SMALL, 100 * unpacking.SMALL + 1)):
        with pytest.raises(InvalidInputError, match="Save it without compression"):
            check_unpacked("who", "x", packed, unpacked)


def test_an_archive_is_judged_by_its_directory(tmp_path):
    np.savez_compressed(tmp_path / "good.npz", a=np.arange(9.0))
    np.savez_compressed(tmp_path / "zeros.npz", a=np.zeros(unpacking.SMALL // 8 + 1))
    check_zip("who", tmp_path / "good.npz")
    with pytest.raises(InvalidInputError, match=r"zeros\.npz must unpack to"):
        check_zip("who", tmp_path / "zeros.npz")
    with pytest.raises(InvalidInputError, match=r"zeros\.npz must unpack to"):
        read_array(tmp_path / "zeros.npz")
    assert size_on_disk(tmp_path) == sum(file.stat().st_size for file in tmp_path.iterdir())


@pytest.mark.parametrize("count", [10**9, 10**12, 10**17])
def test_headers_that_state_more_than_there_is_are_refused_by_name(tmp_path, count):
    (tmp_path / "a.npy").write_bytes(header_of((count, 2)))
    archive(tmp_path / "a.tar", {"a.npy": header_of((count, 2))})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as out:
        out.writestr("a.npy", header_of((count, 2)))
    for name in ("a.npy", "a.tar", "a.npz"):
        with pytest.raises(InvalidInputError):
            read_array(tmp_path / name)


def test_pictures_are_judged_by_their_pixels(tmp_path):
    archive(tmp_path / "large.tar", {"a.png": picture(6_000)})
    archive(tmp_path / "good.tar", {"a.png": picture(20)})
    with pytest.raises(InvalidInputError, match=r"a\.png of large\.tar must unpack to"):
        read_array(tmp_path / "large.tar")
    assert read_array(tmp_path / "good.tar").x.shape == (1, 1, 20, 20)


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (lambda path: csv_frame("who", path), "a.csv.gz"),
        (lambda path: read_coded(path, "who"), "a.csv.gz"),
        (read_volume, "a.nii.gz"),
        (read_array, "a.nii.gz"),
    ],
)
def test_readers_of_gzip_keep_the_limit(tmp_path, read, name):
    (tmp_path / name).write_bytes(zeros_by_gzip(400))
    with pytest.raises(InvalidInputError):
        read(str(tmp_path / name))


def test_packed_tables_of_other_kinds_are_refused(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"u,v\n1,2\n"))
    assert csv_frame("who", tmp_path / "a.csv.gz").to_numpy().tolist() == [[1, 2]]
    for ending in ("bz2", "xz", "zip", "zst"):
        (tmp_path / f"a.csv.{ending}").touch()
        with pytest.raises(InvalidInputError, match="Unpack it first"):
            csv_frame("who", tmp_path / f"a.csv.{ending}")


def test_no_reader_unpacks_without_a_limit():
    """Files inside packages are known by their hash before they are unpacked; all else goes through the two modules."""
    calls = re.compile(r"pandas\.read_(csv|parquet)\(|gzip\.(decompress|open)\((?!\w+\.read\()")
    found = {file.name for file in SOURCE.rglob("*.py") if calls.search(file.read_text("utf-8"))} - {
        "table_files.py"
    }
    assert found == set()
