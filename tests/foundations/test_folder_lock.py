"""One process writes in a folder: the second is told who holds it, and what the dead left is taken over and swept."""

import errno
import json
import os
import subprocess
import sys
import threading

import pytest
import torch

from interpolants import Bridge
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.folder_lock import LOCK, locked
from interpolants.foundations.storage import StorageError, replacing, write_folder
from interpolants.framework.experiment import gather
from interpolants.runs.recipe_files import RecipeFolder, changed_recipe
from interpolants.runs.recipe_run import RecipeRun
from interpolants.training import TrainSettings, fit

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the helper locks as Unix does")

HOLDER = """
import fcntl, json, os, sys, time
handle = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(handle, fcntl.LOCK_EX)
os.write(handle, b" " + json.dumps({"process": os.getpid(), "machine": "here", "since": "noon"}).encode())
print("held", flush=True)
time.sleep(600)
"""
RECIPE = {
    "data": {"x1": {"problem": "moons", "n": 60}},
    "method": {"kind": "gaussian_fit"},
    "ask": [{"question": "sample_quality", "n": 20}],
}


@pytest.fixture
def held(tmp_path):
    """A folder in which another process is at work, and that process."""
    folder = tmp_path / "out"
    folder.mkdir()
    child = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder / LOCK)], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"held\n"
    yield folder, child
    child.kill()
    child.wait()
    child.stdout.close()


def go_on(folder):
    """All that writes in a folder."""
    x = torch.randn(16, 1)
    recipe = RecipeFolder(folder, changed_recipe(RECIPE))
    yield lambda: recipe.run()
    yield lambda: recipe.train()
    yield lambda: gather(RecipeRun(recipe.recipe), folder)
    yield lambda: Bridge(net="mlp", steps=1).fit(x, x, out=folder)
    settings = TrainSettings(steps=1, batch_size=2)
    yield lambda: fit(
        torch.nn.Linear(1, 1),
        lambda modules, batch, generator: {"a": modules(batch)[:, 0]},
        lambda step, generator, rank, world: torch.ones(2, 1),
        settings,
        out=folder,
    )


def test_the_second_process_is_refused_with_who_holds_the_folder(held):
    folder, child = held
    for work in go_on(folder):
        with pytest.raises(InvalidInputError, match=f"got process {child.pid} on here, .*since noon"):
            work()
    assert [file.name for file in folder.iterdir()] == [LOCK]


def test_the_lock_of_a_dead_process_is_taken_over_and_leaves_nothing(held):
    folder, child = held
    child.kill()
    child.wait()
    with locked("run", folder):
        assert json.loads((folder / LOCK).read_text())["process"] == os.getpid()
    assert list(folder.iterdir()) == []


def test_a_thread_may_lock_its_folder_again_and_another_may_not(tmp_path):
    refused = []

    def other():
        with pytest.raises(InvalidInputError, match=f"process {os.getpid()}"):
            locked("run", tmp_path / "a").__enter__()
        refused.append(1)

    with locked("run", tmp_path / "a"):
        with locked("fit", tmp_path / "b" / ".." / "a"):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert refused == [1]
    with locked("run", tmp_path / "a"):
        pass


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "thesis").write_text("years")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / LOCK).symlink_to(tmp_path / "thesis")
    with pytest.raises(StorageError, match="cannot lock"):
        locked("run", tmp_path / "a").__enter__()
    assert (tmp_path / "thesis").read_text() == "years"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_used_without_a_lock(tmp_path, monkeypatch, code):
    fail_with(code, monkeypatch)
    with locked("run", tmp_path / "a"), locked("fit", tmp_path / "a"):
        pass


def test_a_disk_that_fails_is_reported(tmp_path, monkeypatch):
    fail_with(errno.EIO, monkeypatch)
    with pytest.raises(StorageError, match=r"cannot lock .*: bad disk"):
        locked("run", tmp_path / "a").__enter__()


def fail_with(code, monkeypatch):
    import fcntl

    def flock(handle, operation):
        raise OSError(code, "bad disk")

    monkeypatch.setattr(fcntl, "flock", flock)


def test_the_lock_file_of_another_process_is_left_where_it_replaced_ours(tmp_path):
    with locked("run", tmp_path):
        (tmp_path / LOCK).unlink()
        (tmp_path / LOCK).write_text("theirs")
    assert (tmp_path / LOCK).read_text() == "theirs"


COUNTER = """
import sys, time
from pathlib import Path
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.folder_lock import locked
folder, count, done = sys.argv[1], Path(sys.argv[2]), 0
while done < 100:
    try:
        with locked("run", folder):
            before = int(count.read_text())
            time.sleep(2e-4)
            count.write_text(str(before + 1))
            done += 1
    except InvalidInputError:
        time.sleep(1e-4)
"""


def test_processes_that_take_turns_are_never_in_the_folder_together(tmp_path):
    """Each leaves with the file deleted: a lock on a deleted file must not count."""
    count = tmp_path / "count"
    count.write_text("0")
    command = [sys.executable, "-c", COUNTER, str(tmp_path / "a"), str(count)]
    children = [subprocess.Popen(command) for _ in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert count.read_text() == "300"


def dead_process():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def left_by(process, target, monkeypatch):
    """Name of a temporary that a process would leave beside a path, where it was written to the end of its life."""
    from interpolants.foundations import temporaries

    with monkeypatch.context() as patch:
        patch.setattr(temporaries.os, "getpid", lambda: process)
        return temporaries.temporary_for(target)


def test_saves_sweep_what_dead_processes_left_beside_them(tmp_path, monkeypatch):
    target = tmp_path / "model"
    dead, living = (left_by(pid, target, monkeypatch) for pid in (dead_process(), os.getpid()))
    other = left_by(dead_process(), tmp_path / "model-2", monkeypatch)
    for place in (dead, living, other):
        place.mkdir()
        (place / "tensors.safetensors").write_text("half")
    write_folder(target, {}, {"a.json": 1})
    assert {p.name for p in tmp_path.iterdir()} == {"model", living.name, other.name}


def test_answers_sweep_what_dead_processes_left_beside_them(tmp_path, monkeypatch):
    dead = left_by(dead_process(), tmp_path / "x.csv", monkeypatch)
    dead.write_text("half")
    with replacing(tmp_path / "x.csv") as file:
        file.write_text("whole")
    assert [p.name for p in tmp_path.iterdir()] == ["x.csv"]


def test_a_failed_write_leaves_nothing(tmp_path):
    (tmp_path / "x.csv").write_text("before")
    with pytest.raises(StorageError, match=r"cannot write .*x\.csv: bad disk"), replacing(tmp_path / "x.csv"):
        raise OSError(5, "bad disk")
    assert (tmp_path / "x.csv").read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["x.csv"]
