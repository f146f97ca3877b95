"""Stored folders: whole or absent, and nothing in them can run."""

import errno
import hashlib
import json
import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations import storage
from interpolants.foundations.errors import InterpolantsError, InvalidInputError
from interpolants.foundations.storage import (
    MANIFEST,
    StorageError,
    read_folder,
    write_folder,
    write_text,
)
from interpolants.foundations.temporaries import sweep

TENSORS = {"model": {"w": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(2.5, dtype=torch.bfloat16)}}
DOCUMENTS = {"state.json": {"step": 3, "names": ["ä", "b"], "none": None}}


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "saved", TENSORS, DOCUMENTS)


def reseal(folder, **changes):
    """Rewrite the manifest so that it seals whatever the files are now, then apply changes to it."""
    files = {}
    for entry in sorted(folder.iterdir()):
        if entry.name != MANIFEST and entry.is_file():
            data = entry.read_bytes()
            files[entry.name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest = {"format": 1, "library": "0.1.0", "files": files} | changes
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_what_is_read_is_what_was_written(folder):
    stored = read_folder(folder)
    assert stored.documents == DOCUMENTS
    for name, value in TENSORS["model"].items():
        assert stored.tensors["model"][name].dtype == value.dtype
        assert torch.equal(stored.tensors["model"][name], value)
    assert sorted(p.name for p in folder.parent.iterdir()) == ["saved"]


def test_the_manifest_seals_size_and_hash_of_every_file(folder):
    files = json.loads((folder / MANIFEST).read_text())["files"]
    assert sorted(files) == ["model.safetensors", "state.json"]
    for name, entry in files.items():
        data = (folder / name).read_bytes()
        assert entry == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_views_and_shared_memory_are_stored_by_value(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    kept = {"whole": base, "same": base, "column": base[:, 1], "turned": base.T, "none": torch.empty(0, 3)}
    read = read_folder(write_folder(tmp_path / "a", {"x": kept}, {})).tensors["x"]
    for name, value in kept.items():
        assert_close(read[name], value, rtol=0, atol=0)


def test_replacing_gives_the_new_folder_and_leaves_nothing_behind(folder):
    write_folder(folder, {"other": {"a": torch.ones(1)}}, {})
    assert list(read_folder(folder).tensors) == ["other"]
    assert sorted(p.name for p in folder.parent.iterdir()) == ["saved"]


def test_a_folder_of_the_users_is_never_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(InvalidInputError, match="thesis"):
        write_folder(tmp_path / "mine", TENSORS, DOCUMENTS)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


@pytest.mark.parametrize(
    "name", ["../x.json", "a/b.json", ".json", "x.pkl", "nul.json", MANIFEST, "a..json", ""]
)
def test_names_that_are_not_plain_are_refused_on_writing(tmp_path, name):
    with pytest.raises(InvalidInputError, match="plain"):
        write_folder(tmp_path / "a", {}, {name: 1})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), {1, 2}, object()])
def test_documents_that_are_not_json_are_refused_on_writing(tmp_path, bad):
    with pytest.raises(InvalidInputError, match=r"state\.json must be plain JSON"):
        write_folder(tmp_path / "a", {}, {"state.json": {"x": bad}})


def test_a_sparse_tensor_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="dense"):
        write_folder(tmp_path / "a", {"x": {"s": torch.eye(2).to_sparse()}}, {})


def test_a_missing_folder_names_the_nearest_one(folder):
    with pytest.raises(InvalidInputError, match="Did you mean 'saved'"):
        read_folder(folder.parent / "savd")


# --- hostile and damaged folders -------------------------------------------------------------------------


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch exploded",))


def pickle_renamed(folder):
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    reseal(folder)


def torch_file_renamed(folder):
    torch.save({"w": torch.ones(2)}, folder / "model.safetensors")
    reseal(folder)


def truncated(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-3])


def truncated_and_resealed(folder):
    truncated(folder)
    reseal(folder)


def one_bit(folder):
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(data))


def missing_file(folder):
    (folder / "state.json").unlink()


def half_written(folder):
    (folder / MANIFEST).unlink()


def extra_link(folder):
    (folder / "more.json").symlink_to("/etc/passwd")


def file_is_a_link(folder):
    (folder / "state.json").rename(folder.parent / "outside.json")
    (folder / "state.json").symlink_to(folder.parent / "outside.json")


def dots_in_the_manifest(folder):
    entry = json.loads((folder / MANIFEST).read_text())["files"]["state.json"]
    reseal(folder, files={"../outside.json": entry})


def absolute_name(folder):
    entry = json.loads((folder / MANIFEST).read_text())["files"]["state.json"]
    reseal(folder, files={"/etc/passwd.json": entry})


