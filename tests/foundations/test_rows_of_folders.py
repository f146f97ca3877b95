"""Some rows of stored tensors: the bytes around them are read and checked, and no others."""

import json
import os

import pytest
import torch

from interpolants.foundations import storage
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.storage import BLOCKS, read_folder, write_folder

ROWS, WIDTH = 3000, 64  # 12 blocks of 64 KiB
TYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool]


def value(dtype=torch.float32):
    return (torch.arange(ROWS * WIDTH).reshape(ROWS, WIDTH) % 251).to(dtype)


@pytest.fixture
def folder(tmp_path):
    tensors = {"x": value(), "y": value() + 1, "count": torch.tensor(7.0), "none": torch.zeros(0, 3)}
    return write_folder(tmp_path / "f", {"tensors": tensors}, {"a.json": {"b": 1}}, blocks=True)


@pytest.fixture
def read_bytes(monkeypatch):
    """Bytes of blocks that were read."""
    sizes, plain = [], os.read

    def counted(handle, n):
        found = plain(handle, n)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(storage.os, "read", counted)
    return sizes


@pytest.mark.parametrize(("first", "last"), [(0, 0), (0, 1), (700, 1400), (2999, 3000), (0, 3000), (5, 2)])
def test_rows_are_those_of_the_whole(folder, first, last):
    found = read_folder(folder, rows=lambda name, shape: slice(first, last)).tensors["tensors"]
    assert torch.equal(found["x"], value()[first:last])
    assert torch.equal(found["y"], value()[first:last] + 1)
    assert torch.equal(found["count"], torch.tensor([7.0])[first:last])
    assert found["none"].shape == (0, 3)


@pytest.mark.parametrize("dtype", TYPES)
def test_all_types_are_read(tmp_path, dtype):
    folder = write_folder(tmp_path / "f", {"tensors": {"x": value(dtype)}}, {}, blocks=True)
    found = read_folder(folder, rows=lambda name, shape: slice(1000, 1003)).tensors["tensors"]["x"]
    assert found.dtype == dtype
    assert torch.equal(found, value(dtype)[1000:1003])


def test_only_the_blocks_of_the_rows_are_read(folder, read_bytes):
    read_folder(folder, rows=lambda name, shape: slice(0, 750) if name == "x" else slice(0, 0))
    part = 750 * WIDTH * 4
    assert part < sum(read_bytes) < part + 4 * 2**16


def damage(folder, at):
    file = folder / "tensors.safetensors"
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def test_damage_in_a_block_that_is_read_is_refused_and_elsewhere_it_is_not_seen(folder):
    damage(folder, -1)
    found = read_folder(folder, rows=lambda name, shape: slice(0, 10)).tensors["tensors"]
    assert torch.equal(found["x"], value()[:10])
    with pytest.raises(InvalidInputError, match=r"block .* must have its SHA-256"):
        read_folder(folder, rows=lambda name, shape: slice(2990, 3000))
    with pytest.raises(InvalidInputError, match="must have SHA-256"):
        read_folder(folder)


def test_hashes_of_blocks_are_sealed_by_the_manifest(folder):
    file = folder / BLOCKS
    hashes = json.loads(file.read_text())
    hashes["tensors.safetensors"]["sha256"][0] = "0" * 64
    file.write_text(json.dumps(hashes))
    with pytest.raises(InvalidInputError, match=r"blocks\.json must have"):
        read_folder(folder, rows=lambda name, shape: slice(0, 10))


def test_a_file_that_was_cut_short_is_refused(folder):
    file = folder / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(InvalidInputError, match="bytes"):
        read_folder(folder, rows=lambda name, shape: slice(0, 10))


def test_a_folder_without_hashes_of_blocks_is_read_whole(tmp_path, read_bytes):
    folder = write_folder(tmp_path / "f", {"tensors": {"x": value(), "n": torch.tensor(2)}}, {})
    found = read_folder(folder, rows=lambda name, shape: slice(7, 9)).tensors["tensors"]
    assert torch.equal(found["x"], value()[7:9])
    assert len(found["n"]) == 0


def test_blocks_of_large_files_are_larger(monkeypatch, tmp_path):
    monkeypatch.setattr(storage, "_MOST_BLOCKS", 5)
    folder = write_folder(tmp_path / "f", {"tensors": {"x": value()}}, {}, blocks=True)
    assert len(json.loads((folder / BLOCKS).read_text())["tensors.safetensors"]["sha256"]) == 5
    found = read_folder(folder, rows=lambda name, shape: slice(1500, 1600)).tensors["tensors"]["x"]
    assert torch.equal(found, value()[1500:1600])
