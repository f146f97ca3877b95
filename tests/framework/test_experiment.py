import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from framework.toy_experiment import Toy
from interpolants.executors import Local
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.storage import read_folder
from interpolants.framework.experiment import conduct, gather, settings_hash, stored_answers, stored_cells
from interpolants.framework.machine import code_commit

PROGRAM = Path(__file__).with_name("toy_experiment.py")


def kept(out):
    """The bytes of everything that must not depend on how the work was done."""
    folders = (out / "results", out / "gathered")
    return {f.relative_to(out).as_posix(): f.read_bytes() for d in folders for f in sorted(d.iterdir())}


def ran(tmp_path):
    return [int(line) for line in (tmp_path / "ran").read_text().split()]


def test_a_whole_run_leaves_sealed_results_and_a_log_apart(tmp_path):
    told = []
    toy = Toy(str(tmp_path / "ran"))
    found = conduct(toy, tmp_path / "out", progress=lambda name, seconds: told.append(name))
    assert found["total"].value == 12
    assert told == list(toy.cells())
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"results", "gathered", "work", "log.json", "manifest.json"}
    assert (tmp_path / "out" / "work" / "cell-3" / "checkpoint").exists()
    answers = stored_answers(toy, tmp_path / "out")
    assert answers["cell-3"]["n"].value == 6.0
    assert answers["cell-3"]["far"].value == math.inf
    assert answers["cell-3"].arrays["x"].dtype == torch.float16
    assert answers["cell-0"].arrays["none"].shape == (0, 2)
    assert answers["cell-0"].timings.keys() == {"clock", "seconds of the run"}
    assert stored_cells(tmp_path / "out")["cell-3"] == {"k": 3, "seed": 1}


def test_times_and_dates_are_in_the_log_and_the_manifest_alone(tmp_path):
    toy = Toy(str(tmp_path / "ran"))
    conduct(toy, tmp_path / "out")
    assert b"clock" not in b"".join(kept(tmp_path / "out").values())
    log = json.loads((tmp_path / "out" / "log.json").read_text())
    assert list(log) == list(toy.cells())
    assert {"seconds", "finished", "commit", "timings"} == log["cell-1"].keys()
    head = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert head["settings_hash"] == settings_hash({"scale": 2.0})
    assert head["seeds"] == [0, 1]
    wanted = {
        "experiment",
        "commit",
        "library",
        "python",
        "torch",
        "numpy",
        "hardware",
        "started",
        "settings",
    }
    assert wanted <= head.keys()