def safetensors(header, body=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def huge_shape(folder):
    claim = {"w": {"dtype": "F32", "shape": [1 << 40, 1 << 20], "data_offsets": [0, 8]}}
    (folder / "model.safetensors").write_bytes(safetensors(claim, b"\0" * 8))
    reseal(folder)


def ten_gigabytes_in_one_kilobyte(folder):
    claim = {"w": {"dtype": "F32", "shape": [2_500_000_000], "data_offsets": [0, 10_000_000_000]}}
    (folder / "model.safetensors").write_bytes(safetensors(claim, b"\0" * 1000))
    reseal(folder)


def negative_shape(folder):
    claim = {"w": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}
    (folder / "model.safetensors").write_bytes(safetensors(claim, b"\0" * 4))
    reseal(folder)


def endless_header(folder):
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 62) + b"{}")
    reseal(folder)


def wrong_hash(folder):
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"]["state.json"]["sha256"] = "0" * 64
    (folder / MANIFEST).write_text(json.dumps(manifest))


def huge_size_claimed(folder):
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"]["model.safetensors"]["size"] = 1 << 60
    (folder / MANIFEST).write_text(json.dumps(manifest))


def unknown_version(folder):
    reseal(folder, format=7, library="9.9.9")


def version_true(folder):
    reseal(folder, format=True)


def manifest_is_a_list(folder):
    (folder / MANIFEST).write_text("[]")


def manifest_is_nested(folder):
    (folder / MANIFEST).write_text("[" * 200_000)


def manifest_names_twice(folder):
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"format": 1,', '"format": 1, "format": 1,'))


def nan_in_a_document(folder):
    (folder / "state.json").write_text('{"step": NaN}')
    reseal(folder)


def not_text(folder):
    (folder / "state.json").write_bytes(b"\xff\xfe\x00")
    reseal(folder)


def long_number(folder):
    (folder / "state.json").write_text("9" * 10_000)
    reseal(folder)


def file_is_a_pipe(folder):
    (folder / "state.json").unlink()
    os.mkfifo(folder / "state.json")


def file_is_a_folder(folder):
    (folder / "state.json").unlink()
    (folder / "state.json").mkdir()


HOSTILE = [
    (pickle_renamed, "model.safetensors must be a safetensors file"),
    (torch_file_renamed, "model.safetensors must be a safetensors file"),
    (truncated, "model.safetensors must have 62|model.safetensors must have .* bytes"),
    (truncated_and_resealed, "model.safetensors must be a safetensors file"),
    (one_bit, "model.safetensors must have SHA-256"),
    (missing_file, "state.json must exist"),
    (half_written, "incomplete"),
    (extra_link, "symbolic link"),
    (file_is_a_link, "symbolic link"),
    (dots_in_the_manifest, "plain"),
    (absolute_name, "plain"),
    (huge_shape, "safetensors file"),
    (ten_gigabytes_in_one_kilobyte, "safetensors file"),
    (negative_shape, "safetensors file"),
    (endless_header, "safetensors file"),
    (wrong_hash, "state.json must have SHA-256"),
    (huge_size_claimed, "at most"),
    (unknown_version, r"version 1 \(this is interpolants .*\), got 7 \(written by interpolants 9.9.9\)"),
    (version_true, "version 1"),
    (manifest_is_a_list, "JSON object"),
    (manifest_is_nested, "plain JSON"),
    (manifest_names_twice, "twice"),
    (nan_in_a_document, "NaN"),
    (not_text, "state.json must be plain JSON"),
    (long_number, "state.json must be plain JSON"),
    (file_is_a_pipe, "state.json must be a regular file"),
    (file_is_a_folder, "state.json must be a regular file"),
]


@pytest.mark.parametrize(("harm", "message"), HOSTILE, ids=lambda v: getattr(v, "__name__", ""))
def test_a_hostile_folder_is_refused_and_runs_nothing(folder, harm, message, monkeypatch):
    monkeypatch.chdir(folder.parent)
    harm(folder)
    with pytest.raises(InterpolantsError, match=message):
        read_folder(folder)
    assert not (folder.parent / "exploded").exists()


def test_a_pickle_given_as_the_folder_is_refused(tmp_path):
    (tmp_path / "model.pt").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InvalidInputError, match="pickles never are"):
        read_folder(tmp_path / "model.pt")


def test_a_flip_of_any_byte_is_noticed(folder):
    """Every byte of every file: sealed bytes by their hash, the manifest by its form or what it seals."""
    for entry in folder.iterdir():
        data = entry.read_bytes()
        for place in range(0, len(data), 7):
            entry.write_bytes(data[:place] + bytes([data[place] ^ 0x80]) + data[place + 1 :])
            with pytest.raises(InterpolantsError):
                read_folder(folder)
        entry.write_bytes(data)
    assert read_folder(folder).documents == DOCUMENTS


