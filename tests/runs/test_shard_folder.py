"""Shards in a folder: the same bytes from any number of processes, and nothing is lost or done twice."""

import importlib.util
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from executors import pieces
from interpolants.executors import Local, RayCluster
from interpolants.foundations.errors import InvalidInputError
from interpolants.methods import Bridge
from interpolants.runs import shard_folder
from interpolants.runs.shard_folder import ShardFolder, read_shards
from interpolants.runs.shards import Request, by_executor

N = 200
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    bridge = Bridge("one_sided_linear", net={"kind": "mlp", "width": 16, "depth": 2})
    return bridge.fit(x1=x, steps=10, batch_size=64, progress=False).save(
        tmp_path_factory.mktemp("m") / "model"
    )


def sampling(model, **options):
    return Request(model, "sample", N, options={"n": N, "seed": 3, "n_steps": 4, "eps": 0.5, **options})


def scoring(model):
    points = torch.randn(N, 2, generator=torch.Generator().manual_seed(1))
    return Request(model, "log_prob", N, {"x": points}, {"n_steps": 4})


def files(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name[0] != "."
    }


def computed(request, out, executor, batch_size=100):
    ShardFolder(out, request, rows=64).compute(executor, batch_size)
    return files(out)


def test_shards_are_cut_from_one_answer(model, tmp_path):
    request = sampling(model)
    one = computed(request, tmp_path / "one", Local(1))
    assert len([name for name in one if name.endswith("tree.json")]) == 4
    found = ShardFolder(tmp_path / "one", request).answer()
    assert np.array_equal(found["x"], np.asarray(request.of(shard_folder.load(model))))


@pytest.mark.slow
@pytest.mark.parametrize("make", [sampling, scoring])
def test_bytes_are_the_same_from_one_two_and_four_processes(model, tmp_path, make):
    request = make(model)
    one = computed(request, tmp_path / "one", Local(1))
    assert computed(request, tmp_path / "two", Local(2), batch_size=7) == one
    assert computed(request, tmp_path / "four", Local(4)) == one
    whole = np.asarray(request.of(shard_folder.load(model)))
    assert np.array_equal(next(iter(by_executor(request, 100, Local(3)).values())), whole)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["local", pytest.param("ray", marks=needs_ray)])
def test_a_worker_that_was_killed_in_the_middle_of_a_shard_changes_nothing(
    model, tmp_path, monkeypatch, workers
):
    one = computed(sampling(model), tmp_path / "one", Local(1))
    monkeypatch.setattr(shard_folder, "store_shard", pieces.killed_shard)
    executor = Local(2) if workers == "local" else RayCluster(2)
    assert computed(sampling(model), tmp_path / "cut", executor) == one
    assert (tmp_path / "cut" / ".killed").exists()


def test_only_missing_and_damaged_shards_are_computed_again(model, tmp_path, monkeypatch):
    one = computed(sampling(model), tmp_path / "a", Local(1))
    shards = sorted((tmp_path / "a").glob("shard-*"))
    shutil.rmtree(shards[1])
    (shards[2] / "tensors.safetensors").write_bytes(b"half")
    written = []
    write = shard_folder.trees.write
    monkeypatch.setattr(
        shard_folder.trees, "write", lambda place, tree: [written.append(place.name), write(place, tree)]
    )
    assert computed(sampling(model), tmp_path / "a", Local(1)) == one
    assert written == [shards[1].name, shards[2].name]


def test_another_request_or_another_folder_is_refused(model, tmp_path):
    computed(sampling(model), tmp_path / "a", Local(1))
    for other in (sampling(model, seed=4), replace(sampling(model), n=64), scoring(model)):
        with pytest.raises(InvalidInputError, match="must contain shards of this request, got other"):
            ShardFolder(tmp_path / "a", other).compute(Local(1), 100)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("x")
    with pytest.raises(InvalidInputError, match="must be new or hold shards"):
        computed(sampling(model), tmp_path / "b", Local(1))


def test_an_unfinished_folder_is_not_read(model, tmp_path):
    computed(sampling(model), tmp_path / "a", Local(1))
    plan = tmp_path / "a" / "manifest.json"
    head = json.loads(plan.read_text())
    assert [one["rows"] for one in head["shards"].values()] == [64, 64, 64, 8]
    del head["shards"]
    plan.write_text(json.dumps(head))
    with pytest.raises(InvalidInputError, match="Run the command again"):
        list(read_shards(tmp_path / "a"))


def test_a_shard_of_another_request_under_the_same_name_is_refused(model, tmp_path):
    computed(sampling(model), tmp_path / "a", Local(1))
    computed(sampling(model, seed=4), tmp_path / "b", Local(1))
    name = "shard-000000000064"
    shutil.rmtree(tmp_path / "a" / name)
    shutil.copytree(tmp_path / "b" / name, tmp_path / "a" / name)
    with pytest.raises(InvalidInputError, match="must be the shard of the manifest"):
        list(read_shards(tmp_path / "a"))


def test_a_shard_of_another_request_is_computed_again(model, tmp_path):
    whole = computed(sampling(model), tmp_path / "a", Local(1))
    computed(sampling(model, seed=4), tmp_path / "b", Local(1))
    shards = [f"shard-{64 * k:012d}" for k in (1, 2)]
    for name, other in ((shards[0], tmp_path / "b" / shards[0]), (shards[1], tmp_path / "a" / shards[0])):
        shutil.rmtree(tmp_path / "a" / name)
        shutil.copytree(other, tmp_path / "a" / name)
    assert computed(sampling(model), tmp_path / "a", Local(1)) == whole


def test_tables_are_told_apart_by_all_their_rows(model, tmp_path):
    pandas = pytest.importorskip("pandas")
    points = pandas.DataFrame(np.random.default_rng(0).normal(size=(N, 2)), columns=["x_0", "x_1"])
    request = Request(model, "log_prob", N, {"x": points}, {"n_steps": 4})
    ShardFolder(tmp_path / "a", request).compute(Local(1), N)
    points.iloc[100, 0] += 1e-12  # a row that a printed table leaves out
    with pytest.raises(InvalidInputError, match="must contain shards of this request, got other data"):
        ShardFolder(tmp_path / "a", request).compute(Local(1), N)