def test_interrupted_and_resumed_it_repeats_nothing_and_the_bytes_are_the_same(tmp_path):
    conduct(Toy(str(tmp_path / "whole")), tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        conduct(Toy(str(tmp_path / "ran"), fail_at=2), tmp_path / "b")
    assert ran(tmp_path) == [0, 1]
    conduct(Toy(str(tmp_path / "ran")), tmp_path / "b")
    assert ran(tmp_path) == [0, 1, 2, 3]
    conduct(Toy(str(tmp_path / "ran")), tmp_path / "b")
    assert ran(tmp_path) == [0, 1, 2, 3]
    assert kept(tmp_path / "a") == kept(tmp_path / "b")


@pytest.mark.slow
def test_two_processes_give_the_bytes_of_one_under_as_many_threads(tmp_path):
    """Sums in another number of parts end in other bits."""
    before = torch.get_num_threads()
    toy = Toy(str(tmp_path / "ran"), threads=True)
    torch.set_num_threads(before + 1)
    try:
        conduct(toy, tmp_path / "one")
        conduct(toy, tmp_path / "two", workers=Local(2))
    finally:
        torch.set_num_threads(before)
    assert kept(tmp_path / "one") == kept(tmp_path / "two")
    assert stored_answers(toy, tmp_path / "two")["cell-1"]["threads"].value == before + 1


def started(tmp_path, workers):
    """The program once its first cell is whole."""
    command = [sys.executable, str(PROGRAM), str(tmp_path / "out"), str(tmp_path / "ran"), str(workers)]
    process, deadline = subprocess.Popen(command, start_new_session=True), time.monotonic() + 120
    while not list((tmp_path / "out" / "cells").glob("cell-?")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def only_whole_cells_are_left_and_it_goes_on(tmp_path):
    cells = tmp_path / "out" / "cells"
    finished = {int(folder.name[-1]) for folder in cells.glob("cell-?")}
    for folder in cells.glob("cell-?"):
        read_folder(folder)  # whole: every byte is as the manifest says
    assert len(finished) < 4, "it was killed too late to show anything"
    again = Toy(str(tmp_path / "again"))
    conduct(again, tmp_path / "out")
    later = {int(k) for k in (tmp_path / "again").read_text().split()}
    assert later == set(range(4)) - finished
    conduct(Toy(str(tmp_path / "ran")), tmp_path / "whole")
    assert kept(tmp_path / "out") == kept(tmp_path / "whole")


def test_killed_in_the_middle_only_whole_cells_are_left_and_it_goes_on(tmp_path):
    process = started(tmp_path, 1)
    process.kill()
    process.wait()
    only_whole_cells_are_left_and_it_goes_on(tmp_path)


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed_and_it_goes_on_too(tmp_path):
    process, deadline = started(tmp_path, 2), time.monotonic() + 120
    process.kill()
    process.wait()
    while group_is_alive(process.pid):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)
    only_whole_cells_are_left_and_it_goes_on(tmp_path)


def group_is_alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_half_dropped_folder_of_cells_is_not_in_the_way(tmp_path):
    toy = Toy(str(tmp_path / "ran"))
    conduct(toy, tmp_path / "out")
    before = kept(tmp_path / "out")
    # Killed while the cells were dropped: they had been moved out of the way as a whole.
    (tmp_path / "out" / ".tmp-cells" / "cell-0").mkdir(parents=True)
    conduct(Toy(str(tmp_path / "ran"), count=4), tmp_path / "out", only=["cell-1"], resume=False)
    assert kept(tmp_path / "out") == before
    assert not (tmp_path / "out" / ".tmp-cells").exists()


def test_without_resuming_the_cells_asked_for_are_run_again(tmp_path):
    toy = Toy(str(tmp_path / "ran"))
    conduct(toy, tmp_path / "out")
    conduct(toy, tmp_path / "out", only=["cell-2"], resume=False)
    assert ran(tmp_path) == [0, 1, 2, 3, 2]
    assert len(stored_answers(toy, tmp_path / "out")) == 4


def test_only_some_cells_are_run_and_gathered_and_more_are_added(tmp_path):
    few = conduct(Toy(str(tmp_path / "ran"), count=2), tmp_path / "out", only=["cell-1"])
    assert few["total"].value == 2
    assert conduct(Toy(str(tmp_path / "ran"), count=6), tmp_path / "out")["total"].value == 30
    assert ran(tmp_path) == [1, 0, 2, 3, 4, 5]
    # An experiment of fewer cells gathers its own and loses none of the others.
    assert gather(Toy(str(tmp_path / "ran"), count=2), tmp_path / "out")["total"].value == 2
    assert len(stored_answers(Toy(str(tmp_path / "ran")), tmp_path / "out")) == 6


def test_results_of_other_settings_or_experiments_are_refused_not_mixed(tmp_path):
    conduct(Toy(str(tmp_path / "ran")), tmp_path / "out")
    before = kept(tmp_path / "out")
    for other in ({"settings": {"scale": 3.0}}, {"name": "tot"}):
        with pytest.raises(InvalidInputError, match=r"must contain results of to. with these settings"):
            conduct(Toy(str(tmp_path / "ran"), **other), tmp_path / "out")
    assert kept(tmp_path / "out") == before


def test_bad_ids_unknown_cells_and_empty_folders_are_refused(tmp_path):
    class Bad(Toy):
        def cells(self):
            return {name: {} for name in self.settings["names"]}

    for names in (["a/b"], ["a", "A"], [""]):
        with pytest.raises(InvalidInputError, match="ids of cells"):
            conduct(Bad("", settings={"names": names}), tmp_path)
    with pytest.raises(InvalidInputError, match="Did you mean 'cell-1'"):
        conduct(Toy(""), tmp_path, only=["cel-1"])
    with pytest.raises(InvalidInputError, match="workers must be >= 1"):
        conduct(Toy(str(tmp_path / "ran")), tmp_path / "out", workers=0)
    with pytest.raises(InvalidInputError, match="must contain results"):
        gather(Toy(""), tmp_path / "nothing")


def test_the_hash_knows_values_and_not_their_order():
    assert settings_hash({"a": 1, "b": [2]}) == settings_hash({"b": [2], "a": 1})
    assert settings_hash({"a": 1, "b": [2]}) != settings_hash({"a": 1, "b": [3]})


@pytest.mark.parametrize("file", ["src/a.py", "studies/common.py", "studies/one/experiment.py"])
def test_code_that_differs_from_its_commit_is_told(tmp_path, file):
    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("one = 1\n")
    git("init")
    git("add", ".")
    git("commit", "-m", "one")
    assert not code_commit(tmp_path).endswith("+")
    (tmp_path / file).write_text("one = 2\n")
    assert code_commit(tmp_path).endswith("+")