# --- failing disks ---------------------------------------------------------------------------------------

CALLS = ["open", "write", "fsync", "rename", "mkdir"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("call", CALLS)
def test_a_disk_that_fails_at_any_call_keeps_the_old_folder(folder, monkeypatch, call, code):
    real = getattr(os, call)
    failures = 0
    for index in range(100):
        count = 0

        def faulty(*args, index=index, **kwargs):
            nonlocal count
            count += 1
            if count == index + 1:
                raise OSError(code, os.strerror(code))
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(storage.os, call, faulty)
            try:
                write_folder(folder, {"new": {"a": torch.ones(1)}}, {})
                said = ""
            except StorageError as error:
                said = str(error)
        failures += bool(said)
        assert os.strerror(code) in said or said == ""
        # Whatever happened, one whole folder is there: the old one, or after the last rename the new one.
        # (The error may be swallowed where it cannot matter: making a parent that exists.)
        assert list(read_folder(folder).tensors) in ((["model"], ["new"]) if said else (["new"],))
        assert sorted(p.name for p in folder.parent.iterdir() if p.name != ".old-saved") == ["saved"]
        write_folder(folder, TENSORS, DOCUMENTS)
        if count <= index:
            break
    assert failures >= 1
    assert read_folder(folder).documents == DOCUMENTS


def test_short_writes_are_completed(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(storage.os, "write", lambda handle, data: real(handle, bytes(data[:5])))
    write_folder(tmp_path / "a", TENSORS, DOCUMENTS)
    monkeypatch.undo()
    assert read_folder(tmp_path / "a").documents == DOCUMENTS


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_place_is_said_clearly(folder):
    folder.parent.chmod(0o555)
    try:
        with pytest.raises(StorageError, match="Permission denied"):
            write_folder(folder, TENSORS, DOCUMENTS)
    finally:
        folder.parent.chmod(0o755)


def test_a_replacement_killed_between_its_renames_leaves_the_old_folder(folder):
    aside = folder.parent / ".old-saved"
    folder.rename(aside)
    assert read_folder(folder).documents == DOCUMENTS
    write_folder(folder, {"new": {}}, {})
    assert list(read_folder(folder).tensors) == ["new"]
    assert not aside.exists()
    shutil.copytree(folder, aside)  # killed after the second rename: the new one counts
    write_folder(folder, TENSORS, DOCUMENTS)
    assert read_folder(folder).documents == DOCUMENTS
    assert not aside.exists()


# Forks a writer for each line that it reads: to import PyTorch takes longer than all else.
WRITERS = """
import os, sys, torch
from interpolants.foundations.storage import write_folder
for _ in sys.stdin:
    if child := os.fork():
        os.waitpid(child, 0)
        print("gone", flush=True)
        continue
    n = 0
    while True:
        n += 1
        write_folder(sys.argv[1], {"x": {"a": torch.full((50_000,), float(n))}}, {"state.json": {"n": n}})
        if n == 1:
            print(os.getpid(), flush=True)
"""


def kill_while_replacing(target, rounds, seed):
    delays = torch.rand(rounds, generator=torch.Generator().manual_seed(seed)) * 0.15
    command = [sys.executable, "-c", WRITERS, str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        for delay in delays.tolist():
            parent.stdin.write("\n")
            parent.stdin.flush()
            writer = int(parent.stdout.readline())
            time.sleep(delay)
            os.kill(writer, signal.SIGKILL)
            assert parent.stdout.readline() == "gone\n"
            stored = read_folder(target)
            assert (stored.tensors["x"]["a"] == stored.documents["state.json"]["n"]).all()
            sweep(target.parent)


def test_kill_nine_while_replacing_loses_nothing(tmp_path):
    kill_while_replacing(tmp_path / "a", 2, seed=1)


@pytest.mark.slow
def test_kill_nine_while_replacing_loses_nothing_many_times(tmp_path):
    kill_while_replacing(tmp_path / "a", 20, seed=2)


def test_sweep_deletes_stale_folders_only(folder):
    (folder.parent / ".tmp-saved-1-ab").mkdir()
    assert sweep(folder.parent) == [".tmp-saved-1-ab"]
    assert [p.name for p in folder.parent.iterdir()] == ["saved"]


def test_text_is_replaced_whole(tmp_path, monkeypatch):
    write_text(tmp_path / "a.csv", "old")
    monkeypatch.setattr(
        storage.os, "replace", lambda *a: (_ for _ in ()).throw(OSError(errno.EIO, "bad disk"))
    )
    with pytest.raises(StorageError, match="bad disk"):
        write_text(tmp_path / "a.csv", "new")
    assert (tmp_path / "a.csv").read_text() == "old"
    assert [Path(p).name for p in tmp_path.iterdir()] == ["a.csv"]


def test_reading_warns_about_nothing(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_folder(folder)
