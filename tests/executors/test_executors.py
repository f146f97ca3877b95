"""All executors give the answers of a loop: by process or by Ray, and after a worker was killed."""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from executors import pieces
from framework.test_experiment import kept
from framework.toy_experiment import Toy
from interpolants.cli.app import app
from interpolants.executors import Local, LostWorkerError, RayCluster
from interpolants.foundations.errors import InvalidInputError, MissingExtraError
from interpolants.foundations.registry import build, names
from interpolants.framework.experiment import conduct

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray")
ITEMS = {f"item{a}": (a,) for a in range(6)}


@pytest.fixture(scope="module")
def cluster():
    """A connection to Ray that all tests of this file share: to start one takes ten seconds."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield RayCluster(2)
    ray.shutdown()


EXECUTORS = ["one", "two", pytest.param("ray", marks=[needs_ray, pytest.mark.slow])]


@pytest.fixture(params=EXECUTORS)
def executor(request):
    made = {"one": Local(1), "two": Local(2)}
    return made.get(request.param) or request.getfixturevalue("cluster")


def test_answers_are_those_of_a_loop_under_the_threads_asked_for(executor):
    items, before = {f"item{a}": (a, 7) for a in range(6)}, torch.get_num_threads()
    found = dict(executor.each(pieces.product, items, threads=1))
    assert torch.get_num_threads() == before
    assert {name: answer for name, (answer, _, _) in found.items()} == {f"item{a}": 7 * a for a in range(6)}
    assert {threads for _, threads, _ in found.values()} == {1}
    assert (os.getpid() in {process for _, _, process in found.values()}) == (executor == Local(1))


def test_what_a_piece_raises_is_raised_as_it_was(executor):
    with pytest.raises(InvalidInputError, match="piece: a must not be 3, got 3"):
        list(executor.each(pieces.refused, ITEMS))


MORE = ["two", pytest.param("ray", marks=[needs_ray, pytest.mark.slow])]


@pytest.mark.slow
@pytest.mark.parametrize("executor", MORE, indirect=True)
def test_a_piece_whose_process_was_killed_is_done_again(executor, tmp_path):
    items = {f"item{a}": (a, str(tmp_path)) for a in range(6)}
    assert dict(executor.each(pieces.killed_once, items)) == {f"item{a}": a * a for a in range(6)}
    assert (tmp_path / "killed").exists()


@pytest.mark.slow
@pytest.mark.parametrize("executor", MORE, indirect=True)
def test_a_piece_that_is_always_killed_ends_with_a_message(executor):
    with pytest.raises(LostWorkerError, match=r"item3.*killed in 3 attempts.*Use fewer workers"):
        list(executor.each(pieces.always_killed, {"item3": (3,), "other": (1,)}))


@needs_ray
@pytest.mark.slow
def test_cells_on_ray_give_the_bytes_of_one_process(cluster, tmp_path):
    toy = Toy(str(tmp_path / "ran"))
    conduct(toy, tmp_path / "one")
    conduct(toy, tmp_path / "ray", workers=cluster)
    assert kept(tmp_path / "one") == kept(tmp_path / "ray")


@needs_ray
@pytest.mark.slow
def test_a_worker_with_other_versions_is_refused(cluster, monkeypatch):
    from interpolants.executors import ray_cluster

    monkeypatch.setattr(
        ray_cluster, "_versions", lambda: {"interpolants": "0.0.1", "torch": "1", "numpy": "1"}
    )
    with pytest.raises(InvalidInputError, match=r"worker must have the versions of the driver.* not 0\.0\.1"):
        list(cluster.each(pieces.product, {"one": (1, 2)}))


def test_executors_are_known_by_name_and_refuse_what_they_do_not_have():
    assert {"local", "ray", "torchrun"} <= set(names("executor"))
    assert build("executor", "local", workers=3) == Local(3)
    with pytest.raises(InvalidInputError, match="every setting must be one it has, got 'address'"):
        build("executor", "local", address="here")
    with pytest.raises(InvalidInputError, match="torchrun must have started this process"):
        build("executor", "torchrun")


def test_without_ray_it_says_in_one_line_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        MissingExtraError, match=r"^--executor ray needs ray. Install it with: pip install 'interp.*\]'$"
    ):
        RayCluster()


@needs_ray
@pytest.mark.slow
def test_commands_take_ray(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.random.default_rng(0).normal(size=(80, 2)))
    sizes = [
        "method.batch_size=32",
        "method.net.kind=mlp",
        "method.net.width=16",
        "method.net.depth=2",
        "ask=[]",
    ]
    sets = [word for text in [*sizes, "seeds=2"] for word in ("--set", text)]
    for name, more in (("one", []), ("ray", ["--executor", "ray", "--workers", "2"])):
        call("run", "--x1", "x.npy", "--out", name, "--steps", "3", "-q", *sets, *more)
    assert files("one") == files("ray")
    words = ["sample", "one", "-n", "150", "--n-steps", "3", "-q", "--out"]
    call(*words, "a.npy")
    call(*words, "b.npy", "--executor", "ray", "--nproc", "2", "--shards", "shards")
    assert np.array_equal(np.load("a.npy"), np.load("b.npy"))
    call("log-prob", "one", "a.npy", "--out", "p.npy", "--n-steps", "3", "--executor", "ray", "--nproc", "2")
    call("log-prob", "one", "a.npy", "--out", "q.npy", "--n-steps", "3")
    assert np.array_equal(np.load("p.npy"), np.load("q.npy"))
    told = call(*words, "c.npy", "--executor", "ray", "--address", "127.0.0.1:1", code=2)
    assert "--address" in told
    assert "got 127.0.0.1:1" in told


@needs_ray
@pytest.mark.slow
def test_an_address_where_no_cluster_is_is_refused(monkeypatch):
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)  # other tests go on with their connection
    with pytest.raises(InvalidInputError, match=r"must be that of a running Ray cluster, got 127\.0\.0\.1:1"):
        list(RayCluster(address="127.0.0.1:1").each(pieces.product, {"one": (1, 2)}))


@needs_ray
@pytest.mark.slow
def test_another_cluster_than_the_connected_one_is_refused(cluster):
    import ray

    with pytest.raises(
        InvalidInputError, match=r"connected to the cluster .*got 127\.0\.0\.1:1.*ray\.shutdown"
    ):
        list(RayCluster(address="127.0.0.1:1").each(pieces.product, {"one": (1, 2)}))
    here = ray.get_runtime_context().gcs_address
    assert dict(RayCluster(address=here).each(pieces.product, {"one": (3, 2)}))["one"][0] == 6


def call(*words, code=0):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == code, result.output
    return result.output


def files(run):
    """What a run learnt and found, byte by byte, but for what tells times and folders."""
    kept = [p for p in sorted(Path(run).rglob("*")) if p.suffix in (".safetensors", ".json") and p.is_file()]
    timed = ("log.json", "manifest.json")
    return {str(p.relative_to(run)): p.read_bytes() for p in kept if p.name not in timed}
